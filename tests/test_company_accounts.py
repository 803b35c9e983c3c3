"""Accounts of companies: bounded roles, tags of their own, shared networks and keys, many regions and partitions."""

import re
from collections.abc import Iterator

import pytest

from harness.snapshot import differences, snapshot, without_certificate
from harness.stack import Execution, InvocationFailed, Stack
from harness.world import World
from local_aws.local import LocalAws

from .test_least_privilege import (
    CERTIFICATE,
    LISTENER,
    LOAD_BALANCER,
    MINE,
    OURS,
    REQUEST,
    STACK,
    Call,
    Roles,
)
from .test_lint import RESOURCES, TEMPLATE_PARTS

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "210987654321"
REGION = "us-east-1"
TAGS = {"team": "web", "cost-center": "42", "owner": "the web team", "팀": "웹", "empty": ""}


def succeeded(execution: Execution) -> Execution:
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution


@pytest.fixture(scope="module")
def boundary(aws: LocalAws) -> str:
    """The ARN of a policy that the account bounds its roles with."""
    document = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    made = aws.client("iam").create_policy(PolicyName="boundary", PolicyDocument=document)
    return made["Policy"]["Arn"]


@pytest.fixture(scope="module")
def company(aws: LocalAws, stack: Stack, boundary: str) -> Stack:
    """A second stack, as such an account's rules want it."""
    tags = ", ".join(f"{key}={value}" for key, value in TAGS.items())
    deployed = Stack(aws, "company", {"PermissionsBoundary": boundary, "ResourceTags": tags})
    deployed.deploy()
    return deployed


@pytest.fixture
def office(aws: LocalAws, company: Stack, world: World) -> Iterator[World]:
    """A world for that stack alone; no later morning brings back what stood in it."""
    yield world
    company.stop_all()
    company.run("teardown", {"domain": world.domain})


@pytest.fixture(scope="module")
def roles(aws: LocalAws, company: Stack) -> Roles:
    """What the roles of its functions allow."""
    return Roles(aws, company)


def is_allowed(roles: Roles, function: str, action: str, resource: str, context: dict) -> bool:
    [allowed] = roles.allowed(
        [Call(function, action, True, [{"action": action, "resource": resource, "context": context}])]
    )
    return allowed


# --- A permissions boundary ----------------------------------------------------------------------------------------


def boundaries(aws: LocalAws, stack: Stack) -> dict[str, str | None]:
    """The boundary of each role of a stack, by its logical name: those too that SAM makes."""
    described = aws.client("cloudformation").describe_stack_resources(StackName=stack.name)["StackResources"]
    names = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in described
        if each["ResourceType"] == "AWS::IAM::Role"
    }
    found = {logical: aws.client("iam").get_role(RoleName=name)["Role"] for logical, name in names.items()}
    return {
        logical: role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        for logical, role in found.items()
    }


def test_every_role_has_the_permissions_boundary(aws: LocalAws, company: Stack, boundary: str) -> None:
    found = boundaries(aws, company)
    for kind in ("Function", "StateMachine"):
        of_kind = [name for name, made in RESOURCES.items() if made["Type"] == f"AWS::Serverless::{kind}"]
        assert {f"{name}Role" for name in of_kind} <= set(found)
    # Of the rules and schedules that start the machines.
    assert len([name for name in found if "Machine" in name and not name.endswith("MachineRole")]) == 4
    assert set(found.values()) == {boundary}


def test_without_one_no_role_has_a_boundary(aws: LocalAws, stack: Stack) -> None:
    assert set(boundaries(aws, stack).values()) == {None}


def test_what_is_no_policy_is_refused_at_the_deploy(aws: LocalAws, stack: Stack) -> None:
    with pytest.raises(RuntimeError, match=r"PermissionsBoundary.*must be the ARN of a policy"):
        Stack(aws, "bounded", {"PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:role/boundary"}).deploy()


# --- Tags of their own ---------------------------------------------------------------------------------------------


def test_all_that_is_made_has_the_stacks_tags(aws: LocalAws, company: Stack, office: World) -> None:
    before = snapshot(aws)
    answer = succeeded(company.run("provision", office.input)).output
    made = snapshot(aws)
    new = {
        (kind, identity): item
        for kind, items in made.items()
        for identity, item in items.items()
        if identity not in before[kind] and kind not in ("record", "network interface")
    }
    # The rule that lets everything out comes with a group; nobody makes it.
    new = {key: item for key, item in new.items() if not item.get("IsEgress")}
    assert {kind for kind, _ in new} == {
        "security group",
        "security group rule",
        "load balancer",
        "target group",
        "listener",
        "certificate",
    }
    # In its own group for HTTP and HTTPS, and in the instance's.
    assert len([kind for kind, _ in new if kind == "security group rule"]) == 3
    for key, item in new.items():
        tags = {tag["Key"]: tag.get("Value", "") for tag in item["Tags"]}
        assert TAGS.items() <= tags.items(), key
        assert tags["albatross:stack"] == "company", key
    # They are nobody's sign: what is ours is found, and goes.
    assert (
        succeeded(company.run("provision", office.input)).output["securityGroupId"]
        == answer["securityGroupId"]
    )
    succeeded(company.run("teardown", {"domain": office.domain}))
    assert differences(before, without_certificate(snapshot(aws), office.domain)) == []


TOO_LONG = "v" * 257


@pytest.mark.parametrize(
    "tag",
    [
        "team",
        "=web",
        "aws:team=web",
        "AWS:team=web",
        "albatross:stack=other",
        "team=<web>",
        "te*m=web",
        'a="b"',
        f"{'k' * 129}=web",
        f"team={TOO_LONG}",
    ],
)
def test_a_tag_that_aws_does_not_take_does_not_match(tag: str) -> None:
    pattern = TEMPLATE_PARTS["Parameters"]["ResourceTags"]["AllowedPattern"]
    assert not re.fullmatch(pattern, tag)
    for key, value in TAGS.items():
        assert re.fullmatch(pattern, f"{key}={value}")


def test_a_tag_that_aws_does_not_take_is_refused_at_the_deploy(aws: LocalAws, stack: Stack) -> None:
    with pytest.raises(RuntimeError, match=r"ResourceTags.*must be tags as team=web,cost-center=42"):
        Stack(aws, "tagged", {"ResourceTags": "team=web,aws:team=web"}).deploy()


def test_tags_that_only_the_function_can_refuse(aws: LocalAws, company: Stack, office: World) -> None:
    function = company.functions["check-input"]
    settings = aws.client("lambda").get_function_configuration(FunctionName=function)["Environment"]
    twice = {"Variables": settings["Variables"] | {"ALBATROSS_RESOURCE_TAGS": "team=web,team=api"}}
    before, mark = snapshot(aws), len(aws.calls())
    aws.client("lambda").update_function_configuration(FunctionName=function, Environment=twice)
    try:
        with pytest.raises(InvocationFailed, match='ResourceTags: "team=api": the key "team" is given twice'):
            company.invoke("check-input", {"input": office.input})
    finally:
        aws.client("lambda").update_function_configuration(FunctionName=function, Environment=settings)
    assert aws.calls(mark) == []
    assert differences(before, snapshot(aws)) == []


def test_the_certificates_role_may_set_the_stacks_keys_and_no_others(roles: Roles) -> None:
    action, mine = "acm:AddTagsToCertificate", {f"{REQUEST}{STACK}": "company"}

    def may_set(*keys: str) -> bool:
        return is_allowed(roles, "request-cert", action, CERTIFICATE, mine | {"aws:TagKeys": list(keys)})

    assert may_set(STACK, "albatross:zone", *TAGS)
    assert not may_set(STACK, "department")
    assert not may_set(STACK, "albatross:keep-until")


# --- Shared networks and keys --------------------------------------------------------------------------------------


def test_a_group_is_made_in_a_vpc_that_another_account_shares(roles: Roles) -> None:
    vpc = f"arn:aws:ec2:{REGION}:{OTHER_ACCOUNT}:vpc/vpc-0"
    assert is_allowed(roles, "create-alb", "ec2:CreateSecurityGroup", vpc, {})
    elsewhere = vpc.replace(REGION, "eu-west-1")
    assert not is_allowed(roles, "create-alb", "ec2:CreateSecurityGroup", elsewhere, {})


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({"kms:GrantIsForAWSResource": "true", "kms:ViaService": f"ec2.{REGION}.amazonaws.com"}, True),
        ({"kms:GrantIsForAWSResource": "false", "kms:ViaService": f"ec2.{REGION}.amazonaws.com"}, False),
        ({"kms:GrantIsForAWSResource": "true", "kms:ViaService": f"rds.{REGION}.amazonaws.com"}, False),
        ({"kms:GrantIsForAWSResource": "true"}, False),
    ],
    ids=["EC2's, for a volume", "no service's own", "RDS's", "by itself"],
)
def test_a_morning_may_start_instances_with_encrypted_volumes(
    roles: Roles, context: dict, allowed: bool
) -> None:
    for account in (ACCOUNT, OTHER_ACCOUNT):
        key = f"arn:aws:kms:{REGION}:{account}:key/0"
        assert is_allowed(roles, "start-instances", "kms:CreateGrant", key, context) == allowed


def test_a_morning_says_why_an_instance_fell_back_to_stopped(company: Stack, office: World) -> None:
    instance = office.instances[0]
    office.tag(instance, "albatross:on-teardown", "stop")
    succeeded(company.run("provision", office.input))
    succeeded(company.run("nightly", {}))
    office.tag(instance, "local:start", "Client.InternalError: Client error on launch")
    morning = company.run("morning", {})
    assert morning.error == "ProvisionIncomplete"
    assert f"{instance} fell back to stopped" in morning.cause
    assert "Client.InternalError: Client error on launch" in morning.cause
    assert "kms:CreateGrant" in morning.cause
    # Once that is fixed, the next morning starts it, whatever the last one's reason is.
    office.tag(instance, "local:start", "")
    assert [each["name"] for each in succeeded(company.run("morning", {})).output["provisioned"]] == [
        office.name
    ]


@pytest.mark.parametrize("function", ["create-alb", "add-https-listener"])
def test_a_listeners_tags_may_be_asked_on_its_load_balancer(roles: Roles, function: str) -> None:
    """aws-load-balancer-controller#3086."""
    action, making = "elasticloadbalancing:AddTags", {"elasticloadbalancing:CreateAction": "CreateListener"}
    for resource in (LISTENER, LOAD_BALANCER):
        assert is_allowed(roles, function, action, resource, OURS | making)
        assert not is_allowed(roles, function, action, resource, OURS | MINE)


# --- Alarms, names, regions, partitions ----------------------------------------------------------------------------


def test_an_alarm_tells_of_a_night_that_could_not_be_started(aws: LocalAws, company: Stack) -> None:
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    queue = company.resource("AWS::SQS::Queue")
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    name = arn["QueueArn"].rpartition(":")[2]
    [alarm] = [each for each in alarms if each.get("Dimensions") == [{"Name": "QueueName", "Value": name}]]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == (
        "Maximum",
        1,
        "GreaterThanOrEqualToThreshold",
    )
    assert alarm["AlarmActions"] == [company.resource("AWS::SNS::Topic")]
    letters = {each.dead_letters for machine in ("nightly", "morning") for each in company.schedules(machine)}
    assert letters == {None, arn["QueueArn"]}


def test_a_stack_name_too_long_for_its_machines_is_refused_at_the_deploy(aws: LocalAws, stack: Stack) -> None:
    too_long = Stack(aws, "s" * 71)
    with pytest.raises(RuntimeError, match="ROLLBACK_COMPLETE"):
        too_long.deploy()
    pages = aws.client("cloudformation").get_paginator("describe_stack_events")
    events = [each for page in pages.paginate(StackName=too_long.name) for each in page["StackEvents"]]
    [first, *_] = [each for each in reversed(events) if each["ResourceStatus"] == "CREATE_FAILED"]
    assert first["ResourceType"] == "AWS::StepFunctions::StateMachine"
    assert "#/StateMachineName: expected maxLength: 80, actual: " in first["ResourceStatusReason"]


def test_two_regions_deploy_one_stack_name(aws: LocalAws, company: Stack) -> None:
    """Dashboards are the account's, not a region's."""
    assert company.resource("AWS::CloudWatch::Dashboard") == f"company-{REGION}"
    # Nothing else that is named is the account's: machines and log groups are their region's.
    named = {
        made["Type"]
        for made in RESOURCES.values()
        if any(key.endswith("Name") for key in made.get("Properties", {}))
    }
    assert named == {
        "AWS::Serverless::StateMachine",
        "AWS::Logs::LogGroup",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
    }


def test_links_to_the_console_follow_the_partition(company: Stack) -> None:
    consoles = {name: value for name, value in company.outputs.items() if name.endswith("Console")}
    assert len(consoles) == 5
    for url in consoles.values():
        assert url.startswith(f"https://{REGION}.console.aws.amazon.com/")
        assert url.count(REGION) >= 2
    domains = {name: each["Domain"] for name, each in TEMPLATE_PARTS["Mappings"]["Console"].items()}
    assert domains == {
        "aws": "console.aws.amazon.com",
        "aws-cn": "console.amazonaws.cn",
        "aws-eusc": "console.amazonaws-eusc.eu",
        "aws-us-gov": "console.amazonaws-us-gov.com",
    }
    for name in consoles:
        assert {
            "Console": {"Fn::FindInMap": ["Console", {"Ref": "AWS::Partition"}, "Domain"]}
        } in TEMPLATE_PARTS["Outputs"][name]["Value"]["Fn::Sub"]
