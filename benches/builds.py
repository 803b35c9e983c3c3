"""How long building takes: `make bench-build` measures it for an hour and a half, apart from the rest, into builds.json;
`python -m benches.builds 'make test'` one command anew.

Each in a fresh clone, cold, and then again after a source file was touched. Crates are downloaded before; what pip and npm
download is part of a cold `make test`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.stack import ROOT

from .machine import about
from .markdown import table

KEPT = Path(__file__).with_suffix(".json")
COMMANDS = ("cargo build", "sam build", "make test")
# Which all functions are built of.
TOUCHED = Path("src") / "lib.rs"


def measure(commands: Iterable[str]) -> Iterator[dict]:
    """Minutes of each, cold and warm, as they come."""
    builds: dict[str, dict[str, float]] = {}
    it = about()
    for command in commands:
        with tempfile.TemporaryDirectory(prefix="albatross-build-") as folder:
            subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
            subprocess.run(["cargo", "fetch", "--quiet"], cwd=folder, check=True)
            took = builds.setdefault(command, {})
            for kind in ("cold", "warm"):
                took[kind] = _minutes(command, folder)
                (Path(folder) / TOUCHED).touch()
                print(f"{command}, {kind}: {took[kind]} minutes", flush=True)
                yield it | {"builds": builds}


def _minutes(command: str, folder: str) -> float:
    # The SAM CLI finds cargo-lambda and zig where it is itself.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "CARGO_TARGET_DIR": str(Path(folder) / "target")}
    began = time.monotonic()
    subprocess.run(command.split(), cwd=folder, env=environment, check=True)
    return round((time.monotonic() - began) / 60, 1)


def markdown(results: dict | None) -> list[str]:
    """The table, or that there is none."""
    heading = "## Building it"
    if not results:
        return [heading, "Not measured yet: `make bench-build`."]
    rows = [
        [f"`{command}`", *(str(took.get(kind, "")) for kind in ("cold", "warm"))]
        for command, took in results["builds"].items()
    ]
    how = "Minutes, in a fresh clone with the crates downloaded, and again after `src/lib.rs` was touched."
    return [heading, how, table(["", "cold", "warm"], rows)]


if __name__ == "__main__":
    for measured in measure(sys.argv[1:] or COMMANDS):
        earlier = json.loads(KEPT.read_text())["builds"] if KEPT.exists() else {}
        KEPT.write_text(json.dumps(measured | {"builds": earlier | measured["builds"]}, indent=1) + "\n")
