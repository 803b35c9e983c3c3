"""Whole histories of executions: MiniStack tells neither what happens in branches and iterations, nor the links.

As AWS does: Step Functions API reference, HistoryEvent, and the examples of GetExecutionHistory; developer guide, "Map
state in Inline mode" (the iterations are in their workflow's history). Left out: a task's `parameters`, a map's `length`.
"""

import copy
import json
import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from ministack.services import stepfunctions

# A service integration; what follows its service's name is what AWS calls the resource.
INTEGRATION = re.compile(r"arn:[^:]+:states:::((?:aws-sdk:)?[^:]+):(.+)")
WITH_EXECUTION = ("Task", "Parallel", "Map")


@dataclass
class Line:
    """Events that follow one another: those of an execution, of a branch or of an iteration."""

    execution: dict
    last: int = 0
    # The Map state whose iterations begin here.
    map: str | None = None
    # What is told of its last task in each event.
    task: dict = field(default_factory=dict)


# Threads of branches and iterations begin with a copy of their starter's.
_line: ContextVar[Line | None] = ContextVar("line", default=None)
_lock = threading.Lock()
_add_event = stepfunctions._add_event
_run_execution = stepfunctions._run_execution


def add(execution: dict, kind: str, details: dict | None = None) -> None:
    """An event with its link to the one before it; after a task's scheduling its start too."""
    here = _line.get()
    details = details or {}
    if kind.startswith("Task") and not kind.startswith("TaskState"):
        kind, details = _of_task(here, kind, details)
    with _lock:
        event = _add_event(execution, kind, details | {"previousEventId": here.last if here else 0})
        if here:
            here.last = event["id"]
    if kind == "TaskScheduled" and here.task:
        add(execution, "TaskStarted", {"taskStartedEventDetails": here.task})


def _of_task(here: Line, kind: str, details: dict) -> tuple[str, dict]:
    """With the resource and its type in AWS's words; a timeout is an event of its own."""
    [told] = details.values()
    if integration := INTEGRATION.fullmatch(told["resource"]):
        here.task = dict(zip(("resourceType", "resource"), integration.groups(), strict=True))
    elif kind == "TaskScheduled":
        here.task = {}
    if kind == "TaskFailed" and told["error"] == "States.Timeout":
        kind = "TaskTimedOut"
    return kind, {f"t{kind[1:]}EventDetails": told | here.task}


def run_execution(arn: str) -> None:
    """An execution's own line. If a task waits for it, that task has submitted it."""
    execution, above = stepfunctions._executions[arn], _line.get()
    if above and execution.get("sync"):
        submitted = above.task | {"output": json.dumps({"ExecutionArn": arn})}
        stepfunctions._add_event(above.execution, "TaskSubmitted", {"taskSubmittedEventDetails": submitted})
    execution["events"][0]["previousEventId"] = 0
    token = _line.set(Line(execution))
    try:
        _run_execution(arn)
    finally:
        _line.reset(token)


def concurrent(kind: str, run: Callable) -> Callable:
    """A Parallel or Map state, with events of its start and its end."""

    def told(state: dict, value: object, execution: dict, context: dict) -> tuple:
        stepfunctions._add_event(execution, f"{kind}StateStarted")
        _line.get().map = context["State"]["Name"] if kind == "Map" else None
        try:
            answer = run(state, value, execution, context)
        except stepfunctions._ExecutionError:
            stepfunctions._add_event(execution, f"{kind}StateFailed")
            raise
        stepfunctions._add_event(execution, f"{kind}StateSucceeded")
        return answer

    return told


def run_sub_machine(states: dict, start: str, value: object, execution: dict, context: dict) -> object:
    """A branch or an iteration, on a line of its own."""
    above = _line.get()
    iteration = {"name": above.map, "index": context["Map"]["Item"]["Index"]} if above.map else None

    def tell(what: str) -> None:
        if iteration:
            details = {f"mapIteration{what}EventDetails": iteration}
            stepfunctions._add_event(execution, f"MapIteration{what}", details)

    here = Line(execution, above.last)
    token = _line.set(here)
    try:
        tell("Started")
        answer = _run_states(states, start, copy.deepcopy(value), execution, context)
        tell("Succeeded")
        return answer
    except stepfunctions._ExecutionError:
        tell("Failed")
        raise
    finally:
        _line.reset(token)
        with _lock:
            above.last = max(above.last, here.last)


def _run_states(states: dict, name: str | None, value: object, execution: dict, context: dict) -> object:
    """What MiniStack does in a branch, and tells of an execution's own states alone."""
    while name:
        state = states[name]
        kind = state["Type"]
        context["State"] = {"Name": name, "EnteredTime": stepfunctions.now_iso(), "RetryCount": 0}
        entered = {"name": name, "input": json.dumps(value)}
        stepfunctions._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered})
        if kind == "Fail":
            raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, value, context))
        if kind == "Succeed":
            value = stepfunctions._apply_input_path(state, value, context)
            value, following = stepfunctions._apply_output_path(state, value, context), None
        else:
            execute = getattr(stepfunctions, f"_execute_{kind.lower()}")
            value, following = execute(
                state, value, *([execution] if kind in WITH_EXECUTION else []), context
            )
        exited = {"name": name, "output": json.dumps(value)}
        stepfunctions._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": exited})
        name = following
    return value


def complete_histories() -> None:
    """Tell all of it, from now on."""
    stepfunctions._add_event = add
    stepfunctions._run_execution = run_execution
    stepfunctions._run_parallel_branches = concurrent("Parallel", stepfunctions._run_parallel_branches)
    stepfunctions._run_map_items = concurrent("Map", stepfunctions._run_map_items)
    stepfunctions._run_sub_machine = run_sub_machine
