"""Where and when it was measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from harness.stack import ROOT


def said(command: list[str]) -> str:
    """What a program says of its version."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def about() -> dict:
    """Date, machine with its load, and the versions of what is measured and what measures."""
    processor = platform.machine()
    if (cpus := Path("/proc/cpuinfo")).exists():
        models = [line.partition(": ")[2] for line in cpus.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{processor}, {os.cpu_count()} cores, {memory:.1f} GiB, {platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 1),
        "versions": {
            "Albatross": said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
            "Python": platform.python_version(),
            "Rust": said(["rustc", "--version"]).removeprefix("rustc "),
        },
    }
