"""How often a function is called that fails: the machines' own retriers, on a function that fails as it is asked to."""

import io
import json
import sys
import uuid
import zipfile

import pytest

from local_aws.local import LocalAws

from .test_lint import FINAL, calls
from .test_long_causes import ROLE, Steps

# A function of the Lambda Runtime API: it exits, hangs for longer than its Timeout, or answers with the error's name.
FAILS = """#!{python}
import json, os, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as invocation:
        request_id, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.load(invocation)
    if event["fails"] == "exits":
        os._exit(1)
    if event["fails"] == "hangs":
        time.sleep(60)
    answer = {{"errorType": event["fails"], "errorMessage": "as asked"}}
    urllib.request.urlopen(api + request_id + "/error", json.dumps(answer).encode())
"""


@pytest.fixture(scope="module")
def function(aws: LocalAws) -> str:
    """The name of a function that fails as its event says."""
    name = f"fails-{uuid.uuid4().hex[:10]}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("bootstrap", FAILS.format(python=sys.executable))
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=ROLE,
        Code={"ZipFile": archive.getvalue()},
        Timeout=1,
    )
    return name


PANIC = "alloc::boxed::Box<dyn core::any::Any + core::marker::Send>"


@pytest.mark.parametrize(
    ("fails", "told", "times"),
    [
        ("AwsUnavailable", "AwsUnavailable", 21),
        ("exits", "Runtime.ExitError", 3),
        ("hangs", "Sandbox.Timedout", 3),
        ("Runtime.OutOfMemory", "Runtime.OutOfMemory", 3),
        (PANIC, PANIC, 1),
        *((error, error, 1) for error in sorted(FINAL)),
    ],
)
def test_a_function_is_called_again_only_where_its_failure_may_pass(
    aws: LocalAws, function: str, fails: str, told: str, times: int
) -> None:
    steps, since = Steps(aws), len(aws.invocations())
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": "{% $states.input %}"},
        "Retry": calls()[0],
        "End": True,
    }
    with steps.machine(function, {"StartAt": "Call", "States": {"Call": task}}) as machine:
        ended = steps.run(machine, {"fails": fails})
    assert (ended["status"], ended["error"]) == ("FAILED", told)
    assert len([made for made in aws.invocations(since) if made["function"] == function]) == times
    assert json.loads(ended["cause"])["errorType"] == told
