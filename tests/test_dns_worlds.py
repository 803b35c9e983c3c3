"""Worlds of DNS that users live in: what a provision says before it makes anything, and that a name is served all the time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.snapshot import differences, snapshot
from harness.stack import Execution, Stack
from harness.world import World
from local_aws.local import LocalAws
from local_aws.visitor import Visitor
from local_aws.world import TTL


def provision(stack: Stack, world: World, **more: object) -> dict:
    """The answer of a provision that must succeed."""
    return succeeded(stack.run("provision", world.input | more))


def teardown(stack: Stack, world: World, **more: object) -> dict:
    """The answer of a teardown that must succeed."""
    return succeeded(stack.run("teardown", {"domain": world.domain} | more))


def plan(stack: Stack, world: World, **more: object) -> dict:
    """The answer of a plan that must succeed."""
    return provision(stack, world, mode="plan", **more)


def succeeded(execution: Execution) -> dict:
    assert execution.status == "SUCCEEDED", f"{execution.error}: {execution.cause}"
    return execution.output


def refused(aws: LocalAws, stack: Stack, world: World, error: str = "InvalidInput", **more: object) -> str:
    """Why a provision is refused, before anything is made; a plan says the same."""
    before, mark = snapshot(aws), len(aws.calls())
    failed = stack.run("provision", world.input | more)
    assert failed.error == error, failed
    assert stack.run("provision", world.input | more | {"mode": "plan"}).cause == failed.cause
    assert [call["operation"] for call in aws.calls(mark) if call["changes"]] == []
    assert differences(before, snapshot(aws)) == []
    return failed.cause


def record(kind: str, *values: str, **more: object) -> dict:
    """A record set as Route 53 takes it."""
    return {"Type": kind, "TTL": TTL, "ResourceRecords": [{"Value": value} for value in values]} | more


def outcomes(answer: dict) -> dict[str, str]:
    """By resource."""
    return {step["resource"]: step["outcome"] for step in answer["steps"]}


def no_record(world: World) -> None:
    """Take the user's own record at the domain away."""
    world.put_record(record("A", world.public_ip), "DELETE")


def ownership(world: World) -> list[str]:
    """The values of the ownership record."""
    found = [one for one in world.records(f"_albatross.{world.domain}") if one["Type"] == "TXT"]
    return [value["Value"] for one in found for value in one["ResourceRecords"]]


@pytest.fixture
def far_away(aws: LocalAws, world: World) -> Iterator[World]:
    """A world whose delegation a test may change; the internet then knows it again."""
    yield world
    aws.delegate(world.zone_name, None)


# --- Whom the internet asks --------------------------------------------------------------------------------------


def own_servers(world: World) -> list[str]:
    [servers] = [one for one in world.records(world.zone_name) if one["Type"] == "NS"]
    return [value["Value"].rstrip(".") for value in servers["ResourceRecords"]]


def test_a_zone_that_the_registrar_does_not_lead_to_is_refused_in_seconds(
    aws: LocalAws, stack: Stack, far_away: World
) -> None:
    world = far_away
    aws.delegate(world.zone_name, ["ns1.other.example", "ns2.other.example"])
    cause = refused(aws, stack, world)
    assert cause.startswith("$.domain: ")
    assert "ns1.other.example" in cause
    assert own_servers(world)[0] in cause
    assert refused(aws, stack, world, hostedZoneId=world.zone).startswith("$.hostedZoneId: ")
    aws.delegate(world.zone_name, [])
    assert "knows no zone" in refused(aws, stack, world)
    # Who has just fixed it at the registrar need not wait for caches.
    assert plan(stack, world, delegation="trust")["warnings"] == []
    aws.delegate(world.zone_name, None)
    assert provision(stack, world)["warnings"] == []


def test_a_zone_that_is_one_of_two_is_told(aws: LocalAws, stack: Stack, far_away: World) -> None:
    world = far_away
    servers = own_servers(world)
    # The zone's NS records say the same as the registrar does, as they do where two providers serve it.
    world.put_record(record("NS", *servers, "ns1.other.example."), name=world.zone_name)
    assert plan(stack, world)["warnings"] == []
    world.put_record(record("NS", servers[0], "ns1.other.example."), name=world.zone_name)
    aws.delegate(world.zone_name, [servers[0], "ns1.other.example"])
    assert plan(stack, world)["warnings"] == []


def test_where_public_dns_is_silent_it_is_told_and_the_provision_goes_on(
    aws: LocalAws, stack: Stack, far_away: World
) -> None:
    aws.delegate(far_away.zone_name, "silent")
    [warning] = plan(stack, far_away)["warnings"]
    assert "public DNS does not answer" in warning
    assert own_servers(far_away)[0] in warning


def test_a_domain_that_the_zone_hands_on_is_refused_with_its_name_servers(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    no_record(world)
    world.put_record(record("NS", "ns1.other.example."))
    cause = refused(aws, stack, world)
    assert cause.startswith("$.domain: ")
    assert f"{world.domain} NS ns1.other.example." in cause
    deep = {"domain": f"deep.{world.domain}"}
    assert f"{world.domain} NS" in refused(aws, stack, world, **deep)


# --- Who may issue certificates ----------------------------------------------------------------------------------


def test_caa_records_that_forbid_amazon_are_told_before_acm_fails(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    forbidding = record("CAA", '0 issue "letsencrypt.org"', '0 iodef "mailto:security@example.com"')
    world.put_record(forbidding, name=world.zone_name)
    cause = refused(aws, stack, world)
    assert cause.startswith("$.domain: ")
    assert f"CAA records of {world.zone_name}" in cause
    assert 'Add 0 issue "amazon.com"' in cause
    # The closest decide.
    world.put_record(record("CAA", '0 issue "amazon.com"'))
    provision(stack, world)
    # A certificate that is issued serves on; it will not be renewed.
    world.put_record(record("CAA", '0 issue ";"'))
    answer = provision(stack, world)
    [warning] = answer["warnings"]
    assert "will not be renewed" in warning
    assert plan(stack, world, certificateArn=answer["certificateArn"])["warnings"] == []


def test_caa_records_where_the_cname_at_the_domain_leads_are_those_that_acm_heeds(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    target = f"web.{world.zone_name}"
    world.put_record(record("CAA", '0 issue "letsencrypt.org"'), name=target)
    no_record(world)
    world.put_record(record("CNAME", target))
    assert "where the CNAME at" in refused(aws, stack, world, dns="overwrite")


# --- Records around the domain -----------------------------------------------------------------------------------


def test_names_that_follow_the_domain_are_told(aws: LocalAws, stack: Stack, world: World) -> None:
    world.put_record(record("CNAME", world.domain), name=f"www.{world.zone_name}")
    target = {"HostedZoneId": world.zone, "DNSName": world.domain, "EvaluateTargetHealth": False}
    world.put_record({"Type": "A", "AliasTarget": target}, name=f"shop.{world.zone_name}")
    planned = plan(stack, world)["warnings"]
    assert sorted(warning.split()[0] for warning in planned) == [
        f"shop.{world.zone_name}",
        f"www.{world.zone_name}",
    ]
    assert all("which the certificate does not name" in warning for warning in planned)
    assert provision(stack, world)["warnings"] == planned


def test_in_a_large_zone_what_decides_is_seen_and_the_rest_told(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    # Their names are listed before the domain's.
    for start in range(0, 1300, 650):
        world.create_records(
            [
                record("A", "198.51.100.1", Name=f"a{n:04}.{world.zone_name}")
                for n in range(start, start + 650)
            ]
        )
    [warning] = provision(stack, world)["warnings"]
    assert "1200 record sets" in warning
    [warning] = plan(stack, world)["warnings"]
    assert outcomes(plan(stack, world))["alias record"] == "found"
    teardown(stack, world)
    no_record(world)
    world.put_record(record("NS", "ns1.other.example."))
    assert "ns1.other.example" in refused(aws, stack, world)


def test_an_alias_that_the_console_has_saved_anew_is_the_same(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    [alias] = [one for one in world.records(world.domain) if one["Type"] == "A"]
    target = alias["AliasTarget"]
    target |= {"DNSName": f"dualstack.{target['DNSName']}", "EvaluateTargetHealth": True}
    world.put_record({"Type": "A", "AliasTarget": target})
    assert plan(stack, world)["dns"] == []
    assert outcomes(provision(stack, world))["alias record"] == "found"
    teardown(stack, world)
    [back] = world.records(world.domain)
    assert back["ResourceRecords"] == [{"Value": world.public_ip}]


def test_an_alias_to_our_load_balancer_is_ours_without_its_ownership_record(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)
    [txt] = world.records(f"_albatross.{world.domain}")
    world.put_record({key: txt[key] for key in ("Type", "TTL", "ResourceRecords")}, "DELETE", txt["Name"])
    told = plan(stack, world)["dns"]
    assert [line.split()[:3] for line in told] == [["+", f"_albatross.{world.domain}", "TXT"]]
    assert outcomes(provision(stack, world))["alias record"] == "changed"
    assert ownership(world)
    assert plan(stack, world)["dns"] == []


def test_a_stack_of_the_same_name_elsewhere_is_another(aws: LocalAws, stack: Stack, world: World) -> None:
    name = f"_albatross.{world.domain}"
    said = f"heritage=albatross stack=albatross region=eu-west-1 account=210987654321 environment={world.name} target=x"
    world.put_record(record("TXT", json.dumps(said)), name=name)
    cause = refused(aws, stack, world, error="DnsRecordConflict")
    assert f"environment {world.name} of stack albatross in eu-west-1 of account 210987654321" in cause
    # Nor does a teardown touch what that one owns.
    before = world.records()
    teardown(stack, world)
    assert world.records() == before


def test_an_address_is_the_same_however_it_is_written(aws: LocalAws, stack: Stack, world: World) -> None:
    ec2 = aws.client("ec2")
    [interface] = ec2.describe_instances(InstanceIds=world.instances)["Reservations"][0]["Instances"][0][
        "NetworkInterfaces"
    ]
    ec2.assign_ipv6_addresses(
        NetworkInterfaceId=interface["NetworkInterfaceId"], Ipv6Addresses=["2001:db8:10:0:0:0:0:a"]
    )
    world.put_record(record("AAAA", "2001:0db8:0010::000a"))
    provision(stack, world)
    assert any(f"instance={world.instances[0]}" in value for value in ownership(world))


# --- Validation --------------------------------------------------------------------------------------------------


def test_a_validation_record_that_was_deleted_by_hand_is_made_again(
    aws: LocalAws, stack: Stack, world: World
) -> None:
    provision(stack, world)

    def validation() -> list[dict]:
        return [one for one in world.records() if one["Type"] == "CNAME"]

    [before] = validation()
    mark = len(aws.calls())
    assert "validation record" not in outcomes(provision(stack, world))
    asked = [call["operation"] for call in aws.calls(mark) if call["caller"] == "request-cert"]
    assert "DescribeCertificate" not in asked
    world.put_record(
        {key: before[key] for key in ("Type", "TTL", "ResourceRecords")}, "DELETE", before["Name"]
    )
    planned = plan(stack, world)
    assert outcomes(planned)["validation record"] == "created"
    [line] = planned["dns"]
    assert line.startswith(f"+ {before['Name'].rstrip('.')} CNAME")
    assert outcomes(provision(stack, world))["validation record"] == "created"
    assert validation() == [before]


# --- A wildcard --------------------------------------------------------------------------------------------------


@contextmanager
def served(aws: LocalAws, world: World) -> Iterator[None]:
    """Somebody visits the domain all the time: it always has an address, and before and after that one serves.

    Between, a visit may be under way to a load balancer just as that ends: here it ends at once, and not after its visitors.
    """
    with Visitor(aws, world.domain) as visitor:
        ends = visitor.again()
        yield
        ends += visitor.again()
    assert [str(visit) for visit in ends if visit.failed] == []
    assert [failure for failure in visitor.failures if "has no address" in failure] == []


@pytest.fixture
def by_wildcard(world: World) -> World:
    """A world whose domain has no record of its own: `*.w….test` serves it."""
    no_record(world)
    world.put_record(record("A", world.public_ip), name=f"*.{world.zone_name}")
    return world


def at_or_under(world: World) -> list[str]:
    """What stands at the domain and under it."""
    names = [(one["Name"].rstrip("."), one["Type"]) for one in world.records()]
    return sorted(f"{name} {kind}" for name, kind in names if f".{name}".endswith(f".{world.domain}"))


def test_a_name_that_a_wildcard_serves_is_served_all_the_time(
    aws: LocalAws, stack: Stack, by_wildcard: World
) -> None:
    world = by_wildcard
    planned = plan(stack, world)
    assert any("RFC 4592" in warning and f"x.{world.domain}" in warning for warning in planned["warnings"])
    assert not any(line.startswith("-") for line in planned["dns"])
    with served(aws, world):
        answer = provision(stack, world)
        assert answer["warnings"] == planned["warnings"]
        assert answer["steps"][-1]["outcome"] == "changed"
        assert provision(stack, world)["warnings"] == []
        # The validation record stays, so a copy serves on: of what the wildcard has by then.
        moved = record("A", world.public_ip, TTL=77)
        world.put_record(moved, name=f"*.{world.zone_name}")
        teardown(stack, world)
        [copy] = world.records(world.domain)
        assert (copy["Type"], copy["TTL"], copy["ResourceRecords"]) == ("A", 77, moved["ResourceRecords"])
        assert len(ownership(world)) == 2
        teardown(stack, world)
        assert world.records(world.domain) == [copy]
        provision(stack, world)
        teardown(stack, world, certificate="delete")
        assert at_or_under(world) == []


def test_a_provision_that_fails_leaves_a_wildcards_name_served(
    aws: LocalAws, stack: Stack, by_wildcard: World
) -> None:
    world = by_wildcard
    with served(aws, world):
        assert (
            stack.run("provision", world.input | {"healthCheck": {"path": "/none"}}).error
            == "TargetsNotHealthy"
        )
        names = at_or_under(world)
        assert f"{world.domain} A" in names
        assert f"_lock._albatross.{world.domain} TXT" not in names
        teardown(stack, world, certificate="delete")
        assert at_or_under(world) == []


def test_a_provision_that_fails_at_once_leaves_nothing_under_a_wildcards_name(
    aws: LocalAws, stack: Stack, by_wildcard: World
) -> None:
    world = by_wildcard
    with served(aws, world):
        aws.fault("denied", "RequestCertificate", "request-cert")
        assert stack.run("provision", world.input).error == "AwsRefused"
        aws.end_faults()
        assert at_or_under(world) == []


def test_a_teardown_of_nothing_keeps_a_wildcards_name_served(
    aws: LocalAws, stack: Stack, by_wildcard: World
) -> None:
    with served(aws, by_wildcard):
        teardown(stack, by_wildcard)
        assert at_or_under(by_wildcard) == []


def test_what_somebody_puts_under_a_wildcards_name_keeps_the_copy(
    aws: LocalAws, stack: Stack, by_wildcard: World
) -> None:
    world = by_wildcard
    with served(aws, world):
        provision(stack, world)
        world.put_record(record("A", "198.51.100.1"), name=f"x.{world.domain}")
        teardown(stack, world, certificate="delete")
        # The wildcard serves it no more, and nothing there is ours.
        assert at_or_under(world) == [f"{world.domain} A", f"x.{world.domain} A"]


def test_a_wildcard_that_cannot_be_copied_is_refused(aws: LocalAws, stack: Stack, world: World) -> None:
    no_record(world)
    weighted = record("A", world.public_ip, SetIdentifier="one", Weight=1)
    world.put_record(weighted, name=f"*.{world.zone_name}")
    cause = refused(aws, stack, world, error="DnsRecordConflict")
    assert f"*.{world.zone_name} A" in cause
    assert "a record of its own" in cause
