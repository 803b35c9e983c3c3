"""The functions' roles: each allows all that its function calls, nothing that it never calls, and nothing foreign.

Every call of many executions is asked of a simulator of IAM with the policies that stand in the deployed roles.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.stack import ROOT, Execution, InvocationFailed, Stack
from harness.world import World
from local_aws.local import LocalAws
from local_aws.waiting import until

SIMULATOR = Path(__file__).parent / "iam" / "simulate.mjs"
FAR_FUTURE = "2099-01-01T00:00:00Z"

# What a role allows though its function never calls it.
NEVER_CALLED = {
    ("create-alb", action): "Elastic Load Balancing asks it with its caller's permissions"
    for action in (
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAddresses",
        "ec2:DescribeInstances",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "iam:CreateServiceLinkedRole",
    )
}
NEVER_CALLED |= {
    ("retire-former", action): "Elastic Load Balancing asks it with its caller's permissions"
    for action in (
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAddresses",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    )
}
NEVER_CALLED[("start-instances", "kms:CreateGrant")] = "EC2 asks it with its caller's permissions"
# What a role can change though it carries no tag of ours and no consent.
CHANGES_FOREIGN = {
    (
        "teardown",
        "RevokeSecurityGroupIngress",
    ): "our rule stands in the instance's group; IAM sees no rule's tags",
    (
        "retire-former",
        "RevokeSecurityGroupIngress",
    ): "our rule stands in the instance's group; IAM sees no rule's tags",
    ("request-cert", "ChangeResourceRecordSets"): "records and the domain's zone carry no tags",
    ("check-input", "ChangeResourceRecordSets"): "a zone's records carry no tags; it deletes only locks",
    ("point-domain", "ChangeResourceRecordSets"): "records and the domain's zone carry no tags",
    ("teardown", "ChangeResourceRecordSets"): "records and the domain's zone carry no tags",
}
# What a role can put into somebody's thing, as long as it carries its own stack's tag: the instance's group has none.
ADDS_TO_FOREIGN = {("create-alb", "AuthorizeSecurityGroupIngress")}
# The user's consent is not to one stack: an address that another stack has marked may be released too.
CONSENTED = {("teardown", name) for name in ("CreateTags", "DisassociateAddress", "ReleaseAddress")}


@dataclass(frozen=True)
class Call:
    """A call of a function: all checks must be allowed."""

    function: str
    operation: str
    changes: bool
    checks: list[dict] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.function} {self.operation} {json.dumps(self.checks)}"


class Roles:
    """What the deployed roles allow."""

    def __init__(self, aws: LocalAws, stack: Stack):
        self.policies = {
            function: _policy(aws, deployed) for function, deployed in sorted(stack.functions.items())
        }

    def statements(self, function: str) -> Iterator[tuple[int, str]]:
        """Each action of each statement."""
        for number, statement in enumerate(self.policies[function]["Statement"], 1):
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                yield number, action

    def allowing(self, calls: list[Call]) -> list[list[list[int]]]:
        """For each call, for each of its checks, the numbers of the statements that allow it."""
        requests = [check | {"policy": call.function} for call in calls for check in call.checks]
        simulated = subprocess.run(
            ["node", SIMULATOR],
            input=json.dumps({"policies": self.policies, "requests": requests}),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert simulated.returncode == 0, simulated.stderr
        answers = iter(json.loads(simulated.stdout))
        return [[next(answers) for _ in call.checks] for call in calls]

    def allowed(self, calls: list[Call]) -> list[bool]:
        """Whether each call would be carried out."""
        return [all(checks) for checks in self.allowing(calls)]


def _policy(aws: LocalAws, function: str) -> dict:
    """The one policy of the template in a function's role; managed ones let it log and trace."""
    role = aws.client("lambda").get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    iam = aws.client("iam")
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


@pytest.fixture(scope="module")
def roles(aws: LocalAws, stack: Stack) -> Roles:
    return Roles(aws, stack)


@pytest.fixture(scope="module")
def calls(aws: LocalAws, stack: Stack) -> list[Call]:
    """All calls of executions that between them take every path to a call; alike ones once."""
    aws.reset()
    since = len(aws.execution_calls())
    Executions(aws, stack).run_all()
    recorded = [
        Call(call["caller"], call["operation"], call["changes"], call["checks"])
        for call in [*aws.calls(), *aws.execution_calls(since)]
        if call["checks"]
    ]
    return list({str(call): call for call in recorded}.values())


class Executions:
    """Executions that need what a role allows."""

    def __init__(self, aws: LocalAws, stack: Stack):
        self.aws, self.stack = aws, stack

    def run_all(self) -> None:
        """From provision to night, with all that may go wrong between."""
        with World(self.aws) as world:
            self._succeed("teardown", {"domain": world.domain, "certificate": "delete"})
            answer = self._succeed("provision", world.input).output
            self._succeed("provision", world.input | {"keepUntil": FAR_FUTURE})
            self._drift(world, answer)
            self._succeed("provision", world.input | {"mode": "plan"})
            self._succeed("provision", world.input)
            self._succeed("provision", world.input | {"port": 8080})
            self._consent(world, "stop")
            self._succeed("teardown", {"domain": world.domain, "certificate": "delete"})
        with World(self.aws) as world:
            self._full(world)
        with World(self.aws) as world:
            self._around(world)
        with World(self.aws) as world:
            self._outdated(world)
        with World(self.aws) as world:
            self._held(world)
        with World(self.aws) as world:
            certificate = self._certificate(world)
            self._succeed("provision", world.input | {"certificateArn": certificate})
            self._consent(world, "terminate")
            night = self.stack.wait(self.stack.fire(self.stack.schedule("nightly")))
            assert night.status == "SUCCEEDED", night.cause
        with World(self.aws) as world:
            world.tag(world.instances[0], "albatross:on-teardown", "stop")
            self._succeed("provision", world.input)
            self.stack.invoke("count-environments", {})
            self._succeed("nightly", {})
            # Earlier worlds' environments are away too, and cannot come back.
            assert self.stack.run("morning", {}).error == "ProvisionIncomplete"
            assert "AliasTarget" in world.records(world.domain)[0]
            # It stands, and this night keeps it; the next morning sees that.
            self._succeed("nightly", {"dryRun": True})
            self._succeed("provision", world.input | {"keepUntil": FAR_FUTURE})
            self._succeed("nightly", {})
            self.stack.run("morning", {})
        with World(self.aws) as world:
            self._stopped(world)

    def _succeed(self, machine: str, event: dict) -> Execution:
        execution = self.stack.run(machine, event)
        assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
        return execution

    def _drift(self, world: World, answer: dict) -> None:
        """Change by hand all that a provision fixes."""
        elb, ec2 = self.aws.client("elbv2"), self.aws.client("ec2")
        balancer, group = answer["loadBalancer"]["arn"], answer["targetGroupArn"]
        other = world.instance(world.subnets[0], world.group)
        listeners = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
        http, https = sorted(listeners, key=lambda listener: listener["Port"])
        elb.modify_listener(
            ListenerArn=http["ListenerArn"],
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}],
        )
        elb.modify_listener(ListenerArn=https["ListenerArn"], SslPolicy="ELBSecurityPolicy-2016-08")
        elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/")
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": other, "Port": 80}])
        elb.set_security_groups(LoadBalancerArn=balancer, SecurityGroups=[world.group])
        elb.set_subnets(
            LoadBalancerArn=balancer, Subnets=[world.subnets[0], world.public_subnet(2, "us-east-1c")]
        )
        ec2.authorize_security_group_ingress(
            GroupId=answer["securityGroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
        )

    def _around(self, world: World) -> None:
        """A wildcard serves the domain, an alias has lost its ownership record, and CAA records forbid a certificate."""
        [record] = world.records(world.domain)
        record.pop("Name")
        world.put_record(record, "DELETE")
        world.put_record(record, name=f"*.{world.zone_name}")
        self._succeed("provision", world.input)
        [txt] = world.records(f"_albatross.{world.domain}")
        world.put_record({key: txt[key] for key in ("Type", "TTL", "ResourceRecords")}, "DELETE", txt["Name"])
        value = {"Value": '0 issue "letsencrypt.org"'}
        world.put_record({"Type": "CAA", "TTL": 60, "ResourceRecords": [value]}, name=world.zone_name)
        assert len(self._succeed("provision", world.input).output["warnings"]) == 1
        self._succeed("teardown", {"domain": world.domain})

    def _outdated(self, world: World) -> None:
        """What is to be made stands already, as an answer was lost or somebody made it meanwhile."""
        for operation, caller in (
            ("CreateSecurityGroup", "create-alb"),
            ("ChangeResourceRecordSets", "request-cert"),
            ("ChangeResourceRecordSets", "point-domain"),
        ):
            self.aws.fault("lost", operation, caller)
            self._succeed("provision", world.input)
            assert self.aws.struck()
            self.aws.end_faults()
            self._succeed("teardown", {"domain": world.domain, "certificate": "delete"})
        # A plan takes no lock.
        checked = self.stack.invoke("check-input", {"input": world.input | {"mode": "plan"}})
        self.aws.fault("denied", "ChangeResourceRecordSets", "request-cert")
        with pytest.raises(InvocationFailed):
            self.stack.invoke("request-cert", checked)
        self.aws.end_faults()
        self._succeed("provision", world.input | {"mode": "plan"})
        answer = self._succeed("provision", world.input).output
        checked = self.stack.invoke("check-input", {"input": world.input | {"mode": "plan"}})
        event = checked | self.stack.invoke("create-alb", checked)
        self.aws.client("elbv2").modify_listener(
            ListenerArn=answer["httpsListenerArn"], SslPolicy="ELBSecurityPolicy-2016-08"
        )
        http = [listener for listener in event["listeners"] if listener["port"] == 80]
        event |= {"certificateArn": answer["certificateArn"], "listeners": http}
        self.stack.invoke("add-https-listener", event)
        self._succeed("teardown", {"domain": world.domain})

    def _full(self, world: World) -> None:
        """The load balancer has taken addresses that its subnets had to have free."""
        full = [world.small_subnet(2, "us-east-1a"), world.small_subnet(3, "us-east-1b")]
        for _ in range(2):
            self._succeed("provision", world.input | {"subnets": full})
        self._succeed("teardown", {"domain": world.domain})

    def _consent(self, world: World, ending: str) -> None:
        world.tag(world.instances[0], "albatross:on-teardown", ending)
        world.tag(world.allocation, "albatross:on-teardown", "release")

    def _held(self, world: World) -> None:
        """Somebody's instance in the load balancer's group, so that a teardown has to say what holds it."""
        group = self._succeed("provision", world.input).output["securityGroupId"]
        instance = world.instance(world.subnets[0], group)
        assert self.stack.run("teardown", {"domain": world.domain}).error == "TeardownIncomplete"
        self.aws.client("ec2").terminate_instances(InstanceIds=[instance])
        self._succeed("teardown", {"domain": world.domain})

    def _certificate(self, world: World) -> str:
        """An ISSUED certificate of the user's own."""
        acm = self.aws.client("acm")
        arn = acm.request_certificate(DomainName=world.domain, ValidationMethod="DNS")["CertificateArn"]
        [option] = acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"]
        record = option["ResourceRecord"]
        values = [{"Value": record["Value"]}]
        world.put_record({"Type": "CNAME", "TTL": 300, "ResourceRecords": values}, name=record["Name"])
        return arn

    def _stopped(self, world: World) -> None:
        """One at a time: others are refused, one that follows a stopped one is left alone, and then it is cleaned up."""
        world.backend.status = 500
        with self.stack.without_reaction():
            # One that was refused has left nothing.
            refused = self.stack.run("provision", world.input | {"dns": "create-only"})
            assert self.stack.wait(self.stack.fire_reaction(refused.arn)).output["removed"] == []
            first = self.waiting(world)
            for machine, event in (("provision", world.input), ("teardown", {"domain": world.domain})):
                assert self.stack.run(machine, event).error == "EnvironmentBusy"
            self.stack.stop(first)
            second = self.waiting(world)
            left = self.stack.wait(self.stack.fire_reaction(first))
            assert second in left.output["kept"][0]["why"]
            self.stack.stop(second)
            assert self.stack.wait(self.stack.fire_reaction(second)).output["removed"]

    def waiting(self, world: World) -> str:
        """A provision that waits for healthy targets."""
        since, waits = len(self.aws.invocations()), self.stack.functions["verify-https"]
        arn = self.stack.start("provision", world.input)
        until(lambda: any(made["function"] == waits for made in self.aws.invocations(since)), "a wait")
        return arn


def test_every_call_is_allowed(roles: Roles, calls: list[Call]) -> None:
    denied = [str(call) for call, allowed in zip(calls, roles.allowed(calls), strict=True) if not allowed]
    assert not denied, "\n".join(denied)
    assert {call.function for call in calls} == set(roles.policies)


def test_every_statement_is_used(roles: Roles, calls: list[Call]) -> None:
    used = {
        (call.function, number, check["action"])
        for call, allowing in zip(calls, roles.allowing(calls), strict=True)
        for check, numbers in zip(call.checks, allowing, strict=True)
        for number in numbers
    }
    unused = {
        (function, action)
        for function in roles.policies
        for number, action in roles.statements(function)
        if (function, number, action) not in used
    }
    assert unused == set(NEVER_CALLED)


def test_the_plan_may_read_alone(roles: Roles) -> None:
    operations = [action.partition(":")[2] for _, action in roles.statements("plan-changes")]
    assert operations
    assert [name for name in operations if not name.startswith(("Describe", "List"))] == []


REQUEST, RESOURCE = "aws:RequestTag/", "aws:ResourceTag/"
STACK, CONSENT = "albatross:stack", "albatross:on-teardown"


def foreign(calls: list[Call], kinds: tuple[str, ...], owner: str | None) -> list[Call]:
    """The changing calls that carry marks, with another owner's stack in them or without them; and those without any."""

    def changed(context: dict) -> dict:
        if owner:
            mine = [f"{kind}{STACK}" for kind in kinds if f"{kind}{STACK}" in context]
            return context | dict.fromkeys(mine, owner)
        marks = [f"{kind}{key}" for kind in kinds for key in (STACK, CONSENT)]
        return {key: value for key, value in context.items() if key not in marks}

    made = []
    for call in calls:
        checks = [check | {"context": changed(check["context"])} for check in call.checks]
        marked = any(STACK in key or CONSENT in key for check in call.checks for key in check["context"])
        if call.changes and (checks != call.checks or not marked):
            made.append(replace(call, checks=checks))
    return made


def allowed_operations(roles: Roles, calls: list[Call]) -> set[tuple[str, str]]:
    return {
        (call.function, call.operation)
        for call, allowed in zip(calls, roles.allowed(calls), strict=True)
        if allowed
    }


def test_what_is_nobodys_cannot_be_changed(roles: Roles, calls: list[Call]) -> None:
    assert allowed_operations(roles, foreign(calls, (REQUEST, RESOURCE), None)) == set(CHANGES_FOREIGN)


@pytest.mark.parametrize(
    ("kinds", "owner"),
    [((RESOURCE,), None), ((RESOURCE,), "other"), ((REQUEST,), "other"), ((REQUEST, RESOURCE), "other")],
    ids=["claims nobody's", "claims another stack's", "makes another stack's", "changes another stack's"],
)
def test_what_is_not_ours_cannot_be_changed(
    roles: Roles, calls: list[Call], kinds: tuple[str, ...], owner: str | None
) -> None:
    too_much = allowed_operations(roles, foreign(calls, kinds, owner)) - set(CHANGES_FOREIGN)
    if REQUEST not in kinds:
        too_much -= ADDS_TO_FOREIGN
    assert too_much <= (CONSENTED if owner else set())


LOAD_BALANCER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/api-elb/0"
TARGET_GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/api-target-group/0"
LISTENER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/api-elb/0/0"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0"
GROUP = "arn:aws:ec2:us-east-1:123456789012:security-group/sg-0"
RULE = "arn:aws:ec2:us-east-1:123456789012:security-group-rule/sgr-0"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0"
ADDRESS = "arn:aws:ec2:us-east-1:123456789012:elastic-ip/eipalloc-0"
ZONE = "arn:aws:route53:::hostedzone/Z0"
LOCK = "_lock._albatross.a.test"
LINKED_ROLE = (
    "arn:aws:iam::123456789012:role/aws-service-role/elasticloadbalancing.amazonaws.com/"
    "AWSServiceRoleForElasticLoadBalancing"
)
OURS = {f"{REQUEST}{STACK}": "albatross", "aws:TagKeys": [STACK]}
THEIRS = {f"{RESOURCE}{STACK}": "other"}
RELEASED = {f"{RESOURCE}{CONSENT}": "release"}
MINE = {f"{RESOURCE}{STACK}": "albatross"}


def records(action: str, kind: str, name: str) -> dict[str, list[str]]:
    """The condition keys of a change of one record."""
    values = {"Actions": [action], "RecordTypes": [kind], "NormalizedRecordNames": [name]}
    return {f"route53:ChangeResourceRecordSets{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("function", "action", "resource", "context"),
    [
        ("create-alb", "elasticloadbalancing:AddTags", LOAD_BALANCER, OURS),
        ("create-alb", "elasticloadbalancing:AddTags", LOAD_BALANCER, OURS | MINE),
        ("create-alb", "elasticloadbalancing:AddTags", TARGET_GROUP, OURS),
        ("create-alb", "elasticloadbalancing:DeleteLoadBalancer", LOAD_BALANCER, MINE),
        ("create-alb", "elasticloadbalancing:DeregisterTargets", TARGET_GROUP, MINE),
        ("retire-former", "elasticloadbalancing:DeregisterTargets", TARGET_GROUP, THEIRS),
        ("retire-former", "elasticloadbalancing:SetSubnets", LOAD_BALANCER, THEIRS),
        ("create-alb", "ec2:CreateTags", GROUP, OURS),
        ("create-alb", "ec2:DeleteSecurityGroup", GROUP, MINE),
        ("create-alb", "ec2:AuthorizeSecurityGroupIngress", RULE, {f"{REQUEST}{STACK}": "other"}),
        (
            "create-alb",
            "iam:CreateServiceLinkedRole",
            LINKED_ROLE,
            {"iam:AWSServiceName": "ecs.amazonaws.com"},
        ),
        ("add-https-listener", "elasticloadbalancing:AddTags", LISTENER, OURS),
        ("request-cert", "acm:RequestCertificate", "*", {"acm:ValidationMethod": "DNS"}),
        ("request-cert", "acm:RequestCertificate", "*", OURS | {"acm:ValidationMethod": "EMAIL"}),
        ("request-cert", "acm:AddTagsToCertificate", CERTIFICATE, {"aws:TagKeys": ["albatross:zone"]}),
        ("request-cert", "acm:AddTagsToCertificate", CERTIFICATE, OURS | THEIRS),
        ("request-cert", "acm:AddTagsToCertificate", CERTIFICATE, OURS | {"aws:TagKeys": [STACK, "team"]}),
        ("request-cert", "acm:DeleteCertificate", CERTIFICATE, MINE),
        ("request-cert", "route53:ChangeResourceRecordSets", ZONE, records("DELETE", "CNAME", "_a.test")),
        ("request-cert", "route53:ChangeResourceRecordSets", ZONE, records("UPSERT", "CNAME", "_a.test")),
        ("request-cert", "route53:ChangeResourceRecordSets", ZONE, records("CREATE", "A", "_a.test")),
        ("request-cert", "route53:ChangeResourceRecordSets", ZONE, records("CREATE", "CNAME", "a.test")),
        (
            "check-input",
            "route53:ChangeResourceRecordSets",
            ZONE,
            records("DELETE", "TXT", "_albatross.a.test"),
        ),
        ("check-input", "route53:ChangeResourceRecordSets", ZONE, records("DELETE", "A", "a.test")),
        ("check-input", "route53:ChangeResourceRecordSets", ZONE, records("UPSERT", "A", "a.test")),
        ("check-input", "route53:ChangeResourceRecordSets", ZONE, records("CREATE", "NS", "a.test")),
        ("check-input", "route53:ChangeResourceRecordSets", ZONE, records("UPSERT", "TXT", LOCK)),
        ("point-domain", "route53:ChangeResourceRecordSets", ZONE, records("UPSERT", "A", "a.test")),
        ("point-domain", "route53:ChangeResourceRecordSets", ZONE, records("DELETE", "MX", "a.test")),
        ("teardown", "route53:ChangeResourceRecordSets", ZONE, records("DELETE", "NS", "a.test")),
        ("teardown", "route53:ChangeResourceRecordSets", ZONE, records("UPSERT", "A", "a.test")),
        ("teardown", "acm:AddTagsToCertificate", CERTIFICATE, OURS),
        ("teardown", "ec2:CreateTags", ADDRESS, OURS),
        ("teardown", "ec2:CreateTags", ADDRESS, RELEASED | {f"{REQUEST}{STACK}": "other"}),
        ("teardown", "ec2:CreateTags", ADDRESS, RELEASED | OURS | {"aws:TagKeys": [STACK, CONSENT]}),
        ("teardown", "ec2:CreateTags", INSTANCE, OURS | {f"{RESOURCE}{CONSENT}": "terminate"}),
        ("teardown", "ec2:TerminateInstances", INSTANCE, MINE | {f"{RESOURCE}{CONSENT}": "stop"}),
        ("teardown", "ec2:AuthorizeSecurityGroupIngress", GROUP, MINE),
    ],
)
def test_a_role_does_not_go_beyond_its_function(
    roles: Roles, function: str, action: str, resource: str, context: dict
) -> None:
    check = {"action": action, "resource": resource, "context": context}
    assert roles.allowed([Call(function, action, True, [check])]) == [False]
