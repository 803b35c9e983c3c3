"""How the night goes with many environments: `python -m harness.fleet 10 100 1000` makes fleets and measures it.

AWS's rates bind, and its waits and the retries of Step Functions take their time, all on a clock that runs `--speed`
times as fast. Functions, and what the SDK waits between its own attempts, are as fast as they are: at speed 1 that is as
on AWS, above it a function has more of each bucket.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local_aws.executions import transitions
from local_aws.local import LocalAws
from local_aws.waiting import meanwhile

from .stack import Stack, build
from .world import World

# Far above what a night of a thousand takes: a bound, not a measure.
NIGHT_SECONDS = 4 * 3600
# AWS seconds after which all that has been made stands.
SETTLED = 3600
# Environments in one batch of Route 53, which takes 1,000 records (API reference, ChangeResourceRecordSets).
BATCH = 500
# What an execution may have (Step Functions developer guide, "Service quotas").
MOST_EVENTS, MOST_BYTES = 25_000, 262_144


def fleet(world: World, stack: str, count: int, keep_until: str | None = None) -> list[str]:
    """Make so many environments of a stack, as its provisions would have; answers their names.

    Before one instance, and without certificate and HTTPS listener, which a teardown takes no decision about.
    """
    names = [f"fleet-{number:04}" for number in range(1, count + 1)]
    records = []
    for name in names:
        records += _environment(world, stack, name, keep_until)
    for start in range(0, len(records), 2 * BATCH):
        world.create_records(records[start : start + 2 * BATCH])
    return names


def _environment(world: World, stack: str, name: str, keep_until: str | None) -> list[dict]:
    """All of an environment but its records, which it answers."""
    ec2, elb = world.aws.client("ec2"), world.aws.client("elbv2")
    domain = f"{name}.{world.zone_name}"
    tags = [
        {"Key": f"albatross:{key}", "Value": value}
        for key, value in (("stack", stack), ("environment", name), ("domain", domain), ("zone", world.zone))
    ]
    group = ec2.create_security_group(
        GroupName=f"{name}-elb",
        Description="of a fleet",
        VpcId=world.vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    [targets] = elb.create_target_group(
        Name=f"{name}-target-group", Protocol="HTTP", Port=80, VpcId=world.vpc, Tags=tags
    )["TargetGroups"]
    elb.register_targets(
        TargetGroupArn=targets["TargetGroupArn"], Targets=[{"Id": world.instances[0], "Port": 80}]
    )
    kept = [{"Key": "albatross:keep-until", "Value": keep_until}] if keep_until else []
    [balancer] = elb.create_load_balancer(
        Name=f"{name}-elb", Subnets=world.subnets, SecurityGroups=[group], Tags=tags + kept
    )["LoadBalancers"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": targets["TargetGroupArn"]}],
        Tags=tags,
    )
    alias = {
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "DNSName": balancer["DNSName"],
        "EvaluateTargetHealth": False,
    }
    ownership = f'"heritage=albatross stack={stack} environment={name} target={balancer["DNSName"]}"'
    return [
        {"Name": domain, "Type": "A", "AliasTarget": alias},
        {
            "Name": f"_albatross.{domain}",
            "Type": "TXT",
            "TTL": 60,
            "ResourceRecords": [{"Value": ownership}],
        },
    ]


class Memory:
    """The most that a function's process has held of the memory, looked at every second (proc(5): status, VmHWM)."""

    def __init__(self, parent: int):
        self._parent = parent
        # Of each function, by name, in KiB.
        self.peaks: dict[str, int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Looks for the length of a `with` block, and at its end."""
        with meanwhile(self.look, 1):
            yield
        self.look()

    def look(self) -> None:
        """Once."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                lines = [line.partition(":") for line in (process / "status").read_text().splitlines()]
                status = {key: value.split() for key, _, value in lines}
                if status["PPid"] == [str(self._parent)] and "VmHWM" in status:
                    variables = (process / "environ").read_text().split("\0")
                    named = dict(variable.partition("=")[::2] for variable in variables)
                    name = named.get("AWS_SDK_UA_APP_ID", "other")
                    self.peaks[name] = max(self.peaks.get(name, 0), int(status["VmHWM"][0]))


class Watch:
    """What functions have done in a `with` block of `watching`."""

    # Real ones.
    seconds: float
    calls: list[dict]
    # Those that came faster than AWS takes them.
    refused: list[dict]
    # KiB and name of the function whose process held most.
    peak: int
    held_by: str


@contextmanager
def watching(aws: LocalAws) -> Iterator[Watch]:
    """Watches for the length of a `with` block; what it has seen is known at the end."""
    watch, memory = Watch(), Memory(aws.functions_parent)
    before = (len(aws.calls()), len(aws.execution_calls()))
    with memory.watched():
        began = time.monotonic()
        yield watch
        watch.seconds = time.monotonic() - began
    calls = [*aws.calls(before[0]), *aws.execution_calls(before[1])]
    watch.calls = [call for call in calls if call["caller"] != "other"]
    watch.refused = [call for call in watch.calls if is_throttled(call)]
    watch.peak, watch.held_by = max((peak, name) for name, peak in memory.peaks.items())


def is_throttled(call: dict) -> bool:
    """Whether AWS refused a call because there were too many."""
    return "Throttling" in (call["error"] or "") or call["error"] == "RequestLimitExceeded"


@dataclass(frozen=True)
class Night:
    """What a night with so many environments took."""

    environments: int
    making_seconds: float
    removed: int
    error: str
    calls: int
    refused: int
    transitions: int
    # AWS's.
    seconds: float
    # Of the function's process that held most.
    memory: str
    payload: int
    events: int
    # Dollars, by its own answer.
    cost: float


def night(stack: Stack, count: int, speed: float) -> Night:
    """Make a fleet in an empty account, and let the nightly machine take it down."""
    aws = stack.aws
    aws.reset()
    aws.speed = math.inf
    with World(aws) as world:
        began = time.monotonic()
        fleet(world, stack.name, count)
        made = time.monotonic() - began
        earlier = set(stack.executions("teardown"))
        aws.speed = speed
        aws.advance(SETTLED)
        aws.throttle()
        with watching(aws) as watch:
            ended = stack.wait(stack.start("nightly", {}), NIGHT_SECONDS)
    history = stack.history(ended.arn)
    children = [arn for arn in stack.executions("teardown") if arn not in earlier]
    return Night(
        environments=count,
        making_seconds=made,
        removed=len(ended.output.get("removed", [])),
        error=f"{ended.status} {ended.error} {ended.cause}".strip(),
        calls=len(watch.calls),
        refused=len(watch.refused),
        transitions=transitions(history) + sum(transitions(stack.history(arn)) for arn in children),
        seconds=ended.seconds * speed,
        memory=f"{watch.peak / 1024:.0f} MiB, {watch.held_by}",
        payload=max(payloads(history)),
        events=len(history),
        cost=ended.output.get("executionCost", {}).get("dollars", math.nan),
    )


def payloads(history: list[dict]) -> Iterator[int]:
    """The bytes of each input and output that the history tells."""
    for event in history:
        for key, details in event.items():
            if key.endswith("EventDetails"):
                yield from (len(details[field].encode()) for field in ("input", "output") if field in details)


def show(console: Console, nights: list[Night], speed: float) -> None:
    """As a table, and what has not gone well."""
    table = Table(title=f"Nights at speed {speed:g}, in AWS's seconds", title_justify="left")
    for column in (
        "environments",
        "made in s",
        "removed",
        "calls",
        "each",
        "throttled",
        "transitions",
        "each",
        "seconds",
        "most memory",
        f"payload of {MOST_BYTES:,}",
        f"events of {MOST_EVENTS:,}",
        "cost",
    ):
        table.add_column(column, justify="right")
    for it in nights:
        table.add_row(
            f"{it.environments:,}",
            f"{it.making_seconds:.1f}",
            f"{it.removed:,}",
            f"{it.calls:,}",
            f"{it.calls / it.environments:.1f}",
            f"{it.refused:,}",
            f"{it.transitions:,}",
            f"{it.transitions / it.environments:.1f}",
            f"{it.seconds:.1f}",
            it.memory,
            f"{it.payload:,}",
            f"{it.events:,}",
            f"${it.cost:.4f}",
        )
    console.print(table)
    for it in nights:
        if it.removed != it.environments:
            console.print(f"{it.environments}: {it.error}", soft_wrap=True, markup=False)


def main() -> int:
    """As the module says; 1 where an environment is left."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.fleet", description="Nights with many environments"
    )
    parser.add_argument("sizes", type=int, nargs="+", help="how many environments; a night for each")
    parser.add_argument("--speed", type=float, default=1, help="AWS seconds per real second")
    options = parser.parse_args()
    build()
    with LocalAws() as aws:
        stack = Stack(aws)
        stack.deploy()
        nights = [night(stack, size, options.speed) for size in options.sizes]
    show(Console(highlight=False), nights, options.speed)
    return int(any(it.removed != it.environments for it in nights))


if __name__ == "__main__":
    sys.exit(main())
