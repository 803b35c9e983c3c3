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
from .report import write
from .rounds import run, settings


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
    parser.add_argument("--into", type=Path, default=ROOT / "target" / "bench", help="the folder to write to")
    parser.add_argument(
        "--from", type=Path, dest="results", help="results.json of an earlier run: no new one"
    )
    options = parser.parse_args()
    if options.results:
        results = json.loads(options.results.read_text())
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
    write(results, options.into)
    print(f"Written to {options.into}")
    return int(any(each["wrong"] for each in results["runs"]))


if __name__ == "__main__":
    sys.exit(main())
