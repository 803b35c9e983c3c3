"""Executions of Step Functions, as whoever looks at them sees them."""

from collections import Counter

from .waiting import until


def whole_history(client, execution: str, **parameters: object) -> list[dict]:
    """The history of an execution that has ended or will, over all pages."""
    pages = client.get_paginator("get_execution_history")

    def ended() -> list[dict] | None:
        found = pages.paginate(executionArn=execution, **parameters)
        events = [event for page in found for event in page["events"]]
        ends = [event["type"] for event in events if event["type"].startswith("Execution")]
        return events if set(ends) > {"ExecutionStarted"} else None

    return until(ended, f"the end of {execution}")


def transitions(history: list[dict]) -> int:
    """State transitions as AWS bills them: each state entered, and each retry of a task (Step Functions pricing)."""
    kinds = Counter(event["type"] for event in history)
    entered = sum(count for kind, count in kinds.items() if kind.endswith("StateEntered"))
    return entered + kinds["TaskScheduled"] - kinds["TaskStateEntered"]
