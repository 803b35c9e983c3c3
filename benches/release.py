"""The functions as users deploy them: release builds, put in place of the debug ones that the local AWS runs otherwise."""

import platform
import shutil
import tomllib
from pathlib import Path

from harness.stack import BUILT, ROOT, Stack
from local_aws.local import LocalAws

# Where `make bench` builds them.
BINARIES = ROOT / "target" / f"{platform.machine()}-unknown-linux-gnu" / "release"
# As deep as BUILT: paths in the template are relative.
DEPLOYED = ROOT / ".aws-sam" / "bench" / BUILT.name


def names() -> list[str]:
    """The functions' binaries."""
    return [binary["name"] for binary in tomllib.loads((ROOT / "Cargo.toml").read_text())["bin"]]


def built(name: str, folder: Path = BUILT.parent) -> Path:
    """Where the SAM CLI puts a function's binary."""
    return folder / f"{name.title().replace('-', '')}Function" / "bootstrap"


def deployed(aws: LocalAws, binaries: Path = BINARIES) -> Stack:
    """The stack on a local AWS with the release builds of its functions."""
    shutil.rmtree(DEPLOYED.parent, ignore_errors=True)
    shutil.copytree(BUILT.parent, DEPLOYED.parent)
    for name in names():
        shutil.copy(binaries / name, built(name, DEPLOYED.parent))
    stack = Stack(aws)
    stack.deploy(DEPLOYED)
    return stack
