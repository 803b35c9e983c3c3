"""The project itself on the local AWS: built by the real SAM CLI, deployed by it, run by executions."""

import fcntl
import json
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from botocore.exceptions import ClientError

from local_aws.endpoints import REGION
from local_aws.executions import whole_history
from local_aws.local import LocalAws
from local_aws.mailbox import Mailbox
from local_aws.waiting import PATIENCE_SECONDS, until

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / ".aws-sam" / "local" / "template.yaml"
# Functions run as plain processes on the local AWS, so they are built for this machine.
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
# What a function that is invoked by hand is told to work for; the execution does not exist, so its lock binds nobody.
RECORD_NAMES = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
BY_HAND = f"arn:aws:states:{REGION}:000000000000:execution:by-hand"

# The SAM CLI of the environment that runs us. It zips 400 MB of debug builds: at zlib's quickest level that takes a quarter
# of the time.
QUICK_SAM = [
    sys.executable,
    "-c",
    "import zlib; zlib.Z_DEFAULT_COMPRESSION = 1; from samcli.cli.main import cli; cli()",
]

MACHINES = ("provision", "teardown", "nightly", "morning", "cleanup")


def build() -> None:
    """Bring the built template up to date; `make build` knows how, and that nothing is to do.

    One at a time: processes of tests may want it at once.
    """
    with (ROOT / "Makefile").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _run(["make", "--no-print-directory", "build"], os.environ.copy())


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


@dataclass(frozen=True)
class Execution:
    """How an execution stands, or ended."""

    arn: str
    status: str
    output: dict
    error: str
    cause: str
    seconds: float

    @property
    def running(self) -> bool:
        return self.status == "RUNNING"


@dataclass(frozen=True)
class Schedule:
    """What starts a target at a time: a rule of EventBridge, or a schedule of EventBridge Scheduler."""

    name: str
    kind: str
    arn: str
    expression: str
    zone: str | None
    state: str
    # With its Arn, Input, RetryPolicy and DeadLetterConfig, where it has them.
    target: dict

    @property
    def enabled(self) -> bool:
        return self.state == "ENABLED"

    @property
    def input(self) -> dict | None:
        """What the target is started with; None: an event."""
        return json.loads(self.target["Input"]) if "Input" in self.target else None

    @property
    def retries(self) -> dict | None:
        """How often, and how long, AWS tries again where it cannot start the target."""
        return self.target.get("RetryPolicy")

    @property
    def dead_letters(self) -> str | None:
        """The ARN of the queue for starts that AWS has given up."""
        return self.target.get("DeadLetterConfig", {}).get("Arn")


def is_for_lock(call: dict) -> bool:
    """Whether a recorded call changes an environment's lock and nothing else."""
    names = [name for check in call["checks"] for name in check["context"].get(RECORD_NAMES, [])]
    return bool(names) and all(name.startswith("_lock._albatross.") for name in names)


class InvocationFailed(Exception):
    """A function answered with an error: the name that state machines match on, and the message for the user."""

    def __init__(self, name: str, message: str):
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class Stack:
    """One deployment of the template, with parameters of its own where they are given."""

    def __init__(self, aws: LocalAws, name: str = "albatross", parameters: dict[str, str] | None = None):
        self.aws = aws
        self.name = name
        self.parameters = {"Architecture": ARCHITECTURE} | (parameters or {})
        self._sfn = aws.client("stepfunctions")
        self._lambda = aws.client("lambda")
        self._events = aws.client("events")
        self._scheduler = aws.client("scheduler")

    def deploy(self, template: Path = BUILT) -> None:
        """`sam deploy`, as a user of an account would, without its questions."""
        # It asks for nothing of the user's.
        command = [
            *QUICK_SAM,
            "deploy",
            "--template-file",
            str(template),
            "--stack-name",
            self.name,
            "--resolve-s3",
            "--capabilities",
            "CAPABILITY_IAM",
            "CAPABILITY_AUTO_EXPAND",
            "--no-confirm-changeset",
            "--no-progressbar",
            "--parameter-overrides",
            # Each in quotes, as a value may hold spaces.
            *(f'ParameterKey={key},ParameterValue="{value}"' for key, value in self.parameters.items()),
        ]
        _run(
            command,
            {"PATH": os.environ["PATH"], "HOME": os.devnull, "LANG": "C.UTF-8"} | self.aws.environment,
        )

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        [stack] = self.aws.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @cached_property
    def functions(self) -> dict[str, str]:
        """The deployed names of the functions, by the names of their binaries."""
        pages = self._lambda.get_paginator("list_functions").paginate()
        functions = [function for page in pages for function in page["Functions"]]
        variables = {
            function["FunctionName"]: function.get("Environment", {}).get("Variables", {})
            for function in functions
        }
        return {
            found["AWS_SDK_UA_APP_ID"]: name
            for name, found in variables.items()
            if found.get("ALBATROSS_STACK") == self.name
        }

    def machine(self, name: str) -> str:
        """The ARN of one of MACHINES."""
        return self.outputs[f"{name.capitalize()}MachineArn"]

    def resource(self, kind: str) -> str:
        """The physical id of the stack's one resource of this type."""
        described = self.aws.client("cloudformation").describe_stack_resources(StackName=self.name)
        [found] = [each for each in described["StackResources"] if each["ResourceType"] == kind]
        return found["PhysicalResourceId"]

    @cached_property
    def mailbox(self) -> Mailbox:
        """Gets what goes to the stack's topic, from the first look at it on."""
        return Mailbox(self.aws, self.resource("AWS::SNS::Topic"))

    # --- Functions ---

    def log_lines(self, since: float) -> list[dict]:
        """The functions' own lines in CloudWatch Logs from a second since 1970 on, which are JSON.

        The local AWS answers with the first 10,000 events and no token for more, so that old ones would hide new ones.
        """
        cloudformation = self.aws.client("cloudformation")
        group = cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId="FunctionLogs")
        name = group["StackResourceDetail"]["PhysicalResourceId"]
        pages = (
            self.aws.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=name, startTime=int(since * 1000))
        )
        events = [event["message"] for page in pages for event in page["events"]]
        return [json.loads(line) for event in events for line in event.splitlines() if line.startswith("{")]

    def invoke(self, function: str, event: dict) -> dict:
        """One invocation's answer; by hand, where the event does not tell its execution.

        Raises InvocationFailed where the function answered with an error.
        """
        answer = self._lambda.invoke(
            FunctionName=self.functions[function], Payload=json.dumps({"run": BY_HAND} | event)
        )
        payload = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise InvocationFailed(payload["errorType"], payload["errorMessage"])
        return payload

    def changes(self, since: int) -> list[str]:
        """The changing calls that functions have made after the call numbered `since`, each with its caller.

        Without those for the lock alone, which each execution takes and gives back.
        """
        return [
            f"{call['caller']} {call['operation']}"
            for call in self.aws.calls(since)
            if call["changes"] and call["caller"] != "other" and not is_for_lock(call)
        ]

    # --- Executions ---

    def start(self, machine: str, event: dict) -> str:
        """Start an execution; answers its ARN."""
        started = self._sfn.start_execution(stateMachineArn=self.machine(machine), input=json.dumps(event))
        return started["executionArn"]

    def stop(self, arn: str) -> None:
        """Stop an execution, as the button in the console does."""
        self._sfn.stop_execution(executionArn=arn)

    def stop_all(self) -> None:
        """Stop what a failed test may have left at work, and wait until no function works any more."""
        running = [arn for machine in MACHINES for arn in self.executions(machine, "RUNNING")]
        for arn in running:
            with suppress(ClientError):  # ended meanwhile
                self.stop(arn)
        if running:
            until(lambda: all(made["ended"] for made in self.aws.invocations()), "the end of functions")

    def execution(self, arn: str) -> Execution:
        """How an execution stands."""
        found = self._sfn.describe_execution(executionArn=arn)
        ended = found.get("stopDate") or datetime.now(UTC)
        return Execution(
            arn=arn,
            status=found["status"],
            output=json.loads(found.get("output") or "{}"),
            error=found.get("error") or "",
            cause=found.get("cause") or "",
            seconds=(ended - found["startDate"]).total_seconds(),
        )

    def wait(self, arn: str, seconds: float = PATIENCE_SECONDS) -> Execution:
        """The execution, ended."""

        def ended() -> Execution | None:
            execution = self.execution(arn)
            return None if execution.running else execution

        return until(ended, f"the end of {arn}", seconds)

    def run(self, machine: str, event: dict) -> Execution:
        """Start an execution and wait for its end."""
        return self.wait(self.start(machine, event))

    def output_of(self, arn: str, state: str) -> dict:
        """What a state of an ended execution gave to the next."""
        details = [event.get("stateExitedEventDetails", {}) for event in whole_history(self._sfn, arn)]
        [output] = [each["output"] for each in details if each.get("name") == state]
        return json.loads(output)

    def executions(self, machine: str, status: str | None = None) -> list[str]:
        """The ARNs of a machine's executions, or of those with a status."""
        wanted = {"statusFilter": status} if status else {}
        pages = self._sfn.get_paginator("list_executions").paginate(
            stateMachineArn=self.machine(machine), **wanted
        )
        return [execution["executionArn"] for page in pages for execution in page["executions"]]

    def history(self, arn: str) -> list[dict]:
        """An execution's whole history."""
        return whole_history(self._sfn, arn)

    def reaction(self, ended: str) -> Execution:
        """The execution that the rule on an ended provision has started, ended."""

        def started() -> str | None:
            for arn in self.executions("cleanup"):
                if ended in self._sfn.describe_execution(executionArn=arn)["input"]:
                    return arn
            return None

        return self.wait(until(started, f"the rule's reaction to the end of {ended}"))

    # --- Times and events ---

    def schedules(self, machine: str) -> list[Schedule]:
        """All that start the machine at a time: rules of EventBridge and schedules of EventBridge Scheduler."""
        wanted = self.machine(machine)
        rules = [
            Schedule(
                rule["Name"], "rule", rule["Arn"], rule["ScheduleExpression"], None, rule["State"], target
            )
            for rule in self._rules("ScheduleExpression")
            for target in self._targets(rule)
        ]
        pages = self._scheduler.get_paginator("list_schedules").paginate()
        listed = [schedule for page in pages for schedule in page["Schedules"]]
        scheduled = [
            Schedule(
                found["Name"],
                "schedule",
                found["Arn"],
                found["ScheduleExpression"],
                found.get("ScheduleExpressionTimezone"),
                found["State"],
                found["Target"],
            )
            for found in (
                self._scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"])
                for each in listed
            )
        ]
        return [schedule for schedule in [*rules, *scheduled] if schedule.target["Arn"] == wanted]

    def schedule(self, machine: str) -> Schedule:
        """The one of them that is enabled."""
        [enabled] = [schedule for schedule in self.schedules(machine) if schedule.enabled]
        return enabled

    def fire(self, schedule: Schedule) -> str:
        """Do what AWS does when the schedule's time has come; answers the ARN of the execution."""
        assert schedule.enabled
        # Scheduler's event has its detail as a string (its user guide, "Managing targets").
        source, detail = {"rule": ("aws.events", {}), "schedule": ("aws.scheduler", "{}")}[schedule.kind]
        return self._fire(schedule.target, schedule.arn, source, "Scheduled Event", [schedule.arn], detail)

    @contextmanager
    def without_reaction(self) -> Iterator[None]:
        """The rule on an ended provision is off, so that what the provision left stays."""
        name = self._rule_on_end()["Name"]
        self._events.disable_rule(Name=name)
        try:
            yield
        finally:
            self._events.enable_rule(Name=name)

    def fire_reaction(self, ended: str) -> str:
        """Do what EventBridge does when a provision has ended; answers the ARN of the execution."""
        found = self._sfn.describe_execution(executionArn=ended)
        detail = {
            field: found[field] for field in ("executionArn", "stateMachineArn", "name", "status", "input")
        }
        kind = "Step Functions Execution Status Change"
        rule = self._rule_on_end()
        [target] = self._targets(rule)
        return self._fire(target, rule["Arn"], "aws.states", kind, [ended], detail)

    def _rules(self, field: str) -> list[dict]:
        """The rules with this field."""
        pages = self._events.get_paginator("list_rules").paginate()
        return [rule for page in pages for rule in page["Rules"] if rule.get(field)]

    def _rule_on_end(self) -> dict:
        """The rule on an ended provision, which starts the machine that cleans up."""
        wanted = [self.machine("cleanup")]
        [rule] = [
            rule
            for rule in self._rules("EventPattern")
            if [target["Arn"] for target in self._targets(rule)] == wanted
        ]
        return rule

    def _targets(self, rule: dict) -> list[dict]:
        return self._events.list_targets_by_rule(Rule=rule["Name"])["Targets"]

    def _fire(self, target: dict, by: str, source: str, kind: str, resources: list[str], detail: dict) -> str:
        """Start the target as an event does."""
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": by.split(":")[4],
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": by.split(":")[3],
            "resources": resources,
            "detail": detail,
        }
        text = target.get("Input") or json.dumps(event)
        return self._sfn.start_execution(stateMachineArn=target["Arn"], input=text)["executionArn"]
