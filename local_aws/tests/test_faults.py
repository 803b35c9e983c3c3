"""Faults on demand: what a call, its caller and the record of calls see of each."""

import io
import json
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.exceptions import ConnectionError as Unconnected

from ..local import FOR_GOOD, LocalAws
from ..waiting import until
from .support import refused

# A function of the Lambda Runtime API that makes a VPC on each invocation and answers with its process id.
MAKES_A_VPC = """#!{python}
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
scope = "Credential=1/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
headers = {{"Authorization": "AWS4-HMAC-SHA256 " + scope, "User-Agent": "app/{name}"}}
form = b"Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0/16"
while True:
    with urllib.request.urlopen(api + "next") as invocation:
        request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
    urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL_EC2"], form, headers)).read()
    urllib.request.urlopen(api + request_id + "/response", json.dumps(os.getpid()).encode())
"""


@pytest.fixture(autouse=True)
def no_fault_after(aws: LocalAws):
    yield
    aws.end_faults()


@pytest.fixture
def function(aws: LocalAws, name: str):
    """The name of a function that makes a VPC."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("bootstrap", MAKES_A_VPC.format(python=sys.executable, name=name))
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role="arn:aws:iam::123456789012:role/any",
        Code={"ZipFile": archive.getvalue()},
        Timeout=60,
    )
    return name


def invoke(aws: LocalAws, function: str) -> object:
    return json.load(aws.client("lambda").invoke(FunctionName=function, Payload=b"{}")["Payload"])


def vpcs(aws: LocalAws) -> int:
    return len(aws.client("ec2").describe_vpcs()["Vpcs"])


def make_vpc(aws: LocalAws, app: str | None = None) -> None:
    aws.client("ec2", app=app).create_vpc(CidrBlock="10.0.0.0/16")


@pytest.mark.parametrize(
    ("service", "operation", "kind", "status", "code"),
    [
        ("ec2", "describe_vpcs", "throttled", 503, "RequestLimitExceeded"),
        ("ec2", "describe_vpcs", "failed", 500, "InternalError"),
        ("ec2", "describe_vpcs", "denied", 403, "UnauthorizedOperation"),
        ("elbv2", "describe_load_balancers", "throttled", 400, "ThrottlingException"),
        ("elbv2", "describe_load_balancers", "failed", 500, "InternalFailure"),
        ("elbv2", "describe_load_balancers", "denied", 403, "AccessDenied"),
        ("route53", "list_hosted_zones", "throttled", 400, "Throttling"),
        ("route53", "list_hosted_zones", "failed", 500, "InternalFailure"),
        ("route53", "list_hosted_zones", "denied", 403, "AccessDenied"),
        ("acm", "list_certificates", "throttled", 400, "ThrottlingException"),
        ("acm", "list_certificates", "failed", 500, "InternalFailure"),
        ("acm", "list_certificates", "denied", 400, "AccessDeniedException"),
    ],
)
def test_each_service_refuses_in_its_own_words(aws, service, operation, kind, status, code):
    aws.fault(kind)
    with pytest.raises(ClientError) as caught:
        getattr(aws.client(service), operation)()
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    last = aws.calls()[-1]
    assert (last["fault"], last["error"]) == (kind, code)
    getattr(aws.client(service), operation)()
    assert aws.calls()[-1]["fault"] is None


@pytest.mark.parametrize(("kind", "made"), [("throttled", 0), ("failed", 0), ("cut", 0), ("lost", 1)])
def test_only_a_lost_answers_call_is_carried_out(aws, kind, made):
    before = vpcs(aws)
    aws.fault(kind, "CreateVpc")
    with pytest.raises((ClientError, Unconnected, ConnectionClosedError)):
        make_vpc(aws)
    assert vpcs(aws) == before + made
    make_vpc(aws)
    assert vpcs(aws) == before + made + 1


def test_a_fault_strikes_so_many_calls_of_one_operation_and_caller(aws):
    aws.fault("throttled", "CreateVpc", caller="create-alb", nth=2, times=2)
    fates = []
    for app in ("create-alb", None, "create-alb", "teardown", "create-alb", "create-alb"):
        try:
            make_vpc(aws, app)
            fates.append("made")
        except ClientError:
            fates.append("throttled")
        aws.client("ec2", app="create-alb").describe_vpcs()
    assert fates == ["made", "made", "throttled", "made", "throttled", "made"]
    assert aws.struck() == 2


def test_a_policy_denies_for_good_everywhere_but_in_one_region(aws):
    """As an organisation's that denies by aws:RequestedRegion, which exempts global services (IAM user guide)."""
    aws.fault("denied", times=FOR_GOOD, outside="us-east-1")
    for _ in range(3):
        with refused("AccessDeniedException"):
            aws.client("acm", "eu-west-1").list_certificates()
    aws.client("acm", "us-east-1").list_certificates()
    aws.client("route53").list_hosted_zones()
    aws.client("route53", "eu-west-1").list_hosted_zones()
    assert [call["region"] for call in aws.calls()[-3:]] == ["us-east-1", None, None]
    assert aws.struck() == 3


def test_a_fault_can_strike_one_region_alone(aws):
    aws.fault("failed", "ListCertificates", times=FOR_GOOD, region="eu-west-1")
    with refused("InternalFailure"):
        aws.client("acm", "eu-west-1").list_certificates()
    for region in ("eu-west-2", "us-east-1"):
        aws.client("acm", region).list_certificates()


def test_an_unknown_fault_is_refused(aws):
    with pytest.raises(OSError, match="404"):
        aws.fault("eaten")


def test_a_killed_function_has_made_its_call(aws, function):
    first, before = invoke(aws, function), vpcs(aws)
    aws.fault("killed", "CreateVpc", caller=function)
    assert invoke(aws, function)["errorType"] == "Runtime.ExitError"
    assert vpcs(aws) == before + 1
    assert invoke(aws, function) != first, "a new process"


@pytest.mark.parametrize(("kind", "made"), [("stalled", 0), ("held", 1)])
def test_a_function_waits_until_faults_end_and_dies(aws, function, kind, made):
    before, since = vpcs(aws), len(aws.invocations())
    aws.fault(kind, "CreateVpc", caller=function)
    with ThreadPoolExecutor() as beside:
        invocation = beside.submit(invoke, aws, function)
        until(aws.struck, "the call")
        assert vpcs(aws) == before + made
        assert aws.invocations(since)[0]["ended"] is None
        aws.end_faults()
        assert invocation.result()["errorType"] == "Runtime.ExitError"
    assert vpcs(aws) == before + made


def test_who_is_no_function_is_not_killed(aws):
    before = vpcs(aws)
    aws.fault("killed", "CreateVpc")
    make_vpc(aws)
    assert vpcs(aws) == before + 1


def test_a_reset_ends_faults(own: LocalAws):
    own.fault("denied")
    own.reset()
    assert own.struck() == 0
    with refused("NoSuchHostedZone"):
        own.client("route53").get_hosted_zone(Id="Z000")
