"""How long building takes: `make bench-build` measures it for an hour or two, apart from the rest, into builds.json.

Each in a fresh clone, cold, and then again after a source file was touched. Crates are downloaded before; what pip and npm
download is part of a cold `make test`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.aws.stack import ROOT

from .machine import about
from .markdown import table

KEPT = Path(__file__).with_suffix(".json")
COMMANDS = ("cargo build", "sam build", "make test")
# Which all functions are built of.
TOUCHED = Path("src") / "lib.rs"


def measure() -> dict:
    """Seconds of each."""
    builds = {}
    for command in COMMANDS:
        with tempfile.TemporaryDirectory(prefix="albatross-build-") as folder:
            subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
            subprocess.run(["cargo", "fetch", "--quiet"], cwd=folder, check=True)
            cold = _seconds(command, folder)
            (Path(folder) / TOUCHED).touch()
            builds[command] = {"cold": cold, "warm": _seconds(command, folder)}
            print(f"{command}: {builds[command]}", flush=True)
    return about() | {"builds": builds}


def _seconds(command: str, folder: str) -> float:
    # The SAM CLI finds cargo-lambda and zig where it is itself.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "CARGO_TARGET_DIR": str(Path(folder) / "target")}
    began = time.monotonic()
    subprocess.run(command.split(), cwd=folder, env=environment, check=True)
    return round(time.monotonic() - began, 1)


def markdown(results: dict | None) -> list[str]:
    """The table, or that there is none."""
    heading = "## Building it"
    if not results:
        return [heading, "Not measured yet: `make bench-build`."]
    rows = [
        [f"`{command}`", *(f"{took[kind] / 60:.1f}" for kind in ("cold", "warm"))]
        for command, took in results["builds"].items()
    ]
    how = "Minutes, in a fresh clone with the crates downloaded, and again after `src/lib.rs` was touched."
    return [heading, how, table(["", "cold", "warm"], rows)]


if __name__ == "__main__":
    KEPT.write_text(json.dumps(measure(), indent=1) + "\n")
