"""Each deployed function by itself, on the wire: its answer, itself again, and its errors.

The clock of the local AWS stands still here, so a function that waits says so, until a test lets time pass.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.snapshot import differences, snapshot
from harness.stack import InvocationFailed, Stack
from harness.support import MADE_BY_CREATE_ALB
from harness.world import World
from local_aws.authority import Authority
from local_aws.endpoints import ACCOUNT, REGION
from local_aws.local import LocalAws
from local_aws.world import ZONES

# AWS seconds after which nothing that AWS was asked for takes time any more.
SETTLED = 1800


@pytest.fixture(autouse=True)
def standing_clock(aws: LocalAws, stack: Stack) -> Iterator[None]:
    """Time passes when a test says so; for others everything is immediate again."""
    aws.speed = 0
    yield
    aws.speed = float("inf")


@pytest.fixture
def checked(stack: Stack, world: World) -> dict:
    """What check-input answers to the shortest input: what all other functions are given."""
    return stack.invoke("check-input", {"input": world.input})


@pytest.fixture
def built(stack: Stack, checked: dict) -> dict:
    """The event of a function after create-alb, with what that made."""
    return checked | stack.invoke("create-alb", checked)


@pytest.fixture
def certified(aws: LocalAws, stack: Stack, built: dict) -> dict:
    """The event of a function after wait-validation: with an ISSUED certificate."""
    fails(stack, "request-cert", built, "CertificatePending")
    aws.advance(SETTLED)
    made = stack.invoke("request-cert", built)
    aws.advance(SETTLED)
    return built | made


def fails(stack: Stack, function: str, event: dict, name: str) -> str:
    """Invoke a function that must fail with this name; answers its message."""
    with pytest.raises(InvocationFailed) as failed:
        stack.invoke(function, event)
    assert failed.value.name == name, failed.value
    return failed.value.message


def outcomes(answer: dict) -> dict[str, str]:
    """What a function did, by resource."""
    return {step["resource"]: step["outcome"] for step in answer["steps"]}


def again(aws: LocalAws, stack: Stack, function: str, event: dict, tries: str | None = None) -> dict:
    """The same invocation once more, which must find everything and change nothing.

    `tries`: the one call with which it may find out, as its event says that the thing is new.
    """
    before, mark = snapshot(aws), len(aws.calls())
    answer = stack.invoke(function, event)
    assert stack.changes(mark) == ([f"{function} {tries}"] if tries else [])
    assert set(outcomes(answer).values()) == {"found"}
    assert differences(before, snapshot(aws)) == []
    return answer


# --- check-input -------------------------------------------------------------------------------------------------


def test_check_input_resolves_the_shortest_input(stack: Stack, world: World) -> None:
    checked = stack.invoke("check-input", {"input": world.input})
    assert set(checked) == {"environment", "seen", "warnings"}
    environment, seen = checked["environment"], checked["seen"]
    [target] = environment.pop("targets")
    assert target["id"] == world.instances[0]
    assert world.public_ip in target["addresses"]
    assert dict(zip(environment.pop("subnets"), environment.pop("zones"), strict=True)) == dict(
        zip(world.subnets, ZONES, strict=True)
    )
    at_domain = seen.pop("atDomain")
    assert [record["values"] for record in at_domain["addresses"]] == [[world.public_ip]]
    assert at_domain["ownership"] is None
    assert seen == {"complete": False, "securityGroup": None}
    assert checked["warnings"] == []
    given = {field: value for field, value in environment.pop("input").items() if value is not None}
    assert given == world.input | {
        "port": 80,
        "healthCheck": {
            "path": "/health",
            "intervalSeconds": 10,
            "timeoutSeconds": 5,
            "healthyThreshold": 2,
            "unhealthyThreshold": 2,
            "matcher": "200",
        },
        "tlsPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
        "hstsMaxAge": 300,
        "redirect": 302,
        "dropInvalidHeaders": True,
        "ipAddressType": "ipv4",
        "dns": "takeover",
        "delegation": "check",
        "onFailure": "rollback",
        "mode": "apply",
        "putBack": [],
    }
    assert environment == {
        "owner": {"stack": "albatross", "region": REGION, "account": ACCOUNT},
        "tags": {},
        "name": world.name,
        "zone": {"id": world.zone, "name": world.domain.partition(".")[2]},
        "vpc": world.vpc,
        "groupsToOpen": [world.group],
    }


def test_check_input_chooses_the_closest_public_zone(stack: Stack, world: World) -> None:
    closer = world.hosted_zone(world.domain)
    network = {"VPCRegion": "us-east-1", "VPCId": world.vpc}
    world.hosted_zone(f"x.{world.domain}", VPC=network, HostedZoneConfig={"PrivateZone": True})
    # Nothing hands the closer one on, which is not what this is about.
    event = world.input | {"domain": f"x.{world.domain}", "delegation": "trust"}
    assert stack.invoke("check-input", {"input": event})["environment"]["zone"]["id"] == closer


def with_field(**fields: object) -> Callable[[World], dict]:
    """The shortest input and these fields."""
    return lambda world: world.input | fields


def with_second_instance(make: Callable[[World], str]) -> Callable[[World], dict]:
    """The shortest input and one more instance."""
    return lambda world: world.input | {"instances": [*world.instances, make(world)]}


def in_another_vpc(world: World) -> str:
    vpc = world.aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    return world.instance(world.subnet(vpc, "10.9.0.0/24", "us-east-1a"), world.security_group("other", vpc))


def stopped(world: World) -> str:
    instance = world.instance(world.subnets[0], world.group)
    world.aws.client("ec2").stop_instances(InstanceIds=[instance])
    return instance


def in_a_private_zone(world: World) -> str:
    return world.instance(world.subnet(world.vpc, "10.0.9.0/24", "us-east-1c"), world.group)


def with_a_private_subnet(world: World) -> dict:
    private = world.subnet(world.vpc, "10.0.9.0/24", "us-east-1c")
    return world.input | {"subnets": [*world.subnets, private]}


def with_a_small_subnet(world: World) -> dict:
    small = world.subnet(world.vpc, "10.0.9.0/28", "us-east-1c")
    return world.input | {"subnets": [*world.subnets, small]}


def with_ipv6_ranges_alone(world: World) -> dict:
    ipv6(world)
    return world.input | {"ipAddressType": "dualstack"}


def ipv6(world: World) -> None:
    """An IPv6 range for each subnet, and no route."""
    ec2 = world.aws.client("ec2")
    vpc = ec2.associate_vpc_cidr_block(VpcId=world.vpc, AmazonProvidedIpv6CidrBlock=True)
    prefix = vpc["Ipv6CidrBlockAssociation"]["Ipv6CidrBlock"].removesuffix("00::/56")
    for number, subnet in enumerate(world.subnets):
        ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=f"{prefix}0{number}::/64")


def with_a_private_zone(world: World) -> dict:
    network = {"VPCRegion": "us-east-1", "VPCId": world.vpc}
    zone = world.hosted_zone(world.domain, VPC=network, HostedZoneConfig={"PrivateZone": True})
    return world.input | {"hostedZoneId": zone}


def with_a_zone_that_is_not_the_closest(world: World) -> dict:
    world.hosted_zone(world.domain)
    return world.input | {"hostedZoneId": world.zone}


def in_the_default_group(world: World) -> dict:
    ec2 = world.aws.client("ec2")
    wanted = [{"Name": "vpc-id", "Values": [world.vpc]}, {"Name": "group-name", "Values": ["default"]}]
    [group] = ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]
    # The domain's record points at another instance, which is not what this is about.
    return {
        "domain": world.domain,
        "instances": [world.instance(world.subnets[0], group["GroupId"])],
        "dns": "overwrite",
    }


def with_a_pending_certificate(world: World) -> dict:
    pending = world.aws.client("acm").request_certificate(DomainName=world.domain, ValidationMethod="DNS")
    return world.input | {"certificateArn": pending["CertificateArn"]}


ABSENT_CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-4000-8000-000000000000"

BAD_INPUT = {
    "not an object": (lambda _: [], "$"),
    "no domain": (lambda world: {"instances": world.instances}, "$"),
    "unknown field": (with_field(instance="i-0abc1234def567890"), "$.instance"),
    "unknown field inside": (with_field(healthCheck={"pth": "/"}), "$.healthCheck.pth"),
    "no instances": (with_field(instances=[]), "$.instances"),
    "not an instance id": (with_field(instances=["web-1"]), "$.instances[0]"),
    "instance that does not exist": (with_second_instance(lambda _: "i-0abc1234def567890"), "$.instances[1]"),
    "instance given twice": (with_second_instance(lambda world: world.instances[0]), "$.instances[1]"),
    "instance in another VPC": (with_second_instance(in_another_vpc), "$.instances[1]"),
    "stopped instance": (with_second_instance(stopped), "$.instances[1]"),
    "instance in a zone without a public subnet": (with_second_instance(in_a_private_zone), "$.instances[1]"),
    "malformed domain": (with_field(domain="not a domain"), "$.domain"),
    "one label": (with_field(domain="localhost"), "$.domain"),
    "wildcard domain": (with_field(domain="*.example.com"), "$.domain"),
    "domain too long for ACM": (with_field(domain=f"{'a' * 60}.example.com"), "$.domain"),
    "domain without a zone": (with_field(domain="api.nowhere.test"), "$.domain"),
    "zone that does not exist": (with_field(hostedZoneId="Z0000000000000"), "$.hostedZoneId"),
    "private zone": (with_a_private_zone, "$.hostedZoneId"),
    "zone that is not the closest": (with_a_zone_that_is_not_the_closest, "$.hostedZoneId"),
    "name too long": (with_field(name="twenty-characters-xx"), "$.name"),
    "name with capitals": (with_field(name="Api"), "$.name"),
    "port 0": (with_field(port=0), "$.port"),
    "port as text": (with_field(port="80"), "$.port"),
    "address for a CIDR": (with_field(allowedCidrs=["203.0.113.7"]), "$.allowedCidrs[0]"),
    "more CIDRs than a group has rules for": (
        with_field(allowedCidrs=[f"10.0.{n}.0/24" for n in range(31)]),
        "$.allowedCidrs",
    ),
    "the console's own first input": (lambda _: {"Comment": "Insert your JSON here"}, "$"),
    "redirect of another kind": (with_field(redirect=307), "$.redirect"),
    "subnet too small": (with_a_small_subnet, "$.subnets[2]"),
    "dualstack without a way in": (with_ipv6_ranges_alone, "$.ipAddressType"),
    "bad CIDR": (with_field(allowedCidrs=["0.0.0.0/0", "10.0.0.0/33"]), "$.allowedCidrs[1]"),
    "CIDR with host bits": (with_field(allowedCidrs=["10.0.0.1/8"]), "$.allowedCidrs[0]"),
    "health check's path": (with_field(healthCheck={"path": "health"}), "$.healthCheck.path"),
    "health check's matcher": (with_field(healthCheck={"matcher": "600"}), "$.healthCheck.matcher"),
    "one subnet": (lambda world: world.input | {"subnets": world.subnets[:1]}, "$.subnets"),
    "private subnet": (with_a_private_subnet, "$.subnets[2]"),
    "group that may not be opened": (in_the_default_group, "$.openInstanceGroup"),
    "no consent to open": (with_field(openInstanceGroup=False), "$.openInstanceGroup"),
    "certificate that does not exist": (with_field(certificateArn=ABSENT_CERTIFICATE), "$.certificateArn"),
    "pending certificate": (with_a_pending_certificate, "$.certificateArn"),
    "dualstack without IPv6": (with_field(ipAddressType="dualstack"), "$.ipAddressType"),
    "unknown DNS policy": (with_field(dns="steal"), "$.dns"),
    "unknown mode": (with_field(mode="dry"), "$.mode"),
    "keepUntil that is no date": (with_field(keepUntil="tomorrow"), "$.keepUntil"),
}


@pytest.mark.parametrize(("make", "path"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_refused_by_path(
    aws: LocalAws, stack: Stack, world: World, make: Callable[[World], object], path: str
) -> None:
    event = {"input": make(world)}
    before, mark = snapshot(aws), len(aws.calls())
    message = fails(stack, "check-input", event, "InvalidInput")
    assert message.partition(": ")[0] == path, message
    assert stack.changes(mark) == []
    assert differences(before, snapshot(aws)) == []


UNFIT = {
    "in a Local Zone": (lambda world: world.local_zone_subnet(2), "us-east-1-bos-1a"),
    "on an Outpost": (lambda world: world.outpost_subnet(2, "us-east-1c"), "outpost/"),
    "too small": (lambda world: world.public_subnet(2, "us-east-1c", 28), "/28"),
    "with few addresses": (lambda world: world.small_subnet(2, "us-east-1c", free=7), "7 free addresses"),
    "blocked": (lambda world: blocked(world, "block-bidirectional"), "Block Public Access"),
    "blocked inward": (lambda world: blocked(world, "block-ingress"), "Block Public Access"),
}


def blocked(world: World, mode: str) -> str:
    world.block_public_access(mode, but=tuple(world.subnets))
    return world.public_subnet(2, "us-east-1c")


@pytest.mark.parametrize(("make", "word"), UNFIT.values(), ids=UNFIT)
def test_a_subnet_that_a_load_balancer_does_not_take_is_never_chosen_and_refused_by_name(
    stack: Stack, world: World, make: Callable[[World], str], word: str
) -> None:
    subnet = make(world)
    chosen = stack.invoke("check-input", {"input": world.input | {"zones": "all"}})
    assert sorted(chosen["environment"]["subnets"]) == sorted(world.subnets)
    given = world.input | {"subnets": [*world.subnets, subnet]}
    message = fails(stack, "check-input", {"input": given}, "InvalidInput")
    assert message.startswith(f"$.subnets[2]: {subnet} ")
    assert word in message


def test_an_instance_in_a_local_zone_is_refused_by_name(stack: Stack, world: World) -> None:
    instance = world.instance(world.local_zone_subnet(2), world.group)
    given = world.input | {"instances": [*world.instances, instance]}
    message = fails(stack, "check-input", {"input": given}, "InvalidInput")
    assert message.startswith("$.instances[1]: lies in us-east-1-bos-1a, ")


def test_the_load_balancers_own_addresses_do_not_count_against_its_subnets(
    stack: Stack, world: World
) -> None:
    full = [world.small_subnet(2, "us-east-1a"), world.small_subnet(3, "us-east-1b")]
    event = {"input": world.input | {"subnets": full}}
    checked = stack.invoke("check-input", event)
    stack.invoke("create-alb", checked)
    assert [world.free_addresses(subnet) for subnet in full] == [7, 7]
    assert stack.invoke("check-input", event)["environment"]["subnets"] == full
    # For another environment they are not free.
    event["input"] |= {"name": "other"}
    assert fails(stack, "check-input", event, "InvalidInput").startswith("$.subnets[0]: ")


def test_dualstack_needs_a_way_in_by_ipv6(aws: LocalAws, stack: Stack, world: World) -> None:
    ipv6(world)
    ec2 = aws.client("ec2")
    event = {"input": world.input | {"ipAddressType": "dualstack"}}
    outward = ec2.create_egress_only_internet_gateway(VpcId=world.vpc)["EgressOnlyInternetGateway"]
    filters = [{"Name": "association.subnet-id", "Values": world.subnets}]
    [table] = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    route = {"RouteTableId": table["RouteTableId"], "DestinationIpv6CidrBlock": "::/0"}
    ec2.create_route(**route, EgressOnlyInternetGatewayId=outward["EgressOnlyInternetGatewayId"])
    message = fails(stack, "check-input", event, "InvalidInput")
    assert message.startswith("$.ipAddressType: ")
    assert all(f"{subnet} has no route ::/0" in message for subnet in world.subnets)
    ec2.delete_route(**route)
    [gateway] = [
        known["GatewayId"] for known in table["Routes"] if known.get("GatewayId", "").startswith("igw-")
    ]
    ec2.create_route(**route, GatewayId=gateway)
    assert sorted(stack.invoke("check-input", event)["environment"]["subnets"]) == sorted(world.subnets)


def test_a_comment_is_no_field_of_any_input(stack: Stack, world: World) -> None:
    comment = {"Comment": "Insert your JSON here"}
    assert (
        stack.invoke("check-input", {"input": world.input | comment})["environment"]["input"]["domain"]
        == world.domain
    )
    assert night(stack, **comment)["environments"] == []
    assert stack.invoke("teardown", {"input": {"domain": world.domain} | comment})["items"] is not None
    message = fails(stack, "check-input", {"input": comment}, "InvalidInput")
    assert '{"domain": "api.example.com", "instances": ["i-' in message
    message = fails(stack, "teardown", {"input": comment}, "InvalidInput")
    assert '{"domain": "api.example.com"}' in message


def test_the_default_group_is_opened_with_its_users_consent(stack: Stack, world: World) -> None:
    event = in_the_default_group(world)
    assert (
        stack.invoke("check-input", {"input": event | {"openInstanceGroup": True}})["environment"][
            "groupsToOpen"
        ]
        != []
    )
    instances = world.aws.client("ec2").describe_instances(InstanceIds=event["instances"])
    [group] = instances["Reservations"][0]["Instances"][0]["SecurityGroups"]
    world.tag(group["GroupId"], "albatross:open", "true")
    assert stack.invoke("check-input", {"input": event})["environment"]["groupsToOpen"] == [group["GroupId"]]


def test_a_group_that_admits_the_subnets_needs_no_opening(aws: LocalAws, stack: Stack, world: World) -> None:
    aws.client("ec2").authorize_security_group_ingress(
        GroupId=world.group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="10.0.0.0/16"
    )
    checked = stack.invoke("check-input", {"input": world.input | {"openInstanceGroup": False}})
    assert checked["environment"]["groupsToOpen"] == []


# --- create-alb --------------------------------------------------------------------------------------------------


def test_create_alb_makes_and_then_finds(aws: LocalAws, stack: Stack, checked: dict) -> None:
    first = stack.invoke("create-alb", checked)
    assert outcomes(first) == MADE_BY_CREATE_ALB
    second = again(aws, stack, "create-alb", checked, tries="CreateSecurityGroup")
    assert {**first, "steps": []} == {**second, "steps": []}
    elb = aws.client("elbv2")
    [listener] = elb.describe_listeners(LoadBalancerArn=first["loadBalancer"]["arn"])["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTP", 80)
    assert [action["Type"] for action in listener["DefaultActions"]] == ["forward"]


def test_create_alb_follows_the_instances(aws: LocalAws, stack: Stack, world: World, checked: dict) -> None:
    stack.invoke("create-alb", checked)
    other = world.instance(world.subnets[1], world.group)
    other_input = world.input | {"instances": [other], "dns": "overwrite"}
    replaced = stack.invoke("check-input", {"input": other_input})
    answer = stack.invoke("create-alb", replaced)
    assert {"resource": "target", "id": other, "outcome": "created"} in answer["steps"]
    [former] = world.instances
    assert targets(aws, answer) == {former, other}
    assert answer["former"] == {"targets": [{"id": former, "port": 80}], "rules": [], "zones": []}
    event = replaced | answer
    gone = [{"resource": "target", "id": former, "outcome": "removed", "changes": ["- port 80"]}]
    assert stack.invoke("retire-former", event)["steps"] == gone
    assert targets(aws, answer) == {other}
    # Its answer lost: the same again.
    mark = len(aws.calls())
    assert stack.invoke("retire-former", event)["steps"] == gone
    assert stack.changes(mark) == []
    assert "former" not in stack.invoke("create-alb", replaced)


def targets(aws: LocalAws, event: dict) -> set[str]:
    """The instances that the load balancer sends to."""
    health = aws.client("elbv2").describe_target_health(TargetGroupArn=event["targetGroupArn"])
    return {
        target["Target"]["Id"]
        for target in health["TargetHealthDescriptions"]
        if target["TargetHealth"]["State"] != "draining"
    }


def test_retire_former_closes_rules_when_the_load_balancer_knows_of_its_targets(
    aws: LocalAws, stack: Stack, world: World, checked: dict
) -> None:
    stack.invoke("create-alb", checked)
    moved = stack.invoke("check-input", {"input": world.input | {"port": 8080}})
    answer = stack.invoke("create-alb", moved)
    [instance] = world.instances
    assert answer["former"]["targets"] == [{"id": instance, "port": 80}]
    assert [rule["rule"]["group"] for rule in answer["former"]["rules"]] == [world.group]
    event = moved | answer
    message = fails(stack, "retire-former", event, "TargetsLeaving")
    assert f"{instance} on port 80" in message
    assert open_ports(aws, world.group) == [80, 8080]
    steps = stack.invoke("retire-former", event)["steps"]
    own = answer["securityGroupId"]
    assert [(step["resource"], step["changes"]) for step in steps] == [
        ("target", ["- port 80"]),
        ("rule that admits the load balancer", [f"- tcp 80 from {own}"]),
    ]
    assert open_ports(aws, world.group) == [8080]
    stack.invoke("retire-former", event)
    assert open_ports(aws, world.group) == [8080]


def open_ports(aws: LocalAws, group: str) -> list[int]:
    """The ports that a group admits."""
    [found] = aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return sorted(rule["FromPort"] for rule in found["IpPermissions"])


# --- request-cert and wait-validation ----------------------------------------------------------------------------


def test_request_cert_waits_for_its_records_and_writes_them_once(
    aws: LocalAws, stack: Stack, world: World, checked: dict
) -> None:
    message = fails(stack, "request-cert", checked, "CertificatePending")
    [certificate] = snapshot(aws)["certificate"]
    assert certificate in message
    aws.advance(SETTLED)
    answer = stack.invoke("request-cert", checked)
    assert answer["certificateArn"] == certificate
    assert outcomes(answer) == {"certificate": "found", "validation record": "created"}
    assert [record["Type"] for record in world.records() if record["Type"] == "CNAME"] == ["CNAME"]
    found = again(aws, stack, "request-cert", checked, tries="ChangeResourceRecordSets")
    assert found["certificateArn"] == certificate


def test_request_cert_takes_the_given_one(aws: LocalAws, stack: Stack, checked: dict) -> None:
    mark = len(aws.calls())
    checked["environment"]["input"]["certificateArn"] = ABSENT_CERTIFICATE
    answer = stack.invoke("request-cert", checked)
    assert answer["certificateArn"] == ABSENT_CERTIFICATE
    assert stack.changes(mark) == []


def test_wait_validation_waits_until_issued(aws: LocalAws, stack: Stack, checked: dict) -> None:
    fails(stack, "request-cert", checked, "CertificatePending")
    [certificate] = snapshot(aws)["certificate"]
    event = checked | {"certificateArn": certificate, "issued": False}
    aws.advance(SETTLED)
    # Its CNAME does not stand yet.
    assert certificate in fails(stack, "wait-validation", event, "CertificatePending")
    stack.invoke("request-cert", event)
    assert "CNAME" in fails(stack, "wait-validation", event, "CertificatePending")
    aws.advance(SETTLED)
    mark = len(aws.calls())
    assert stack.invoke("wait-validation", event)["certificateArn"] == certificate
    assert stack.changes(mark) == []


def test_a_failed_certificate_is_an_error_at_once_with_the_reason(
    aws: LocalAws, stack: Stack, world: World, checked: dict
) -> None:
    world.put_record({"Type": "CAA", "TTL": 300, "ResourceRecords": [{"Value": '0 issue "letsencrypt.org"'}]})
    fails(stack, "request-cert", checked, "CertificatePending")
    [certificate] = snapshot(aws)["certificate"]
    aws.advance(SETTLED)
    message = fails(
        stack,
        "wait-validation",
        checked | {"certificateArn": certificate, "issued": False},
        "CertificateFailed",
    )
    assert certificate in message
    assert "CAA_ERROR" in message


def test_a_certificate_that_timed_out_is_replaced(aws: LocalAws, stack: Stack, checked: dict) -> None:
    fails(stack, "request-cert", checked, "CertificatePending")
    [dead] = snapshot(aws)["certificate"]
    aws.advance(73 * 3600)
    message = fails(
        stack, "wait-validation", checked | {"certificateArn": dead, "issued": False}, "CertificateFailed"
    )
    assert "VALIDATION_TIMED_OUT" in message
    fails(stack, "request-cert", checked, "CertificatePending")
    assert len(snapshot(aws)["certificate"]) == 2


# --- Listeners ---------------------------------------------------------------------------------------------------


def test_add_https_listener_makes_and_then_finds(aws: LocalAws, stack: Stack, certified: dict) -> None:
    first = stack.invoke("add-https-listener", certified)
    assert outcomes(first) == {"HTTPS listener": "created"}
    assert first["http"]["redirects"] is None
    listed = stack.invoke("create-alb", certified)
    second = again(aws, stack, "add-https-listener", certified | listed)
    assert second["httpsListenerArn"] == first["httpsListenerArn"]


def test_an_https_listener_that_was_made_since_is_changed(
    aws: LocalAws, stack: Stack, certified: dict
) -> None:
    aws.client("elbv2").create_listener(
        LoadBalancerArn=certified["loadBalancer"]["arn"],
        Protocol="HTTPS",
        Port=443,
        SslPolicy="ELBSecurityPolicy-2016-08",
        Certificates=[{"CertificateArn": certified["certificateArn"]}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": certified["targetGroupArn"]}],
    )
    answer = stack.invoke("add-https-listener", certified)
    assert outcomes(answer) == {"HTTPS listener": "changed"}
    assert "TLS policy: ELBSecurityPolicy-2016-08" in answer["steps"][0]["changes"][0]


def test_add_https_listener_waits_for_the_certificate(aws: LocalAws, stack: Stack, built: dict) -> None:
    fails(stack, "request-cert", built, "CertificatePending")
    [certificate] = snapshot(aws)["certificate"]
    before = snapshot(aws)
    fails(stack, "add-https-listener", built | {"certificateArn": certificate}, "CertificatePending")
    assert differences(before, snapshot(aws)) == []


def test_set_redirect_replaces_in_place_and_then_finds(aws: LocalAws, stack: Stack, certified: dict) -> None:
    http = stack.invoke("add-https-listener", certified)["http"]
    event = certified | {"http": http}
    assert outcomes(stack.invoke("set-redirect", event)) == {"redirect to HTTPS": "changed"}
    [listener] = aws.client("elbv2").describe_listeners(ListenerArns=[http["arn"]])["Listeners"]
    [action] = listener["DefaultActions"]
    assert (action["Type"], action["RedirectConfig"]["StatusCode"]) == ("redirect", "HTTP_302")
    listed = stack.invoke("create-alb", certified)
    event["http"] = again(aws, stack, "add-https-listener", certified | listed)["http"]
    assert event["http"]["redirects"] == 302
    again(aws, stack, "set-redirect", event)
    # create-alb leaves the redirect as it is.
    again(aws, stack, "create-alb", certified, tries="CreateSecurityGroup")


# --- verify-https ------------------------------------------------------------------------------------------------


def test_verify_https_waits_for_the_load_balancer_then_for_the_targets(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    balancer = built["loadBalancer"]["arn"]
    assert balancer in fails(stack, "verify-https", built, "LoadBalancerProvisioning")
    world.backend.status = 503
    aws.advance(SETTLED)
    message = fails(stack, "verify-https", built, "TargetsNotHealthy")
    for word in (world.instances[0], "unhealthy", "Target.ResponseCodeMismatch", "503", "/health"):
        assert word in message
    world.backend.status = 200
    # Healthy now, but nothing listens for HTTPS.
    message = fails(stack, "verify-https", built, "HttpsNotServing")
    assert f"https://{world.domain}/health" in message
    assert built["loadBalancer"]["dnsName"] in message


@pytest.fixture
def serving(aws: LocalAws, stack: Stack, certified: dict) -> dict:
    """The event of verify-https when all is well."""
    http = stack.invoke("add-https-listener", certified)["http"]
    stack.invoke("set-redirect", certified | {"http": http})
    aws.advance(SETTLED)
    return certified


def listener(aws: LocalAws, event: dict, port: int) -> str:
    """The ARN of the load balancer's listener on a port."""
    listeners = aws.client("elbv2").describe_listeners(LoadBalancerArn=event["loadBalancer"]["arn"])
    [arn] = [found["ListenerArn"] for found in listeners["Listeners"] if found["Port"] == port]
    return arn


def present(aws: LocalAws, event: dict, certificate: bytes, key: bytes) -> None:
    """Have the HTTPS listener present this certificate."""
    made = aws.client("acm").import_certificate(Certificate=certificate, PrivateKey=key)
    certificates = [{"CertificateArn": made["CertificateArn"]}]
    aws.client("elbv2").modify_listener(ListenerArn=listener(aws, event, 443), Certificates=certificates)


def test_verify_https_proves_all_of_it(aws: LocalAws, stack: Stack, world: World, serving: dict) -> None:
    mark = len(aws.calls())
    checks = stack.invoke("verify-https", serving)["checks"]
    assert {check["name"]: check["result"] for check in checks} == {
        "load balancer active": "passed",
        "targets healthy": "passed",
        "https health path": "passed",
        "certificate chain and name": "passed",
        "http redirect": "passed",
    }
    details = {check["name"]: check["detail"] for check in checks}
    assert details["https health path"] == f"https://{world.domain}/health answers 200 OK"
    assert details["http redirect"].endswith(f"answers 302 Found to https://{world.domain}:443/")
    assert stack.changes(mark) == []


@pytest.mark.parametrize("ranges", [["192.0.2.0/24"], ["::/0"], ["0.0.0.0/1", "::/0"]])
def test_verify_https_skips_what_it_may_not_reach(stack: Stack, serving: dict, ranges: list[str]) -> None:
    """A function has no IPv6, and comes from any address of IPv4."""
    serving["environment"]["input"]["allowedCidrs"] = ranges
    checks = {check["name"]: check for check in stack.invoke("verify-https", serving)["checks"]}
    skipped = [name for name, check in checks.items() if check["result"] == "skipped"]
    assert skipped == ["https health path", "certificate chain and name", "http redirect"]
    assert {"allowedCidrs" in checks[name]["detail"] for name in skipped} == {True}


def test_verify_https_asks_where_all_of_ipv4_is_admitted_in_parts(stack: Stack, serving: dict) -> None:
    serving["environment"]["input"]["allowedCidrs"] = ["128.0.0.0/1", "0.0.0.0/1"]
    assert {check["result"] for check in stack.invoke("verify-https", serving)["checks"]} == {"passed"}


def test_verify_https_names_a_status_that_the_matcher_does_not_admit(stack: Stack, serving: dict) -> None:
    serving["environment"]["input"]["healthCheck"]["matcher"] = "204"
    message = fails(stack, "verify-https", serving, "HttpsNotServing")
    assert "status 200 OK, and healthCheck.matcher wants 204" in message


def test_verify_https_names_a_certificate_for_another_name(
    aws: LocalAws, stack: Stack, world: World, serving: dict
) -> None:
    present(aws, serving, *aws.authority.certificate("other.test"))
    message = fails(stack, "verify-https", serving, "HttpsNotServing")
    assert f'certificate not valid for name "{world.domain}"' in message
    assert "other.test" in message


def test_verify_https_names_an_expired_certificate(
    aws: LocalAws, stack: Stack, world: World, serving: dict
) -> None:
    present(aws, serving, *aws.authority.certificate(world.domain, life=timedelta(seconds=2)))
    time.sleep(3)
    assert "certificate expired" in fails(stack, "verify-https", serving, "HttpsNotServing")


def test_verify_https_names_a_certificate_that_nobody_trusts(
    aws: LocalAws, stack: Stack, world: World, serving: dict, tmp_path: Path
) -> None:
    present(aws, serving, *Authority(tmp_path).certificate(world.domain))
    assert "invalid peer certificate" in fails(stack, "verify-https", serving, "HttpsNotServing")


def test_verify_https_names_a_backend_that_is_not_well(
    aws: LocalAws, stack: Stack, world: World, serving: dict
) -> None:
    world.backend.status = 500
    message = fails(stack, "verify-https", serving, "TargetsNotHealthy")
    for word in (world.instances[0], "Target.ResponseCodeMismatch", "[500]", "/health"):
        assert word in message


def test_verify_https_names_a_backend_that_is_down(
    aws: LocalAws, stack: Stack, world: World, serving: dict
) -> None:
    world.backend.close()
    message = fails(stack, "verify-https", serving, "TargetsNotHealthy")
    for word in (world.instances[0], "Target.FailedHealthChecks"):
        assert word in message


def test_verify_https_names_a_redirect_that_is_missing(
    aws: LocalAws, stack: Stack, world: World, serving: dict
) -> None:
    forward = [{"Type": "forward", "TargetGroupArn": serving["targetGroupArn"]}]
    http = listener(aws, serving, 80)
    aws.client("elbv2").modify_listener(ListenerArn=http, DefaultActions=forward)
    message = fails(stack, "verify-https", serving, "HttpsNotServing")
    assert f"http://{world.domain}/" in message
    assert f'status 404 Not Found to "", not 302 to https://{world.domain}/' in message


def test_verify_https_says_that_nothing_admits_the_load_balancer(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    ec2 = aws.client("ec2")
    [group] = ec2.describe_security_groups(GroupIds=[world.group])["SecurityGroups"]
    ec2.revoke_security_group_ingress(GroupId=world.group, IpPermissions=group["IpPermissions"])
    aws.advance(SETTLED)
    message = fails(stack, "verify-https", built, "TargetsNotHealthy")
    assert "Target.Timeout" in message
    assert "security group" in message


# --- point-domain ------------------------------------------------------------------------------------------------


def test_point_domain_takes_over_and_then_finds(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    answer = stack.invoke("point-domain", built)
    assert answer["url"] == f"https://{world.domain}"
    assert outcomes(answer) == {"alias record": "changed"}
    [alias] = world.records(world.domain)
    assert alias["AliasTarget"]["HostedZoneId"] == built["loadBalancer"]["canonicalHostedZoneId"]
    again(aws, stack, "point-domain", built, tries="ChangeResourceRecordSets")
    checked = stack.invoke("check-input", {"input": world.input})
    assert checked["seen"]["complete"] is True


def test_point_domain_creates_where_nothing_stood(stack: Stack, world: World, built: dict) -> None:
    [record] = world.records(world.domain)
    world.put_record(record, "DELETE")
    assert outcomes(stack.invoke("point-domain", built)) == {"alias record": "created"}


def test_point_domain_writes_both_kinds_for_dualstack(stack: Stack, world: World, built: dict) -> None:
    built["environment"]["input"]["ipAddressType"] = "dualstack"
    stack.invoke("point-domain", built)
    records = world.records(world.domain)
    assert sorted(record["Type"] for record in records) == ["A", "AAAA"]
    assert len({record["AliasTarget"]["DNSName"] for record in records}) == 1


def test_point_domain_leaves_a_foreign_record(aws: LocalAws, stack: Stack, world: World, built: dict) -> None:
    world.put_record({"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "198.51.100.7"}]})
    before = snapshot(aws)
    message = fails(stack, "point-domain", built, "DnsRecordConflict")
    assert f"{world.domain} A 198.51.100.7" in message
    assert differences(before, snapshot(aws)) == []


# --- find-environments -------------------------------------------------------------------------------------------


def night(stack: Stack, **given: object) -> dict:
    """What find-environments answers to a nightly execution's input."""
    return stack.invoke("find-environments", {"input": given, "noticed": False})


def test_find_environments_finds_what_stands(aws: LocalAws, stack: Stack, world: World, built: dict) -> None:
    mark = len(aws.calls())
    found = {"name": built["environment"]["name"], "hourly": 0.0325, "spared": None}
    saves = {"hourly": 0.0325, "monthly": 23.73}
    assert night(stack) == {"environments": [found], "saves": saves, "dryRun": False}
    elb = aws.client("elbv2")
    keep = {"Key": "albatross:keep-until", "Value": "2099-01-01T00:00:00Z"}
    elb.add_tags(ResourceArns=[built["loadBalancer"]["arn"]], Tags=[keep])
    answer = night(stack)
    assert "2099-01-01T00:00:00Z" in answer["environments"][0]["spared"]
    assert answer["saves"] == {"hourly": 0, "monthly": 0}
    assert stack.changes(mark) == []


@pytest.mark.parametrize("given", [{"dryrun": True}, {"warn": "yes"}, {"noticed": True}])
def test_bad_nightly_input_is_refused_by_path(stack: Stack, world: World, given: dict) -> None:
    message = fails(stack, "find-environments", {"input": given, "noticed": False}, "InvalidInput")
    assert message.startswith("$")


def test_an_instance_that_was_deregistered_is_none_of_the_environments(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    """It drains for five minutes, and its owner's consent was for an environment that it has left."""
    world.tag(world.instances[0], "albatross:on-teardown", "terminate")
    group, target = built["targetGroupArn"], {"Id": world.instances[0], "Port": 80}
    elb = aws.client("elbv2")
    elb.deregister_targets(TargetGroupArn=group, Targets=[target])
    [shown] = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert shown["TargetHealth"]["State"] == "draining"
    plan = stack.invoke("teardown", {"input": {"domain": world.domain}})
    assert "instance" not in {item["resource"] for item in plan["items"]}


def test_find_environments_finds_a_half_made_one(aws: LocalAws, stack: Stack, built: dict) -> None:
    aws.client("elbv2").delete_load_balancer(LoadBalancerArn=built["loadBalancer"]["arn"])
    [found] = night(stack)["environments"]
    assert found == {"name": built["environment"]["name"], "hourly": 0, "spared": None}


def test_count_environments_counts_what_costs(aws: LocalAws, stack: Stack, world: World, built: dict) -> None:
    answer = stack.invoke("count-environments", {})
    assert (answer["environmentsStanding"], answer["costPerHour"]) == (1, 0.0325)
    assert 0 <= answer["hoursSinceNight"] < 24


def test_find_unfinished_takes_no_other_event(stack: Stack, world: World) -> None:
    fails(stack, "find-unfinished", {"event": {"source": "aws.events"}}, "InvalidInput")


# --- teardown ----------------------------------------------------------------------------------------------------


def test_teardown_plans_acts_waits_and_is_done(
    aws: LocalAws, stack: Stack, world: World, checked: dict
) -> None:
    before = snapshot(aws)
    [lock] = [key for key in before["record"] if key.startswith("_lock.")]
    del before["record"][lock]  # which a teardown gives back
    stack.invoke("create-alb", checked)
    event = {"input": {"domain": world.domain}}
    mark = len(aws.calls())
    plan = stack.invoke("teardown", event)
    assert stack.changes(mark) == []
    assert {item["resource"]: item["decision"] for item in plan["items"]} == {
        "load balancer": "remove",
        "Elastic IP": "keep",
        "instance": "keep",
        "rule that admits the load balancer": "remove",
        "target group": "remove",
        "security group": "remove",
    }
    assert all(item["reason"] for item in plan["items"])
    # The load balancer's interfaces linger and hold its security group.
    event |= {"plan": plan, "fresh": True}
    acted = stack.invoke("teardown", event)
    assert [waiting["item"]["resource"] for waiting in acted["todo"]] == ["security group"]
    event["plan"] = acted
    mark = len(aws.calls())
    assert "security group" in fails(stack, "teardown", event, "StillDeleting")
    assert [call["operation"] for call in aws.calls(mark)] == ["DescribeNetworkInterfaces"]
    aws.advance(SETTLED)
    done = stack.invoke("teardown", event)
    assert {item["outcome"] for item in done["items"]} == {"done", "kept"}
    assert differences(before, snapshot(aws)) == []
    mark = len(aws.calls())
    # Its answer lost: the group is gone, and the lock given back.
    assert stack.invoke("teardown", event)["items"] == done["items"]
    assert stack.changes(mark) == ["teardown DeleteSecurityGroup"]


def test_a_plan_that_somebody_has_outdated_is_made_anew(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    stack.invoke("point-domain", built)
    event = {"input": {"domain": world.domain}}
    event["plan"] = stack.invoke("teardown", event)
    [alias] = world.records(world.domain)
    by_hand = {"Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "198.51.100.9"}]}
    world.put_record(alias, "DELETE")
    world.put_record(by_hand)
    aws.speed = float("inf")
    stack.invoke("teardown", event | {"fresh": True})
    [stays] = world.records(world.domain)
    assert {field: stays[field] for field in by_hand} == by_hand
    assert world.records(f"_albatross.{world.domain}") == []


def test_an_alias_that_is_written_behind_a_teardown_is_found(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    """By a point-domain of the provision that is being rolled back: it gives back the lock of both."""
    was = world.records(world.domain)
    event = {"input": {"domain": world.domain}}
    event["plan"] = stack.invoke("teardown", event)
    stack.invoke("point-domain", built)
    assert world.records(world.domain) != was
    aws.speed = float("inf")
    stack.invoke("teardown", event | {"fresh": True})
    assert world.records(world.domain) == was
    assert [record["Name"] for record in world.records() if "_albatross" in record["Name"]] == []


BAD_TEARDOWN = {
    "nothing named": ({}, "$"),
    "unknown field": ({"name": "web", "force": True}, "$.force"),
    "malformed name": ({"name": "Web"}, "$.name"),
    "malformed domain": ({"domain": "not a domain"}, "$.domain"),
    "unknown certificate policy": ({"name": "web", "certificate": "burn"}, "$.certificate"),
}


@pytest.mark.parametrize(("given", "path"), BAD_TEARDOWN.values(), ids=BAD_TEARDOWN)
def test_bad_teardown_input_is_refused_by_path(
    aws: LocalAws, stack: Stack, world: World, given: dict, path: str
) -> None:
    mark = len(aws.calls())
    message = fails(stack, "teardown", {"input": given}, "InvalidInput")
    assert message.partition(": ")[0] == path, message
    assert stack.changes(mark) == []


def test_teardown_of_anothers_domain_is_refused(stack: Stack, world: World, built: dict) -> None:
    given = {"name": built["environment"]["name"], "domain": "other.example.com"}
    message = fails(stack, "teardown", {"input": given}, "InvalidInput")
    assert message.startswith("$.domain: ")
    assert world.domain in message


def test_teardown_ignores_anothers_environment(
    aws: LocalAws, stack: Stack, world: World, built: dict
) -> None:
    elb = aws.client("elbv2")
    arns = [built["loadBalancer"]["arn"], built["targetGroupArn"]]
    elb.add_tags(ResourceArns=arns, Tags=[{"Key": "albatross:stack", "Value": "somebody-elses"}])
    plan = stack.invoke("teardown", {"input": {"domain": world.domain}})
    assert {item["resource"] for item in plan["items"]} & {"load balancer", "target group"} == set()
