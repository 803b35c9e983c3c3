"""What runs functions and state machines: MiniStack on a free loopback port, in a process and a temporary folder of its own.

It is started here and not by its own command: it keeps nothing in shared temporary folders, it refuses a function that
could call the real AWS, and each function below brings it closer to AWS, or shows what it does. It answers under
/_local/: GET invocations and calls (what functions ask of Step Functions), POST throttle and clock.
"""

import asyncio
import json
import math
import os
import re
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import yaml

from . import child
from .buckets import Limit, buckets
from .caller import OTHER, caller
from .clock import clock
from .endpoints import ENDPOINT_VARIABLES

# Step Functions developer guide, "Service quotas", API action throttling, of standard workflows in us-east-1.
LIMITS = [
    Limit("states", "StartExecution", 1300, 300),
    Limit("states", "StopExecution", 1000, 200),
    Limit("states", "GetExecutionHistory", 400, 20),
    Limit("states", "DescribeExecution", 300, 15),
    Limit("states", "ListExecutions", 200, 5),
]
# Begins with a letter, a number or punctuation.
SUBJECT = re.compile(r"[!-~][ -~]{0,98}")
# Step Functions API reference, CreateStateMachine and TaskFailedEventDetails.
MACHINE_NAME_MAX, CAUSE_MAX = 80, 32768
LOOPBACK = {"127.0.0.1", "::1", "localhost"}

invocations: list[dict] = []
calls: list[dict] = []
CONTROL = "/_local/"


def endpoint_fault(variables: dict[str, str]) -> str | None:
    """Why a function with these variables could make a call that leaves this machine, if it could."""
    if variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false").lower() != "false":
        return "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set"
    for name in ENDPOINT_VARIABLES:
        if not variables.get(name):
            return f"{name} is not set"
    for name, value in variables.items():
        if name.startswith("AWS_ENDPOINT_URL") and urlsplit(value).hostname not in LOOPBACK:
            return f"{name}={value} is not a loopback address"
    return None


def refusal(name: str, fault: str) -> dict:
    """What MiniStack's executors answer with when an invocation has failed."""
    message = f"The local AWS does not start {name}: {fault}, so its calls could reach the real AWS."
    return {
        "body": {"errorType": "LocalAws.EndpointNotLoopback", "errorMessage": message},
        "error": True,
        "log": "",
    }


def watch_functions() -> None:
    """Stand between MiniStack's invocations and its executors: every invocation passes this one function."""
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_dispatch

    def dispatch(func, config, event, request_id, started):
        name = config.get("FunctionName", "")
        invocation = {
            "n": len(invocations) + 1,
            "function": name,
            "started": time.time(),
            "ended": None,
            "error": None,
        }
        invocations.append(invocation)
        fault = endpoint_fault(dict(os.environ) | lambda_svc._runtime_env_vars(config))
        result = refusal(name, fault) if fault else execute(func, config, event, request_id, started)
        if result.get("error"):
            body = result.get("body")
            invocation["error"] = body.get("errorType", "Unknown") if isinstance(body, dict) else "Unknown"
        invocation["ended"] = time.time()
        return result

    lambda_svc._execute_function_dispatch = dispatch


def watch_calls() -> None:
    """Record what functions ask of Step Functions, with what IAM checks: one action on the ARN that a call names."""
    from ministack.services import stepfunctions

    handle = stepfunctions.handle_request

    async def handle_request(method, path, headers, body, query_params):
        calling, operation = caller(headers), headers.get("x-amz-target", "").rpartition(".")[2]
        if calling != OTHER:
            parameters = json.loads(body)
            resource = parameters.get("executionArn") or parameters["stateMachineArn"]
            call = {
                "n": len(calls) + 1,
                "service": "states",
                "operation": operation,
                "caller": calling,
                "changes": not operation.startswith(("Describe", "Get", "List")),
                "checks": [{"action": f"states:{operation}", "resource": resource, "context": {}}],
                "error": None,
            }
            calls.append(call)
        answer = await handle(method, path, headers, body, query_params)
        if calling != OTHER and answer[0] >= 400:
            call["error"] = json.loads(answer[2])["__type"]
        return answer

    stepfunctions.handle_request = handle_request


def throttle_calls() -> None:
    """Step Functions refuses what comes too often from functions, and from state machines that call it as an AWS SDK does.

    Tests and the demo look as often as they like: no user would.
    """
    from ministack.core.responses import error_response_json, get_account_id, get_region
    from ministack.services import stepfunctions

    handle = stepfunctions.handle_request

    async def handle_request(method, path, headers, body, query_params):
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        limits = [limit for limit in LIMITS if limit.is_for("states", operation)]
        # A state machine's call has no user agent here.
        counts = caller(headers) != OTHER or "user-agent" not in headers
        if counts and buckets.refuse(operation, limits, (get_account_id(), get_region())):
            return error_response_json("ThrottlingException", "Rate exceeded", 400)
        return await handle(method, path, headers, body, query_params)

    stepfunctions.handle_request = handle_request


def take_yaml_definitions() -> None:
    """CloudFormation takes a state machine's DefinitionS3Location in JSON or YAML; MiniStack in JSON alone."""
    from ministack.services.cloudformation import provisioners

    definition = provisioners._sfn_definition
    provisioners._sfn_definition = lambda properties: json.dumps(yaml.safe_load(definition(properties)))


def keep_time_zones() -> None:
    """CloudFormation's AWS::Scheduler::Schedule has a time zone, which MiniStack forgets; its clock stays UTC's."""
    from ministack.services import scheduler
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]
    create, update = handlers["create"], handlers["update"]
    field = "ScheduleExpressionTimezone"

    def kept(made, properties):
        name, attributes = made
        group = properties.get("GroupName", "default")
        scheduler._schedules[f"{group}/{name}"][field] = properties.get(field, "UTC")
        return name, attributes

    handlers["create"] = lambda logical, new, stack: kept(create(logical, new, stack), new)
    handlers["update"] = lambda name, old, new, stack: kept(update(name, old, new, stack), new)


def keep_dashboards_by_account() -> None:
    """A dashboard is the account's in all regions (CloudFormation reference, AWS::CloudWatch::Dashboard).

    A stack whose dashboard has the name of another one fails (qnabot-on-aws#81); MiniStack keeps them by region, and
    takes the other one over.
    """
    from ministack.core.responses import AccountScopedDict
    from ministack.services import cloudwatch
    from ministack.services.cloudformation import provisioners

    cloudwatch._dashboards = AccountScopedDict()
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::Dashboard"]
    create, update = handlers["create"], handlers["update"]

    def must_be_free(name: str) -> None:
        if name in cloudwatch._dashboards:
            raise ValueError(f"Dashboard '{name}' already exists")

    def create_dashboard(logical, properties, stack):
        must_be_free(provisioners._cw_dashboard_name(logical, properties, stack))
        return create(logical, properties, stack)

    def update_dashboard(name, old, new, stack):
        if new.get("DashboardName", name) != name:
            must_be_free(new["DashboardName"])
        return update(name, old, new, stack)

    handlers.update(create=create_dashboard, update=update_dashboard)


def keep_boundaries() -> None:
    """CloudFormation's AWS::IAM::Role has a permissions boundary, which MiniStack forgets."""
    from ministack.services import iam
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    create, update = handlers["create"], handlers["update"]
    field = "PermissionsBoundary"

    def kept(made, properties):
        iam._roles[made[0]][field] = properties.get(field)
        return made

    handlers["create"] = lambda logical, new, stack: kept(create(logical, new, stack), new)
    handlers["update"] = lambda name, old, new, stack: kept(update(name, old, new, stack), new)


def refuse_bad_subjects() -> None:
    """A mail's subject is a line of less than 100 ASCII characters (SNS API reference, Publish); MiniStack takes any."""
    from ministack.services import sns

    publish = sns.publish_internal

    def publish_internal(topic, message, subject="", **more):
        if subject and not SUBJECT.fullmatch(subject):
            raise sns.SnsPublishError("InvalidParameter", "Invalid parameter: Subject")
        return publish(topic, message, subject, **more)

    sns.publish_internal = publish_internal


def name_errors_as_the_sdk_does() -> None:
    """An AWS SDK integration's errors are named as exceptions of the SDK for Java; MiniStack's as on the wire."""
    from ministack.services import stepfunctions

    code = "ExecutionDoesNotExist"
    stepfunctions._AWS_SDK_ERROR_CODE_OVERRIDES["sfn"] = {code: f"{code}Exception"}


def tell_of_failed_children() -> None:
    """Of a child that failed, startExecution.sync:2 has the error States.TaskFailed, and the child as JSON for a cause.

    A cause has at most 32,768 characters (API reference, TaskFailedEventDetails), and
    longer JSON is cut there. MiniStack gives the child's own error and cause.
    """
    from ministack.services import stepfunctions

    failure = stepfunctions._nested_execution_failure
    fields = (
        "executionArn",
        "input",
        "inputDetails",
        "name",
        "startDate",
        "stateMachineArn",
        "status",
        "stopDate",
    )

    def nested_execution_failure(child):
        error, cause = failure(child)
        told = {field[:1].upper() + field[1:]: child[field] for field in fields}
        if child["status"] == "FAILED":
            told |= {"Cause": cause, "Error": error}
        return "States.TaskFailed", json.dumps(told, sort_keys=True)[:CAUSE_MAX]

    stepfunctions._nested_execution_failure = nested_execution_failure


def refuse_long_names() -> None:
    """CloudFormation refuses a state machine's name of more than 80 characters (its registry's schema); MiniStack does not."""
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    create = handlers["create"]

    def checked(logical, properties, stack):
        length = len(properties.get("StateMachineName", ""))
        if length > MACHINE_NAME_MAX:
            fault = f"#/StateMachineName: expected maxLength: {MACHINE_NAME_MAX}, actual: {length}"
            raise ValueError(f"Properties validation failed for resource {logical} with message: {fault}")
        return create(logical, properties, stack)

    handlers["create"] = checked


def start_nothing_by_the_clock() -> None:
    """Schedules wait for whoever plays EventBridge: no test fails because it is three in the afternoon."""
    from ministack.services import eventbridge, scheduler

    eventbridge._tick_scheduled_rules = scheduler._tick_schedules = lambda: None


def end_stopped_executions() -> None:
    """A stopped execution does nothing any more (StopExecution); MiniStack goes on with branches and retries."""
    from ministack.services import stepfunctions

    add_event, run_execution = stepfunctions._add_event, stepfunctions._run_execution

    def add(execution, kind, details=None):
        if execution["status"] != "RUNNING" and not kind.startswith("Execution"):
            raise SystemExit  # of this branch's thread alone
        add_event(execution, kind, details)

    def run(arn):
        with suppress(SystemExit):  # whoever waits for it in the same thread goes on
            run_execution(arn)

    stepfunctions._add_event, stepfunctions._run_execution = add, run


def start_executions_at_once() -> None:
    """An execution begins as soon as it is started; MiniStack lets each sleep for 0.15 s before."""
    from ministack.services import stepfunctions

    run_execution, beginning = stepfunctions._run_execution, threading.local()

    def sleep(seconds):
        if not vars(beginning).pop("it_is", False):
            time.sleep(seconds)

    def run(arn):
        beginning.it_is = True
        run_execution(arn)

    stepfunctions._run_execution, stepfunctions.time = run, SimpleNamespace(**vars(time) | {"sleep": sleep})


def wait_scale(speed: float) -> float:
    """Real seconds per second of a Step Functions wait; under a stopped clock waits take their real time."""
    return 0.0 if math.isinf(speed) else 1 / speed if speed else 1.0


def control(method: str, what: str, query: dict[str, list[str]], body: dict) -> object:
    """One request to the control path."""
    match method, what:
        case "GET", "invocations":
            return invocations[int(query.get("since", ["0"])[0]) :]
        case "GET", "calls":
            return calls[int(query.get("since", ["0"])[0]) :]
        case "POST", "throttle":
            buckets.switch(body["on"])
            return {}
        case "POST", "clock":
            from ministack.services import stepfunctions

            clock.change(body)
            stepfunctions._SFN_WAIT_SCALE = wait_scale(clock.speed)
            return {}
    raise LookupError(f"{method} {CONTROL}{what}")


def with_control(app):
    """MiniStack's ASGI application with the control path beside it."""

    async def controlled(scope, receive, send):
        if scope["type"] != "http" or not scope["path"].startswith(CONTROL):
            return await app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = parse_qs(scope["query_string"].decode())
        what = scope["path"].removeprefix(CONTROL)
        answer = json.dumps(control(scope["method"], what, query, json.loads(body or b"{}"))).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return controlled


async def serve(listener: socket.socket) -> None:
    """Serve until the parent ends."""
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config
    from ministack.app import app
    from ministack.core import lambda_runtime

    from .histories import complete_histories

    watch_functions()
    throttle_calls()
    watch_calls()
    take_yaml_definitions()
    start_nothing_by_the_clock()
    keep_time_zones()
    keep_dashboards_by_account()
    keep_boundaries()
    refuse_bad_subjects()
    name_errors_as_the_sdk_does()
    tell_of_failed_children()
    refuse_long_names()
    complete_histories()
    start_executions_at_once()
    end_stopped_executions()
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 1
    parent_ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    child.when_parent_ends(lambda: loop.call_soon_threadsafe(parent_ended.set))
    child.announce(listener.getsockname()[1])
    await hypercorn_serve(with_control(app), config, shutdown_trigger=parent_ended.wait)
    lambda_runtime.reset()


def main() -> None:
    """MiniStack reads its settings from the environment when imported, so they are made first.

    The argument is the speed of the clock.
    """
    clock.speed = float(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="local-aws-ministack-") as folder:
        os.environ |= {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "IOT_MTLS_ENABLED": "0",  # it would listen on every interface
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{folder}/none",  # at boot it removes the containers of any other MiniStack
            "SFN_WAIT_SCALE": str(wait_scale(clock.speed)),
            "TMPDIR": folder,
            "HOME": folder,
            "S3_DATA_DIR": f"{folder}/s3",
            "STATE_DIR": f"{folder}/state",
        }
        tempfile.tempdir = None
        asyncio.run(serve(listener))
    # MiniStack's own threads are not daemons and know nothing of our end.
    os._exit(0)


if __name__ == "__main__":
    main()
