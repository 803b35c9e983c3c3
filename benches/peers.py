"""Who does the job: each provisions and tears down in a world, and says what that took of time and memory."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import boto3

from harness.fleet import Memory
from harness.world import World
from local_aws.local import LocalAws

from .machine import said
from .release import deployed

HERE = Path(__file__).resolve().parent
# AWS seconds between two looks of a script, where it says so itself.
POLL_SECONDS = 5
# Far above what an execution takes in real time: a bound, not a measure.
PATIENCE_SECONDS = 3600
TERRAFORM_MIRROR = "ALBATROSS_BENCH_TERRAFORM_MIRROR"
# What a program of the user's may find of its own settings by. No AWS_…: those are the local AWS's.
OF_THE_USER = ("PATH", "HOME", "TMPDIR", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR")
MOST_OUTPUT = 2000


@dataclass(frozen=True)
class Used:
    """What one phase took: seconds, and KiB of the process that held most."""

    wall: float
    memory: int
    # What AWS charges for the execution itself, as its answer says; of an execution alone.
    cost: dict | None = None


class Failed(Exception):
    """A peer did not do the job; the message is the end of what it wrote."""


class Absent(Exception):
    """A peer cannot be had here; the message says why."""


def measured(command: list[str], environment: dict[str, str], folder: Path) -> Used:
    """Run a command to its end."""
    with tempfile.NamedTemporaryFile("r") as taken:
        bench = [sys.executable, "-I", "-S", str(HERE / "measured.py"), taken.name]
        done = subprocess.run(
            [*bench, *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise Failed(f"{command[0]} ended with {done.returncode}: {done.stdout[-MOST_OUTPUT:]}")
        return Used(**json.load(taken))


class Albatross:
    """Executions of the deployed machines; cold, as the first one of the day is on AWS."""

    name = "Albatross"
    # Whether it waits until the alias has reached all name servers.
    waits_for_dns = False
    phases = ("provision", "again", "keep", "morning", "teardown")

    def __init__(self, aws: LocalAws, folder: Path):
        self._aws = aws

    def prepare(self) -> dict[str, str]:
        """Make ready once; answers versions. Raises Absent."""
        self._stack = deployed(self._aws)
        return {}

    def provision(self, world: World) -> Used:
        return self._execute("provision", world.input)

    # With nothing to change; and with the certificate that the night has kept.
    again = morning = provision

    def keep(self, world: World) -> Used:
        return self._execute("teardown", {"domain": world.domain})

    def teardown(self, world: World) -> Used:
        # The others remove theirs, too.
        return self._execute("teardown", {"domain": world.domain, "certificate": "delete"})

    def _execute(self, machine: str, event: dict) -> Used:
        self._cool()
        memory = Memory(self._aws.functions_parent)
        began = time.monotonic()
        ended = self._stack.wait(self._stack.start(machine, event), PATIENCE_SECONDS)
        wall = time.monotonic() - began
        memory.look()
        if ended.status != "SUCCEEDED":
            raise Failed(f"{ended.status} {ended.error}: {ended.cause}")
        cost = ended.output.get("executionCost")
        return Used(wall, max(memory.peaks.values()), cost)

    def _cool(self) -> None:
        """End the functions' processes: MiniStack does so where a function's settings are written."""
        client = self._aws.client("lambda")
        for name in self._stack.functions.values():
            timeout = client.get_function_configuration(FunctionName=name)["Timeout"]
            client.update_function_configuration(FunctionName=name, Timeout=timeout)


class Program:
    """A peer that is a program: a process for each phase, which is told the job by its environment."""

    name: str
    waits_for_dns = True
    # A script that has run makes all of it a second time, or fails.
    phases: tuple[str, ...] = ("provision", "teardown")

    def __init__(self, aws: LocalAws, folder: Path):
        self._aws = aws
        self._folder = folder
        self._user = {key: os.environ[key] for key in OF_THE_USER if key in os.environ}

    def provision(self, world: World) -> Used:
        return self._run("provision", world)

    def teardown(self, world: World) -> Used:
        return self._run("teardown", world)

    def _environment(self, world: World) -> dict[str, str]:
        job = {
            "NAME": world.name,
            "DOMAIN": world.domain,
            "ZONE": world.zone,
            "VPC": world.vpc,
            "SUBNETS": " ".join(world.subnets),
            "INSTANCE": world.instances[0],
            "INSTANCE_GROUP": world.group,
            # At infinite speed nothing is waited for that would be there later.
            "POLL": str(POLL_SECONDS / self._aws.speed),
        }
        return self._user | self._aws.environment | job

    def _command(self, phase: str) -> list[str]:
        raise NotImplementedError

    def _run(self, phase: str, world: World) -> Used:
        return measured(self._command(phase), self._environment(world), self._folder)


class Terraform(Program):
    """Terraform with its AWS provider. It polls by its own backoff, which follows no clock but the real one."""

    name = "Terraform"
    phases = ("provision", "again", "teardown")

    def prepare(self) -> dict[str, str]:
        if not shutil.which("terraform"):
            raise Absent("no terraform on the PATH")
        shutil.copy(HERE / "terraform" / "main.tf", self._folder)
        mirror = os.environ.get(TERRAFORM_MIRROR)
        # A plug-in folder of the user's; else where Terraform itself looks.
        plugins = [f"-plugin-dir={mirror}"] if mirror else []
        self._user |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        done = subprocess.run(
            ["terraform", "init", "-input=false", "-no-color", *plugins],
            env=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            why = " ".join(line.strip("│╷╵ ") for line in done.stderr.splitlines()).strip()
            raise Absent(f"terraform init without {TERRAFORM_MIRROR}: {why}" if not mirror else why)
        found = subprocess.run(
            ["terraform", "version", "-json"], env=self._user, cwd=self._folder, capture_output=True
        )
        version = json.loads(found.stdout)
        [provider] = version["provider_selections"].values()
        return {"Terraform": version["terraform_version"], "Terraform's AWS provider": provider}

    def provision(self, world: World) -> Used:
        for state in self._folder.glob("terraform.tfstate*"):
            state.unlink()
        return super().provision(world)

    def again(self, world: World) -> Used:
        return self._run("again", world)

    def _command(self, phase: str) -> list[str]:
        action = "destroy" if phase == "teardown" else "apply"
        return ["terraform", action, "-auto-approve", "-input=false", "-no-color"]

    def _environment(self, world: World) -> dict[str, str]:
        job = super()._environment(world) | {"SUBNETS": json.dumps(world.subnets)}
        names = ("NAME", "DOMAIN", "ZONE", "VPC", "SUBNETS", "INSTANCE", "INSTANCE_GROUP")
        return job | {f"TF_VAR_{name.lower()}": job[name] for name in names}


class AwsCli(Program):
    """The script for the AWS CLI. Its waiters' intervals are fixed, and each call starts the CLI anew."""

    name = "AWS CLI"

    def prepare(self) -> dict[str, str]:
        if not shutil.which("aws"):
            raise Absent("no aws on the PATH")
        return {"AWS CLI": said(["aws", "--version"])}

    def _command(self, phase: str) -> list[str]:
        return ["bash", str(HERE / "aws_cli.sh"), phase]


class ByHand(Program):
    """The same steps in Python with boto3."""

    name = "boto3 by hand"

    def prepare(self) -> dict[str, str]:
        return {"boto3": boto3.__version__}

    def _command(self, phase: str) -> list[str]:
        return [sys.executable, str(HERE / "by_hand.py"), phase]


PEERS = (Albatross, Terraform, AwsCli, ByHand)
