"""Executions beside each other: of one environment one at a time works, of many all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from botocore.exceptions import ClientError

from harness.snapshot import differences, snapshot, without_certificate
from harness.stack import BY_HAND, Execution, Stack
from harness.world import World
from local_aws.local import LocalAws
from local_aws.waiting import meanwhile, until


def lock(world: World) -> list[dict]:
    """The record of the domain's lock."""
    return world.records(f"_lock._albatross.{world.domain}")


def run_all(stack: Stack, starts: list[tuple[str, dict]]) -> list[Execution]:
    """Starts all at the same moment; answers them ended."""
    with ThreadPoolExecutor(len(starts)) as pool:
        arns = list(pool.map(lambda start: stack.start(*start), starts))
        return list(pool.map(stack.wait, arns))


def ended(executions: list[Execution]) -> list[str]:
    """How each ended: `SUCCEEDED`, or its error; why is printed, for whom that surprises."""
    for failed in (execution for execution in executions if execution.status != "SUCCEEDED"):
        print(f"{failed.arn}: {failed.error}: {failed.cause}")
    return sorted(
        execution.status if execution.status == "SUCCEEDED" else execution.error for execution in executions
    )


def one_of_each(aws: LocalAws) -> dict[str, int]:
    """How many there are of what a provision makes."""
    return {
        kind: len(items)
        for kind, items in snapshot(aws).items()
        if kind in ("load balancer", "target group", "listener", "certificate")
    }


@pytest.mark.parametrize("count", range(2, 9))
def test_of_provisions_at_once_one_works_and_the_others_are_refused(
    aws: LocalAws, stack: Stack, world: World, count: int
) -> None:
    done = ended(run_all(stack, [("provision", world.input)] * count))
    # One that starts after another's end succeeds too.
    assert done.count("SUCCEEDED") >= 1
    assert set(done) <= {"SUCCEEDED", "EnvironmentBusy"}
    assert one_of_each(aws) == {"load balancer": 1, "target group": 1, "listener": 2, "certificate": 1}
    assert lock(world) == []


def test_the_refused_say_who_works(aws: LocalAws, stack: Stack, world: World) -> None:
    aws.fault("held", "CreateLoadBalancer", "create-alb")
    first = stack.start("provision", world.input)
    until(aws.struck, "the first at work")
    [held] = lock(world)
    assert first in held["ResourceRecords"][0]["Value"]
    second = stack.run("provision", world.input)
    down = stack.run("teardown", {"domain": world.domain})
    for refused in (second, down):
        assert (refused.status, refused.error) == ("FAILED", "EnvironmentBusy")
        assert first in refused.cause
    # A plan asks for nothing.
    assert stack.run("teardown", {"domain": world.domain, "dryRun": True}).status == "SUCCEEDED"
    aws.end_faults()
    assert stack.wait(first).status == "SUCCEEDED"
    assert lock(world) == []


def test_a_provision_is_refused_while_a_teardown_works(aws: LocalAws, stack: Stack, world: World) -> None:
    before = snapshot(aws)
    assert stack.run("provision", world.input).status == "SUCCEEDED"
    aws.fault("held", "DeleteLoadBalancer", "teardown")
    down = stack.start("teardown", {"domain": world.domain})
    until(aws.struck, "the teardown at work")
    refused = stack.run("provision", world.input)
    assert (refused.status, refused.error) == ("FAILED", "EnvironmentBusy")
    assert down in refused.cause
    aws.end_faults()
    assert stack.wait(down).status == "SUCCEEDED"
    assert differences(before, without_certificate(snapshot(aws), world.domain)) == []


def test_provisions_and_teardowns_at_once_end_in_one_of_each_or_none(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    before = snapshot(aws)
    starts = [("provision", world.input), ("teardown", {"domain": world.domain})] * 4
    done = ended(run_all(stack, starts))
    assert set(done) <= {"SUCCEEDED", "EnvironmentBusy"}
    made = one_of_each(aws)
    if made["load balancer"]:
        assert made == {"load balancer": 1, "target group": 1, "listener": 2, "certificate": 1}
        assert stack.run("teardown", {"domain": world.domain}).status == "SUCCEEDED"
    assert differences(before, without_certificate(snapshot(aws), world.domain)) == []


def test_a_lock_whose_execution_has_ended_is_taken(aws: LocalAws, stack: Stack, world: World) -> None:
    stack.invoke("check-input", {"input": world.input})
    [left] = lock(world)
    assert left["ResourceRecords"] == [{"Value": f'"heritage=albatross run={BY_HAND}"'}]
    assert stack.run("provision", world.input).status == "SUCCEEDED"
    assert lock(world) == []


def test_a_record_that_is_no_lock_is_a_conflict(aws: LocalAws, stack: Stack, world: World) -> None:
    name = f"_lock._albatross.{world.domain}"
    world.put_record({"Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"mine"'}]}, name=name)
    before = snapshot(aws)
    refused = stack.run("provision", world.input)
    assert (refused.status, refused.error) == ("FAILED", "DnsRecordConflict")
    assert name in refused.cause
    assert differences(before, snapshot(aws)) == []


def test_one_name_for_two_domains_is_refused_in_time(aws: LocalAws, stack: Stack, world: World) -> None:
    """The security group is made first: who finds it made for another domain stops there."""
    checked = stack.invoke("check-input", {"input": world.input | {"name": "mine"}})
    other = stack.invoke(
        "check-input", {"input": world.input | {"name": "mine", "domain": f"x.{world.domain}"}}
    )
    stack.invoke("create-alb", checked)
    before = snapshot(aws)
    with pytest.raises(Exception, match=r"NotOurs.*domain"):
        stack.invoke("create-alb", other)
    assert differences(before, snapshot(aws)) == []


def test_eight_environments_at_once_all_succeed(aws: LocalAws, stack: Stack, world: World) -> None:
    domains = [f"e{number}.{world.domain}" for number in range(8)]
    up = run_all(stack, [("provision", world.input | {"domain": domain}) for domain in domains])
    assert ended(up) == ["SUCCEEDED"] * 8
    down = run_all(stack, [("teardown", {"domain": domain}) for domain in domains])
    assert ended(down) == ["SUCCEEDED"] * 8
    assert one_of_each(aws) == {"load balancer": 0, "target group": 0, "listener": 0, "certificate": 8}


# AWS seconds per real second: the limits and the waits are AWS's, six times as fast.
SPEED = 6


@pytest.fixture
def busy(aws: LocalAws, world: World) -> Iterator[LocalAws]:
    """An account at AWS's request rates in which somebody else calls Elastic Load Balancing all the time."""
    elb = aws.client("elbv2")
    created = elb.create_target_group(Name="theirs", Protocol="HTTP", Port=80, VpcId=world.vpc)
    theirs = created["TargetGroups"][0]["TargetGroupArn"]

    def take_the_rate() -> None:
        # Until it is refused: however slow the machine, nothing of the rate is left over.
        with suppress(ClientError):
            for _ in range(100):
                elb.modify_target_group(TargetGroupArn=theirs, HealthCheckPath="/theirs")

    aws.speed = SPEED
    aws.throttle()
    with meanwhile(take_the_rate, pause=0.05):
        yield aws
    aws.throttle(False)
    aws.speed = float("inf")


def test_eight_environments_at_once_complete_in_a_busy_account(
    busy: LocalAws, stack: Stack, world: World
) -> None:
    domains = [f"e{number}.{world.domain}" for number in range(8)]
    up = run_all(stack, [("provision", world.input | {"domain": domain}) for domain in domains])
    assert ended(up) == ["SUCCEEDED"] * 8
    down = run_all(stack, [("teardown", {"domain": domain, "certificate": "delete"}) for domain in domains])
    assert ended(down) == ["SUCCEEDED"] * 8
    refused = [call for call in busy.calls() if "Throttling" in (call["error"] or "")]
    assert any(call["caller"] != "other" for call in refused), "no limit was met"
    busy.throttle(False)
    assert one_of_each(busy) == {"load balancer": 0, "target group": 1, "listener": 0, "certificate": 0}
