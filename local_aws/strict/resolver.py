"""What a resolver of the internet finds in Route 53's public hosted zones (RFC 1034, 4.3.2; RFC 2308; RFC 4592).

Which name servers a zone's parent has for it is by default what Route 53 gave the zone; a test may say otherwise. A zone
below another one is asked only where the upper one delegates to it, by NS records. Changes are seen at once.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from moto.elbv2.models import FakeLoadBalancer, elbv2_backends
from moto.route53.models import FakeZone, RecordSet, route53_backends

from .route53 import normal

NOERROR, NXDOMAIN, SERVFAIL = "NOERROR", "NXDOMAIN", "SERVFAIL"
# In place of name servers: they do not answer.
SILENT = "silent"
MOST_ALIASES = 16
# Of what is made up here: AWS's own names, and aliases, which have the TTL of their target (developer guide, aliases).
TTL = 60
_EC2_NAME = re.compile(r"ec2-(\d+)-(\d+)-(\d+)-(\d+)\.(compute-1|[a-z0-9-]+\.compute)\.amazonaws\.com\.")
_ELB_NAME = re.compile(r"[^.]+\.[a-z0-9-]+\.elb\.amazonaws\.com\.")

# Name servers, by the name of the zone, where a test has said them.
delegations: dict[str, list[str] | str] = {}


@dataclass(frozen=True)
class Rrset:
    """The records of one name and type, their values in the form of zone files."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Response:
    """What a query is answered with."""

    code: str = NOERROR
    answer: tuple[Rrset, ...] = ()
    authority: tuple[Rrset, ...] = ()
    authoritative: bool = True


@dataclass(frozen=True)
class Cut:
    """Where a zone ends: a name from which on it has other name servers."""

    name: str
    servers: list[str]


@dataclass(frozen=True)
class Node:
    """What a zone has at a name; no record sets for an empty non-terminal, None where there is no such name."""

    zone: FakeZone
    records: list[RecordSet] | None


@dataclass(frozen=True)
class Lame:
    """Name servers that the zone is delegated to, and that are not Route 53's for it."""

    cut: Cut


def delegate(zone: str, name_servers: list[str] | str | None) -> None:
    """Say what the parent of a zone has for it; None: again what Route 53 gave it, or the records of the zone above."""
    if name_servers is None:
        delegations.pop(normal(zone), None)
    else:
        delegations[normal(zone)] = name_servers


# --- One zone ----------------------------------------------------------------------------------------------------


def _parent(name: str) -> str:
    return name.partition(".")[2] or "."


def _is_within(name: str, zone_name: str) -> bool:
    return name == zone_name or name.endswith(f".{zone_name}")


def _up_to(name: str, apex: str) -> Iterator[str]:
    """The name and those above it, up to the apex."""
    while name != apex:
        yield name
        name = _parent(name)
    yield apex


def look_up(apex: str, records: list[RecordSet], name: str) -> list[RecordSet] | Cut | None:
    """The record sets at a name of a zone, itself or by a wildcard; where it has none the zone has no such name.

    A name under which any other stands exists, with or without records: no wildcard answers for it (RFC 4592, 2.2.2),
    and it is the closest encloser of what is below it, so no wildcard above it answers for that either (3.3.1).
    """
    path = list(_up_to(name, apex))
    at: dict[str, list[RecordSet]] = {above: [] for above in path}
    for record in records:
        if record.name in at:
            at[record.name].append(record)
    for above in reversed(path[:-1]):
        servers = [value for record in at[above] if record.type == "NS" for value in record.records]
        if servers:
            return Cut(above, [normal(server) for server in servers])
    if at[name]:
        return at[name]
    closest = next(above for above in path if at[above] or _stands_below(above, records))
    if closest == name:
        return []
    wildcard = normal(f"*.{closest}")
    found = [record for record in records if record.name == wildcard]
    return found if found or _stands_below(wildcard, records) else None


def _stands_below(name: str, records: list[RecordSet]) -> bool:
    ending = f".{name}"
    return any(record.name.endswith(ending) for record in records)


# --- The internet ------------------------------------------------------------------------------------------------


def _public_zones() -> list[FakeZone]:
    """Of all accounts, oldest first."""
    accounts = list(route53_backends.values())
    zones = [zone for account in accounts for backend in account.values() for zone in backend.zones.values()]
    return [zone for zone in zones if not zone.private_zone]


def _servers_of(zone: FakeZone) -> set[str]:
    return {normal(server) for server in zone.delegation_set.name_servers}


def _told(zone_name: str, zones: list[FakeZone]) -> list[str] | str:
    """The name servers that a zone's parent outside Route 53 has for it: of several of one name the first one's."""
    if zone_name in delegations:
        return delegations[zone_name]
    return sorted(_servers_of(next(zone for zone in zones if zone.name == zone_name)))


def find(name: str) -> Node | Lame | str | None:
    """Where the internet's delegations lead: a node of a zone, lame servers, SILENT, or nowhere."""
    zones = _public_zones()
    tops = [top for top in {zone.name for zone in zones} | set(delegations) if _is_within(name, top)]
    if not tops:
        return None
    top = min(tops, key=len)
    cut = Cut(top, _told(top, zones))
    while True:
        if cut.servers == SILENT:
            return SILENT
        if not cut.servers:
            return None
        asked = {normal(server) for server in cut.servers}
        zone = next((zone for zone in zones if zone.name == cut.name and _servers_of(zone) & asked), None)
        if zone is None:
            return Lame(cut)
        found = look_up(zone.name, zone.rrsets, name)
        said = [told for told in delegations if _is_within(name, told) and len(told) > len(zone.name)]
        next_said = min(said, key=len, default=None)
        if next_said and not (isinstance(found, Cut) and len(found.name) < len(next_said)):
            cut = Cut(next_said, delegations[next_said])
        elif isinstance(found, Cut):
            cut = found
        else:
            return Node(zone, found)


def records_at(name: str) -> list[RecordSet]:
    """The record sets that the internet finds at a name."""
    found = find(normal(name))
    return found.records or [] if isinstance(found, Node) else []


# --- Answers -----------------------------------------------------------------------------------------------------


def load_balancer_of(dns_name: str) -> FakeLoadBalancer | None:
    """The load balancer that has this name, with or without `dualstack.` before it."""
    wanted = normal(dns_name).removeprefix("dualstack.")
    for account in list(elbv2_backends.values()):
        for backend in list(account.values()):
            for load_balancer in backend.load_balancers.values():
                if normal(load_balancer.dns_name) == wanted:
                    return load_balancer
    return None


def _addresses(load_balancer: FakeLoadBalancer, kind: str) -> tuple[str, ...]:
    """One of loopback, that is this load balancer's alone: nothing leaves the machine."""
    if kind == "A":
        return (load_balancer.loopback,)
    if kind == "AAAA" and load_balancer.ip_address_type == "dualstack":
        return (f"::ffff:{load_balancer.loopback}",)
    return ()


def _aws_own(name: str, kind: str) -> Response | None:
    """The answer of AWS's own zones, which hold a name for each load balancer and each public address."""
    if _ELB_NAME.fullmatch(name.removeprefix("dualstack.")):
        load_balancer = load_balancer_of(name)
        if load_balancer is None:
            return Response(NXDOMAIN)
        return Response(answer=_rrsets(name, kind, TTL, _addresses(load_balancer, kind)))
    if address := _EC2_NAME.fullmatch(name):
        values = (".".join(address.groups()[:4]),) if kind == "A" else ()
        return Response(answer=_rrsets(name, kind, TTL, values))
    return None


def _rrsets(name: str, kind: str, ttl: int, values: tuple[str, ...]) -> tuple[Rrset, ...]:
    return (Rrset(name, kind, ttl, values),) if values else ()


def _chosen(records: list[RecordSet]) -> list[RecordSet]:
    """Of several of one name and type, which a routing policy tells apart: all, the primary, or one by weight."""
    if len(records) < 2 or all(record.multi_value_answer for record in records):
        return records
    if primary := [record for record in records if record.failover == "PRIMARY"]:
        return primary
    weights = [int(record.weight or 0) for record in records]
    return random.choices(records, weights if any(weights) else None)


def _of_type(zone: FakeZone, name: str, records: list[RecordSet], kind: str) -> tuple[Rrset, ...]:
    """The records of a type at a node, where an alias is answered with what its target has."""
    chosen = _chosen([record for record in records if record.type == kind])
    values: list[str] = []
    ttl = TTL
    for record in chosen:
        if record.alias_target:
            values += _of_alias(zone, record)
        else:
            values += record.records
            ttl = int(record.ttl)
    return _rrsets(name, kind, ttl, tuple(dict.fromkeys(values)))


def _of_alias(zone: FakeZone, record: RecordSet) -> list[str]:
    """What an alias leads to: a load balancer or another record of the zone. One whose target is gone has no answer."""
    target = normal(record.alias_target["DNSName"])
    if load_balancer := load_balancer_of(target):
        return list(_addresses(load_balancer, record.type))
    if target == record.name or not _is_within(target, zone.name):
        return []
    found = look_up(zone.name, zone.rrsets, target)
    rrsets = _of_type(zone, target, found, record.type) if isinstance(found, list) else ()
    return [value for rrset in rrsets for value in rrset.values]


def _at(node: Node, name: str, kind: str) -> Response:
    """A node's answer, its alias name not followed."""
    if node.records is None:
        return Response(NXDOMAIN, authority=_soa(node.zone))
    kinds = {record.type for record in node.records}
    found: tuple[Rrset, ...] = ()
    for wanted in sorted(kinds) if kind == "ANY" else [kind]:
        found += _of_type(node.zone, name, node.records, wanted)
    if not found and "CNAME" in kinds:
        found = _of_type(node.zone, name, node.records, "CNAME")
    return Response(answer=found) if found else Response(authority=_soa(node.zone))


def _soa(zone: FakeZone) -> tuple[Rrset, ...]:
    """It says for how long a negative answer holds (RFC 2308)."""
    return _of_type(zone, zone.name, [record for record in zone.rrsets if record.name == zone.name], "SOA")


def resolve(name: str, kind: str) -> Response | None:
    """What a resolver of the internet answers; None: nothing, as the zone's name servers are silent."""
    answer: tuple[Rrset, ...] = ()
    name = normal(name)
    for _ in range(MOST_ALIASES):
        response = _aws_own(name, kind) or _found(name, kind)
        if response is None:
            return None
        answer += response.answer
        aliases = [rrset for rrset in response.answer if rrset.type == "CNAME"]
        if not aliases or kind in ("CNAME", "ANY"):
            return replace(response, answer=answer, authoritative=False)
        name = normal(aliases[0].values[0])
    return Response(SERVFAIL, authoritative=False)


def _found(name: str, kind: str) -> Response | None:
    match find(name):
        case Node() as node:
            return _at(node, name, kind)
        case Lame(cut) if (name, kind) == (cut.name, "NS"):
            return Response(answer=_rrsets(name, "NS", TTL, tuple(cut.servers)))
        case Lame():
            return Response(SERVFAIL)
        case str():
            return None
    return Response(NXDOMAIN)


def authoritative(name: str, kind: str) -> Response:
    """What Route 53's own name servers answer: of the closest zone, whoever asks it, with a referral at its cuts."""
    name = normal(name)
    if own := _aws_own(name, kind):
        return own
    zones = [zone for zone in _public_zones() if _is_within(name, zone.name)]
    if not zones:
        return Response("REFUSED", authoritative=False)
    zone = max(zones, key=lambda zone: len(zone.name))
    found = look_up(zone.name, zone.rrsets, name)
    if isinstance(found, Cut):
        referral = _rrsets(found.name, "NS", TTL, tuple(found.servers))
        return Response(authority=referral, authoritative=False)
    return _at(Node(zone, found), name, kind)
