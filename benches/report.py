"""The report: a pure function from raw results to Markdown and plots."""

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from statistics import median

from tests.aws.strict.delays import ACTIVE, IN_SYNC, IN_USE, INTERFACES, ISSUED, RECORDS, TARGET_INITIAL

OURS = "Albatross"
PHASES = ("provision", "teardown")
PLOTS = Path("benches") / "plots"
# AWS seconds that no one can be quicker than, by the delays of the local AWS. A target that is registered early is
# healthy once the load balancer is active; a deleted load balancer's interfaces hold its security group.
CRITICAL = {
    "provision": max(ACTIVE, RECORDS + ISSUED, TARGET_INITIAL) + IN_SYNC,
    "teardown": max(INTERFACES, IN_USE),
}

Runs = list[dict]


def report(results: dict) -> dict[Path, str]:
    """BENCHMARKS.md and the plots it shows, by their paths."""
    plots: dict[Path, str] = {}
    text = [
        "# Benchmarks",
        "The same job, side by side, on the local AWS: security group, target group with its health check, load "
        "balancer in two zones, HTTP redirect, HTTPS listener with TLS policy and HSTS, certificate with DNS "
        "validation, alias record, the rule in the instance's group; and all of it gone again. Figures are medians; "
        f"in brackets, how many times {OURS}'s. Nothing here is a promise, and no test asserts a time.",
        _how(results),
    ]
    for setting in results["settings"]:
        text += _setting(results, setting, plots)
    text += [_left(results), _skipped(results), _versions(results)]
    return {Path("BENCHMARKS.md"): "\n\n".join(part for part in text if part) + "\n"} | plots


def write(files: dict[Path, str], folder: Path) -> None:
    """Files, by their paths, into a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _how(results: dict) -> str:
    it = results["machine"]
    return "\n\n".join(
        (
            f"{results['date']}, on {it['processor']}, {it['cores']} cores, {it['memory']}, {it['system']}. To "
            "reproduce it: `make bench`, with `ALBATROSS_BENCH_TERRAFORM_MIRROR` as the folder of Terraform's plug-ins "
            "where they are in one. It writes to `target/bench`.",
            "Each run has a new world in an empty account; the peers take turns. A run is a provision, which counts "
            "only if curl then gets HTTPS, HSTS and the redirect, and a teardown, after which the account is compared "
            "with before. CPU is that of the peer's processes, memory the most that one of them held; calls are "
            "those that reached AWS.",
            f"- {OURS}: executions on the local AWS. Its functions' processes are counted, started anew for each "
            "execution, in the debug build that the local AWS runs; Step Functions itself is AWS's. Its teardown "
            "deletes the certificate, as the others' do, and looks in every region for another that needs its record; by "
            "default it keeps it.\n"
            "- Terraform: `apply` and `destroy` of `benches/terraform/main.tf`; `init` is not counted. It does not "
            "wait for healthy targets.\n"
            "- AWS CLI: `benches/aws_cli.sh`, step by step with the CLI's own waiters, as the documentation has it.\n"
            "- boto3 by hand: `benches/by_hand.py`, which starts first what takes time, and polls every five seconds.",
        )
    )


def _setting(results: dict, setting: dict, plots: dict[Path, str]) -> Iterable[str]:
    """A setting's heading, a table for each phase, and its plots."""
    runs = [run for run in results["runs"] if run["setting"] == setting["name"] and not run["wrong"]]
    if not runs:
        return
    rounds = f"{setting['rounds']} round{'s' if setting['rounds'] > 1 else ''}"
    yield f"## {setting['name'][0].upper()}{setting['name'][1:]}"
    speed = setting["speed"]
    if speed is None:
        yield f"AWS takes no time, so this is what each takes itself. {rounds}."
        shown = {
            "seconds": (lambda run: run["wall"], "s"),
            "processor": (lambda run: run["cpu"], "s of CPU"),
            "memory": (lambda run: run["memory"] / 1024, "MiB"),
            "calls": (lambda run: run["reads"] + run["writes"], "API calls"),
        }
    else:
        yield (
            f"In AWS seconds, of which a real second has {speed:g}. The critical path: "
            + ", ".join(f"{phase} {seconds} s" for phase, seconds in CRITICAL.items())
            + f". {rounds}."
        )
        if any(not peer["waits_for_dns"] for peer in results["peers"]):
            yield f"To who does not wait until the alias has reached all name servers, those {IN_SYNC} s are added."
        if speed != 1:
            yield "The peers' own work takes its real time, so it counts that many times here."
        shown = {"aws-seconds": (lambda run: aws_seconds(results, run, speed), "AWS s")}
    for phase in PHASES:
        phase_runs = [run for run in runs if run["phase"] == phase]
        yield f"**{phase.capitalize()}**"
        yield _table(results, phase, phase_runs, speed)
        for what, (measure, unit) in shown.items():
            path = PLOTS / f"{'no-waits' if speed is None else f'speed-{speed:g}'}-{phase}-{what}.svg"
            plots[path] = bars(f"{phase}, {unit}", _by_peer(phase_runs, measure))
            yield f"![{phase}, {unit}]({path})"


def aws_seconds(results: dict, run: dict, speed: float) -> float:
    """How long a run took on AWS's clock, until its alias has reached all name servers whether it waits for that or not."""
    [waits] = [peer["waits_for_dns"] for peer in results["peers"] if peer["name"] == run["peer"]]
    return run["wall"] * speed + (IN_SYNC if run["phase"] == "provision" and not waits else 0)


def _by_peer(runs: Runs, measure: Callable[[dict], float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for run in runs:
        found.setdefault(run["peer"], []).append(measure(run))
    return found


def _table(results: dict, phase: str, runs: Runs, speed: float | None) -> str:
    """A row for each peer, with medians and how they compare to ours."""
    measures: dict[str, tuple[Callable[[dict], float], str]] = {
        "CPU s": (lambda run: run["cpu"], ".2f"),
        "MiB": (lambda run: run["memory"] / 1024, ".0f"),
        "reads": (lambda run: run["reads"], ".0f"),
        "writes": (lambda run: run["writes"], ".0f"),
        "calls": (lambda run: run["reads"] + run["writes"], ".0f"),
    }
    if speed is None:
        measures = {"s": (lambda run: run["wall"], ".1f")} | measures
    else:

        def beyond(run: dict) -> float:
            return aws_seconds(results, run, speed) - CRITICAL[phase]

        measures = {
            "AWS s": (lambda run: aws_seconds(results, run, speed), ".0f"),
            "beyond the critical path": (beyond, ".0f"),
        } | measures
    medians = {
        peer: {name: median(map(measure, own)) for name, (measure, _) in measures.items()}
        for peer, own in _grouped(runs).items()
    }
    ours = medians.get(OURS, {})
    rows = [["", *measures], ["---", *["---:"] * len(measures)]]
    for peer, values in medians.items():
        cells = []
        for name, (_, form) in measures.items():
            cell = f"{values[name]:{form}}"
            if peer != OURS and ours.get(name, 0) > 0 and name not in ("reads", "writes"):
                cell += f" ({values[name] / ours[name]:.1f}x)"
            cells.append(cell)
        rows.append([peer, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


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
    parts = ["## What is left", "What of the account differs after a teardown from before its provision."]
    parts += ["\n".join(lines)] if lines else []
    parts += ["## What went wrong", "\n".join(wrong)] if wrong else []
    return "\n\n".join(parts)


def change(line: str) -> str:
    """A line of the differences, without what each side is in full."""
    what, _, sides = line.partition(": ")
    return f"{what} is {'left' if sides.startswith('absent') else 'gone' if sides.endswith('absent') else 'changed'}"


def _words(text: str) -> str:
    """The end of a program's output in one line."""
    return " ".join(text.split())[-300:]


def _skipped(results: dict) -> str:
    if not results["skipped"]:
        return ""
    lines = [
        f"- {each['peer']}{', ' + each['setting'] if each['setting'] else ''}: {each['reason']}"
        for each in results["skipped"]
    ]
    return "## Skipped\n\n" + "\n".join(lines)


def _versions(results: dict) -> str:
    lines = [f"- {name}: {version}" for name, version in results["versions"].items()]
    return "## Versions\n\n" + "\n".join(lines)


# --- Plots -------------------------------------------------------------------------------------------------------

WIDTH, BAR, LABEL, VALUE = 640, 28, 130, 70


def bars(title: str, values: dict[str, list[float]]) -> str:
    """A bar for each median, with a line from the least to the most; an SVG that is legible on light and dark."""
    most = max((max(each) for each in values.values()), default=0) or 1

    def x(value: float) -> float:
        return round(LABEL + max(value, 0) / most * (WIDTH - LABEL - VALUE), 1)

    parts = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    for number, (name, each) in enumerate(values.items()):
        top, middle = 28 + number * BAR, 28 + number * BAR + BAR // 2 - 2
        colour = "#1f77b4" if name == OURS else "#999999"
        parts += [
            f'<text x="{LABEL - 8}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{x(median(each)) - LABEL:.1f}" height="{BAR - 6}" fill="{colour}"/>',
            f'<path d="M{x(min(each))} {middle}H{x(max(each))}" stroke="#d62728" stroke-width="2"/>',
            f'<text x="{x(max(each)) + 6}" y="{middle + 5}">{median(each):.3g}</text>',
        ]
    height = 28 + len(values) * BAR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="14" fill="#777777">{"".join(parts)}</svg>\n'
    )
