"""The bench: `python -m benches` measures, and writes raw results and tables.

Each part keeps its own raw results in target/bench as they come, so that one alone can be measured again.
"""

import argparse
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator

from harness.stack import ROOT, build

from . import builds, growth, startup
from .machine import about
from .peers import PEERS
from .release import BINARIES
from .report import SHARED, report
from .rounds import Setting, run

RAW = ROOT / "target" / "bench"


def side_by_side(setting: Setting) -> Iterator[dict]:
    """Albatross and its peers."""
    return run(PEERS, setting, lambda text: print(text, flush=True))


def no_waits(options: argparse.Namespace) -> Iterator[dict]:
    """With AWS's waits at zero."""
    return side_by_side(Setting("no waits", math.inf, options.rounds))


def waits(options: argparse.Namespace) -> Iterator[dict]:
    """With AWS's waits, by default on a clock that is sped up; only at speed 1 it binds all peers alike."""
    name = f"AWS's waits, {options.speed:g} times as fast"
    return side_by_side(Setting(name, options.speed, options.rounds))


def starts(options: argparse.Namespace) -> Iterator[dict]:
    """The functions' starts."""
    yield startup.measure(BINARIES, options.starts)


def many(options: argparse.Namespace) -> Iterator[dict]:
    """Many environments."""
    return growth.measure(options.sizes, options.speed)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[dict]]] = {
    "no-waits": no_waits,
    "waits": waits,
    "startup": starts,
    "growth": many,
}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only-part", nargs="+", choices=PARTS, default=[*PARTS], metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--report", action="store_true", help="of the last raw results; measure nothing")
    parser.add_argument("--rounds", type=int, default=5, help="of no-waits and waits")
    parser.add_argument(
        "--speed", type=float, default=4, help="of waits and growth: AWS seconds a real second"
    )
    parser.add_argument("--starts", type=int, default=12, help="of each, in startup")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100, 300], help="in growth")
    return parser.parse_args()


def main() -> int:
    """Measure and report, or report anew; 1 where a part broke off or a peer did not do the job."""
    options = parsed()
    broken = []
    if not options.report:
        build()
        RAW.mkdir(parents=True, exist_ok=True)
        for part in options.only_part:
            print(f"--- {part}", flush=True)
            it = about()
            try:
                for results in PARTS[part](options):
                    versions = it["versions"] | results.get("versions", {})
                    kept = it | results | {"versions": versions}
                    (RAW / f"{part}.json").write_text(json.dumps(kept, indent=1))
            except Exception:
                # The other parts are worth their own hour.
                traceback.print_exc()
                broken.append(part)
    files = [*(RAW / f"{part}.json" for part in PARTS), builds.KEPT]
    raw = {path.stem: json.loads(path.read_text()) for path in files if path.exists()}
    (ROOT / "BENCHMARKS.md").write_text(report(raw))
    print(f"Raw results are in {RAW}, the report in BENCHMARKS.md")
    for part in broken:
        print(f"{part} broke off: make bench PART={part} measures it again")
    measured = [raw.get(part, {}) for part in options.only_part]
    wrong = any(run["wrong"] for part in measured for run in part.get("rounds", []))
    wrong |= any(
        size[phase]["wrong"] for part in measured for size in part.get("sizes", []) for phase in SHARED
    )
    return int(bool(broken) or wrong)


if __name__ == "__main__":
    sys.exit(main())
