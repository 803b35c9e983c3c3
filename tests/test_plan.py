"""`"mode": "plan"`: what a provision would do, told without a change, and just what the provision that follows does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from harness.snapshot import differences, snapshot
from harness.stack import Execution, Stack
from harness.support import MADE
from harness.world import World
from local_aws.endpoints import ACCOUNT, REGION
from local_aws.local import LocalAws
from local_aws.waiting import until

# What the ownership record of each environment begins with.
HERITAGE = f"heritage=albatross stack=albatross region={REGION} account={ACCOUNT}"


def provision(stack: Stack, world: World, **more: object) -> dict:
    """The answer of a provision that must succeed."""
    execution = stack.run("provision", world.input | more)
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution.output


@contextmanager
def unchanged(aws: LocalAws) -> Iterator[None]:
    """No function makes a changing call, not even for a lock, and the account stays as it is."""
    before, mark = snapshot(aws), len(aws.calls())
    yield
    made = [call for call in aws.calls(mark) if call["caller"] != "other"]
    assert made
    assert [f"{call['caller']} {call['operation']}" for call in made if call["changes"]] == []
    assert differences(before, snapshot(aws)) == []


def run_plan(aws: LocalAws, stack: Stack, world: World, **more: object) -> Execution:
    """A plan, which changes nothing however it ends."""
    with unchanged(aws):
        return stack.run("provision", world.input | more | {"mode": "plan"})


def plan(aws: LocalAws, stack: Stack, world: World, **more: object) -> dict:
    """The answer of a plan that must succeed."""
    execution = run_plan(aws, stack, world, **more)
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution.output


def outcomes(answer: dict) -> dict[str, str]:
    """By resource."""
    return {step["resource"]: step["outcome"] for step in answer["steps"]}


def changes(answer: dict) -> list[str]:
    """What changes, each with its resource."""
    return [f"{step['resource']}: {change}" for step in answer["steps"] for change in step.get("changes", [])]


def assert_agree(planned: dict, applied: dict) -> None:
    """The rows are the same, but for the ids of what did not exist at the time of the plan."""

    def rows(answer: dict) -> list[tuple[str, str]]:
        return [(step["resource"], step["outcome"]) for step in answer["steps"]]

    assert rows(planned) == rows(applied)
    for told, did in zip(planned["steps"], applied["steps"], strict=True):
        assert told.get("id", did["id"]) == did["id"]
        pairs = zip(told.get("changes", []), did.get("changes", []), strict=True)
        assert [(one, other) for one, other in pairs if one != other and "<" not in one] == []


def test_a_plan_of_nothing_tells_all_that_would_be_made(aws: LocalAws, stack: Stack, world: World) -> None:
    planned = plan(aws, stack, world)
    name = world.name
    assert (planned["environment"], planned["domain"], planned["mode"]) == (name, world.domain, "plan")
    assert outcomes(planned) == MADE
    assert [step["resource"] for step in planned["steps"] if "id" in step] == [
        "rule that admits the load balancer",
        "target",
        "alias record",
    ]
    owner = f"{HERITAGE} environment={name} target=<{name}-elb>"
    assert planned["dns"] == [
        f"+ the CNAME under {world.domain} that ACM names as the certificate is requested",
        f"- {world.domain} A {world.public_ip}",
        f"+ {world.domain} A alias to the load balancer {name}-elb",
        f'+ _albatross.{world.domain} TXT "{owner}" "previous=A ttl=300 value={world.public_ip} instance={world.instances[0]}"',
    ]
    # Two zones, and the address of the instance.
    assert planned["cost"]["hourly"] == 0.0375
    assert [line["count"] for line in planned["cost"]["items"]] == [1, 2, 1]
    assert planned["cost"]["prices"].startswith("us-east-1, ")
    assert_agree(planned, provision(stack, world))


def test_a_plan_of_what_stands_finds_everything(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    planned = plan(aws, stack, world)
    assert set(outcomes(planned).values()) == {"found"}
    assert changes(planned) == []
    assert planned["dns"] == []
    assert_agree(planned, provision(stack, world))


# --- Changed by hand ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """What is done by hand, the fields of the input that come with it, and what a plan tells of it."""

    change: Callable[[World, dict], None]
    # By resource, what is not found.
    outcomes: dict[str, str]
    # The changes told of what stands, where `{…}` are fields of the provision's answer and of the world.
    changes: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    input: tuple[tuple[str, object], ...] = ()


def rules(world: World, answer: dict) -> None:
    ec2 = world.aws.client("ec2")
    own = answer["securityGroupId"]
    everybody = {"IpProtocol": "tcp", "CidrIp": "0.0.0.0/0"}
    ec2.authorize_security_group_ingress(GroupId=own, FromPort=22, ToPort=22, **everybody)
    ec2.revoke_security_group_ingress(GroupId=own, FromPort=443, ToPort=443, **everybody)
    [group] = ec2.describe_security_groups(GroupIds=[world.group])["SecurityGroups"]
    ec2.revoke_security_group_ingress(GroupId=world.group, IpPermissions=group["IpPermissions"])


def targets(world: World, answer: dict) -> None:
    elb = world.aws.client("elbv2")
    group = answer["targetGroupArn"]
    other = world.instance(world.subnets[0], world.group)
    elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/", UnhealthyThresholdCount=5)
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": other, "Port": 80}])
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": world.instances[0], "Port": 80}])


def load_balancer(world: World, answer: dict) -> None:
    elb = world.aws.client("elbv2")
    arn = answer["loadBalancer"]["arn"]
    off = {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "false"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[off])
    elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[world.group])
    other = world.public_subnet(2, "us-east-1c")
    elb.set_subnets(LoadBalancerArn=arn, Subnets=[world.subnets[0], other])


def listeners(world: World, answer: dict) -> None:
    elb = world.aws.client("elbv2")
    found = elb.describe_listeners(LoadBalancerArn=answer["loadBalancer"]["arn"])["Listeners"]
    arns = {listener["Port"]: listener["ListenerArn"] for listener in found}
    closed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
    elb.modify_listener(ListenerArn=arns[80], DefaultActions=[closed])
    elb.modify_listener(ListenerArn=arns[443], SslPolicy="ELBSecurityPolicy-2016-08", DefaultActions=[closed])


def other_certificate(world: World, answer: dict) -> None:
    certificate, key = world.aws.authority.certificate(world.domain)
    imported = world.aws.client("acm").import_certificate(Certificate=certificate, PrivateKey=key)
    held = [{"CertificateArn": imported["CertificateArn"]}]
    world.aws.client("elbv2").modify_listener(ListenerArn=answer["httpsListenerArn"], Certificates=held)


def no_listeners(world: World, answer: dict) -> None:
    elb = world.aws.client("elbv2")
    for found in elb.describe_listeners(LoadBalancerArn=answer["loadBalancer"]["arn"])["Listeners"]:
        elb.delete_listener(ListenerArn=found["ListenerArn"])


def no_certificate(world: World, answer: dict) -> None:
    world.aws.client("elbv2").delete_listener(ListenerArn=answer["httpsListenerArn"])
    world.aws.client("acm").delete_certificate(CertificateArn=answer["certificateArn"])
    [validation] = [record for record in world.records() if record["Type"] == "CNAME"]
    world.put_record(validation, "DELETE")


def no_load_balancer(world: World, answer: dict) -> None:
    world.aws.client("elbv2").delete_load_balancer(LoadBalancerArn=answer["loadBalancer"]["arn"])


def no_alias(world: World, answer: dict) -> None:
    [alias] = world.records(world.domain)
    world.put_record(alias, "DELETE")


def plain_record(world: World, answer: dict) -> None:
    no_alias(world, answer)
    world.put_record({"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": world.public_ip}]})


def no_owner(world: World, answer: dict) -> None:
    [owner] = world.records(f"_albatross.{world.domain}")
    world.put_record(owner, "DELETE")


def nothing(world: World, answer: dict) -> None:
    """The input differs."""


DRIFTS = {
    "rules": Drift(
        rules,
        {"security group": "changed", "rule that admits the load balancer": "created"},
        ("security group: + tcp 443 from 0.0.0.0/0", "security group: - tcp 22 from 0.0.0.0/0"),
    ),
    "targets": Drift(
        targets,
        # The wanted one is created too; the former one's row comes later.
        {"target group": "changed", "target": "removed"},
        (
            "target group: health check path: / → /health",
            "target group: unhealthy threshold: 5 → 2",
            "target: - port 80",
        ),
    ),
    "load balancer": Drift(
        load_balancer,
        {"load balancer": "changed"},
        (
            "load balancer: drop invalid headers: false → true",
            "load balancer: security groups: {group} → {securityGroupId}",
            "load balancer: subnets: {other subnets} → {subnets}",
        ),
    ),
    "listeners": Drift(
        listeners,
        {"HTTP listener": "changed", "HTTPS listener": "changed", "redirect to HTTPS": "changed"},
        (
            "HTTP listener: default action: fixed-response → forward to {targetGroupArn}",
            "HTTPS listener: TLS policy: ELBSecurityPolicy-2016-08 → ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
            "HTTPS listener: default action: fixed-response → forward to {targetGroupArn}",
            "redirect to HTTPS: default action: forward → redirect to HTTPS",
        ),
    ),
    "another certificate": Drift(
        other_certificate,
        {"HTTPS listener": "changed"},
        ("HTTPS listener: certificate: {other certificate} → {certificateArn}",),
    ),
    "no listeners": Drift(
        no_listeners,
        {"HTTP listener": "created", "HTTPS listener": "created", "redirect to HTTPS": "changed"},
        ("redirect to HTTPS: default action: forward → redirect to HTTPS",),
    ),
    "no certificate": Drift(
        no_certificate,
        {"certificate": "created", "validation record": "created", "HTTPS listener": "created"},
        dns=("+ the CNAME under {domain} that ACM names as the certificate is requested",),
    ),
    "no load balancer": Drift(
        no_load_balancer,
        {
            "load balancer": "created",
            "HTTP listener": "created",
            "HTTPS listener": "created",
            "redirect to HTTPS": "changed",
            "alias record": "changed",
        },
        (
            "redirect to HTTPS: default action: forward → redirect to HTTPS",
            "alias record: - {domain} A alias {dns name}.",
            "alias record: + {domain} A alias to the load balancer {environment}-elb",
            "alias record: - {old owner}",
            "alias record: + {new owner}",
        ),
        (
            "- {domain} A alias {dns name}.",
            "+ {domain} A alias to the load balancer {environment}-elb",
            "- {old owner}",
            "+ {new owner}",
        ),
    ),
    "no alias": Drift(
        no_alias,
        {"alias record": "created"},
        dns=("+ {domain} A alias to the load balancer {environment}-elb",),
    ),
    "a record by hand": Drift(
        plain_record,
        {"alias record": "changed"},
        (
            "alias record: - {domain} A {public ip}",
            "alias record: + {domain} A alias to the load balancer {environment}-elb",
            "alias record: - {old owner}",
            "alias record: + {owner at 60}",
        ),
        (
            "- {domain} A {public ip}",
            "+ {domain} A alias to the load balancer {environment}-elb",
            "- {old owner}",
            "+ {owner at 60}",
        ),
    ),
    # Without it an alias is anybody's.
    "no owner": Drift(
        no_owner,
        {"alias record": "changed"},
        ("alias record: + {owner without memory}",),
        ("+ {owner without memory}",),
        input=(("dns", "overwrite"),),
    ),
    "another input": Drift(
        nothing,
        {
            "security group": "changed",
            "target group": "changed",
            "load balancer": "changed",
            # New ones are created too; the former ones' rows come later.
            "rule that admits the load balancer": "removed",
            "target": "removed",
            "HTTPS listener": "changed",
            "redirect to HTTPS": "changed",
        },
        (
            "security group: + tcp 80 from 192.0.2.0/24",
            "security group: + tcp 443 from 192.0.2.0/24",
            "security group: - tcp 443 from 0.0.0.0/0",
            "security group: - tcp 80 from 0.0.0.0/0",
            "target group: health check interval: 10 → 30",
            "load balancer: albatross:keep-until: none → 2099-01-01T00:00:00Z",
            "load balancer: drop invalid headers: true → false",
            "HTTPS listener: HSTS: max-age=300 → max-age=60",
            "redirect to HTTPS: status: 302 → 301",
            "target: - port 80",
            "rule that admits the load balancer: - tcp 80 from {securityGroupId}",
        ),
        input=(
            ("allowedCidrs", ["192.0.2.0/24"]),
            ("healthCheck", {"intervalSeconds": 30}),
            ("hstsMaxAge", 60),
            ("keepUntil", "2099-01-01T00:00:00Z"),
            ("port", 8080),
            ("redirect", 301),
            ("dropInvalidHeaders", False),
        ),
    ),
}


def filled(lines: tuple[str, ...], world: World, answer: dict) -> list[str]:
    """With what only the test's own world knows, in a fixed order."""
    elb = world.aws.client("elbv2")
    balancer, dns_name = answer["loadBalancer"]["arn"], answer["loadBalancer"]["dnsName"]
    found = elb.describe_load_balancers()["LoadBalancers"]
    held = [
        held["CertificateArn"]
        for one in found
        for listener in elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
        for held in listener.get("Certificates", [])
    ]
    name = answer["environment"]

    def owner(target: str, memory: str) -> str:
        heritage = f"{HERITAGE} environment={name} target={target}"
        return f'_albatross.{world.domain} TXT "{heritage}"{memory}'

    memory = ' "previous=A ttl={} value=' + f'{world.public_ip} instance={world.instances[0]}"'
    fields = answer | {
        "domain": world.domain,
        "group": world.group,
        "public ip": world.public_ip,
        "dns name": dns_name,
        "subnets": ", ".join(sorted(world.subnets)),
        "other subnets": ", ".join(
            sorted(zone["SubnetId"] for one in found for zone in one["AvailabilityZones"])
        ),
        "other certificate": ", ".join(held),
        "old owner": owner(dns_name, memory.format(300)),
        "new owner": owner(f"<{name}-elb>", memory.format(300)),
        "owner at 60": owner(dns_name, memory.format(60)),
        "owner without memory": owner(dns_name, ""),
    }
    return sorted(line.format(**fields) for line in lines)


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_a_plan_tells_what_the_provision_then_does(
    aws: LocalAws, stack: Stack, world: World, drift: Drift
) -> None:
    answer = provision(stack, world)
    drift.change(world, answer)
    planned = plan(aws, stack, world, **dict(drift.input))
    assert {what: how for what, how in outcomes(planned).items() if how != "found"} == drift.outcomes
    assert sorted(changes(planned)) == filled(drift.changes, world, answer)
    assert sorted(planned["dns"]) == filled(drift.dns, world, answer)
    assert_agree(planned, provision(stack, world, **dict(drift.input)))
    again = plan(aws, stack, world, **dict(drift.input))
    assert (set(outcomes(again).values()), again["dns"]) == ({"found"}, [])


def test_a_target_that_goes_has_a_row(aws: LocalAws, stack: Stack, world: World) -> None:
    provision(stack, world)
    other = world.instance(world.subnets[1], world.group)
    planned = plan(aws, stack, world, instances=[other])
    rows = [(step["id"], step["outcome"]) for step in planned["steps"] if step["resource"] == "target"]
    assert rows == [(other, "created"), (world.instances[0], "removed")]
    # Another instance without a public address.
    assert planned["cost"]["hourly"] == 0.0325
    assert_agree(planned, provision(stack, world, instances=[other]))


def test_a_rule_in_a_group_that_no_instance_is_in_any_more_has_a_row(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    group = world.security_group("other")
    other = world.instance(world.subnets[0], group)
    planned = plan(aws, stack, world, instances=[other])
    rule = "rule that admits the load balancer"
    rows = [(step["id"], step["outcome"]) for step in planned["steps"] if step["resource"] == rule]
    assert rows == [(group, "created"), (world.group, "removed")]
    assert_agree(planned, provision(stack, world, instances=[other]))
    assert set(outcomes(plan(aws, stack, world, instances=[other])).values()) == {"found"}


def test_a_plan_names_the_record_that_a_certificate_waits_for(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    record = pending_certificate(world, world.name)
    planned = plan(aws, stack, world)
    name, value = record["Name"].rstrip("."), record["Value"].rstrip(".")
    assert outcomes(planned) == MADE | {"certificate": "found"}
    assert planned["dns"][0] == f"+ {name} CNAME {value}"
    assert_agree(planned, provision(stack, world))


def test_a_plan_needs_no_lock(aws: LocalAws, stack: Stack, world: World) -> None:
    """It may look while another execution works on the environment, which goes on with its own."""
    aws.fault("held", "CreateLoadBalancer", "create-alb")
    first = stack.start("provision", world.input)
    until(aws.struck, "the first at work")
    planned = stack.run("provision", world.input | {"mode": "plan"})
    assert planned.status == "SUCCEEDED", f"{planned.error}: {planned.cause}"
    [lock] = world.records(f"_lock._albatross.{world.domain}")
    assert first in lock["ResourceRecords"][0]["Value"]
    aws.end_faults()
    assert stack.wait(first).status == "SUCCEEDED"


# --- Refused -----------------------------------------------------------------------------------------------------


def foreign_security_group(world: World, name: str) -> None:
    world.aws.client("ec2").create_security_group(
        GroupName=f"{name}-elb", Description="somebody's", VpcId=world.vpc
    )


def foreign_target_group(world: World, name: str) -> None:
    world.aws.client("elbv2").create_target_group(
        Name=f"{name}-target-group", Protocol="HTTP", Port=80, VpcId=world.vpc
    )


def foreign_load_balancer(world: World, name: str) -> None:
    world.aws.client("elbv2").create_load_balancer(Name=f"{name}-elb", Subnets=world.subnets)


def foreign_record(world: World, name: str) -> None:
    world.put_record({"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "198.51.100.7"}]})


def foreign_txt(label: str) -> Callable[[World, str], None]:
    record = {"Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"mine"'}]}
    return lambda world, name: world.put_record(record, name=f"{label}.{world.domain}")


def pending_certificate(world: World, name: str) -> dict:
    """The validation record of a certificate of ours, which stands and waits for it."""
    acm = world.aws.client("acm")
    tags = {"stack": "albatross", "environment": name, "domain": world.domain, "zone": world.zone}
    pending = acm.request_certificate(
        DomainName=world.domain,
        ValidationMethod="DNS",
        Tags=[{"Key": f"albatross:{key}", "Value": value} for key, value in tags.items()],
    )
    described = acm.describe_certificate(CertificateArn=pending["CertificateArn"])["Certificate"]
    [option] = described["DomainValidationOptions"]
    return option["ResourceRecord"]


def foreign_validation(world: World, name: str) -> None:
    record = {"Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "elsewhere.test"}]}
    world.put_record(record, name=pending_certificate(world, name)["Name"].rstrip("."))


CONFLICTS = {
    "security group": (foreign_security_group, "NotOurs"),
    "target group": (foreign_target_group, "NotOurs"),
    "load balancer": (foreign_load_balancer, "NotOurs"),
    "record": (foreign_record, "DnsRecordConflict"),
    "ownership record": (foreign_txt("_albatross"), "DnsRecordConflict"),
    "lock record": (foreign_txt("_lock._albatross"), "DnsRecordConflict"),
    "validation record": (foreign_validation, "DnsRecordConflict"),
}


@pytest.mark.parametrize(("make", "error"), CONFLICTS.values(), ids=CONFLICTS)
def test_a_plan_is_refused_as_the_provision_is(
    aws: LocalAws, stack: Stack, world: World, make: Callable[[World, str], None], error: str
) -> None:
    make(world, world.name)
    planned = run_plan(aws, stack, world)
    assert (planned.status, planned.error) == ("FAILED", error), planned.cause
    applied = stack.run("provision", world.input)
    assert (applied.error, applied.cause) == (planned.error, planned.cause)


def test_a_failed_plan_takes_nothing_down(aws: LocalAws, stack: Stack, world: World) -> None:
    """The rule on an ended provision finds what that one made; a plan has made nothing."""
    checked = stack.invoke("check-input", {"input": world.input})
    stack.invoke("create-alb", checked)
    with unchanged(aws):
        refused = stack.run("provision", world.input | {"mode": "plan", "dns": "create-only"})
        assert refused.error == "DnsRecordConflict"
        reaction = stack.reaction(refused.arn)
        assert (reaction.status, reaction.output["removed"]) == ("SUCCEEDED", [])
