"""Route 53: a batch of changes is checked as a whole, exactly, and takes time to reach the name servers."""

import functools
import hashlib
import re

from moto.moto_api._internal import mock_random
from moto.route53.exceptions import Route53ClientError
from moto.route53.models import FakeZone, RecordSet, Route53Backend, reverse_domain_name
from moto.route53.responses import Route53
from moto.route53.utils import validate_domain_name

from ..clock import clock
from .delays import IN_SYNC
from .paging import EVERYTHING, Pages, page_size
from .patch import replaces

# The hosted zones of application load balancers (AWS General Reference, "Elastic Load Balancing endpoints and quotas"),
# of the regions that every account has.
ALB_ZONES = {
    "ap-northeast-1": "Z14GRHDCWA56QT",
    "ap-northeast-2": "ZWKZPGTI48KDX",
    "ap-northeast-3": "Z5LXEXXYW11ES",
    "ap-south-1": "ZP97RAFLXTNZK",
    "ap-southeast-1": "Z1LMS91P8CMLE5",
    "ap-southeast-2": "Z1GM3OXH4ZPM65",
    "ca-central-1": "ZQSVJUPU6J1EY",
    "eu-central-1": "Z215JYRZR1TBD5",
    "eu-north-1": "Z23TAZ6LKFMNIO",
    "eu-west-1": "Z32O12XQLNTSW2",
    "eu-west-2": "ZHURV8PSTC4K8",
    "eu-west-3": "Z3Q77PNBQS71R4",
    "sa-east-1": "Z2P70J7HTTTPLU",
    "us-east-1": "Z35SXDOTRQ7X7K",
    "us-east-2": "Z3AADJGX6KTTL2",
    "us-west-1": "Z368ELLRRE2KJ0",
    "us-west-2": "Z1H1FL5HABSF5",
}
LONGEST_COMMENT = 256
_ALB_NAME = re.compile(r"[^.]+\.([a-z0-9-]+)\.elb\.amazonaws\.com\.")


def normal(name: str) -> str:
    """A DNS name as Route 53 keeps it: lower case, with its last dot, an asterisk in octal.

    Developer guide, "DNS domain name format"; that it answers so is what Terraform's provider undoes (cleanRecordName).
    """
    return name.lower().rstrip(".").replace("*", "\\052") + "."


def _name_servers(zone_id: str) -> list[str]:
    """Four for each zone, no other's (developer guide, "SOA and NS records that Amazon Route 53 creates")."""
    number = int(hashlib.sha256(zone_id.encode()).hexdigest(), 16)
    servers = []
    for index, place in enumerate(("com", "net", "org", "co.uk")):
        number, server = divmod(number, 512)
        number, shard = divmod(number, 64)
        servers.append(f"ns-{512 * index + server}.awsdns-{shard:02}.{place}")
    return servers


def _zone_changes(backend: Route53Backend) -> dict[str, float]:
    """The moment of every change, by id; kept with the backend, so that a reset forgets it too."""
    return backend.__dict__.setdefault("changes", {})


def _refuse(message: str) -> None:
    """Route 53 puts the reasons of a refused batch in brackets."""
    raise Route53ClientError("InvalidChangeBatch", f"[{message}]")


def _same(found: RecordSet, wanted: RecordSet) -> bool:
    """Whether two record sets of one name and type hold the same values; their order does not matter."""

    def values(record: RecordSet) -> tuple:
        alias = record.alias_target and (
            record.alias_target["HostedZoneId"],
            record.alias_target["DNSName"],
            bool(record.alias_target["EvaluateTargetHealth"]),
        )
        routing = (
            record.weight,
            record.region,
            record.failover,
            record.geo_location,
            record.multi_value_answer,
        )
        ttl = None if record.ttl is None else int(record.ttl)
        return ttl, sorted(record.records or []), alias, routing, record.health_check_id

    return values(found) == values(wanted)


def _described(record: RecordSet) -> str:
    identifier = f", set-identifier='{record.set_identifier}'" if record.set_identifier else ""
    return f"[name='{record.name}', type='{record.type}'{identifier}]"


def _wanted(change: dict) -> RecordSet:
    """moto's record set for a change, with normal names."""
    fields = dict(change["ResourceRecordSet"])
    fields["Name"] = normal(fields["Name"])
    fields["ResourceRecords"] = [record["Value"] for record in fields.get("ResourceRecords") or []]
    if fields.get("AliasTarget"):
        fields["AliasTarget"] = dict(fields["AliasTarget"], DNSName=normal(fields["AliasTarget"]["DNSName"]))
    record = RecordSet(fields)
    record.since = clock.now()
    return record


def _check_name(record: RecordSet, zone: FakeZone) -> None:
    validate_domain_name(record.name, code="InvalidChangeBatch")
    if record.name != zone.name and not record.name.endswith(f".{zone.name}"):
        _refuse(f"RRSet with DNS name {record.name} is not permitted in zone {zone.name}")
    if record.type == "CNAME" and record.name == zone.name:
        _refuse(
            f"RRSet of type CNAME with DNS name {record.name} is not permitted at apex in zone {zone.name}"
        )


def _check_values(record: RecordSet) -> None:
    """A TXT value is quoted strings of at most 255 characters; a record set is an alias or has a TTL and values."""
    if not record.alias_target and not (record.ttl is not None and record.records):
        raise Route53ClientError(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId], but found none in Change with [Name={record.name}, Type={record.type}]",
        )
    for value in record.records if record.type == "TXT" else []:
        if not re.fullmatch(r'("(\\.|[^"\\])*"\s*)+', value):
            fault = "InvalidCharacterString (Value should be enclosed in quotation marks)"
        elif any(len(text[0]) > 257 for text in re.finditer(r'"(\\.|[^"\\])*"', value)):
            fault = "CharacterStringTooLong (Value is too long)"
        else:
            continue
        _refuse(f"Invalid Resource Record: 'FATAL problem: {fault} encountered with '{value}''")


def _check_alias(record: RecordSet) -> None:
    """An alias at a load balancer needs the zone id that its region's load balancers have."""
    if not record.alias_target:
        return
    target, zone_id = record.alias_target["DNSName"], record.alias_target["HostedZoneId"]
    load_balancer = _ALB_NAME.fullmatch(target.removeprefix("dualstack."))
    if load_balancer and zone_id != ALB_ZONES.get(load_balancer[1], zone_id):
        _refuse(
            f"Tried to create an alias that targets {target}, type {record.type} in zone {zone_id}, "
            "but the alias target name does not lie within the target zone"
        )


def _check_neighbours(record: RecordSet, records: list[RecordSet], zone: FakeZone) -> None:
    """A CNAME stands alone at its name."""
    others = [other for other in records if other.name == record.name and other.type != record.type]
    if record.type == "CNAME" and others:
        _refuse(
            f"RRSet of type CNAME with DNS name {record.name} is not permitted as it conflicts with other records "
            f"with the same DNS name in zone {zone.name}"
        )
    if any(other.type == "CNAME" for other in others):
        _refuse(
            f"RRSet of type {record.type} with DNS name {record.name} is not permitted because a conflicting RRSet "
            f"of type CNAME with the same DNS name already exists in zone {zone.name}"
        )


def _changed(records: list[RecordSet], change: dict, zone: FakeZone) -> list[RecordSet]:
    """The zone's records after one change. DELETE must repeat every current value; CREATE must find none."""
    record = _wanted(change)
    _check_name(record, zone)
    _check_values(record)
    key = (record.name, record.type, record.set_identifier)
    found = next((r for r in records if (r.name, r.type, r.set_identifier) == key), None)
    rest = [other for other in records if other is not found]
    if change["Action"] == "DELETE":
        if found is None:
            _refuse(f"Tried to delete resource record set {_described(record)} but it was not found")
        if not _same(found, record):
            _refuse(
                f"Tried to delete resource record set {_described(record)} "
                "but the values provided do not match the current values"
            )
        return rest
    if change["Action"] == "CREATE" and found is not None:
        _refuse(f"Tried to create resource record set {_described(record)} but it already exists")
    _check_alias(record)
    _check_neighbours(record, rest, zone)
    if found is not None and _same(found, record):
        record.since = found.since
    return [*rest, record]


@replaces(Route53Backend)
def create_hosted_zone(original, self, name, *arguments, **named):
    """The records that a zone begins with have a moment from which they stand, and the zone's own name servers."""
    zone = original(self, normal(name), *arguments, **named)
    if not zone.delegation_set.id:  # a reusable one has name servers of its own
        zone.delegation_set.name_servers = _name_servers(zone.resource_id)
    servers = zone.delegation_set.name_servers
    values = {
        "NS": [f"{server}." for server in servers],
        "SOA": [f"{servers[0]}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"],
    }
    for record in zone.rrsets:
        record.since, record.records = clock.now(), values[record.type]
    return zone


@replaces(Route53Backend)
def change_resource_record_sets(original, self, zoneid, change_list):
    """A batch is atomic: all of it, or the first reason why not."""
    zone = self.get_hosted_zone(zoneid)
    records = list(zone.rrsets)
    for change in change_list:
        records = _changed(records, change, zone)
    zone.rrsets = records


def _with_own_change(original, self):
    """A change has an id of its own and is PENDING until it has reached all name servers."""
    answer = original(self)
    change_id = "C" + mock_random.get_random_hex(13).upper()
    _zone_changes(self.backend)[change_id] = clock.now()
    answer.result["ChangeInfo"] |= {"Id": f"/change/{change_id}", "Status": _status(self.backend, change_id)}
    return answer


for operation in ("create_hosted_zone", "delete_hosted_zone", "change_resource_record_sets"):
    replaces(Route53, operation)(_with_own_change)


@replaces(Route53, "change_resource_record_sets")
def with_short_comment(original, self):
    """A comment has at most 256 characters (service model, ResourceDescription, of ChangeBatch.Comment)."""
    comment = self._get_param("ChangeBatch.Comment") or ""
    if len(comment) > LONGEST_COMMENT:
        raise Route53ClientError(
            "InvalidInput",
            f"1 validation error detected: Value '{comment}' at 'changeBatch.comment' failed to satisfy constraint: "
            f"Member must have length less than or equal to {LONGEST_COMMENT}",
        )
    return original(self)


def _status(backend: Route53Backend, change_id: str) -> str:
    return "INSYNC" if clock.passed(_zone_changes(backend)[change_id], IN_SYNC) else "PENDING"


@replaces(Route53)
def get_change(original, self):
    """GetChange of an id that never was: NoSuchChange."""
    change_id = self._get_param("Id").removeprefix("/change/")
    if change_id not in _zone_changes(self.backend):
        raise Route53ClientError("NoSuchChange", f"Could not find resource with ID: {change_id}")
    answer = original(self)
    answer.result["ChangeInfo"]["Status"] = _status(self.backend, change_id)
    return answer


ZONES = Pages("MaxItems", "Marker", "NextMarker", 100, functools.partial(Route53ClientError, "InvalidInput"))
MOST_RECORDS = 300


@replaces(Route53)
def list_hosted_zones(original, self):
    """Pages say whether they are the last, how many they may hold, and where they began."""
    marker, size = self._get_param("Marker"), page_size(self._get_param("MaxItems"), ZONES.usual)
    answer = ZONES.cut(original, self, "HostedZones")
    truncated = "NextMarker" in answer.result
    answer.result.update(IsTruncated=truncated, MaxItems=size, Marker=marker)
    return answer


@replaces(Route53)
def list_resource_record_sets(original, self):
    """A page ends anywhere, also within the record sets of one name and type; the next begins just there."""
    size = page_size(min(self._get_int_param("MaxItems", MOST_RECORDS), MOST_RECORDS), MOST_RECORDS)
    start = [self._get_param(f"StartRecord{part}") or "" for part in ("Name", "Type", "Identifier")]
    self.params |= {"MaxItems": EVERYTHING}
    answer = original(self)

    def before(record: RecordSet) -> bool:
        key = (record.name, record.type, record.set_identifier or "")
        return key[:2] == (normal(start[0]), start[1]) and key[2] < start[2]

    records = [record for record in answer.result["ResourceRecordSets"] if not before(record)]
    page, more = records[:size], records[size:]
    answer.result.update(ResourceRecordSets=page, MaxItems=size, IsTruncated=bool(more))
    if more:
        answer.result.update(
            NextRecordName=more[0].name,
            NextRecordType=more[0].type,
            NextRecordIdentifier=more[0].set_identifier,
        )
    return answer


@replaces(FakeZone)
def get_record_sets(original, self, start_type, start_name):
    """Those of one name and type are in the order of their identifiers."""
    found = list(original(self, start_type, start_name))
    return sorted(found, key=lambda r: (reverse_domain_name(r.name), r.type, r.set_identifier or ""))
