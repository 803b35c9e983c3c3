"""Histories of executions as AWS keeps them (Step Functions API reference, GetExecutionHistory and HistoryEvent)."""

from collections import Counter

import pytest

from ..executions import transitions
from ..local import LocalAws
from ..waiting import until
from .support import Machine

MISSING = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Arguments": {"FunctionName": "no-such-function", "Payload": {}},
    "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}],
    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
    "End": True,
}
PASS = {"Type": "Pass", "End": True}


def child(machine: Machine, **more: object) -> dict:
    """A task that waits for an execution of the machine."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": machine.arn, "Input": {}},
        "TimeoutSeconds": 60,
        "End": True,
    } | more


@pytest.fixture
def machine(aws: LocalAws, name: str) -> Machine:
    """All that a history has to tell: branches, iterations, a failure that is retried, a child."""
    inner = Machine(aws, f"{name}-inner", {"Alone": PASS})
    failing = {"StartAt": "Fails", "States": {"Fails": MISSING, "Caught": PASS}}
    first = {"Type": "Pass", "Next": "Last"}
    passing = {"StartAt": "First", "States": {"First": first, "Last": {"Type": "Succeed"}}}
    choice = {"Type": "Choice", "Choices": [], "Default": "Item"}
    states = {
        "Both": {"Type": "Parallel", "Branches": [failing, passing], "Next": "Each"},
        "Each": {
            "Type": "Map",
            "Items": [7, 8, 9],
            "MaxConcurrency": 2,
            "ItemProcessor": {"StartAt": "IsItem", "States": {"IsItem": choice, "Item": PASS}},
            "Next": "Child",
        },
        "Child": child(inner),
    }
    return Machine(aws, name, states)


@pytest.fixture
def history(machine: Machine) -> list[dict]:
    return machine.history(machine.start())


def details(event: dict) -> dict:
    """What is told of the event beyond its kind and links; of some nothing."""
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def way_to(event: dict, history: list[dict]) -> list[str]:
    """The kinds of the events that lead to one, by their links."""
    kinds = []
    while event:
        kinds.insert(0, event["type"])
        previous = event["previousEventId"]
        event = history[previous - 1] if previous else None
    return kinds


def entry(name: str, history: list[dict]) -> dict:
    """The event that a state is entered with."""
    [found] = [
        event
        for event in history
        if event["type"].endswith("StateEntered") and details(event)["name"] == name
    ]
    return found


def test_every_state_is_entered_and_left_in_branches_and_iterations_too(history):
    states = {"Both", "Fails", "Caught", "First", "Last", "Each", "Child"}
    expected = dict.fromkeys(states, 1) | {"IsItem": 3, "Item": 3}
    for what in ("StateEntered", "StateExited"):
        names = [details(event)["name"] for event in history if event["type"].endswith(what)]
        assert Counter(names) == expected, what


def test_a_retry_is_scheduled_again(history):
    kinds = Counter(
        (event["type"], details(event)["resourceType"], details(event)["resource"])
        for event in history
        if event["type"].startswith("Task") and not event["type"].startswith("TaskState")
    )
    nested = ("states", "startExecution.sync:2")
    assert kinds == {
        ("TaskScheduled", "lambda", "invoke"): 2,
        ("TaskStarted", "lambda", "invoke"): 2,
        ("TaskFailed", "lambda", "invoke"): 2,
        ("TaskScheduled", *nested): 1,
        ("TaskStarted", *nested): 1,
        ("TaskSubmitted", *nested): 1,
        ("TaskSucceeded", *nested): 1,
    }


def test_transitions_are_states_entered_and_retries(history):
    assert transitions(history) == 7 + 3 + 3 + 1


def test_events_are_numbered_and_linked_to_the_one_before_in_their_branch(history):
    assert [event["id"] for event in history] == list(range(1, len(history) + 1))
    attempt = ["TaskScheduled", "TaskStarted", "TaskFailed"]
    to_branch = ["ParallelStateEntered", "ParallelStateStarted"]
    assert way_to(entry("Caught", history), history) == [
        *to_branch,
        "TaskStateEntered",
        *attempt,
        *attempt,
        "TaskStateExited",
        "PassStateEntered",
    ]
    assert way_to(entry("Last", history), history) == [
        *to_branch,
        "PassStateEntered",
        "PassStateExited",
        "SucceedStateEntered",
    ]
    again = [event for event in history if event["type"] == "TaskScheduled"][1]
    assert again["previousEventId"] < again["id"] - 1, "the other branch's events lie between"


def test_iterations_begin_and_end(history):
    for what in ("MapIterationStarted", "MapIterationSucceeded"):
        told = [details(event) for event in history if event["type"] == what]
        assert sorted(each["index"] for each in told) == [0, 1, 2]
        assert {each["name"] for each in told} == {"Each"}
    items = [event for event in history if event["type"] == "ChoiceStateEntered"]
    assert {history[event["previousEventId"] - 1]["type"] for event in items} == {"MapIterationStarted"}


def test_a_history_comes_in_pages_backwards_and_without_data(machine):
    execution = machine.start()
    whole = machine.history(execution)
    assert machine.history(execution, PaginationConfig={"PageSize": 7}) == whole
    assert machine.history(execution, reverseOrder=True) == whole[::-1]
    assert len(machine.client.get_execution_history(executionArn=execution, maxResults=7)["events"]) == 7
    told = [details(event) for event in machine.history(execution, includeExecutionData=False)]
    assert not any({"input", "output"} & each.keys() for each in told)
    assert any({"input", "output"} & details(event).keys() for event in whole)


def test_what_runs_out_of_time_says_so(aws, name):
    slow = Machine(aws, f"{name}-slow", {"Slow": {"Type": "Wait", "Seconds": 3, "End": True}})
    outer = Machine(aws, name, {"Child": child(slow, TimeoutSeconds=1)})
    kinds = [event["type"] for event in outer.history(outer.start())]
    assert kinds[-2:] == ["TaskTimedOut", "ExecutionFailed"]


def test_a_stopped_execution_does_nothing_more_and_its_parent_goes_on(aws, name):
    waits = {"Waits": {"Type": "Wait", "Seconds": 1, "Next": "Never"}, "Never": PASS}
    inner = Machine(aws, f"{name}-inner", waits)
    outer = Machine(aws, name, {"Child": child(inner)})
    execution = outer.start()

    def waiting() -> str | None:
        for each in inner.client.list_executions(stateMachineArn=inner.arn)["executions"]:
            events = inner.client.get_execution_history(executionArn=each["executionArn"])["events"]
            if events[-1]["type"] == "WaitStateEntered":
                return each["executionArn"]
        return None

    stopped = until(waiting, "the child's wait")
    inner.client.stop_execution(executionArn=stopped)
    assert outer.history(execution)[-1]["type"] == "ExecutionFailed"
    kinds = [event["type"] for event in inner.history(stopped)]
    assert kinds == ["ExecutionStarted", "WaitStateEntered", "ExecutionAborted"]
