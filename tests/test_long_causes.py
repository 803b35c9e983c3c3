"""Causes that Step Functions has cut at 32,768 characters are JSON no more: nothing breaks by them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local_aws.local import LocalAws
from local_aws.waiting import PATIENCE_SECONDS, until

from .test_lint import definition

CAUSE_MAX = 32768
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture(scope="module")
def steps(aws: LocalAws) -> "Steps":
    return Steps(aws)


class Steps:
    """Machines made of states of the project's own."""

    def __init__(self, aws: LocalAws):
        self._sfn = aws.client("stepfunctions")

    @contextmanager
    def machine(self, name: str, definition: dict) -> Iterator[str]:
        """The ARN of a machine that stands for the length of a `with` block."""
        made = self._sfn.create_state_machine(
            name=name, definition=json.dumps({"QueryLanguage": "JSONata"} | definition), roleArn=ROLE
        )
        try:
            yield made["stateMachineArn"]
        finally:
            self._sfn.delete_state_machine(stateMachineArn=made["stateMachineArn"])

    def run(self, machine: str, event: dict) -> dict:
        """One execution, ended."""
        started = self._sfn.start_execution(stateMachineArn=machine, input=json.dumps(event))

        def ended() -> dict | None:
            found = self._sfn.describe_execution(executionArn=started["executionArn"])
            return found if found["status"] != "RUNNING" else None

        return until(ended, "the end of the execution", PATIENCE_SECONDS)


def failing(cause: str) -> dict:
    """A machine that fails with a cause, or by the cause's expression."""
    fail = {"Type": "Fail", "Error": "TeardownIncomplete", "Cause": cause}
    return {"StartAt": "End", "States": {"End": fail}}


def parent(machine: str, child: str, starts: str, item: dict) -> dict:
    """The Map of a night or a morning alone, from the state on that starts a child."""
    each = definition(f"{machine}.asl.yaml")["States"]["EachEnvironment"]
    inner = each["ItemProcessor"]
    inner["StartAt"] = starts
    inner["States"][starts]["Arguments"]["StateMachineArn"] = child
    each = {key: value for key, value in each.items() if key not in ("Next", "Assign", "Output")}
    each["ItemSelector"] |= item
    return {"StartAt": "EachEnvironment", "States": {"EachEnvironment": each | {"End": True}}}


# What the child fails with, and what is told of it. Where its JSON was cut, that is told as it begins.
CAUSES = {
    "short": ("a rule in sg-0 names it", "FAILED: TeardownIncomplete: a rule in sg-0 names it"),
    "long": ("{% $pad('', 32000, 'held ') %}", "FAILED: TeardownIncomplete: held held"),
    "cut": ("{% $pad('', 32768, 'held ') %}", 'States.TaskFailed: {"Cause": "held held'),
    "cut and escaped": ("{% $pad('', 32768, '\"}') %}", 'States.TaskFailed: {"Cause": "\\"}\\"}'),
}


@pytest.mark.parametrize(("cause", "why"), CAUSES.values(), ids=CAUSES)
@pytest.mark.parametrize(
    ("machine", "starts", "item"),
    [
        ("nightly", "TearDown", {"environment": {"name": "api", "hourly": 1}}),
        ("morning", "Provision", {"input": {}}),
    ],
    ids=["night", "morning"],
)
def test_a_childs_long_cause_does_not_break_the(
    steps: Steps, machine: str, starts: str, item: dict, cause: str, why: str
) -> None:
    with (
        steps.machine("child", failing(cause)) as child,
        steps.machine("parent", parent(machine, child, starts, item)) as own,
    ):
        done = steps.run(own, {"environments": [{"name": "api", "provision": "arn", "putBack": []}]})
    assert done["status"] == "SUCCEEDED", (done.get("error"), done.get("cause"))
    [told] = json.loads(done["output"])
    assert told["name"] == "api"
    assert told["why"].startswith(why)
    assert len(told["why"]) <= 2000


def whole(message: str) -> str:
    """The cause that Lambda gives of a function's error."""
    return json.dumps({"errorType": "TeardownIncomplete", "errorMessage": message})


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (whole("left over: sg-0"), "left over: sg-0"),
        (whole("left over: " + "sg-0 " * 9000)[:CAUSE_MAX], "left over: sg-0 sg-0"),
        # Cut at a brace, it looks whole.
        (whole("left over: " + "{}" * 20000)[: CAUSE_MAX - 1] + "}", "left over: {}"),
        ("The state timed out", "The state timed out"),
    ],
    ids=["whole", "cut", "cut at a brace", "no JSON"],
)
@pytest.mark.parametrize(("machine", "state"), [("provision", "Explain"), ("teardown", "Failed")])
def test_a_functions_long_cause_is_told(
    steps: Steps, machine: str, state: str, cause: str, told: str
) -> None:
    states = definition(f"{machine}.asl.yaml")["States"]
    fails = {state: states[state]}
    if machine == "provision":  # Explain keeps the cause in a variable, by which this state fails.
        fails = {state: states[state] | {"Next": "Refused"}, "Refused": states["Refused"]}
    with steps.machine("parent", {"StartAt": state, "States": fails}) as own:
        done = steps.run(own, {"Error": "TeardownIncomplete", "Cause": cause})
    assert (done["status"], done["error"]) == ("FAILED", "TeardownIncomplete"), done
    assert told in done["cause"]
