"""The report: a pure function from raw results to Markdown."""

import math
from collections.abc import Callable, Iterable
from statistics import mean, median

from local_aws.strict.delays import ACTIVE, IN_SYNC, IN_USE, INTERFACES, ISSUED, RECORDS, TARGET_INITIAL

from . import builds, growth, startup
from .markdown import table, verdict

# The parts that are measured side by side.
SETTINGS = ("no-waits", "waits")
OURS, THEIRS = "Albatross", "Terraform"
PHASES = {
    "provision": "Provision",
    "again": "Again, with nothing to change",
    "keep": "Night: a teardown that keeps the certificate",
    "morning": "Morning: a provision with the kept certificate",
    "teardown": "Teardown",
}
# Those that all do.
SHARED = ("provision", "teardown")
# AWS seconds that no one can be quicker than, by the delays of the local AWS: load balancer or certificate, targets, DNS.
# Targets that are registered early are healthy once the load balancer is active; a deleted load balancer's interfaces
# hold its security group.
CRITICAL = {
    "provision": max(ACTIVE, RECORDS + ISSUED, TARGET_INITIAL) + IN_SYNC,
    "keep": INTERFACES,
    "morning": max(ACTIVE, TARGET_INITIAL) + IN_SYNC,
    "teardown": max(INTERFACES, IN_USE),
}
# What the project holds itself to: API calls of each phase; beyond the critical path, as a share of it and how many
# times less than Terraform; dollars for the executions of a provision and its teardown.
MOST_CALLS = {"provision": 24, "again": 14, "keep": 20, "teardown": 20}
MOST_BEYOND, LEAST_TIMES, MOST_DOLLARS = 0.05, 10, 0.002
# Why a target is missed: what calls do without which there were few enough. And why there are more where AWS takes time.
REASONS = {
    "provision": "with fewer it would create before it has looked, and take somebody else's for its own",
    "again": "it looks at all that stands, so that drift is found",
    "teardown": "each enabled region is asked whether a certificate there needs the validation record",
}
LOOKS = "the rest are looks whether AWS is done"
LAST_LOOK = "the last look comes after AWS is done, and its own time counts as often as the clock is fast"
# Of an execution's own answer.
COST = ("transitions", "gbSeconds", "dollars")

Runs = list[dict]


def report(raw: dict[str, dict]) -> str:
    """BENCHMARKS.md, of the raw results of each part that was measured."""
    side, starts, grown = together(raw), raw.get("startup"), raw.get("growth")
    text = [
        "# Benchmarks",
        *(_gains(side) if side else ()),
        "All of it is measured on the local AWS by `make bench`, with `ALBATROSS_BENCH_TERRAFORM_MIRROR` as the folder of "
        "Terraform's plug-ins where they are in one. Figures are medians. Nothing here is a promise, and no test asserts "
        "a time.",
        "## Targets",
        table(
            ["", "bound", "measured", ""],
            [*_targets(side), *(startup.targets(starts["results"]) if starts else [])],
        ),
        *(_side_by_side(side) if side else _unmeasured("Side by side")),
        *(startup.markdown(starts) if starts else _unmeasured("Starts")),
        *(growth.markdown(grown) if grown else _unmeasured("Growth")),
        *builds.markdown(raw.get("builds")),
        *_where(raw),
    ]
    return "\n\n".join(part for part in text if part) + "\n"


def together(raw: dict[str, dict]) -> dict | None:
    """The parts that were measured side by side as one, if there are any."""
    parts = [raw[part] for part in SETTINGS if part in raw]
    if not parts:
        return None
    return {
        "settings": [part["setting"] for part in parts],
        "runs": [run for part in parts for run in part["rounds"]],
        "peers": list({peer["name"]: peer for part in parts for peer in part["peers"]}.values()),
        "skipped": list({each["peer"]: each for part in parts for each in part["skipped"]}.values()),
    }


def _unmeasured(heading: str) -> list[str]:
    return [f"## {heading}", "Not measured."]


def _where(raw: dict[str, dict]) -> Iterable[str]:
    """Date, machine and versions of each part."""
    yield "## Machine and versions"
    yield "\n".join(
        f"- {part}: {it['date']}, on {it['machine']}, with a load of {it['load']:g} when it began. "
        + ", ".join(f"{name} {version}" for name, version in it["versions"].items())
        for part, it in raw.items()
    )


# --- What is gained ---------------------------------------------------------------------------------------------


def _gains(results: dict) -> list[str]:
    """What a user decides by, of all who do the job; minutes are of the setting in which AWS takes time."""
    of = {bool(setting["speed"]): setting for setting in results["settings"]}
    quick, slow = of.get(False), of.get(True)
    peers = [peer["name"] for peer in results["peers"]]

    def minutes(phase: str) -> list[float | None]:
        return _each(results, slow, peers, phase, lambda run: aws_seconds(results, run, slow["speed"]) / 60)

    def quickly(phase: str, value: Callable[[dict], float]) -> list[float | None]:
        return _each(results, quick, peers, phase, value)

    def both(value: Callable[[dict], float], join: Callable = sum) -> list[float | None]:
        pairs = zip(*(quickly(phase, value) for phase in SHARED), strict=True)
        return [None if None in pair else join(pair) for pair in pairs]

    left = {
        peer: [len(run["left"]) for run in runs if "left" in run]
        for peer, runs in _grouped(results["runs"]).items()
    }
    rows: list[tuple[str, str, list[float | None]]] = [
        ("minutes until HTTPS serves", ".1f", minutes("provision")),
        ("minutes until all of it is gone", ".1f", minutes("teardown")),
        ("seconds of both that are its own", ".1f", both(lambda run: run["wall"])),
        ("seconds to find that nothing is to change", ".1f", quickly("again", lambda run: run["wall"])),
        ("API calls of both", ".0f", both(_calls)),
        ("MiB of memory, at most", ".0f", both(lambda run: run["memory"] / 1024, max)),
        (
            "things of the user's that a teardown changes",
            ".2g",
            [mean(left[peer]) if left.get(peer) else None for peer in peers],
        ),
    ]
    costs = (
        [_of(results, slow, OURS, phase, _cost("dollars")) for phase in ("provision", "keep")]
        if slow
        else [None]
    )
    cost = (
        ""
        if None in costs
        else f"; its executions of a provision and a night's teardown cost ${sum(costs):.4f}"
    )
    clock = (
        f" Their clock is {slow['speed']:g} times as fast, so that what a peer does itself counts as often; its own seconds "
        "are below them, once."
        if slow and slow["speed"] != 1
        else ""
    )
    return [
        "## What you gain",
        f"The same job done by {OURS}, by {THEIRS}, and by hand. Of the minutes at least {CRITICAL['provision'] / 60:.1f} "
        f"and {CRITICAL['teardown'] / 60:.1f} are AWS's own waits, for load balancer, certificate and DNS; who waits for "
        f"one after the other takes longer.{clock} A cell is empty where a peer cannot do it, or nobody has measured it.",
        table(
            ["", *peers],
            [[what, *("" if it is None else f"{it:{form}}" for it in found)] for what, form, found in rows],
        ),
        f"{OURS} needs no machine, no state file and nobody at it{cost}. A script that starts everything at once is as "
        "quick and asks less of AWS: it does not look before it creates, cannot run again, and takes nothing back when it "
        "fails.",
    ]


def _each(
    results: dict, setting: dict | None, peers: list[str], phase: str, value: Callable[[dict], float]
) -> list[float | None]:
    """Of each of the peers the median, where it has done it in the setting."""
    return [_of(results, setting, peer, phase, value) if setting else None for peer in peers]


# --- Targets -----------------------------------------------------------------------------------------------------


def _targets(results: dict | None) -> list[list[str]]:
    """Of what is measured side by side: what, bound, measured, verdict."""
    rows = []
    for setting in results["settings"] if results else []:
        rows += [
            _target(
                f"API calls of a {_noun(phase)}, {setting['name']}",
                _of(results, setting, OURS, phase, _calls),
                bound,
                why=_calls_why(phase, setting),
            )
            for phase, bound in MOST_CALLS.items()
        ]
        dollars = [_of(results, setting, OURS, phase, _cost("dollars")) for phase in ("provision", "keep")]
        both = None if None in dollars else sum(dollars)
        rows.append(
            _target(
                f"dollars for a provision and a night's teardown, {setting['name']}",
                both,
                MOST_DOLLARS,
                form=".6f",
            )
        )
        if setting["speed"]:
            for phase in SHARED:
                ours, theirs = (beyond(results, setting, peer, phase) for peer in (OURS, THEIRS))
                share = None if ours is None else ours / CRITICAL[phase]
                what = f"of a {phase}, {setting['name']}"
                rows.append(
                    _target(
                        f"time beyond the critical path {what}, share of it",
                        share,
                        MOST_BEYOND,
                        form=".1%",
                        why=LAST_LOOK,
                    )
                )
                rows.append(
                    _target(
                        f"how many times {THEIRS}'s is that {what}", times(theirs, ours), LEAST_TIMES, False
                    )
                )
    return rows


def _noun(phase: str) -> str:
    words = {"again": "repeated provision", "keep": "night's teardown", "morning": "morning's provision"}
    return words.get(phase, phase)


def _calls_why(phase: str, setting: dict) -> str:
    """Why there are more calls than there should be."""
    return "; ".join(
        why for why in (REASONS.get(phase), LOOKS if setting["speed"] and phase != "again" else None) if why
    )


def _target(
    what: str, value: float | None, bound: float, most: bool = True, form: str = ".4g", why: str = ""
) -> list[str]:
    """A row; `why` is told where the target is missed."""
    limit = f"{'at most' if most else 'at least'} {bound:{'.0%' if form == '.1%' else 'g'}}"
    said = verdict(value, bound, most, form)
    reason = f": {why}" if why and said.startswith("missed") else ""
    return [what, limit, "" if value is None else f"{value:{form}}", said + reason]


def _calls(run: dict) -> float:
    return run["reads"] + run["writes"]


def _cost(key: str) -> Callable[[dict], float]:
    """What an execution's own answer says; its sum may have failed."""
    return lambda run: (run["cost"] or {}).get(key, math.nan)


def _of(results: dict, setting: dict, peer: str, phase: str, value: Callable[[dict], float]) -> float | None:
    """The median of a peer's runs of a phase in a setting, if there are any."""
    found = [
        value(run)
        for run in results["runs"]
        if (run["setting"], run["peer"], run["phase"]) == (setting["name"], peer, phase) and not run["wrong"]
    ]
    return median(found) if found else None


def beyond(results: dict, setting: dict, peer: str, phase: str) -> float | None:
    """AWS seconds beyond the critical path."""
    took = _of(results, setting, peer, phase, lambda run: aws_seconds(results, run, setting["speed"]))
    return None if took is None else took - CRITICAL[phase]


def times(theirs: float | None, ours: float | None) -> float | None:
    """How many times ours theirs is; infinitely, where ours is nothing at all."""
    if theirs is None or ours is None:
        return None
    return theirs / ours if ours > 0 else math.inf


# --- Side by side ------------------------------------------------------------------------------------------------


def _side_by_side(results: dict) -> list[str]:
    """The job, a table for each phase in each setting, and what is left."""
    text = ["## Side by side", _how()]
    for setting in results["settings"]:
        text += _setting(results, setting)
    return [*text, _left(results), _skipped(results)]


def _how() -> str:
    return "\n\n".join(
        (
            "The same job: security group, target group with its health check, load balancer in two zones, HTTP redirect, "
            "HTTPS listener with TLS policy and HSTS, certificate with DNS validation, alias record, the rule in the "
            "instance's group; and all of it gone again.",
            "Each run has a new world in an empty account; the peers take turns. A provision counts only if curl then gets "
            "HTTPS, HSTS and the redirect, a repeated one only if it changed nothing; after a teardown the account is "
            "compared with before. Memory is the most that one of the peer's processes held; calls are those that reached "
            f"AWS. In brackets, how many times {OURS}'s.",
            f"- {OURS}: executions on the local AWS. Its functions' processes are counted, in release builds, started anew "
            "for each execution; Step Functions itself is AWS's. A night's teardown keeps the certificate, as it does by "
            "default; the last one deletes it, as the others' do, and looks in every region for another that needs its "
            "record.\n"
            "- Terraform: `apply`, `apply` again, and `destroy` of `benches/terraform/main.tf`; `init` is not counted. It "
            "does not wait for healthy targets.\n"
            "- AWS CLI: `benches/aws_cli.sh`, step by step with the CLI's own waiters, as the documentation has it. Such a "
            "script cannot run again.\n"
            "- boto3 by hand: `benches/by_hand.py`, which starts first what takes time, and polls every five seconds of "
            "AWS's clock. Nor can it.",
        )
    )


def _setting(results: dict, setting: dict) -> Iterable[str]:
    """A setting's heading, and a table for each phase."""
    runs = [run for run in results["runs"] if run["setting"] == setting["name"] and not run["wrong"]]
    if not runs:
        return
    yield f"### {setting['name'][0].upper()}{setting['name'][1:]}"
    speed = setting["speed"]
    if speed is None:
        yield "AWS takes no time, so this is what each takes itself."
    else:
        yield (
            f"In AWS seconds, of which a real second has {speed:g}. The critical path of a provision is "
            f"{CRITICAL['provision']} s: {ACTIVE} until the load balancer is active (the certificate takes "
            f"{RECORDS + ISSUED} beside it), none more for targets that were registered before, {IN_SYNC} until DNS has "
            f"reached all name servers; of a teardown it is {CRITICAL['teardown']} s."
        )
        if any(not peer["waits_for_dns"] for peer in results["peers"]):
            yield f"To who does not wait until the alias has reached all name servers, those {IN_SYNC} s are added."
        if speed != 1:
            yield _against(results, speed)
    for phase, heading in PHASES.items():
        phase_runs = [run for run in runs if run["phase"] == phase]
        if not phase_runs:
            continue
        yield f"**{heading}**"
        yield _table(results, phase, phase_runs, speed)
    yield _executions(results, setting)


def _against(results: dict, speed: float) -> str:
    """What a sped-up clock makes of who does not speed up with it."""
    alone = [
        (peer, _of(results, setting, peer, "provision", lambda run: run["wall"]))
        for setting in results["settings"]
        if setting["speed"] is None
        for peer in (OURS, THEIRS)
    ]
    examples = [
        f"{peer}'s {seconds:.1f} s of a provision with no waits are {seconds * speed:.0f} here"
        for peer, seconds in alone
        if seconds is not None
    ]
    return " ".join(
        (
            "A peer's own work takes its real time, and so do the pauses of Terraform and the AWS CLI between two looks: "
            f"**here they count {speed:g} times.** {'; '.join(examples)}{'.' if examples else ''}",
            "That is against each peer, and most against the slow ones: a ratio to Terraform's is fair in real time alone, "
            "as `python -m benches --only-part waits --speed 1` measures it.",
        )
    )


def _executions(results: dict, setting: dict) -> str:
    """What AWS charges for the executions themselves."""
    found = {phase: [_of(results, setting, OURS, phase, _cost(key)) for key in COST] for phase in PHASES}
    told = [
        f"{_noun(phase)} {transitions:g} state transitions, {gb_seconds:.3f} GB-seconds, ${dollars:.6f}"
        for phase, (transitions, gb_seconds, dollars) in found.items()
        if transitions is not None
    ]
    return (
        f"What AWS charges for {OURS}'s executions, by their own answers: {'; '.join(told)}." if told else ""
    )


def aws_seconds(results: dict, run: dict, speed: float) -> float:
    """How long a run took on AWS's clock, until its alias has reached all name servers whether it waits for that or not."""
    [waits] = [peer["waits_for_dns"] for peer in results["peers"] if peer["name"] == run["peer"]]
    return run["wall"] * speed + (IN_SYNC if run["phase"] in ("provision", "morning") and not waits else 0)


def _table(results: dict, phase: str, runs: Runs, speed: float | None) -> str:
    """A row for each peer, with medians and how they compare to ours."""
    measures: dict[str, tuple[Callable[[dict], float], str]] = {
        "MiB": (lambda run: run["memory"] / 1024, ".0f"),
        "reads": (lambda run: run["reads"], ".0f"),
        "writes": (lambda run: run["writes"], ".0f"),
        "calls": (_calls, ".0f"),
    }
    if speed is None:
        measures = {"s": (lambda run: run["wall"], ".1f")} | measures
    else:

        def seconds(run: dict) -> float:
            return aws_seconds(results, run, speed)

        if critical := CRITICAL.get(phase):
            measures = {
                "beyond the critical path": (lambda run: seconds(run) - critical, ".0f"),
                "share of it": (lambda run: (seconds(run) - critical) / critical, ".0%"),
            } | measures
        measures = {"AWS s": (seconds, ".0f")} | measures
    medians = {
        peer: {name: median(map(measure, own)) for name, (measure, _) in measures.items()}
        for peer, own in _grouped(runs).items()
    }
    ours = medians.get(OURS, {})
    rows = []
    for peer, own in _grouped(runs).items():
        cells = []
        for name, (_, form) in measures.items():
            cell = f"{medians[peer][name]:{form}}"
            if peer != OURS and ours.get(name, 0) > 0 and name not in ("reads", "writes", "share of it"):
                cell += f" ({medians[peer][name] / ours[name]:.1f}x)"
            cells.append(cell)
        rows.append([peer, *cells, str(len(own))])
    return table(["", *measures, "rounds"], rows)


def _grouped(runs: Runs) -> dict[str, Runs]:
    found: dict[str, Runs] = {}
    for run in runs:
        found.setdefault(run["peer"], []).append(run)
    return found


def _left(results: dict) -> str:
    """What teardowns left, and what they took of what was there before."""
    lines = []
    for peer, runs in _grouped([run for run in results["runs"] if "left" in run]).items():
        count = sum(len(run["left"]) for run in runs)
        such_as = f", such as {'; '.join(map(change, runs[0]['left']))}" if runs[0]["left"] else ""
        lines.append(f"- {peer}: {count} in {len(runs)} teardowns{such_as}")
    wrong = [
        f"- {run['peer']}, {run['setting']}, round {run['round']}, {run['phase']}: {_words(run['wrong'])}"
        for run in results["runs"]
        if run["wrong"]
    ]
    parts = ["### What is left", "What of the account differs after a teardown from before its provision."]
    parts += ["\n".join(lines)] if lines else []
    parts += ["### What went wrong", "\n".join(wrong)] if wrong else []
    return "\n\n".join(parts)


def change(line: str) -> str:
    """A line of the differences, without what each side is in full."""
    what, _, sides = line.partition(": ")
    return f"{what} is {'left' if sides.startswith('absent') else 'gone' if sides.endswith('absent') else 'changed'}"


def _words(text: str) -> str:
    """The end of a program's output in one line."""
    return " ".join(text.split())[-300:]


def _skipped(results: dict) -> str:
    lines = [f"- {each['peer']}: {each['reason']}" for each in results["skipped"]]
    return "\n".join(["### Skipped", "", *lines]) if lines else ""
