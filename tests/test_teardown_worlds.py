"""Worlds in which teardowns, nights and mornings used to bill on, go dark or mistake whose something is; by symptom."""

import json
import re
import uuid
from collections.abc import Iterator

import pytest

from harness.snapshot import differences, snapshot, without_certificate
from harness.stack import Execution, Stack
from harness.support import load_balancers, rise
from harness.world import World
from local_aws.local import LocalAws
from local_aws.visitor import Visitor
from local_aws.waiting import until
from local_aws.world import TTL

FOR_GOOD = 10**9
HOURLY = 0.0325


@pytest.fixture
def ephemeral(aws: LocalAws, stack: Stack) -> Iterator[World]:
    """A world whose instance has an automatic public address, alone in its account."""
    aws.reset()
    with World(aws, ephemeral=True) as made:
        yield made
        stack.stop_all()


def succeeded(execution: Execution) -> dict:
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution.output


def provision(stack: Stack, world: World, **more: object) -> dict:
    return succeeded(stack.run("provision", world.input | more))


def fall(stack: Stack) -> Execution:
    """The night, ended."""
    return stack.run("nightly", {})


def reason(output: dict, resource: str) -> str:
    """What a teardown says of the one item of a kind."""
    [item] = [item for item in output["items"] if item["resource"] == resource]
    return item["reason"]


def outcome(output: dict, resource: str) -> str:
    [item] = [item for item in output["items"] if item["resource"] == resource]
    return item["outcome"]


def kinds(aws: LocalAws, world: World) -> set[str]:
    """The kinds of what of Albatross's stands, but for the kept certificate and its record."""
    taken = without_certificate(snapshot(aws), world.domain)
    return {
        kind
        for kind, items in taken.items()
        for item in items.values()
        if any(tag["Key"] == "albatross:environment" for tag in item.get("Tags", []))
    }


def protect(aws: LocalAws, world: World, name: str, on: bool = True) -> None:
    """Deletion protection, as by hand in the console."""
    elb = aws.client("elbv2")
    [balancer] = elb.describe_load_balancers(Names=[f"{name}-elb"])["LoadBalancers"]
    attribute = {"Key": "deletion_protection.enabled", "Value": str(on).lower()}
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=[attribute])


# --- An environment is found by its domain ---------------------------------------------------------------------------


def test_a_teardown_by_domain_finds_an_environment_with_a_name_of_its_own(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    before = snapshot(aws)
    provision(stack, world, name="api")
    down = succeeded(stack.run("teardown", {"domain": world.domain}))
    assert down["environment"]["name"] == "api"
    assert down["saves"]["hourly"] == HOURLY
    assert differences(before, without_certificate(snapshot(aws), world.domain)) == []


def test_a_teardown_by_domain_finds_it_by_the_ownership_record_too(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    """Somebody has taken the group's tags away."""
    group = provision(stack, world, name="api")["securityGroupId"]
    aws.client("ec2").delete_tags(Resources=[group], Tags=[{"Key": "albatross:domain"}])
    succeeded(stack.run("teardown", {"domain": world.domain}))
    assert load_balancers(aws) == []


def test_a_teardown_that_finds_nothing_fails_where_the_domain_stands_under_another_name(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world, name="api")
    before = snapshot(aws)
    failed = stack.run("teardown", {"name": world.name})
    assert (failed.status, failed.error) == ("FAILED", "InvalidInput")
    assert failed.cause.startswith("$.name: ")
    assert "environment api" in failed.cause
    # With both given the name is what is meant; that the domain stands is told.
    told = succeeded(stack.run("teardown", {"name": "web", "domain": world.domain}))
    assert f"{world.domain} has environment api" in told["summary"]
    assert differences(before, snapshot(aws)) == []


def test_a_teardown_of_nothing_says_so(stack: Stack, world: World) -> None:
    for event in ({"domain": world.domain}, {"name": "api"}):
        down = succeeded(stack.run("teardown", event))
        assert down["items"] == []
        assert down["summary"].startswith("nothing of environment ")


def test_what_is_torn_down_by_domain_after_a_night_does_not_come_back(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world, name="api")
    succeeded(fall(stack))
    succeeded(stack.run("teardown", {"domain": world.domain}))
    rise(stack)
    assert load_balancers(aws) == []


# --- Each item for itself --------------------------------------------------------------------------------------------


def test_a_record_that_cannot_come_back_holds_up_no_load_balancer(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    """It was a CNAME, and by day somebody has added a TXT beside the alias."""
    [instance] = aws.client("ec2").describe_instances(InstanceIds=world.instances)["Reservations"][0][
        "Instances"
    ]
    name = instance["PublicDnsName"]
    own = {"Type": "A", "TTL": TTL, "ResourceRecords": [{"Value": world.public_ip}]}
    world.put_record(own, "DELETE")
    world.put_record({"Type": "CNAME", "TTL": TTL, "ResourceRecords": [{"Value": name}]})
    provision(stack, world)
    world.put_record({"Type": "TXT", "TTL": TTL, "ResourceRecords": [{"Value": '"v=spf1 -all"'}]})
    night = fall(stack)
    assert night.error == "TeardownIncomplete"
    assert f"{world.domain} CNAME {name}" in night.cause
    assert load_balancers(aws) == []
    assert [record["Type"] for record in world.records(world.domain)] == ["TXT"]
    # What stood before is still remembered: without the TXT it comes back.
    world.put_record({"Type": "TXT", "TTL": TTL, "ResourceRecords": [{"Value": '"v=spf1 -all"'}]}, "DELETE")
    succeeded(stack.run("teardown", {"domain": world.domain}))
    [record] = world.records(world.domain)
    assert record["ResourceRecords"] == [{"Value": name}]


def test_a_protected_load_balancer_keeps_its_environment_whole(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    protect(aws, world, world.name)
    before = snapshot(aws)
    plan = succeeded(stack.run("teardown", {"domain": world.domain, "dryRun": True}))
    assert {item["decision"] for item in plan["items"]} == {"keep"}
    assert "deletion protection" in plan["kept"]
    assert "deletion protection" in reason(plan, "load balancer")
    planned = succeeded(stack.run("nightly", {"dryRun": True}))
    assert "deletion protection" in planned["environments"][0]["spared"]
    with Visitor(aws, world.domain) as visitor:
        night = succeeded(fall(stack))
    assert visitor.failures == []
    assert night["removed"] == []
    assert "deletion protection" in night["kept"][0]["why"]
    assert night["stands"]["hourly"] == HOURLY
    assert differences(before, snapshot(aws)) == []
    protect(aws, world, world.name, on=False)
    assert succeeded(fall(stack))["removed"] == [world.name]


@pytest.mark.parametrize(
    ("consent", "protection"),
    [("terminate", "DisableApiTermination"), ("stop", "DisableApiStop"), ("terminate", "DisableApiStop")],
)
def test_a_protected_instance_holds_up_nothing_of_ours(
    aws: LocalAws, stack: Stack, ephemeral: World, consent: str, protection: str
) -> None:
    before = snapshot(aws)
    provision(stack, ephemeral)
    [instance] = ephemeral.instances
    ephemeral.tag(instance, "albatross:on-teardown", consent)
    ephemeral.protect(instance, protection)
    down = succeeded(stack.run("teardown", {"domain": ephemeral.domain}))
    assert "protection is on" in reason(down, "instance")
    assert outcome(down, "instance") == "kept"
    after = without_certificate(snapshot(aws), ephemeral.domain)
    after["instance"][instance]["Tags"] = before["instance"][instance]["Tags"]
    assert differences(before, after) == []


@pytest.mark.parametrize("denied", ["one region", "the regions"])
def test_a_region_that_does_not_tell_keeps_the_validation_record_alone(
    aws: LocalAws, stack: Stack, world: World, denied: str
) -> None:
    provision(stack, world)
    if denied == "one region":
        aws.fault("denied", "ListCertificates", "teardown", times=FOR_GOOD, region="eu-west-1")
    else:
        aws.fault("denied", "DescribeRegions", "teardown", times=FOR_GOOD)
    down = succeeded(stack.run("teardown", {"domain": world.domain, "certificate": "delete"}))
    assert "its validation record stays" in reason(down, "certificate")
    assert snapshot(aws)["certificate"] == {}
    assert load_balancers(aws) == []
    assert [record["Type"] for record in world.records() if record["Type"] == "CNAME"] == ["CNAME"]


def test_a_zone_that_its_owner_deleted_keeps_no_certificate(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    deleted = [record for record in world.records() if record["Type"] not in ("NS", "SOA")]
    route53 = aws.client("route53")
    changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in deleted]
    route53.change_resource_record_sets(HostedZoneId=world.zone, ChangeBatch={"Changes": changes})
    route53.delete_hosted_zone(Id=world.zone)
    succeeded(stack.run("teardown", {"domain": world.domain, "certificate": "delete"}))
    assert snapshot(aws)["certificate"] == {}
    assert kinds(aws, world) == set()


def test_a_load_balancer_that_may_not_be_deleted_goes_on_to_serve_its_domain(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    aws.fault("denied", "DeleteLoadBalancer", "teardown", times=FOR_GOOD)
    failed = stack.run("teardown", {"domain": world.domain})
    assert failed.error == "TeardownIncomplete"
    assert "DeleteLoadBalancer" in failed.cause
    with Visitor(aws, world.domain) as visitor:
        visitor.again(3)
    assert visitor.failures == []
    assert [visit.urls[-1].split(":")[0] for visit in visitor.visits][-1] == "https"
    assert world.records(f"_lock._albatross.{world.domain}") == []
    aws.end_faults()
    succeeded(stack.run("teardown", {"domain": world.domain}))
    assert kinds(aws, world) == set()


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_group_that_somebodys_rule_names_is_told_with_its_holder(
    aws: LocalAws, stack: Stack, world: World, direction: str
) -> None:
    group = provision(stack, world)["securityGroupId"]
    holder = world.security_group("holder")
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": group}]}
    ec2 = aws.client("ec2")
    getattr(ec2, f"authorize_security_group_{direction}")(GroupId=holder, IpPermissions=[rule])
    night = fall(stack)
    assert night.error == "TeardownIncomplete"
    assert holder in night.cause
    assert "What stands costs $0 an hour" in night.cause
    assert load_balancers(aws) == []
    # However the night ended, it took the load balancer: the morning brings that back.
    assert rise(stack, world) == {world.name: f"https://{world.domain}"}
    getattr(ec2, f"revoke_security_group_{direction}")(GroupId=holder, IpPermissions=[rule])
    succeeded(fall(stack))


def test_a_night_waits_for_a_provision_and_then_takes_its_environment_down(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    aws.fault("held", "DescribeTargetHealth", "create-alb")
    running = stack.start("provision", world.input)
    until(lambda: aws.struck(), "a provision at work")
    since = len(aws.invocations())
    night = stack.start("nightly", {})
    teardown = stack.functions["teardown"]
    until(lambda: len([made for made in aws.invocations(since) if made["function"] == teardown]) > 2, "looks")
    aws.end_faults()
    assert stack.wait(night).output["removed"] == [world.name]
    assert not stack.wait(running).running
    assert load_balancers(aws) == []


# --- Whose it is, by what stands -------------------------------------------------------------------------------------


def restarted(world: World) -> str:
    """The instance's address after somebody has stopped and started it."""
    [instance] = world.instances
    world.restart(instance)
    address = world.address_of(instance)
    assert address != world.public_ip
    return address


def test_an_address_that_the_instance_lost_is_not_put_back(
    aws: LocalAws, stack: Stack, ephemeral: World
) -> None:
    provision(stack, ephemeral)
    address = restarted(ephemeral)
    down = succeeded(stack.run("teardown", {"domain": ephemeral.domain}))
    assert aws.ask(ephemeral.domain) == [address]
    assert ephemeral.public_ip in reason(down, "alias record")
    assert address in reason(down, "alias record")


def test_an_instance_without_address_has_no_record_put_back(
    aws: LocalAws, stack: Stack, ephemeral: World
) -> None:
    provision(stack, ephemeral)
    aws.client("ec2").stop_instances(InstanceIds=ephemeral.instances)
    down = succeeded(stack.run("teardown", {"domain": ephemeral.domain}))
    assert ephemeral.records(ephemeral.domain) == []
    assert f"not put back: {ephemeral.domain} A {ephemeral.public_ip}" in reason(down, "alias record")


def test_an_elastic_ip_that_moved_to_another_instance_is_put_back(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    other = world.instance(world.subnets[1], world.group)
    aws.client("ec2").associate_address(
        AllocationId=world.allocation, InstanceId=other, AllowReassociation=True
    )
    succeeded(stack.run("teardown", {"domain": world.domain}))
    assert aws.ask(world.domain) == [world.public_ip]


def test_a_morning_knows_the_record_that_the_night_has_put_back(
    aws: LocalAws, stack: Stack, ephemeral: World
) -> None:
    provision(stack, ephemeral)
    for _ in range(2):
        succeeded(fall(stack))
        ephemeral.restart(ephemeral.instances[0])
        assert rise(stack, ephemeral) == {ephemeral.name: f"https://{ephemeral.domain}"}
    succeeded(stack.run("teardown", {"domain": ephemeral.domain}))
    assert aws.ask(ephemeral.domain) == [ephemeral.address_of(ephemeral.instances[0])]


def state(aws: LocalAws, instance: str) -> str:
    return snapshot(aws)["instance"][instance]["State"]["Name"]


def test_an_instance_that_another_environment_uses_stays_until_that_goes(
    aws: LocalAws, stack: Stack, ephemeral: World
) -> None:
    """And so does its address: the record at the domain comes back."""
    [instance] = ephemeral.instances
    ephemeral.tag(instance, "albatross:on-teardown", "stop")
    www = {"domain": f"www.{ephemeral.zone_name}", "instances": [instance], "name": "www"}
    provision(stack, ephemeral)
    succeeded(stack.run("provision", www | {"keepUntil": "2099-01-01T00:00:00Z"}))
    assert succeeded(fall(stack))["removed"] == [ephemeral.name]
    assert state(aws, instance) == "running"
    assert aws.ask(ephemeral.domain) == [ephemeral.public_ip]
    down = succeeded(stack.run("teardown", {"name": "www"}))
    assert state(aws, instance) == "stopped"
    assert outcome(down, "instance") == "done"


def test_of_two_environments_that_go_in_one_night_one_stops_the_instance(
    aws: LocalAws, stack: Stack, ephemeral: World
) -> None:
    [instance] = ephemeral.instances
    ephemeral.tag(instance, "albatross:on-teardown", "stop")
    www = {"domain": f"www.{ephemeral.zone_name}", "instances": [instance], "name": "www"}
    provision(stack, ephemeral)
    succeeded(stack.run("provision", www))
    succeeded(fall(stack))
    assert load_balancers(aws) == []
    assert state(aws, instance) == "stopped"


def test_the_address_of_an_instance_that_another_environment_uses_stays(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    [instance] = world.instances
    world.tag(world.allocation, "albatross:on-teardown", "release")
    provision(stack, world)
    succeeded(
        stack.run("provision", {"domain": f"www.{world.zone_name}", "instances": [instance], "name": "www"})
    )
    down = succeeded(stack.run("teardown", {"domain": world.domain}))
    assert "environment www uses it" in reason(down, "Elastic IP")
    assert aws.ask(world.domain) == [world.public_ip]
    assert world.allocation in snapshot(aws)["address"]


def test_an_alias_whose_ownership_record_was_deleted_by_hand_does_not_dangle(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    [record] = world.records(f"_albatross.{world.domain}")
    world.put_record(record, "DELETE")
    plan = succeeded(stack.run("teardown", {"domain": world.domain, "dryRun": True}))
    assert [item["decision"] for item in plan["items"] if item["resource"] == "alias record"] == ["restore"]
    succeeded(fall(stack))
    assert world.records(world.domain) == []
    assert rise(stack, world) == {world.name: f"https://{world.domain}"}


def test_an_auto_scaling_groups_instance_is_left_alone(aws: LocalAws, stack: Stack, world: World) -> None:
    [instance] = world.instances
    world.join_auto_scaling_group(instance, "fleet")
    world.tag(instance, "albatross:on-teardown", "terminate")
    provision(stack, world)
    down = succeeded(stack.run("teardown", {"domain": world.domain}))
    assert "Auto Scaling group fleet would replace it" in reason(down, "instance")
    assert state(aws, instance) == "running"


def start_as(aws: LocalAws, stack: Stack, machine: str, name: str, event: dict) -> Execution:
    """An execution that somebody names as the console lets them, ended."""
    arn = aws.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs[f"{machine}MachineArn"],
        name=f"{uuid.uuid4().hex[:8]}{name}",
        input=json.dumps(event),
    )["executionArn"]
    return stack.wait(arn)


@pytest.mark.parametrize("name", [".by-hand", "--night--by-hand", "--morning--by-hand"])
def test_an_execution_that_is_named_by_hand_is_not_taken_for_a_nights(
    aws: LocalAws, stack: Stack, world: World, name: str
) -> None:
    provision(stack, world)
    succeeded(start_as(aws, stack, "Teardown", name, {"domain": world.domain}))
    assert rise(stack, world) == {}


def test_executions_of_ours_have_names_that_cloudwatch_logs_takes(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    """Whatever those are named that start them."""
    before = {arn for machine in ("teardown", "provision") for arn in stack.executions(machine)}
    world.backend.status = 500
    failed = start_as(aws, stack, "Provision", ".my provision", world.input)
    assert "rollback failed" not in failed.cause
    world.backend.status = 200
    provision(stack, world)
    succeeded(start_as(aws, stack, "Nightly", ".tonight", {}))
    assert rise(stack, world) == {world.name: f"https://{world.domain}"}
    made = {arn for machine in ("teardown", "provision") for arn in stack.executions(machine)} - before
    names = {arn.rpartition(":")[2] for arn in made - {failed.arn}}
    assert any(name.endswith("-rollback") for name in names)
    assert any("--night--" in name for name in names)
    assert [name for name in names if re.search("[^0-9A-Za-z_-]", name)] == []


def test_what_somebody_takes_down_while_the_night_waits_stays_down(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    aws.fault("stalled", "DeleteLoadBalancer", "teardown")
    by_hand = stack.start("teardown", {"domain": world.domain})
    until(lambda: aws.struck(), "a teardown at work")
    since = len(aws.invocations())
    night = stack.start("nightly", {})
    teardown = stack.functions["teardown"]
    until(
        lambda: [made for made in aws.invocations(since) if made["function"] == teardown], "the night's look"
    )
    aws.end_faults()
    succeeded(stack.wait(night))
    stack.wait(by_hand)
    assert rise(stack, world) == {}


# --- Causes are sentences --------------------------------------------------------------------------------------------


def test_bad_input_ends_every_machine_with_a_sentence(stack: Stack, world: World) -> None:
    for machine in ("provision", "teardown", "nightly", "cleanup"):
        failed = stack.run(machine, {"Comment": "Insert your JSON here", "nonsense": 1})
        assert (failed.status, failed.error) == ("FAILED", "InvalidInput"), machine
        assert failed.cause.startswith("$"), failed.cause
