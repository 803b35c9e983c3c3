"""Tags of what a function has made are not known to IAM at once (kops#15990, aws-load-balancer-controller#1464)."""

import math

import pytest

from ..local import LocalAws
from .support import Balancer, Network, refused

TAGS = [{"Key": "owner:stack", "Value": "s"}]


@pytest.fixture(autouse=True)
def known_at_once_again(aws: LocalAws):
    yield
    aws.tags_lag, aws.seed, aws.speed = None, 0, 0


class Made:
    """What a function has made with tags, and a call about each that such a function's policy allows by tag."""

    def __init__(self, aws: LocalAws, name: str, app: str | None = "create-alb"):
        self.ec2, self.elb, self.acm = (aws.client(service, app=app) for service in ("ec2", "elbv2", "acm"))
        self.network = Network(aws)
        self.group = self.ec2.create_security_group(
            GroupName=f"{name}-elb",
            Description="of a test",
            VpcId=self.network.vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": TAGS}],
        )["GroupId"]
        self.balancer = self.elb.create_load_balancer(
            Name=f"{name}-elb", Subnets=self.network.subnets, SecurityGroups=[self.group], Tags=TAGS
        )["LoadBalancers"][0]["LoadBalancerArn"]
        self.targets = self.elb.create_target_group(
            Name=f"{name}-target-group", Protocol="HTTP", Port=80, VpcId=self.network.vpc, Tags=TAGS
        )["TargetGroups"][0]["TargetGroupArn"]
        self.certificate = self.acm.request_certificate(
            DomainName=f"{name}.test", ValidationMethod="DNS", Tags=TAGS
        )["CertificateArn"]

    def admit(self) -> None:
        permission = {
            "IpProtocol": "tcp",
            "FromPort": 80,
            "ToPort": 80,
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
        }
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[permission])

    def listen(self) -> None:
        actions = [{"Type": "forward", "TargetGroupArn": self.targets}]
        self.elb.create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTP", Port=80, DefaultActions=actions
        )

    def set_health_check(self) -> None:
        self.elb.modify_target_group(TargetGroupArn=self.targets, HealthCheckPath="/health")

    def delete_certificate(self) -> None:
        self.acm.delete_certificate(CertificateArn=self.certificate)


ACTS = [
    (Made.admit, "UnauthorizedOperation"),
    (Made.listen, "AccessDenied"),
    (Made.set_health_check, "AccessDenied"),
    (Made.delete_certificate, "AccessDeniedException"),
]


@pytest.mark.parametrize(("act", "code"), ACTS)
def test_a_call_that_is_allowed_by_new_tags_is_denied_for_three_minutes(aws, name, act, code):
    """In the service's own words; a read is not, and nor is the creation itself when it is repeated."""
    aws.tags_lag = True
    made = Made(aws, name)
    aws.advance(179)
    with refused(code):
        act(made)
    assert aws.calls()[-1]["error"] == code
    made.elb.describe_load_balancers(LoadBalancerArns=[made.balancer])
    made.elb.create_load_balancer(
        Name=f"{name}-elb", Subnets=made.network.subnets, SecurityGroups=[made.group], Tags=TAGS
    )
    aws.advance(1)
    act(made)


@pytest.mark.parametrize(("act", "code"), ACTS)
def test_at_infinite_speed_the_first_two_calls_about_each_are_denied(aws, name, act, code):
    aws.speed, aws.tags_lag = math.inf, True
    made = Made(aws, name)
    for _ in range(2):
        with refused(code):
            act(made)
    act(made)


def test_what_no_function_has_made_has_been_known_for_long(aws, network, name):
    aws.tags_lag = True
    balancer = Balancer(aws, network, name, Tags=TAGS)
    aws.client("elbv2", app="create-alb").delete_load_balancer(LoadBalancerArn=balancer.arn)


def test_the_seed_decides_where_no_setting_does(aws, name):
    """Both ways come; with seed 0 tags are known at once."""
    made = Made(aws, name)
    made.admit()
    fates = set()
    for seed in range(20):
        aws.seed = seed
        try:
            made.set_health_check()
            fates.add("known")
        except made.elb.exceptions.ClientError as error:
            fates.add(error.response["Error"]["Code"])
    assert fates == {"known", "AccessDenied"}
    aws.tags_lag = False
    made.set_health_check()
