"""What state machines call beside functions: AWS SDK integrations (Step Functions developer guide)."""

import json

from .support import Machine

PASS = {"Type": "Pass", "End": True}


def test_executions_are_described_in_a_map(aws, name):
    """Fields are in PascalCase; an error is the SDK for Java's, after its service."""
    described = Machine(aws, f"{name}-described", {"Alone": PASS})
    execution = described.start({"domain": "api.example.test"})
    described.history(execution)
    describe = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
        "Arguments": {"ExecutionArn": "{% $states.input %}"},
        "Output": {
            "arn": "{% $states.result.ExecutionArn %}",
            "status": "{% $states.result.Status %}",
            "domain": "{% $parse($states.result.Input).domain %}",
        },
        "Catch": [
            {
                "ErrorEquals": ["Sfn.ExecutionDoesNotExistException"],
                "Output": "{% $states.errorOutput.Error %}",
                "Next": "Absent",
            }
        ],
        "End": True,
    }
    each = {
        "Type": "Map",
        "Items": "{% $states.input.executions %}",
        "ItemProcessor": {"StartAt": "Describe", "States": {"Describe": describe, "Absent": PASS}},
        "End": True,
    }
    machine = Machine(aws, name, {"Each": each})
    history = machine.history(machine.start({"executions": [execution, f"{execution}-not"]}))
    assert json.loads(history[-1]["executionSucceededEventDetails"]["output"]) == [
        {"arn": execution, "status": "SUCCEEDED", "domain": "api.example.test"},
        "Sfn.ExecutionDoesNotExistException",
    ]
    scheduled = [event for event in history if event["type"] == "TaskScheduled"]
    assert {event["taskScheduledEventDetails"]["resourceType"] for event in scheduled} == {"aws-sdk:sfn"}
