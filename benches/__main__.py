"""The bench: `python -m benches` measures, and writes raw results, tables and plots."""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.aws.stack import ROOT, build

from .peers import PEERS, said
from .report import report, write
from .rounds import run, settings

RAW = ROOT / "target" / "bench" / "results.json"


def machine() -> dict[str, str]:
    """Where it was measured."""
    processor = platform.machine()
    if (cpus := Path("/proc/cpuinfo")).exists():
        models = [line.partition(": ")[2] for line in cpus.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def main() -> int:
    """Measure and report, or report anew; 1 where a peer did not do the job."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="with AWS's waits at zero, and sped up")
    parser.add_argument("--speed", type=float, default=10, help="AWS seconds per real second where sped up")
    parser.add_argument("--real-rounds", type=int, default=1, help="with AWS's waits in real time")
    parser.add_argument("--only", nargs="+", metavar="PEER", help="names of peers, such as Terraform")
    parser.add_argument("--into", type=Path, default=RAW.parent, help="the folder for the report")
    parser.add_argument(
        "--report", action="store_true", help="anew, of the last raw results; measure nothing"
    )
    options = parser.parse_args()
    if options.report:
        results = json.loads(RAW.read_text())
    else:
        build()
        kinds = [kind for kind in PEERS if not options.only or kind.name in options.only]
        chosen = settings(options.rounds, options.speed, options.real_rounds)
        about = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine()}
        results = about | run(kinds, chosen, lambda text: print(text, flush=True))
        results["versions"] = {
            "Albatross": said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
            "Python": platform.python_version(),
        } | results["versions"]
        write({Path(RAW.name): json.dumps(results, indent=1)}, RAW.parent)
    write(report(results), options.into)
    print(f"Raw results are in {RAW}, the report in {options.into}")
    return int(any(each["wrong"] for each in results["runs"]))


if __name__ == "__main__":
    sys.exit(main())
