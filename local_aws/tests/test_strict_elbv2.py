"""ELBv2 as its API reference and user guides have it: repeated creates, refused requests, states that take time, health.

Repeats and refusals: API reference, CreateLoadBalancer, CreateTargetGroup, CreateListener, SetSubnets, RegisterTargets
and their errors. Health: user guide, "Health checks", reason codes and their descriptions.
"""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from ..local import LocalAws
from .support import ALB_ZONE, SETTLED, Balancer, Certificate, Network, Zone, alias, issued, refused

REDIRECT = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}


@pytest.fixture
def balancer(aws: LocalAws, network: Network, name: str) -> Balancer:
    return Balancer(aws, network, name)


# Load balancers


def test_the_same_load_balancer_again_is_the_one_there_is(balancer, network):
    balancer.client.add_tags(ResourceArns=[balancer.arn], Tags=[{"Key": "owner", "Value": "somebody else"}])
    again = balancer.create(Subnets=network.subnets[::-1], Tags=[{"Key": "owner", "Value": "us"}])
    assert again["LoadBalancerArn"] == balancer.arn
    [described] = balancer.client.describe_tags(ResourceArns=[balancer.arn])["TagDescriptions"]
    assert described["Tags"] == [{"Key": "owner", "Value": "somebody else"}]


def test_the_name_with_other_settings_is_refused(balancer, network, name):
    network.subnet("c")
    group = network.group(f"{name}-other")
    for other in ({"Scheme": "internal"}, {"Subnets": network.subnets}, {"SecurityGroups": [group]}):
        with refused("DuplicateLoadBalancerName"):
            balancer.create(**other)


def test_concurrent_creates_make_one(aws, network, name):
    group = network.group(name)
    aws.client("elbv2")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Balancer(aws, network, name, group=group), range(8)))
    assert len({(each.arn, each.target_group) for each in made}) == 1
    assert len({each.listener() for each in made}) == 1


def test_subnets_are_known_in_two_zones_and_of_one_vpc(aws, balancer, network, name):
    first = network.subnets[0]
    same_zone = network.subnet("a")
    elsewhere = Network(aws).subnets[1]
    wrong = {
        "SubnetNotFound": [first, "subnet-00000000000000000"],
        "ValidationError": [first],
        "InvalidConfigurationRequest": [first, same_zone],
    }
    for code, subnets in wrong.items():
        with refused(code):
            balancer.create(Name=name, Subnets=subnets)
    with refused("InvalidConfigurationRequest", "same VPC"):
        balancer.create(Name=name, Subnets=[first, elsewhere])
    with refused("ValidationError", "At least two subnets"):
        balancer.client.set_subnets(LoadBalancerArn=balancer.arn, Subnets=[first])


def test_an_unknown_security_group_is_refused(balancer, name):
    with refused("InvalidSecurityGroup"):
        balancer.create(Name=name, SecurityGroups=["sg-00000000000000000"])


def test_without_a_security_group_it_is_the_vpcs_default(aws, network, name):
    made = aws.client("elbv2").create_load_balancer(Name=name, Subnets=network.subnets)["LoadBalancers"][0]
    [group] = network.ec2.describe_security_groups(GroupIds=made["SecurityGroups"])["SecurityGroups"]
    assert group["GroupName"] == "default"


@pytest.mark.parametrize("bad", ["internal-x", "-x", "x-", "x_y", "x" * 33])
def test_names_have_rules(balancer, bad):
    with refused("ValidationError"):
        balancer.create(Name=bad)


def test_active_after_minutes(aws, balancer):
    assert balancer.create()["State"]["Code"] == "provisioning"
    aws.advance(100)
    assert balancer.describe()["State"]["Code"] == "provisioning"
    aws.advance(50)
    assert balancer.describe()["State"]["Code"] == "active"


def test_it_is_as_old_as_aws_time_says(aws, balancer):
    aws.advance(3600)
    age = datetime.now(UTC) - balancer.describe()["CreatedTime"]
    assert age > timedelta(minutes=59)


def test_provisioning_for_ever_without_a_route_to_an_internet_gateway(aws, network, name):
    private = network.subnet("c", public=False)
    balancer = Balancer(aws, network, name)
    aws.advance(SETTLED)
    assert balancer.describe()["State"]["Code"] == "provisioning"
    balancer.client.set_subnets(
        LoadBalancerArn=balancer.arn, Subnets=[each for each in network.subnets if each != private]
    )
    assert balancer.describe()["State"]["Code"] == "active"


def test_the_zone_id_is_the_regions_and_the_dns_name_its_own(aws, balancer, network):
    first = balancer.describe()
    assert first["CanonicalHostedZoneId"] == ALB_ZONE
    balancer.delete()
    assert balancer.create()["DNSName"] != first["DNSName"]


def test_each_region_has_its_zone_id(aws, name):
    """AWS General Reference, "Elastic Load Balancing endpoints and quotas"."""
    ec2 = aws.client("ec2", "eu-west-1")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    client = aws.client("elbv2", "eu-west-1")
    [made] = client.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"]
    assert made["CanonicalHostedZoneId"] == "Z32O12XQLNTSW2"
    zone = Zone(aws, f"{name}.test")
    with refused("InvalidChangeBatch", "does not lie within the target zone"):
        zone.change(("CREATE", alias(zone.domain, ALB_ZONE, made["DNSName"])))
    zone.change(("CREATE", alias(zone.domain, made["CanonicalHostedZoneId"], made["DNSName"])))


def test_deletion_protection_is_honoured(balancer):
    def protect(value: str) -> None:
        attributes = [{"Key": "deletion_protection.enabled", "Value": value}]
        balancer.client.modify_load_balancer_attributes(LoadBalancerArn=balancer.arn, Attributes=attributes)

    protect("true")
    with refused("OperationNotPermitted"):
        balancer.delete()
    protect("false")
    balancer.delete()
    balancer.delete()


def test_load_balancers_come_in_pages(balancer, network):
    for number in range(2):
        balancer.create(Name=f"{balancer.settings['Name']}-{number}")
    paginator = balancer.client.get_paginator("describe_load_balancers")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 1}))
    arns = [each["LoadBalancerArn"] for page in pages for each in page["LoadBalancers"]]
    assert len(arns) == len(set(arns)) >= 3


def test_a_missing_load_balancer_among_others_is_an_error(balancer):
    with refused("LoadBalancerNotFound"):
        balancer.client.describe_load_balancers(Names=[balancer.settings["Name"], "absent"])


# Target groups


def test_the_same_target_group_again_is_the_one_there_is(balancer):
    assert balancer.create_target_group(Tags=[{"Key": "a", "Value": "b"}]) == balancer.target_group
    for other in ({"HealthCheckPath": "/other"}, {"Port": 8080}, {"Matcher": {"HttpCode": "200-299"}}):
        with refused("DuplicateTargetGroupName"):
            balancer.create_target_group(**other)
    groups = balancer.client.describe_target_groups(Names=[balancer.target_settings["Name"]])["TargetGroups"]
    assert [group["TargetGroupArn"] for group in groups] == [balancer.target_group]


def test_sameness_is_with_what_it_is_now(balancer):
    balancer.client.modify_target_group(TargetGroupArn=balancer.target_group, HealthCheckPath="/new")
    assert balancer.create_target_group(HealthCheckPath="/new") == balancer.target_group
    with refused("DuplicateTargetGroupName"):
        balancer.create_target_group()


def test_target_groups_come_in_pages(balancer):
    for number in range(2):
        balancer.create_target_group(Name=f"{balancer.target_settings['Name']}-{number}"[-32:].strip("-"))
    first = balancer.client.describe_target_groups(PageSize=1)
    assert len(first["TargetGroups"]) == 1
    pages = balancer.client.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 1})
    arns = [each["TargetGroupArn"] for page in pages for each in page["TargetGroups"]]
    assert len(arns) == len(set(arns)) >= 3


def test_a_target_group_in_use_stays(balancer):
    listener = balancer.listener()
    with refused("ResourceInUse"):
        balancer.client.delete_target_group(TargetGroupArn=balancer.target_group)
    balancer.client.delete_listener(ListenerArn=listener)
    balancer.client.delete_target_group(TargetGroupArn=balancer.target_group)


def test_a_target_group_knows_who_uses_it_now(balancer):
    def users() -> list[str]:
        [group] = balancer.client.describe_target_groups(TargetGroupArns=[balancer.target_group])[
            "TargetGroups"
        ]
        return group["LoadBalancerArns"]

    balancer.listener()
    assert users() == [balancer.arn]
    balancer.delete()
    assert users() == []


def test_a_target_group_has_one_load_balancer(aws, balancer, network, name):
    balancer.listener()
    other = Balancer(aws, network, f"{name}b")
    with refused("TargetGroupAssociationLimit"):
        other.listener(DefaultActions=[{"Type": "forward", "TargetGroupArn": balancer.target_group}])


def test_targets_exist_run_and_lie_in_the_vpc(aws, balancer, network, name):
    ec2, register = network.ec2, balancer.client.register_targets
    stopped, good = network.instance(network.group(name)), network.instance(balancer.group)
    other = Network(aws)
    elsewhere = other.instance(other.group(name))
    ec2.stop_instances(InstanceIds=[stopped])
    for bad in ("i-00000000000000000", stopped, elsewhere):
        with refused("InvalidTarget"):
            register(TargetGroupArn=balancer.target_group, Targets=[{"Id": good}, {"Id": bad}])
    health = balancer.client.describe_target_health(TargetGroupArn=balancer.target_group)
    assert health["TargetHealthDescriptions"] == []


def test_registering_and_deregistering_repeat(balancer, network):
    targets = [{"Id": network.instance(balancer.group)}]
    for call in ("register_targets", "register_targets", "deregister_targets", "deregister_targets"):
        getattr(balancer.client, call)(TargetGroupArn=balancer.target_group, Targets=targets)


# Listeners


def test_one_listener_a_port(balancer):
    first = balancer.listener()
    assert balancer.listener() == first
    with refused("DuplicateListener"):
        balancer.listener(DefaultActions=[{"Type": "redirect", "RedirectConfig": REDIRECT}])
    second = balancer.listener(8080)
    with refused("DuplicateListener"):
        balancer.client.modify_listener(ListenerArn=second, Port=80)
    assert len(balancer.client.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"]) == 2


def test_https_needs_a_certificate_that_is_issued(aws, balancer, zone):
    with refused("ValidationError", "A certificate must be specified for HTTPS listeners"):
        balancer.listener(443, "HTTPS")
    with refused("CertificateNotFound"):
        balancer.https_listener("arn:aws:acm:us-east-1:123456789012:certificate/absent")
    with refused("UnsupportedCertificate"):
        balancer.https_listener(Certificate(aws, zone.domain).arn)
    with refused("SSLPolicyNotFound"):
        balancer.https_listener(issued(aws, zone).arn, SslPolicy="ELBSecurityPolicy-None")
    assert balancer.client.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"] == []


def test_the_same_https_listener_again_is_the_one_there_is(aws, balancer, zone):
    arn, policy = issued(aws, zone).arn, "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    first = balancer.https_listener(arn, SslPolicy=policy)
    assert balancer.https_listener(arn, SslPolicy=policy) == first
    with refused("DuplicateListener"):
        balancer.https_listener(arn)


def test_a_redirect_is_a_301_or_302_and_keeps_what_it_does_not_set(balancer):
    wrong = {"Type": "redirect", "RedirectConfig": REDIRECT | {"StatusCode": "HTTP_999"}}
    listener = balancer.listener()
    with refused("ValidationError", "HTTP_301, HTTP_302"):
        balancer.listener(8080, DefaultActions=[wrong])
    with refused("ValidationError", "HTTP_301, HTTP_302"):
        balancer.client.modify_listener(ListenerArn=listener, DefaultActions=[wrong])
    right = {"Type": "redirect", "RedirectConfig": REDIRECT}
    balancer.client.modify_listener(ListenerArn=listener, DefaultActions=[right])
    [found] = balancer.client.describe_listeners(ListenerArns=[listener])["Listeners"]
    assert found["DefaultActions"][0]["RedirectConfig"] == REDIRECT | {
        "Host": "#{host}",
        "Path": "/#{path}",
        "Query": "#{query}",
    }
    assert balancer.listener(DefaultActions=[right]) == listener


def test_a_deleted_listener_is_not_found(balancer):
    listener = balancer.listener()
    balancer.client.delete_listener(ListenerArn=listener)
    with refused("ListenerNotFound"):
        balancer.client.delete_listener(ListenerArn=listener)
    with refused("ListenerNotFound"):
        balancer.client.describe_tags(ResourceArns=[listener])


def test_tags_of_at_most_twenty_resources_a_call(balancer):
    with refused("ValidationError"):
        balancer.client.describe_tags(ResourceArns=[balancer.arn] * 21)
    tags = [{"Key": f"key-{number}", "Value": "x"} for number in range(51)]
    balancer.client.add_tags(ResourceArns=[balancer.arn], Tags=tags[:50])
    with refused("TooManyTags"):
        balancer.client.add_tags(ResourceArns=[balancer.arn], Tags=tags[50:])


def test_tags_have_few_characters(balancer):
    """API reference, Tag: neither a comma nor a brace."""
    for bad in ('{"json": 1}', "a,b", "a*"):
        tags = [{"Key": "key", "Value": bad}]
        with refused("ValidationError"):
            balancer.client.add_tags(ResourceArns=[balancer.arn], Tags=tags)
        with refused("ValidationError"):
            balancer.create(Name="other", Tags=tags)
        with refused("ValidationError"):
            balancer.create_target_group(Name="other", Tags=tags)
        with refused("ValidationError"):
            balancer.listener(Tags=tags)
    balancer.client.add_tags(
        ResourceArns=[balancer.arn], Tags=[{"Key": "a:b", "Value": "2026-11-24T20:00+01:00 é_./=@"}]
    )
    assert balancer.client.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"] == []


# Target health


class Backend:
    """A server on this machine that answers with the status it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.paths: list[str] = []
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                backend.paths.append(self.path)
                self.send_response(backend.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Target:
    """A registered instance whose own group admits the load balancer, behind a listener, all settled."""

    def __init__(self, aws: LocalAws, network: Network, balancer: Balancer, name: str, **tags: str):
        self.aws, self.ec2, self.balancer = aws, network.ec2, balancer
        self.group = network.group(name)
        self.admit(UserIdGroupPairs=[{"GroupId": balancer.group}])
        self.instance = network.instance(self.group, tags=tags)
        self.register()
        balancer.listener()
        aws.advance(SETTLED)

    def register(self) -> None:
        targets = [{"Id": self.instance}]
        self.balancer.client.register_targets(TargetGroupArn=self.balancer.target_group, Targets=targets)

    def admit(self, port: int = 80, **source) -> None:
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[permission])

    def admit_nothing(self) -> None:
        rules = self.ec2.describe_security_groups(GroupIds=[self.group])["SecurityGroups"][0]["IpPermissions"]
        self.ec2.revoke_security_group_ingress(GroupId=self.group, IpPermissions=rules)

    def health(self) -> tuple[str, str | None, str | None]:
        answer = self.balancer.client.describe_target_health(TargetGroupArn=self.balancer.target_group)
        [found] = answer["TargetHealthDescriptions"]
        health = found["TargetHealth"]
        return health["State"], health.get("Reason"), health.get("Description")


HEALTHY = ("healthy", None, None)
TIMED_OUT = ("unhealthy", "Target.Timeout", "Request timed out")


@pytest.fixture
def target(aws, network, balancer, name) -> Target:
    return Target(aws, network, balancer, name)


def test_a_running_admitted_instance_is_healthy(target):
    assert target.health() == HEALTHY


def test_initial_until_the_first_health_check_and_the_active_load_balancer(aws, network, balancer, name):
    target = Target(aws, network, balancer, name)
    target.balancer.client.deregister_targets(
        TargetGroupArn=balancer.target_group, Targets=[{"Id": target.instance}]
    )
    target.register()
    initial = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
    assert target.health() == initial
    aws.advance(10)
    assert target.health() == HEALTHY
    target.register()
    assert target.health() == HEALTHY
    balancer.delete()
    balancer.arn = balancer.create()["LoadBalancerArn"]
    balancer.listener()
    assert target.health() == initial


def test_unused_without_a_listener(target):
    target.balancer.delete()
    words = "Target group is not configured to receive traffic from the load balancer"
    assert target.health() == ("unused", "Target.NotInUse", words)


def test_unused_when_stopped(target):
    target.ec2.stop_instances(InstanceIds=[target.instance])
    assert target.health() == ("unused", "Target.InvalidState", "Target is in the stopped state")


def test_unused_in_a_zone_that_is_not_enabled(aws, network, balancer, name):
    group = network.group(name)
    instance = network.instance(group, network.subnet("c"))
    balancer.client.register_targets(TargetGroupArn=balancer.target_group, Targets=[{"Id": instance}])
    balancer.listener()
    [found] = balancer.client.describe_target_health(TargetGroupArn=balancer.target_group)[
        "TargetHealthDescriptions"
    ]
    assert found["TargetHealth"]["Reason"] == "Target.NotInUse"
    assert "Availability Zone that is not enabled" in found["TargetHealth"]["Description"]


def test_timed_out_when_not_admitted(target):
    target.admit_nothing()
    assert target.health() == TIMED_OUT
    target.admit(8080, UserIdGroupPairs=[{"GroupId": target.balancer.group}])
    assert target.health() == TIMED_OUT
    target.admit(IpRanges=[{"CidrIp": "198.51.100.0/24"}])
    assert target.health() == TIMED_OUT
    target.admit(IpRanges=[{"CidrIp": "10.0.0.0/16"}])
    assert target.health() == HEALTHY


def test_the_health_check_port_must_be_admitted_too(target):
    target.balancer.client.modify_target_group(
        TargetGroupArn=target.balancer.target_group, HealthCheckPort="9000"
    )
    assert target.health() == TIMED_OUT
    target.admit(9000, UserIdGroupPairs=[{"GroupId": target.balancer.group}])
    assert target.health() == HEALTHY


def test_a_backend_is_asked_for_the_path_and_its_answer_counts(aws, network, balancer, name, backend):
    target = Target(aws, network, balancer, name, **{"local:backend": backend.address})
    assert target.health() == HEALTHY
    assert set(backend.paths) == {"/health"}
    backend.status = 500
    words = "Health checks failed with these codes: [500]"
    assert target.health() == ("unhealthy", "Target.ResponseCodeMismatch", words)
    balancer.client.modify_target_group(
        TargetGroupArn=balancer.target_group, Matcher={"HttpCode": "200,500-502"}
    )
    assert target.health() == HEALTHY


def test_a_backend_that_is_not_there_fails_the_check(aws, network, balancer, name, backend):
    backend.server.shutdown()
    backend.server.server_close()
    target = Target(aws, network, balancer, name, **{"local:backend": backend.address})
    assert target.health() == ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")


# Deregistered targets


DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")


def deregister(target: Target, port: int | None = None) -> None:
    target.balancer.client.deregister_targets(
        TargetGroupArn=target.balancer.target_group,
        Targets=[{"Id": target.instance} | ({"Port": port} if port else {})],
    )


def registered(target: Target) -> set[tuple[int, str]]:
    """Port and state of each of the group's targets."""
    answer = target.balancer.client.describe_target_health(TargetGroupArn=target.balancer.target_group)
    found = answer["TargetHealthDescriptions"]
    return {(each["Target"]["Port"], each["TargetHealth"]["State"]) for each in found}


def test_a_deregistered_target_drains_for_the_deregistration_delay(aws, target):
    """ELB user guide, "Deregistration delay": 300 seconds unless set."""
    deregister(target)
    assert target.health() == DRAINING
    aws.advance(299)
    assert target.health() == DRAINING
    aws.advance(1)
    assert registered(target) == set()
    [found] = target.balancer.client.describe_target_health(
        TargetGroupArn=target.balancer.target_group, Targets=[{"Id": target.instance}]
    )["TargetHealthDescriptions"]
    assert found["TargetHealth"]["Reason"] == "Target.NotRegistered"


def test_the_deregistration_delay_can_be_set(aws, target):
    target.balancer.client.modify_target_group_attributes(
        TargetGroupArn=target.balancer.target_group,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}],
    )
    deregister(target)
    assert target.health() == DRAINING
    aws.advance(20)
    assert registered(target) == set()


def test_a_target_drains_only_where_a_load_balancer_sends_to_it(target):
    target.balancer.delete()
    deregister(target)
    assert registered(target) == set()


def test_a_load_balancer_that_goes_leaves_nothing_to_drain(target):
    deregister(target)
    target.balancer.delete()
    assert registered(target) == set()
    target.balancer.client.delete_target_group(TargetGroupArn=target.balancer.target_group)


def test_a_draining_target_may_come_back(aws, target):
    deregister(target)
    target.register()
    aws.advance(SETTLED)
    assert target.health() == HEALTHY


def test_a_terminated_instance_drains(aws, target):
    """ELB user guide, "Register targets": it is deregistered by itself."""
    target.ec2.terminate_instances(InstanceIds=[target.instance])
    assert target.health() == DRAINING
    aws.advance(300)
    assert registered(target) == set()


def test_an_instance_on_two_ports_is_two_targets(aws, target):
    """ELB user guide, "Register targets": an instance can be registered several times, on different ports."""
    target.balancer.client.register_targets(
        TargetGroupArn=target.balancer.target_group, Targets=[{"Id": target.instance, "Port": 8080}]
    )
    target.admit(8080, UserIdGroupPairs=[{"GroupId": target.balancer.group}])
    aws.advance(SETTLED)
    assert registered(target) == {(80, "healthy"), (8080, "healthy")}
    deregister(target)
    assert registered(target) == {(80, "draining"), (8080, "healthy")}
    deregister(target, 8080)
    aws.advance(SETTLED)
    assert registered(target) == set()
