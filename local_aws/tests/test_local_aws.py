"""The local AWS itself: its servers, its records, its clock, and that no call can leave the machine."""

import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..child import ROOT
from ..endpoints import ENDPOINT_VARIABLES
from ..local import LocalAws
from ..ministack_server import endpoint_fault
from .support import Balancer, Network, refused

# A function of the Lambda Runtime API: it answers with its environment, or fails as its event says.
BOOTSTRAP = """#!{python}
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as invocation:
        request_id, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.load(invocation)
    if "error" in event:
        answer, path = {{"errorType": event["error"], "errorMessage": "as asked"}}, "/error"
    else:
        answer, path = dict(os.environ), "/response"
    urllib.request.urlopen(api + request_id + path, json.dumps(answer).encode())
"""


class Function:
    """A function on MiniStack."""

    def __init__(self, aws: LocalAws, name: str, **variables: str):
        self.client, self.name = aws.client("lambda"), name
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("bootstrap", BOOTSTRAP.format(python=sys.executable))
        self.client.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role="arn:aws:iam::123456789012:role/any",
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": variables},
        )

    def invoke(self, **event: str) -> dict:
        answer = self.client.invoke(FunctionName=self.name, Payload=json.dumps(event))
        return json.load(answer["Payload"])


# Functions


def test_a_function_gets_loopback_endpoints_and_no_real_credentials(aws, name):
    environment = Function(aws, name).invoke()
    for variable in ENDPOINT_VARIABLES:
        assert urlsplit(environment[variable]).hostname == "127.0.0.1"
        assert environment[variable] == aws.environment[variable]
    assert environment["LOCAL_AWS_DNS"] == aws.dns_address
    assert environment["AWS_SECRET_ACCESS_KEY"] == "local"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert not Path(environment["HOME"]).samefile(Path.home())


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_ENDPOINT_URL_EC2": "https://ec2.us-east-1.amazonaws.com"},
        {"AWS_ENDPOINT_URL_STS": "http://192.0.2.1:4566"},
        {"AWS_ENDPOINT_URL_ACM": ""},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    ],
)
def test_a_function_that_could_reach_the_real_aws_is_refused(aws, name, variables):
    answer = Function(aws, name, **variables).invoke()
    assert answer["errorType"] == "LocalAws.EndpointNotLoopback"
    assert next(iter(variables)) in answer["errorMessage"]
    [invocation] = [each for each in aws.invocations() if each["function"] == name]
    assert invocation["error"] == "LocalAws.EndpointNotLoopback"


def test_an_absent_endpoint_is_a_fault():
    complete = dict.fromkeys(ENDPOINT_VARIABLES, "http://127.0.0.1:4566")
    assert endpoint_fault(complete) is None
    for variable in ENDPOINT_VARIABLES:
        without = {name: value for name, value in complete.items() if name != variable}
        assert endpoint_fault(without) == f"{variable} is not set"


def test_invocations_are_recorded(aws, name):
    function, before = Function(aws, name), len(aws.invocations())
    function.invoke()
    function.invoke(error="CertificatePending")
    good, bad = [each for each in aws.invocations(since=before) if each["function"] == name]
    assert good["error"] is None
    assert good["started"] <= good["ended"]
    assert bad["error"] == "CertificatePending"
    assert bad["n"] > good["n"] > before


# Calls


def test_calls_are_recorded_with_their_caller(aws, name):
    before = len(aws.calls())
    aws.client("elbv2", app="create-alb").describe_load_balancers()
    with refused("NoSuchHostedZone"):
        aws.client("route53").get_hosted_zone(Id="Z000")
    with refused("ResourceNotFoundException"):
        aws.client("acm", app="teardown").delete_certificate(
            CertificateArn="arn:aws:acm:us-east-1:123456789012:certificate/0"
        )
    aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    recorded = aws.calls(since=before)
    fields = ("service", "operation", "caller", "changes", "error")
    assert [tuple(call[field] for field in fields) for call in recorded] == [
        ("elbv2", "DescribeLoadBalancers", "create-alb", False, None),
        ("route53", "GetHostedZone", "other", False, "NoSuchHostedZone"),
        ("acm", "DeleteCertificate", "teardown", True, "ResourceNotFoundException"),
        ("ec2", "CreateVpc", "other", True, None),
    ]
    assert [call["n"] for call in recorded] == list(range(before + 1, before + 5))


def test_both_servers_are_one_account(aws):
    account = aws.client("sts").get_caller_identity()["Account"]
    vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]
    assert vpc["OwnerId"] == account


def test_a_clients_environment_names_no_file_or_key_of_the_users(aws):
    assert aws.environment["AWS_CONFIG_FILE"] == "/dev/null"
    for variable in ENDPOINT_VARIABLES:
        assert urlsplit(aws.environment[variable]).hostname == "127.0.0.1"


# Life


def listening(url: str) -> bool:
    """Whether a server is there."""
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def wait_until_gone(urls: list[str], folder: Path) -> None:
    """The servers, and all that they kept in the folder; bounded, for a server that hangs."""
    deadline = time.monotonic() + 30
    while any(listening(url) for url in urls) or any(folder.iterdir()):
        assert time.monotonic() < deadline, f"still there: {urls}, {list(folder.iterdir())}"
        time.sleep(0.05)


def test_speed_reset_and_end(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with LocalAws() as own:
        balancer = Balancer(own, Network(own), name)
        assert balancer.describe()["State"]["Code"] == "active", "at infinite speed nothing takes time"
        own.speed = 0
        Function(own, name).invoke()
        assert Balancer(own, Network(own), f"{name}b").describe()["State"]["Code"] == "provisioning"
        own.speed = math.inf
        own.reset()
        assert own.calls() == []
        assert own.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
        assert [each["FunctionName"] for each in own.client("lambda").list_functions()["Functions"]] == [name]
        urls = [own.environment[variable] for variable in ENDPOINT_VARIABLES]
        assert list(tmp_path.iterdir()) != [], "MiniStack's folder"
    assert not any(listening(url) for url in urls)
    assert list(tmp_path.iterdir()) == []


def test_in_the_foreground_it_prints_exports_and_ends_with_its_parent(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "local_aws"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as foreground:
        exports = {}
        for line in foreground.stdout:
            if line.startswith("export "):
                variable, _, value = line.removeprefix("export ").strip().partition("=")
                exports[variable] = value
            if line.startswith("#"):
                break
        urls = [exports[variable] for variable in ENDPOINT_VARIABLES]
        assert all(listening(url) for url in urls)
        foreground.send_signal(signal.SIGKILL)
    wait_until_gone(urls, tmp_path)
