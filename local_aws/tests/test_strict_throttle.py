"""Throttling as the services' guides have it: bursts, tokens a second, whose buckets they are, each service's error.

The guides are named beside the figures, in strict/throttle.py and, of Step Functions, ministack_server.py.
"""

import pytest
from botocore.exceptions import ClientError

from ..local import LocalAws
from .support import Balancer, Machine, refused

ABSENT = "arn:aws:elasticloadbalancing:us-east-1:123456789012:{}/app/absent/0"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/absent"


@pytest.fixture(scope="module", autouse=True)
def little_to_list(aws: LocalAws) -> None:
    """What other tests have made would slow hundreds of calls."""
    aws.reset()


@pytest.fixture(autouse=True)
def throttled(aws: LocalAws):
    aws.throttle()
    yield
    aws.throttle(False)


def passes(service, operation: str, most: int, **parameters) -> int:
    """How many calls come through before one is throttled; whatever else AWS says of a call, it came through."""
    for number in range(most):
        try:
            getattr(service, operation)(**parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] in (
                "RequestLimitExceeded",
                "Throttling",
                "ThrottlingException",
            ):
                return number
    raise AssertionError(f"{most} calls came through")


# (service, operation, parameters, burst, tokens a second)
LIMITS = [
    ("elbv2", "describe_load_balancers", {}, 40, 10),
    ("elbv2", "delete_load_balancer", {"LoadBalancerArn": ABSENT.format("loadbalancer")}, 20, 3),
    ("elbv2", "register_targets", {"TargetGroupArn": "absent", "Targets": [{"Id": "i-0"}]}, 20, 4),
    ("elbv2", "create_load_balancer", {"Name": "internal-x", "Subnets": ["subnet-0"]}, 10, 0.2),
    ("route53", "list_hosted_zones", {}, 50, 10),
    ("acm", "request_certificate", {"DomainName": "throttled.test", "ValidationMethod": "DNS"}, 5, 5),
    ("acm", "describe_certificate", {"CertificateArn": CERTIFICATE}, 10, 10),
    ("acm", "delete_certificate", {"CertificateArn": CERTIFICATE}, 10, 10),
    ("acm", "list_certificates", {}, 8, 8),
    ("ec2", "describe_security_groups", {}, 50, 10),
    ("ec2", "describe_security_groups", {"MaxResults": 5}, 100, 20),
    ("ec2", "delete_security_group", {"GroupId": "sg-0"}, 50, 5),
    (
        "ec2",
        "run_instances",
        {"ImageId": "ami-0", "SubnetId": "subnet-0", "MinCount": 1, "MaxCount": 1},
        5,
        2,
    ),
]


@pytest.mark.parametrize(("service", "operation", "parameters", "burst", "rate"), LIMITS)
def test_a_burst_then_so_many_a_second(aws, service, operation, parameters, burst, rate):
    client = aws.client(service)
    assert passes(client, operation, burst + 1, **parameters) == burst
    wait = max(1, 1 / rate)
    aws.advance(wait)
    assert passes(client, operation, burst + 1, **parameters) == round(wait * rate)
    aws.advance(3600)
    assert passes(client, operation, burst + 1, **parameters) == burst, (
        "a bucket holds no more than its burst"
    )


EXECUTION = {"executionArn": "arn:aws:states:us-east-1:123456789012:execution:absent:absent"}
MACHINE = {"stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:absent"}


@pytest.mark.parametrize(
    ("operation", "parameters", "burst", "rate"),
    [
        ("describe_execution", EXECUTION, 300, 15),
        ("get_execution_history", EXECUTION, 400, 20),
        ("list_executions", MACHINE, 200, 5),
    ],
)
def test_step_functions_throttles_functions_and_no_test(aws, operation, parameters, burst, rate):
    function = aws.client("stepfunctions", app="find-environments")
    assert passes(function, operation, burst + 1, **parameters) == burst
    assert aws.execution_calls()[-1]["error"] == "ThrottlingException"
    with pytest.raises(AssertionError, match="came through"):
        passes(aws.client("stepfunctions"), operation, 1, **parameters)
    aws.advance(1)
    assert passes(function, operation, burst + 1, **parameters) == rate


def test_a_state_machine_shares_the_bucket(aws, name):
    passes(aws.client("stepfunctions", app="find-environments"), "describe_execution", 301, **EXECUTION)
    describe = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
        "Arguments": {"ExecutionArn": EXECUTION["executionArn"]},
        "End": True,
    }
    machine = Machine(aws, name, {"Describe": describe})
    failed = machine.history(machine.start())[-1]["executionFailedEventDetails"]
    assert (failed["error"], failed["cause"]) == ("Sfn.ThrottlingException", "Rate exceeded")


@pytest.mark.parametrize(
    ("service", "operation", "status", "code"),
    [
        ("ec2", "describe_instances", 503, "RequestLimitExceeded"),
        ("elbv2", "describe_listeners", 400, "ThrottlingException"),
        ("route53", "list_hosted_zones", 400, "Throttling"),
        ("acm", "list_certificates", 400, "ThrottlingException"),
    ],
)
def test_each_service_says_so_in_its_own_words_and_the_record_has_it(aws, service, operation, status, code):
    client = aws.client(service)
    passes(client, operation, 60)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert "Rate exceeded" in answer["Error"]["Message"]
    last = aws.calls()[-1]
    assert (last["error"], last["fault"]) == (code, None)


def test_what_is_throttled_is_not_carried_out(aws, network, name):
    passes(network.ec2, "create_security_group", 51, GroupName="sg-refused", Description="of a test")
    with refused("RequestLimitExceeded"):
        network.group(name)
    filters = [{"Name": "group-name", "Values": [name]}]
    assert network.ec2.describe_security_groups(Filters=filters)["SecurityGroups"] == []


def test_the_accounts_bucket_is_all_operations_together(aws, network, name):
    balancer = Balancer(aws, network, name)
    aws.throttle()
    client = balancer.client
    for _ in range(20):
        client.describe_load_balancers(Names=[balancer.settings["Name"]])
        client.delete_load_balancer(LoadBalancerArn=ABSENT.format("loadbalancer"))
    with refused("ThrottlingException"):
        client.register_targets(TargetGroupArn=balancer.target_group, Targets=[{"Id": "i-0"}])


def test_of_ec2_each_operation_has_its_own_bucket(aws, network):
    passes(network.ec2, "delete_security_group", 51, GroupId="sg-0")
    network.ec2.create_tags(Resources=[network.vpc], Tags=[{"Key": "a", "Value": "b"}])


def test_all_callers_share_and_each_region_has_its_own(aws):
    assert passes(aws.client("acm", app="teardown"), "list_certificates", 9) == 8
    with refused("ThrottlingException"):
        aws.client("acm").list_certificates()
    aws.client("acm", "eu-west-1").list_certificates()


def test_off_until_switched_on_and_after_a_reset(own: LocalAws):
    own.speed = 0
    client = own.client("acm")
    for again in (True, False):
        for _ in range(20):
            client.list_certificates()
        if again:
            own.throttle()
            passes(client, "list_certificates", 200)
            own.reset()
