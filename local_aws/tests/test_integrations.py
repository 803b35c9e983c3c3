"""What state machines call beside functions: AWS SDK integrations, SNS (Step Functions developer guide)."""

import json

import pytest

from ..mailbox import NO_SUBJECT, Mail, Mailbox
from .support import Machine, refused

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


@pytest.fixture
def topic(aws, name) -> str:
    return aws.client("sns").create_topic(Name=name)["TopicArn"]


def test_a_state_machine_sends_mail(aws, name, topic):
    mailbox, lines = Mailbox(aws, topic), 'One line.\nAnother: {"a": 1}'
    send = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Arguments": {"TopicArn": topic, "Subject": "Left standing", "Message": "{% $states.input.text %}"},
        "End": True,
    }
    machine = Machine(aws, name, {"Send": send})
    assert machine.history(machine.start({"text": lines}))[-1]["type"] == "ExecutionSucceeded"
    assert mailbox.read() == [Mail("Left standing", lines)]
    assert mailbox.read() == []
    aws.client("sns").publish(TopicArn=topic, Message="Alone")
    assert mailbox.read() == [Mail(NO_SUBJECT, "Alone")]


@pytest.mark.parametrize("subject", ["x" * 100, "two\nlines", "Grüße", " begins with a space"])
def test_a_bad_subject_is_refused(aws, topic, subject):
    """SNS API reference, Publish."""
    mailbox = Mailbox(aws, topic)
    with refused("InvalidParameter"):
        aws.client("sns").publish(TopicArn=topic, Subject=subject, Message="any")
    aws.client("sns").publish(TopicArn=topic, Subject="x" * 99, Message="any")
    assert mailbox.read() == [Mail("x" * 99, "any")]
