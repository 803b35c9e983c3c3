"""A site that serves goes on serving whatever a provision changes, and a provision that succeeds has a site that serves."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.snapshot import differences, snapshot, without_certificate
from harness.stack import Execution, Stack
from harness.world import World
from local_aws.local import LocalAws
from local_aws.visitor import Visitor

# AWS seconds a second: slow enough for visits between any two things that happen.
SPEED = 20
RATE = 30
SETTLED = 1800


@pytest.fixture(autouse=True)
def clock_as_it_was(aws: LocalAws) -> Iterator[None]:
    """For others nothing takes time again."""
    yield
    aws.speed = float("inf")


def provision(stack: Stack, event: dict) -> dict:
    """The answer of a provision that must succeed."""
    execution = stack.run("provision", event)
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution.output


def fails(stack: Stack, event: dict, error: str) -> Execution:
    """A provision that must fail with this error."""
    execution = stack.run("provision", event)
    assert (execution.status, execution.error) == ("FAILED", error), execution.cause
    return execution


def targets(aws: LocalAws, answer: dict) -> set[tuple[str, int]]:
    """Where the load balancer sends to."""
    health = aws.client("elbv2").describe_target_health(TargetGroupArn=answer["targetGroupArn"])
    return {
        (target["Target"]["Id"], target["Target"]["Port"])
        for target in health["TargetHealthDescriptions"]
        if target["TargetHealth"]["State"] != "draining"
    }


def admitted(aws: LocalAws, group: str) -> list[int]:
    """The ports on which a group admits the load balancer."""
    [found] = aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return sorted(rule["FromPort"] for rule in found["IpPermissions"])


# --- With other targets ------------------------------------------------------------------------------------------


def other_instance(world: World) -> dict:
    return {"instances": [world.instance(world.subnets[1], world.group, world.new_backend())]}


def other_port(_: World) -> dict:
    return {"port": 8080}


def in_another_group(world: World) -> dict:
    return {
        "instances": [world.instance(world.subnets[1], world.security_group("other"), world.new_backend())]
    }


def in_another_zone(world: World) -> dict:
    """The load balancer leaves the zone of the former instance, the second by name."""
    subnet = world.public_subnet(2, "us-east-1c")
    return {"instances": [world.instance(subnet, world.group, world.new_backend())]}


CHANGES = [other_instance, other_port, in_another_group, in_another_zone]


@pytest.mark.parametrize("change", CHANGES)
def test_a_visitor_does_not_notice_other_targets(
    aws: LocalAws, stack: Stack, world: World, change: Callable[[World], dict]
) -> None:
    world.instances = [world.instance(world.subnets[1], world.group, world.new_backend())]
    event = world.input | {"dns": "overwrite"}
    former = provision(stack, event)
    changed = event | change(world)
    aws.speed = SPEED
    # What has taken no time so far is done.
    aws.advance(SETTLED)
    with Visitor(aws, world.domain, rate=RATE) as visitor:
        answer = provision(stack, changed)
        visitor.again(5)
    assert len(visitor.visits) > 20
    assert visitor.failures == []
    assert answer["loadBalancer"] == former["loadBalancer"]
    assert targets(aws, answer) == {(changed["instances"][0], changed.get("port", 80))}
    aws.speed = float("inf")
    # What was former is gone, all of it.
    before = snapshot(aws)
    assert {step["outcome"] for step in provision(stack, changed)["steps"]} == {"found"}
    assert differences(before, snapshot(aws)) == []
    provision(stack, changed)


def test_rules_for_a_former_port_and_in_a_former_group_go(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world.input)
    answer = provision(stack, world.input | {"port": 8080})
    rule = {"resource": "rule that admits the load balancer", "id": world.group, "outcome": "removed"}
    assert rule | {"changes": [f"- tcp 80 from {answer['securityGroupId']}"]} in answer["steps"]
    assert admitted(aws, world.group) == [8080]
    group = world.security_group("other")
    provision(stack, world.input | {"instances": [world.instance(world.subnets[0], group)]})
    assert (admitted(aws, world.group), admitted(aws, group)) == ([], [80])


def test_a_rule_that_another_environment_needs_stays(aws: LocalAws, stack: Stack, world: World) -> None:
    """Two domains before one instance; one of them changes its port."""
    provision(stack, world.input)
    other = world.input | {"domain": world.domain.replace("api.", "www."), "dns": "overwrite"}
    provision(stack, other)
    provision(stack, other | {"port": 8080})
    assert admitted(aws, world.group) == [80, 8080]


def test_an_usual_provision_has_nothing_to_retire(stack: Stack, world: World) -> None:
    provision(stack, world.input)
    since = len(world.aws.invocations())
    provision(stack, world.input)
    functions = {made["function"] for made in world.aws.invocations(since)}
    assert stack.functions["verify-https"] in functions
    assert stack.functions["retire-former"] not in functions


def test_new_targets_that_are_never_healthy_leave_the_former_serving(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    answer = provision(stack, world.input)
    broken = world.new_backend()
    broken.status = 500
    instance = world.instance(world.subnets[1], world.security_group("other"), broken)
    with Visitor(aws, world.domain, rate=RATE) as visitor:
        failed = fails(stack, world.input | {"instances": [instance]}, "TargetsNotHealthy")
        assert stack.reaction(failed.arn).status == "SUCCEEDED"
        visitor.again(5)
    assert visitor.failures == []
    assert f"{instance} is unhealthy" in failed.cause
    assert f"the former targets stay and serve: {world.instances[0]} on port 80" in failed.cause
    assert (world.instances[0], 80) in targets(aws, answer)
    assert admitted(aws, world.group) == [80]
    # Back to what serves, the broken one is former.
    provision(stack, world.input)
    assert targets(aws, answer) == {(world.instances[0], 80)}


def test_retire_former_dies_between_its_calls_and_the_visitor_does_not_notice(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world.input)
    changed = world.input | in_another_group(world)
    for operation in ("DeregisterTargets", "RevokeSecurityGroupIngress"):
        aws.fault("killed", operation, "retire-former")
    with Visitor(aws, world.domain, rate=RATE) as visitor:
        answer = provision(stack, changed)
        visitor.again(5)
    assert aws.struck() == 2
    assert visitor.failures == []
    assert targets(aws, answer) == {(changed["instances"][0], 80)}
    assert admitted(aws, world.group) == []


# --- Tags that are known late ------------------------------------------------------------------------------------


def test_tags_that_authorisation_knows_late_end_in_success(aws: LocalAws, stack: Stack, world: World) -> None:
    aws.tags_lag = True
    provision(stack, world.input)
    assert [call for call in aws.calls() if call["error"] in ("AccessDenied", "UnauthorizedOperation")]


def test_a_denial_that_lasts_says_so_and_is_rolled_back(aws: LocalAws, stack: Stack, world: World) -> None:
    before = snapshot(aws)
    aws.fault("denied", "RegisterTargets", "create-alb", times=1000)
    failed = fails(stack, world.input, "AwsUnavailable")
    assert "elasticloadbalancing:RegisterTargets" in failed.cause
    assert "permissions boundary" in failed.cause
    aws.end_faults()
    assert differences(before, without_certificate(snapshot(aws), world.domain)) == []


def test_a_denial_in_an_environment_that_stands_is_final(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world.input)
    aws.fault("denied", "RegisterTargets", "create-alb")
    failed = fails(stack, world.input | other_instance(world), "AwsRefused")
    assert "elasticloadbalancing:RegisterTargets" in failed.cause


# --- Success that is none ----------------------------------------------------------------------------------------


def test_a_backend_that_redirects_to_itself_whatever_the_scheme_is_no_success(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    before = snapshot(aws)
    world.backend.redirect = "always"
    failed = fails(stack, world.input | {"healthCheck": {"matcher": "200,301"}}, "HttpsNotServing")
    assert f"https://{world.domain}/health" in failed.cause
    assert "redirects to itself" in failed.cause
    assert "X-Forwarded-Proto" in failed.cause
    assert differences(before, without_certificate(snapshot(aws), world.domain)) == []


def test_a_backend_that_heeds_the_scheme_is_a_success(stack: Stack, world: World) -> None:
    world.backend.redirect = "http"
    provision(stack, world.input | {"healthCheck": {"matcher": "200,301"}})


def test_a_health_check_that_meets_a_redirect_does_not_advise_to_admit_it(stack: Stack, world: World) -> None:
    world.backend.redirect = "always"
    failed = fails(stack, world.input, "TargetsNotHealthy")
    assert "X-Forwarded-Proto" in failed.cause
    assert "matcher" not in failed.cause


def test_a_front_page_that_redirects_to_itself_is_no_success(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    """Only the health path is answered without the redirect."""
    with front_page_redirects() as address:
        instance = world.instance(world.subnets[0], world.group)
        world.tag(instance, "local:backend", address)
        event = world.input | {"instances": [instance], "dns": "overwrite"}
        failed = fails(stack, event, "HttpsNotServing")
    assert f"https://{world.domain}/ through" in failed.cause
    assert "redirects to itself" in failed.cause


@contextmanager
def front_page_redirects() -> Iterator[str]:
    """A server on a free port whose every path but the health path redirects to HTTPS, whatever the scheme was."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 301)
            if self.path != "/health":
                self.send_header("Location", f"https://{self.headers['Host']}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def test_a_backend_that_insists_on_its_host_is_told_of_the_health_checks(stack: Stack, world: World) -> None:
    world.backend.host = world.domain
    failed = fails(stack, world.input, "TargetsNotHealthy")
    for word in ("[400]", "Host header is the instance's private address", "default server", "allowed host"):
        assert word in failed.cause


# --- As the input says -------------------------------------------------------------------------------------------


def test_a_site_that_stays_redirects_for_good(aws: LocalAws, stack: Stack, world: World) -> None:
    def status() -> set[str]:
        elb = aws.client("elbv2")
        listeners = elb.describe_listeners(LoadBalancerArn=answer["loadBalancer"]["arn"])["Listeners"]
        actions = [action for listener in listeners for action in listener["DefaultActions"]]
        return {action["RedirectConfig"]["StatusCode"] for action in actions if "RedirectConfig" in action}

    answer = provision(stack, world.input | {"redirect": 301})
    assert status() == {"HTTP_301"}
    again = provision(stack, world.input)
    assert status() == {"HTTP_302"}
    [row] = [step for step in again["steps"] if step["resource"] == "redirect to HTTPS"]
    assert row["changes"] == ["status: 301 → 302"]


def test_headers_with_other_characters_come_through_where_that_is_wanted(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    def drops() -> str:
        elb = aws.client("elbv2")
        arn = answer["loadBalancer"]["arn"]
        attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        name = "routing.http.drop_invalid_header_fields.enabled"
        [value] = [attribute["Value"] for attribute in attributes if attribute["Key"] == name]
        return value

    event = world.input | {"dropInvalidHeaders": False}
    answer = provision(stack, event)
    assert drops() == "false"
    assert {step["outcome"] for step in provision(stack, event)["steps"]} == {"found"}
    assert drops() == "false"
    provision(stack, world.input)
    assert drops() == "true"
