"""What the local AWS takes of a template, and what a `Stack` sees of its deployment, on a template of the test's own."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from harness.stack import Stack
from local_aws.local import LocalAws
from local_aws.waiting import until

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  TimeZone: {Type: String, Default: UTC}
  Mail: {Type: String, Default: ""}
Rules:
  ZoneNeedsMail:
    RuleCondition: !Not [!Equals [!Ref TimeZone, UTC]]
    Assertions: [{Assert: !Not [!Equals [!Ref Mail, ""]], AssertDescription: Somebody must know.}]
Conditions:
  Mails: !Not [!Equals [!Ref Mail, ""]]
  InUtc: !Equals [!Ref TimeZone, UTC]
Resources:
  DeadLetters: {Type: AWS::SQS::Queue}
  Topic: {Type: AWS::SNS::Topic, Condition: Mails}
  Subscription:
    Type: AWS::SNS::Subscription
    Condition: Mails
    Properties: {Protocol: email, Endpoint: !Ref Mail, TopicArn: !Ref Topic}
  NightlyMachine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Alone, States: {Alone: {Type: Pass, End: true}}}
      Events:
        Rule:
          Type: Schedule
          Properties:
            Schedule: cron(0 15 * * ? *)
            State: !If [InUtc, ENABLED, DISABLED]
            RetryPolicy: {MaximumRetryAttempts: 3}
            DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}
        Schedule:
          Type: ScheduleV2
          Properties:
            OmitName: true
            ScheduleExpression: cron(0 0 * * ? *)
            ScheduleExpressionTimezone: !Ref TimeZone
            State: !If [InUtc, DISABLED, ENABLED]
            Input: '{"by": "schedule"}'
            RetryPolicy: {MaximumRetryAttempts: 5}
            DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/States
      MetricName: ExecutionsFailed
      Dimensions: [{Name: StateMachineArn, Value: !Ref NightlyMachine}]
      Statistic: Sum
      Period: 300
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
      AlarmActions: !If [Mails, [!Ref Topic], !Ref AWS::NoValue]
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties: {DashboardBody: !Sub '{"widgets": [], "start": "-P1D"}'}
Outputs:
  NightlyMachineArn: {Value: !Ref NightlyMachine}
"""


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:10]}"


def deploy(aws: LocalAws, name: str, **parameters: str) -> Stack:
    """The template's stack, by CloudFormation alone."""
    client = aws.client("cloudformation")
    client.create_change_set(
        StackName=name,
        ChangeSetName="all",
        ChangeSetType="CREATE",
        TemplateBody=TEMPLATE,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )

    def ended(status: str) -> str | None:
        return None if status.endswith(("IN_PROGRESS", "PENDING")) else status

    def described() -> str | None:
        return ended(client.describe_change_set(StackName=name, ChangeSetName="all")["Status"])

    def executed() -> str | None:
        return ended(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    assert until(described, "the change set") == "CREATE_COMPLETE"
    client.execute_change_set(StackName=name, ChangeSetName="all")
    assert until(executed, "the stack") == "CREATE_COMPLETE"
    return Stack(aws, name)


def test_schedules_of_both_kinds(aws, name):
    stack = deploy(aws, name)
    rule, schedule = stack.schedules("nightly")
    queue = aws.client("sqs").get_queue_attributes(
        QueueUrl=aws.client("sqs").list_queues(QueueNamePrefix=f"{name}-")["QueueUrls"][0],
        AttributeNames=["QueueArn"],
    )["Attributes"]["QueueArn"]
    seen = [
        (each.kind, each.expression, each.zone, each.enabled, each.input, each.retries, each.dead_letters)
        for each in (rule, schedule)
    ]
    assert seen == [
        ("rule", "cron(0 15 * * ? *)", None, True, None, {"MaximumRetryAttempts": 3}, queue),
        (
            "schedule",
            "cron(0 0 * * ? *)",
            "UTC",
            False,
            {"by": "schedule"},
            {"MaximumRetryAttempts": 5},
            queue,
        ),
    ]
    assert stack.schedule("nightly") == rule
    with pytest.raises(AssertionError):
        stack.fire(schedule)
    assert given(stack, stack.fire(rule))["source"] == "aws.events"


def test_a_parameter_chooses_the_schedule_in_a_time_zone(aws, name):
    stack = deploy(aws, name, TimeZone="Asia/Seoul", Mail="me@example.test")
    schedule = stack.schedule("nightly")
    assert (schedule.kind, schedule.zone) == ("schedule", "Asia/Seoul")
    assert given(stack, stack.fire(schedule)) == {"by": "schedule"}


def given(stack: Stack, execution: str) -> dict:
    """The input of an execution."""
    found = stack.aws.client("stepfunctions").describe_execution(executionArn=execution)
    return json.loads(found["input"])


def test_an_alarm_mails_where_there_is_an_address(aws, name):
    stack = deploy(aws, name, Mail="me@example.test")
    assert stack.mailbox.read() == []
    alarm = stack.resource("AWS::CloudWatch::Alarm")
    aws.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="as asked")
    [mail] = stack.mailbox.read()
    assert alarm in mail.subject
    assert "as asked" in mail.message


def test_an_assertion_of_the_template_is_kept(aws, name):
    with pytest.raises(ClientError, match=r"\(ValidationError\).*Somebody must know\."):
        deploy(aws, name, TimeZone="Asia/Seoul")
