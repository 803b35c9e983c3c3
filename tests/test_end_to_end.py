"""Provision and teardown through the real template, state machines and functions, deployed by the real SAM CLI."""

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest

from harness.snapshot import Snapshot, differences, snapshot, without_certificate
from harness.stack import Execution, Stack, is_for_lock
from harness.support import MADE, load_balancers
from harness.world import World
from local_aws.curl import curl
from local_aws.local import LocalAws
from local_aws.waiting import until
from local_aws.world import TTL

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
FAR_FUTURE = "2099-01-01T00:00:00Z"
LONG_PAST = "2020-01-01T00:00:00Z"


def provision(stack: Stack, world: World, **more: object) -> Execution:
    """A provision that must succeed."""
    execution = stack.run("provision", world.input | more)
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution


def teardown(stack: Stack, **event: object) -> Execution:
    """A teardown that must succeed."""
    execution = stack.run("teardown", event)
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution


def outcomes(execution: Execution) -> dict[str, str]:
    """What a provision did, by resource."""
    return {step["resource"]: step["outcome"] for step in execution.output["steps"]}


def decisions(execution: Execution) -> dict[str, str]:
    """What a teardown decided, by resource."""
    return {item["resource"]: item["decision"] for item in execution.output["items"]}


def changed(before: Snapshot, world: World) -> list[str]:
    """What is not as it was, but for the certificate that Albatross keeps."""
    return differences(before, without_certificate(snapshot(world.aws), world.domain))


# --- Calls in flight together ------------------------------------------------------------------------------------

FIRST, AGAIN, PLAN, TEARDOWN = "provision", "provision again", "plan", "teardown"


@pytest.mark.parametrize(
    ("run", "function", "operations"),
    [
        (FIRST, "check-input", "DescribeInstances ListHostedZones"),
        (FIRST, "check-input", "DescribeInstances ListResourceRecordSets"),
        (
            FIRST,
            "check-input",
            "DescribeRouteTables DescribeSubnets DescribeSecurityGroups ListResourceRecordSets",
        ),
        (FIRST, "create-alb", "DescribeLoadBalancers DescribeTargetGroups"),
        (
            FIRST,
            "create-alb",
            "CreateLoadBalancer CreateTargetGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupIngress",
        ),
        (FIRST, "create-alb", "ModifyLoadBalancerAttributes RegisterTargets CreateListener"),
        (
            AGAIN,
            "create-alb",
            "DescribeLoadBalancers DescribeTargetGroups DescribeSecurityGroupRules DescribeSecurityGroupRules",
        ),
        (AGAIN, "create-alb", "DescribeLoadBalancerAttributes DescribeTargetHealth DescribeListeners"),
        (
            PLAN,
            "plan-changes",
            "DescribeSecurityGroups DescribeLoadBalancers DescribeTargetGroups ListCertificates",
        ),
        (
            PLAN,
            "plan-changes",
            "DescribeSecurityGroupRules DescribeSecurityGroupRules DescribeLoadBalancerAttributes "
            "DescribeTargetHealth DescribeListeners",
        ),
        (
            TEARDOWN,
            "teardown",
            "DescribeLoadBalancers DescribeTargetGroups DescribeSecurityGroupRules ListCertificates "
            "ListResourceRecordSets",
        ),
        (TEARDOWN, "teardown", "DescribeTags DescribeTargetHealth"),
        (TEARDOWN, "teardown", "DescribeAddresses DescribeInstances"),
        (TEARDOWN, "teardown", "RevokeSecurityGroupIngress DeleteTargetGroup"),
    ],
)
def test_independent_calls_are_in_flight_together(
    aws: LocalAws, stack: Stack, world: World, run: str, function: str, operations: str
) -> None:
    """None of them is answered: all come only if none waits for another."""
    if run != FIRST:
        provision(stack, world)
    asked = Counter(operations.split())
    for operation, times in asked.items():
        aws.fault("held", operation, function, times=times)
    if run == TEARDOWN:
        arn = stack.start("teardown", {"domain": world.domain})
    else:
        arn = stack.start("provision", world.input | {"mode": "plan" if run == PLAN else "apply"})
    until(lambda: aws.struck() == asked.total(), f"all of {operations} in flight")
    aws.end_faults()
    assert stack.wait(arn).status == "SUCCEEDED"


# --- Provision ---------------------------------------------------------------------------------------------------


def test_provision_makes_one_of_each_as_wanted(aws: LocalAws, stack: Stack, world: World) -> None:
    answer = provision(stack, world).output
    name = world.name
    assert answer["url"] == f"https://{world.domain}"
    assert answer["environment"] == name
    assert answer["seconds"] >= 0
    balancer = check_load_balancer(aws, world, name, answer)
    check_security_groups(aws, world, name, answer)
    check_target_group(aws, world, name, answer)
    check_listeners(aws, balancer, answer)
    check_certificate(aws, world, balancer, answer)
    check_records(world, name, balancer)
    check_answer(answer)
    check_service(aws, world, balancer)


def check_load_balancer(aws: LocalAws, world: World, name: str, answer: dict) -> dict:
    elb = aws.client("elbv2")
    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    assert balancer["LoadBalancerName"] == f"{name}-elb"
    assert balancer["LoadBalancerArn"] == answer["loadBalancer"]["arn"]
    assert balancer["State"]["Code"] == "active"
    assert (balancer["Type"], balancer["Scheme"], balancer["IpAddressType"]) == (
        "application",
        "internet-facing",
        "ipv4",
    )
    assert balancer["SecurityGroups"] == [answer["securityGroupId"]]
    assert sorted(zone["SubnetId"] for zone in balancer["AvailabilityZones"]) == sorted(world.subnets)
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])[
        "Attributes"
    ]
    assert {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"} in attributes
    assert albatross_tags(elb, balancer["LoadBalancerArn"]) == {
        "albatross:stack": "albatross",
        "albatross:environment": name,
        "albatross:domain": world.domain,
        "albatross:zone": world.zone,
    }
    return balancer


def albatross_tags(elb, arn: str) -> dict[str, str]:
    [described] = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    return {tag["Key"]: tag["Value"] for tag in described["Tags"] if tag["Key"].startswith("albatross:")}


def check_security_groups(aws: LocalAws, world: World, name: str, answer: dict) -> None:
    ec2 = aws.client("ec2")
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [world.vpc]}])[
        "SecurityGroups"
    ]
    by_id = {group["GroupId"]: group for group in groups}
    own = by_id[answer["securityGroupId"]]
    assert own["GroupName"] == f"{name}-elb"
    admitted = {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], source["CidrIp"])
        for rule in own["IpPermissions"]
        for source in rule["IpRanges"]
    }
    assert admitted == {("tcp", 80, 80, "0.0.0.0/0"), ("tcp", 443, 443, "0.0.0.0/0")}
    [rule] = by_id[world.group]["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == ("tcp", 80, 80, [])
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [answer["securityGroupId"]]
    # The default group, the instance's and ours: no other was made.
    assert len(by_id) == 3


def check_target_group(aws: LocalAws, world: World, name: str, answer: dict) -> None:
    elb = aws.client("elbv2")
    [group] = elb.describe_target_groups()["TargetGroups"]
    assert group["TargetGroupArn"] == answer["targetGroupArn"]
    assert group["TargetGroupName"] == f"{name}-target-group"
    wanted = {
        "TargetType": "instance",
        "Protocol": "HTTP",
        "ProtocolVersion": "HTTP1",
        "Port": 80,
        "VpcId": world.vpc,
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 10,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Matcher": {"HttpCode": "200"},
    }
    assert {field: group[field] for field in wanted} == wanted
    health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    states = [(target["Target"], target["TargetHealth"]["State"]) for target in health]
    assert states == [({"Id": world.instances[0], "Port": 80}, "healthy")]


def check_listeners(aws: LocalAws, balancer: dict, answer: dict) -> None:
    elb = aws.client("elbv2")
    found = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    listeners = {(listener["Protocol"], listener["Port"]): listener for listener in found}
    assert set(listeners) == {("HTTP", 80), ("HTTPS", 443)}
    [redirect] = listeners["HTTP", 80]["DefaultActions"]
    to = redirect["RedirectConfig"]
    assert (redirect["Type"], to["StatusCode"], to["Protocol"], to["Port"]) == (
        "redirect",
        "HTTP_302",
        "HTTPS",
        "443",
    )
    secure = listeners["HTTPS", 443]
    assert secure["ListenerArn"] == answer["httpsListenerArn"]
    assert secure["SslPolicy"] == TLS_POLICY
    assert [held["CertificateArn"] for held in secure["Certificates"]] == [answer["certificateArn"]]
    [forward] = secure["DefaultActions"]
    assert (forward["Type"], forward["TargetGroupArn"]) == ("forward", answer["targetGroupArn"])
    attributes = elb.describe_listener_attributes(ListenerArn=secure["ListenerArn"])["Attributes"]
    hsts = {"Key": "routing.http.response.strict_transport_security.header_value", "Value": "max-age=300"}
    assert hsts in attributes


def check_certificate(aws: LocalAws, world: World, balancer: dict, answer: dict) -> None:
    acm = aws.client("acm")
    [listed] = acm.list_certificates()["CertificateSummaryList"]
    assert listed["CertificateArn"] == answer["certificateArn"]
    certificate = acm.describe_certificate(CertificateArn=listed["CertificateArn"])["Certificate"]
    assert (certificate["Status"], certificate["DomainName"]) == ("ISSUED", world.domain)
    assert certificate["InUseBy"] == [balancer["LoadBalancerArn"]]
    [validation] = certificate["DomainValidationOptions"]
    record = validation["ResourceRecord"]
    [written] = world.records(record["Name"].rstrip("."))
    assert (written["Type"], written["ResourceRecords"][0]["Value"].rstrip(".")) == (
        "CNAME",
        record["Value"].rstrip("."),
    )


def check_records(world: World, name: str, balancer: dict) -> None:
    [alias] = world.records(world.domain)
    assert alias["Type"] == "A"
    assert alias["AliasTarget"]["HostedZoneId"] == balancer["CanonicalHostedZoneId"]
    assert alias["AliasTarget"]["DNSName"].rstrip(".").lower() == balancer["DNSName"].lower()
    [owner] = world.records(f"_albatross.{world.domain}")
    values = {value["Value"] for value in owner["ResourceRecords"]}
    assert owner["Type"] == "TXT"
    assert values == {
        '"heritage=albatross stack=albatross region=us-east-1 account=123456789012 '
        f'environment={name} target={balancer["DNSName"]}"',
        f'"previous=A ttl={TTL} value={world.public_ip} instance={world.instances[0]}"',
    }
    # NS, SOA, the alias, the ownership record and the validation record.
    assert sorted(record["Type"] for record in world.records()) == ["A", "CNAME", "NS", "SOA", "TXT"]


def check_answer(answer: dict) -> None:
    assert {step["resource"]: step["outcome"] for step in answer["steps"]} == MADE
    assert {check["name"]: check["result"] for check in answer["checks"]} == {
        "load balancer active": "passed",
        "targets healthy": "passed",
        "https health path": "passed",
        "certificate chain and name": "passed",
        "http redirect": "passed",
    }


def check_service(aws: LocalAws, world: World, balancer: dict) -> None:
    secure = curl(aws, balancer["DNSName"], f"https://{world.domain}/health")
    assert (secure.status, secure.header("Strict-Transport-Security")) == (200, "max-age=300"), secure
    plain = curl(aws, balancer["DNSName"], f"http://{world.domain}/a?b=c")
    assert (plain.status, plain.header("Location")) == (302, f"https://{world.domain}:443/a?b=c"), plain


def test_no_changing_call_is_made_twice(aws: LocalAws, stack: Stack, world: World) -> None:
    mark = len(aws.calls())
    provision(stack, world)
    assert sorted(stack.changes(mark)) == [
        "add-https-listener CreateListener",
        "add-https-listener ModifyListenerAttributes",
        # Into the load balancer's group, and into the instance's.
        "create-alb AuthorizeSecurityGroupIngress",
        "create-alb AuthorizeSecurityGroupIngress",
        "create-alb CreateListener",
        "create-alb CreateLoadBalancer",
        "create-alb CreateSecurityGroup",
        "create-alb CreateTargetGroup",
        "create-alb ModifyLoadBalancerAttributes",
        "create-alb RegisterTargets",
        "point-domain ChangeResourceRecordSets",
        "request-cert ChangeResourceRecordSets",
        "request-cert RequestCertificate",
        "set-redirect ModifyListener",
    ]
    mark = len(aws.calls())
    teardown(stack, domain=world.domain)
    assert sorted(stack.changes(mark)) == [
        "teardown ChangeResourceRecordSets",
        "teardown DeleteLoadBalancer",
        "teardown DeleteSecurityGroup",
        "teardown DeleteTargetGroup",
        "teardown RevokeSecurityGroupIngress",
    ]


def test_provision_again_changes_nothing(aws: LocalAws, stack: Stack, world: World) -> None:
    first = provision(stack, world)
    before, mark = snapshot(aws), len(aws.calls())
    second = provision(stack, world)
    assert stack.changes(mark) == []
    assert set(outcomes(second).values()) == {"found"}
    assert differences(before, snapshot(aws)) == []
    ids = ("loadBalancer", "targetGroupArn", "securityGroupId", "certificateArn", "httpsListenerArn")
    assert [second.output[field] for field in ids] == [first.output[field] for field in ids]


def test_small_pages_hide_nothing(aws: LocalAws, stack: Stack, world: World) -> None:
    """Every list that a function makes comes in pages: of one thing each, with other people's before ours."""
    with World(aws) as other:
        others = provision(stack, other).output["environment"]
        aws.page_size = 1
        before, mark = snapshot(aws), len(aws.calls())
        provision(stack, world)
        second = provision(stack, world)
        assert set(outcomes(second).values()) == {"found"}
        plan = teardown(stack, domain=world.domain, dryRun=True)
        assert decisions(plan)["load balancer"] == "remove"
        teardown(stack, domain=world.domain)
        assert changed(before, world) == []
        assert stack.wait(stack.fire(stack.schedule("nightly"))).output["removed"] == [others]
    calls = Counter(call["operation"] for call in aws.calls(mark) if call["caller"] == "check-input")
    assert calls["ListHostedZones"] > 2, "the zones came in pages"


def test_what_drifted_is_mended(aws: LocalAws, stack: Stack, world: World) -> None:
    answer = provision(stack, world).output
    before = snapshot(aws)
    elb, ec2 = aws.client("elbv2"), aws.client("ec2")
    elb.modify_target_group(TargetGroupArn=answer["targetGroupArn"], HealthCheckPath="/")
    elb.delete_listener(ListenerArn=answer["httpsListenerArn"])
    ec2.authorize_security_group_ingress(
        GroupId=answer["securityGroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    did = outcomes(provision(stack, world))
    assert did["target group"] == "changed"
    assert did["security group"] == "changed"
    assert did["HTTPS listener"] == "created"
    assert did["load balancer"] == "found"
    after = snapshot(aws)
    # The listener is a new one; everything else is the same, the foreign rule gone.
    del before["listener"], after["listener"]
    assert differences(before, after) == []


def test_input_overrides_the_defaults(aws: LocalAws, stack: Stack, world: World) -> None:
    check = {
        "path": "/health",
        "intervalSeconds": 30,
        "timeoutSeconds": 6,
        "healthyThreshold": 3,
        "matcher": "200-299",
    }
    answer = provision(
        stack,
        world,
        name="mine",
        port=8080,
        healthCheck=check,
        allowedCidrs=["192.0.2.0/24"],
        tlsPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        hstsMaxAge=60,
    ).output
    elb = aws.client("elbv2")
    [balancer] = elb.describe_load_balancers(Names=["mine-elb"])["LoadBalancers"]
    [group] = elb.describe_target_groups(Names=["mine-target-group"])["TargetGroups"]
    assert (group["Port"], group["HealthCheckIntervalSeconds"], group["HealthyThresholdCount"]) == (
        8080,
        30,
        3,
    )
    assert group["Matcher"] == {"HttpCode": "200-299"}
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert [found["SslPolicy"] for found in listeners if found["Port"] == 443] == [
        "ELBSecurityPolicy-TLS13-1-2-2021-06"
    ]
    [own] = aws.client("ec2").describe_security_groups(GroupIds=[answer["securityGroupId"]])["SecurityGroups"]
    ranges = {source["CidrIp"] for rule in own["IpPermissions"] for source in rule["IpRanges"]}
    assert ranges == {"192.0.2.0/24"}


def test_a_given_certificate_is_used_and_left(aws: LocalAws, stack: Stack, world: World) -> None:
    acm = aws.client("acm")
    own = acm.request_certificate(DomainName=world.domain, ValidationMethod="DNS")["CertificateArn"]
    [option] = acm.describe_certificate(CertificateArn=own)["Certificate"]["DomainValidationOptions"]
    record = option["ResourceRecord"]
    world.put_record(
        {"Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": record["Value"]}]}, name=record["Name"]
    )
    before = snapshot(aws)
    answer = provision(stack, world, certificateArn=own)
    assert answer.output["certificateArn"] == own
    assert list(snapshot(aws)["certificate"]) == [own]
    teardown(stack, domain=world.domain, certificate="delete")
    assert differences(before, snapshot(aws)) == []


# --- Teardown ----------------------------------------------------------------------------------------------------


def test_teardown_leaves_the_world_as_it_was(aws: LocalAws, stack: Stack, world: World) -> None:
    before = snapshot(aws)
    provision(stack, world)
    answer = teardown(stack, domain=world.domain)
    assert changed(before, world) == []
    [record] = world.records(world.domain)
    assert (record["TTL"], record["ResourceRecords"]) == (TTL, [{"Value": world.public_ip}])
    assert decisions(answer) == {
        "alias record": "restore",
        "load balancer": "remove",
        "Elastic IP": "keep",
        "instance": "keep",
        "rule that admits the load balancer": "remove",
        "target group": "remove",
        "certificate": "keep",
        "security group": "remove",
    }
    assert {item["outcome"] for item in answer.output["items"] if item["decision"] != "keep"} == {"done"}


def test_a_teardown_looks_once_acts_and_looks_again(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    mark = len(aws.calls())
    teardown(stack, domain=world.domain)
    calls = [call for call in aws.calls(mark) if call["caller"] == "teardown"]
    first, last = (number for number, call in enumerate(calls) if is_for_lock(call))
    acts = [number for number, call in enumerate(calls) if call["changes"] and first < number < last]

    def made(start: int, end: int) -> list[str]:
        return sorted(call["operation"] for call in calls[start:end])

    assert made(0, first) == ["DescribeSecurityGroups"]
    assert made(first + 1, acts[0]) == [
        "DescribeAddresses",
        "DescribeInstances",
        "DescribeLoadBalancerAttributes",
        "DescribeLoadBalancers",
        "DescribeSecurityGroupRules",
        "DescribeTags",
        "DescribeTargetGroups",
        "DescribeTargetHealth",
        "ListCertificates",
        "ListResourceRecordSets",
    ]
    domain, front, *behind, group = [call["operation"] for call in calls[acts[0] : acts[-1] + 1]]
    assert (domain, front) == ("ChangeResourceRecordSets", "DeleteLoadBalancer")
    assert sorted(behind) == ["DeleteTargetGroup", "RevokeSecurityGroupIngress"]
    assert group == "DeleteSecurityGroup"
    # A group that could be deleted had no load balancer and no rule.
    assert made(acts[-1] + 1, last) == ["DescribeSecurityGroups", "DescribeTargetGroups"]
    assert len(calls) == last + 1


def test_a_teardown_that_dies_between_two_acts_tells_of_both(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    before = snapshot(aws)
    provision(stack, world)
    planned = teardown(stack, domain=world.domain, dryRun=True).output["items"]
    aws.fault("killed", "DeleteTargetGroup", "teardown")
    done = teardown(stack, domain=world.domain).output["items"]
    assert aws.struck()
    assert [(item["id"], item["decision"]) for item in done] == [
        (item["id"], item["decision"]) for item in planned
    ]
    assert changed(before, world) == []


def test_the_kept_certificate_serves_the_next_provision(aws: LocalAws, stack: Stack, world: World) -> None:
    first = provision(stack, world)
    teardown(stack, domain=world.domain)
    [certificate] = snapshot(aws)["certificate"].values()
    assert certificate["InUseBy"] == []
    second = provision(stack, world)
    assert second.output["certificateArn"] == first.output["certificateArn"]
    assert outcomes(second)["certificate"] == "found"


def test_teardown_deletes_the_certificate_on_request(aws: LocalAws, stack: Stack, world: World) -> None:
    before = snapshot(aws)
    provision(stack, world)
    answer = teardown(stack, domain=world.domain, certificate="delete")
    assert differences(before, snapshot(aws)) == []
    assert decisions(answer)["certificate"] == "remove"


def test_the_validation_record_stays_while_another_certificate_needs_it(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    other = aws.client("acm").request_certificate(DomainName=world.domain, ValidationMethod="DNS")[
        "CertificateArn"
    ]
    teardown(stack, domain=world.domain, certificate="delete")
    assert list(snapshot(aws)["certificate"]) == [other]
    assert [record["Type"] for record in world.records() if record["Type"] == "CNAME"] == ["CNAME"]


def test_teardown_again_and_of_nothing_is_no_error(stack: Stack, world: World) -> None:
    assert teardown(stack, domain=world.domain).output["items"] == []
    provision(stack, world)
    teardown(stack, domain=world.domain)
    mark = len(world.aws.calls())
    assert set(decisions(teardown(stack, domain=world.domain)).values()) <= {"keep"}
    assert stack.changes(mark) == []


def test_dry_run_answers_the_plan_and_changes_nothing(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    before, mark = snapshot(aws), len(aws.calls())
    plan = teardown(stack, domain=world.domain, dryRun=True)
    assert stack.changes(mark) == []
    assert differences(before, snapshot(aws)) == []
    done = teardown(stack, domain=world.domain)
    what = [(item["resource"], item["id"], item["decision"], item["reason"]) for item in plan.output["items"]]
    assert what == [
        (item["resource"], item["id"], item["decision"], item["reason"]) for item in done.output["items"]
    ]
    assert len(what) == 8


@pytest.mark.parametrize(("consent", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_the_instance_ends_as_its_user_consented(
    aws: LocalAws, stack: Stack, world: World, consent: str, state: str
) -> None:
    world.tag(world.instances[0], "albatross:on-teardown", consent)
    provision(stack, world)
    answer = teardown(stack, domain=world.domain)
    assert decisions(answer)["instance"] == consent
    taken = snapshot(aws)
    assert taken["instance"][world.instances[0]]["State"]["Name"] == state
    assert list(taken["address"]) == [world.allocation]


def test_the_address_is_released_with_consent(aws: LocalAws, stack: Stack, world: World) -> None:
    world.tag(world.allocation, "albatross:on-teardown", "release")
    provision(stack, world)
    answer = teardown(stack, domain=world.domain)
    assert decisions(answer)["Elastic IP"] == "release"
    taken = snapshot(aws)
    assert taken["address"] == {}
    assert taken["instance"][world.instances[0]]["State"]["Name"] == "running"
    # A record at an address that is somebody's next would hand them the domain.
    assert world.records(world.domain) == []
    [alias] = [item for item in answer.output["items"] if item["resource"] == "alias record"]
    assert world.public_ip in alias["reason"]


# --- Failures ----------------------------------------------------------------------------------------------------


def test_a_failed_provision_is_rolled_back(aws: LocalAws, stack: Stack, world: World) -> None:
    # A rollback touches nothing of the user's, whatever the consent.
    world.tag(world.instances[0], "albatross:on-teardown", "terminate")
    world.tag(world.allocation, "albatross:on-teardown", "release")
    before = snapshot(aws)
    world.backend.status = 500
    failed = stack.run("provision", world.input)
    assert (failed.status, failed.error) == ("FAILED", "TargetsNotHealthy")
    for word in (world.instances[0], "Target.ResponseCodeMismatch", "500", "/health"):
        assert word in failed.cause
    assert changed(before, world) == []
    reaction = stack.reaction(failed.arn)
    assert reaction.status == "SUCCEEDED", reaction.cause
    assert changed(before, world) == []


def test_a_failed_provision_is_kept_on_request(aws: LocalAws, stack: Stack, world: World) -> None:
    world.backend.status = 500
    failed = stack.run("provision", world.input | {"onFailure": "keep"})
    assert (failed.status, failed.error) == ("FAILED", "TargetsNotHealthy")
    assert stack.reaction(failed.arn).status == "SUCCEEDED"
    assert load_balancers(aws) == [f"{world.domain.replace('.', '-')}-elb"]
    world.backend.status = 200
    assert outcomes(provision(stack, world))["load balancer"] == "found"


def test_a_later_failure_does_not_take_away_what_stood(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    before = snapshot(aws)
    world.backend.status = 500
    failed = stack.run("provision", world.input)
    assert (failed.status, failed.error) == ("FAILED", "TargetsNotHealthy")
    assert stack.reaction(failed.arn).status == "SUCCEEDED"
    assert differences(before, snapshot(aws)) == []


def test_a_stopped_provision_is_cleaned_up(aws: LocalAws, stack: Stack, world: World) -> None:
    before = snapshot(aws)
    # Not healthy, so that it waits, with everything but the records made.
    world.backend.status = 500
    since = len(aws.invocations())
    arn = stack.start("provision", world.input)
    waits = stack.functions["verify-https"]
    until(
        lambda: any(found["function"] == waits for found in aws.invocations(since)),
        "a wait for healthy targets",
    )
    assert len(load_balancers(aws)) == 1
    stack.stop(arn)
    assert stack.execution(arn).status == "ABORTED"
    reaction = stack.reaction(arn)
    assert reaction.status == "SUCCEEDED", reaction.cause
    assert reaction.output["removed"] == [world.name]
    assert changed(before, world) == []


def test_a_certificate_that_fails_ends_it_at_once(aws: LocalAws, stack: Stack, world: World) -> None:
    """Somebody forbids Amazon to issue it once check-input has looked."""
    forbids = {"Type": "CAA", "TTL": 300, "ResourceRecords": [{"Value": '0 issue "letsencrypt.org"'}]}
    before = snapshot(aws)
    aws.fault("held", "RequestCertificate", "request-cert")
    arn = stack.start("provision", world.input)
    until(aws.struck, "the request of a certificate")
    world.put_record(forbids)
    aws.end_faults()
    failed = stack.wait(arn)
    assert (failed.status, failed.error) == ("FAILED", "CertificateFailed")
    assert "CAA_ERROR" in failed.cause
    world.put_record(forbids, "DELETE")
    assert changed(before, world) == []


def test_bad_input_changes_nothing(aws: LocalAws, stack: Stack, world: World) -> None:
    before, mark = snapshot(aws), len(aws.calls())
    failed = stack.run("provision", world.input | {"helthCheck": {}})
    assert (failed.status, failed.error) == ("FAILED", "InvalidInput")
    assert failed.cause.startswith("$.helthCheck: ")
    assert stack.changes(mark) == []
    assert differences(before, snapshot(aws)) == []


# --- Somebody else's things --------------------------------------------------------------------------------------


def foreign_load_balancer(aws: LocalAws, world: World, name: str) -> str:
    elb = aws.client("elbv2")
    made = elb.create_load_balancer(Name=f"{name}-elb", Subnets=world.subnets, SecurityGroups=[world.group])
    return made["LoadBalancers"][0]["LoadBalancerArn"]


def foreign_target_group(aws: LocalAws, world: World, name: str) -> str:
    elb = aws.client("elbv2")
    made = elb.create_target_group(Name=f"{name}-target-group", Protocol="HTTP", Port=80, VpcId=world.vpc)
    return made["TargetGroups"][0]["TargetGroupArn"]


def foreign_security_group(aws: LocalAws, world: World, name: str) -> str:
    ec2 = aws.client("ec2")
    made = ec2.create_security_group(GroupName=f"{name}-elb", Description="somebody's", VpcId=world.vpc)
    return made["GroupId"]


@pytest.mark.parametrize("make", [foreign_load_balancer, foreign_target_group, foreign_security_group])
def test_what_has_our_name_and_is_not_ours_is_left_alone(
    aws: LocalAws, stack: Stack, world: World, make: Callable[[LocalAws, World, str], str]
) -> None:
    foreign = make(aws, world, world.name)
    settle(aws)
    before = snapshot(aws)
    failed = stack.run("provision", world.input)
    assert (failed.status, failed.error) == ("FAILED", "NotOurs")
    assert foreign in failed.cause
    assert changed(before, world) == []
    assert set(decisions(teardown(stack, domain=world.domain)).values()) <= {"keep"}
    assert changed(before, world) == []


def test_a_name_is_of_one_domain(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world, name="mine")
    before = snapshot(aws)
    other = world.domain.replace("api.", "www.")
    failed = stack.run("provision", world.input | {"name": "mine", "domain": other})
    assert (failed.status, failed.error) == ("FAILED", "InvalidInput")
    assert failed.cause.startswith("$.name: ")
    assert world.domain in failed.cause
    assert differences(before, snapshot(aws)) == []


def settle(aws: LocalAws) -> None:
    """Until every load balancer has its interfaces, which it gets some time after it is made."""
    elb = aws.client("elbv2")

    def active() -> bool:
        return all(
            found["State"]["Code"] == "active" for found in elb.describe_load_balancers()["LoadBalancers"]
        )

    until(active, "active load balancers")


def test_a_foreign_record_is_a_conflict(aws: LocalAws, stack: Stack, world: World) -> None:
    world.put_record({"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "198.51.100.7"}]})
    before, mark = snapshot(aws), len(aws.calls())
    failed = stack.run("provision", world.input)
    assert (failed.status, failed.error) == ("FAILED", "DnsRecordConflict")
    assert f"{world.domain} A 198.51.100.7" in failed.cause
    assert world.zone in failed.cause
    assert stack.changes(mark) == []
    assert differences(before, snapshot(aws)) == []


def test_create_only_takes_no_record_over(aws: LocalAws, stack: Stack, world: World) -> None:
    mark = len(aws.calls())
    failed = stack.run("provision", world.input | {"dns": "create-only"})
    assert (failed.status, failed.error) == ("FAILED", "DnsRecordConflict")
    assert stack.changes(mark) == []


def test_overwrite_replaces_a_foreign_record_until_teardown(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    foreign = {"Type": "CNAME", "TTL": 77, "ResourceRecords": [{"Value": "elsewhere.example.net"}]}
    [own] = world.records(world.domain)
    world.put_record(own, "DELETE")
    world.put_record(foreign)
    before = snapshot(aws)
    provision(stack, world, dns="overwrite")
    [alias] = world.records(world.domain)
    assert "AliasTarget" in alias
    teardown(stack, domain=world.domain)
    assert changed(before, world) == []
    [back] = world.records(world.domain)
    assert {field: back[field] for field in foreign} == foreign


def test_a_record_changed_by_hand_since_stays(stack: Stack, world: World) -> None:
    provision(stack, world)
    [alias] = world.records(world.domain)
    by_hand = {"Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "198.51.100.9"}]}
    world.put_record(alias, "DELETE")
    world.put_record(by_hand)
    teardown(stack, domain=world.domain)
    [stays] = world.records(world.domain)
    assert {field: stays[field] for field in by_hand} == by_hand
    assert world.records(f"_albatross.{world.domain}") == []


# --- Logs --------------------------------------------------------------------------------------------------------


def test_a_log_line_says_step_execution_and_environment_and_nothing_secret(
    stack: Stack, world: World
) -> None:
    began = time.time()
    first = provision(stack, world)
    down = teardown(stack, domain=world.domain)
    lines = [line for line in stack.log_lines(began) if "span" in line]
    of = {arn: [line for line in lines if line["span"].get("run") == arn] for arn in (first.arn, down.arn)}
    assert {line["span"]["step"] for line in of[first.arn]} == PROVISION_STEPS
    assert {line["span"]["step"] for line in of[down.arn]} == {"teardown", "sum-up"}
    # By its domain, until the name is known.
    environments = {line["span"]["environment"] for line in of[first.arn] + of[down.arn]}
    assert environments == {world.domain, world.name}
    text = json.dumps(of[first.arn])
    assert world.instances[0] not in text, "an event was written down"
    assert "AWS4-HMAC" not in text
    assert "SecretAccessKey" not in text


PROVISION_STEPS = {
    "check-input",
    "create-alb",
    "request-cert",
    "wait-validation",
    "add-https-listener",
    "set-redirect",
    "verify-https",
    "point-domain",
    "sum-up",
}
