"""Many environments at AWS's request rates: how long their provisions and the night take, and where the limit lies.

On a clock that runs `speed` times as fast, and so do the rates. Functions do not: they have `speed` times AWS's rates.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator

from harness.fleet import MOST_EVENTS, NIGHT_SECONDS, SETTLED, Watch, is_throttled, watching
from harness.stack import Execution, Stack
from harness.world import World
from local_aws.local import LocalAws
from local_aws.strict.throttle import ACCOUNT, OPERATIONS
from local_aws.world import ZONES

from .markdown import table
from .release import deployed

CREATE = next(limit for limit in OPERATIONS if limit.is_for("elbv2", "CreateLoadBalancer"))
# Of an account in a region, unless AWS raises it: ELB user guide, "Quotas for your Application Load Balancers"; ACM user
# guide, "Quotas".
MOST_BALANCERS, MOST_CERTIFICATES = 50, 2_500
HOUR = 3600
COUNTS = (100, 1_000, 10_000)


def measure(sizes: list[int], speed: float) -> Iterator[dict]:
    """Each size in an empty account, the least first; yields the results so far after each."""
    results = {"speed": speed, "sizes": []}
    with LocalAws() as aws:
        stack = deployed(aws)
        # Ascending, as a function's process that lives on keeps its peak.
        for size in sorted(sizes):
            results["sizes"].append(grown(stack, size, speed))
            yield results


def grown(stack: Stack, size: int, speed: float) -> dict:
    """So many provisions, and a night that takes all of it down."""
    aws = stack.aws
    aws.reset()
    aws.speed = math.inf
    with World(aws) as world:
        inputs = [
            {"domain": f"g{number}.{world.zone_name}", "instances": [_instance(world, number)]}
            for number in range(size)
        ]
        aws.speed = speed
        aws.advance(SETTLED)
        aws.throttle()
        with watching(aws) as watch:
            ended = _provisioned(stack, inputs, speed)
        failed = [f"{each.error} {each.cause}" for each in ended if each.status != "SUCCEEDED"]
        provision = _took(watch, speed) | {"done": size - len(failed), "wrong": failed}
        aws.advance(SETTLED)
        with watching(aws) as watch:
            night = stack.wait(stack.start("nightly", {}), NIGHT_SECONDS)
    teardown = _took(watch, speed) | {
        "done": len(night.output.get("removed", [])),
        "wrong": [] if night.status == "SUCCEEDED" else [f"{night.error} {night.cause}"],
        "events": len(stack.history(night.arn)),
    }
    return {"environments": size, "provision": provision, "teardown": teardown}


def _instance(world: World, number: int) -> str:
    """One for each environment, in a group of its own: a group has room for 60 rules."""
    return world.instance(world.subnets[number % len(ZONES)], world.security_group(f"web-{number}"))


def _provisioned(stack: Stack, inputs: list[dict], speed: float) -> list[Execution]:
    """All provisions, ended; started as fast as AWS lets load balancers be created."""
    began, arns = time.monotonic(), []
    for number, wanted in enumerate(inputs, 1):
        due = max(0, number - CREATE.burst) / CREATE.rate / speed
        time.sleep(max(0, began + due - time.monotonic()))
        arns.append(stack.start("provision", wanted))
    return [stack.wait(arn, NIGHT_SECONDS) for arn in arns]


def _took(watch: Watch, speed: float) -> dict:
    """In AWS's seconds; calls with how often each came through."""
    through = Counter(
        f"{call['service']}:{call['operation']}" for call in watch.calls if not is_throttled(call)
    )
    return {
        "seconds": watch.seconds * speed,
        "calls": len(watch.calls),
        "refused": len(watch.refused),
        "memory": watch.peak,
        "held_by": watch.held_by,
        "through": through,
    }


def bounds(through: dict[str, float], environments: float) -> dict[str, float]:
    """The seconds that each of AWS's limits takes at least for the calls of so many environments, the longest first.

    `through` are the calls of one, by `service:Operation`.
    """
    calls: Counter[tuple] = Counter()
    for name, times in through.items():
        service, _, operation = name.partition(":")
        own = next((limit for limit in OPERATIONS if limit.is_for(service, operation)), None)
        for limit, whole in [(own, "all others"), *((limit, "all calls") for limit in ACCOUNT)]:
            if limit and limit.is_for(service, operation):
                what = operation if limit.each else whole if limit.operations == "*" else limit.operations
                calls[limit, what] += times
    least = {
        f"{limit.service} {what}: {limit.burst:g}, then {limit.rate:g} a second": (
            max(0, times * environments - limit.burst) / limit.rate
        )
        for (limit, what), times in calls.items()
    }
    return dict(sorted(least.items(), key=lambda item: -item[1]))


def markdown(results: dict) -> list[str]:
    """The figures, and what follows from them and AWS's quotas."""
    speed = results["speed"]
    text = [
        "## Growth",
        "Provisions of many environments, each before an instance of its own, and the night that takes them all down, at "
        f"AWS's request rates on a clock that runs {speed:g} times as fast. Functions are as fast as they are, so they "
        f"have {speed:g} times AWS's rates, and their own time counts {speed:g} times. Provisions are started as fast as "
        f"AWS lets load balancers be created: {CREATE.burst:g} at once, then one every {1 / CREATE.rate:g} s.",
    ]
    for phase in ("provision", "teardown"):
        rows, wrong = [], []
        for each in results["sizes"]:
            it, number = each[phase], each["environments"]
            rows.append(
                [
                    f"{number:,}",
                    f"{it['seconds']:,.0f}",
                    f"{it['calls']:,}",
                    f"{it['calls'] / number:.1f}",
                    f"{it['refused']:,}",
                    f"{it['memory'] / 1024:.0f} ({it['held_by']})",
                    f"{it['done']:,}",
                ]
            )
            wrong += [f"- {number:,}: {n:,} x {why[:300]}" for why, n in Counter(it["wrong"]).items()]
        head = [
            "environments",
            "AWS s",
            "calls",
            "each",
            "throttled",
            "most memory of a function, MiB",
            "done",
        ]
        text += [f"**{phase.capitalize()}**", table(head, rows, left=0)]
        text += ["\n".join(["What went wrong:", "", *wrong])] * bool(wrong)
    return [*text, *limits(results["sizes"][-1])]


def limits(largest: dict) -> list[str]:
    """Where the limit lies, by AWS's rates and the calls of the largest size, and what there is beyond it."""
    text = ["### Where the limit lies"]
    size = largest["environments"]
    text.append(
        "The least time that AWS's rates leave in one account and region, whatever makes the calls that "
        f"{'this' if size == 1 else f'each of these {size:,}'} made and AWS let through:"
    )
    rows = []
    for phase in ("provision", "teardown"):
        through = {name: n / size for name, n in largest[phase]["through"].items()}
        for limit in list(bounds(through, COUNTS[-1]))[:3]:
            times = [bounds(through, number)[limit] for number in COUNTS]
            rows.append(
                [
                    phase,
                    limit,
                    *(f"{seconds / 60:,.0f} min" for seconds in times),
                ]
            )
    text.append(table(["", "limit", *(f"{number:,}" for number in COUNTS)], rows, left=2))
    many, an_hour = COUNTS[-1], CREATE.burst + CREATE.rate * HOUR
    at_default, in_an_hour = math.ceil(many / MOST_BALANCERS), math.ceil(many / an_hour)
    events = max(1, largest["teardown"]["events"] / size)
    text.append(
        f"Creating load balancers binds: {CREATE.burst:g} at once, then {CREATE.rate * 60:g} a minute, so {an_hour:,.0f} "
        f"in an hour. Before that the quota does: {MOST_BALANCERS} load balancers in an account and region, until AWS "
        f"raises it. More concurrency helps neither; a provision that finds the rate used up is retried for some eight "
        f"minutes, and then rolls back. One night's execution has room for {MOST_EVENTS / events:,.0f} environments of "
        f"{events:.0f} events each, by Step Functions' {MOST_EVENTS:,}."
    )
    text.append(
        f"Who has {many:,} spreads them, as every rate and quota is of one account and region: at the default quota over "
        f"{at_default} pairs of account and region, a stack in each; with the quota raised over {in_an_hour}, if all are "
        f"to stand within an hour, with {math.ceil(many / in_an_hour):,} each (ACM's {MOST_CERTIFICATES:,} certificates "
        "would hold). Route 53's rate is of an account in all its regions, so new accounts help there and new regions "
        "do not. Within a pair schedules are set apart, so that mornings and nights of several stacks do not meet."
    )
    return text
