"""Subnets as AWS has them beyond moto: Local Zones, Outposts, and VPC Block Public Access."""

import copy

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend, Zone
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses import EC2Response
from moto.ec2.responses.availability_zones_and_regions import AvailabilityZonesAndRegions
from moto.ec2.responses.subnets import Subnets
from moto.moto_api._internal import mock_random

from .patch import replaces

LOCAL_ZONE = "local-zone"
# Zone, its id, its group and the zone that it is a part of (Local Zones user guide, "Available Local Zones").
LOCAL_ZONES = {
    "us-east-1": ("us-east-1-bos-1a", "use1-bos1-az1", "us-east-1-bos-1", "us-east-1a"),
    "us-west-2": ("us-west-2-lax-1a", "usw2-lax1-az1", "us-west-2-lax-1", "us-west-2a"),
}


def _local_zone(region: str, name: str, zone_id: str, group: str, parent: str) -> Zone:
    zone = Zone(name=name, region_name=region, zone_id=zone_id, zone_type=LOCAL_ZONE)
    zone.group_name = zone.network_border_group = group
    zone.parent_zone_name = parent
    return zone


for _region, _fields in LOCAL_ZONES.items():
    RegionsAndZonesBackend.zones[_region].append(_local_zone(_region, *_fields))

# Zones


def _opted_in(backend: EC2Backend) -> set[str]:
    """The groups of Local Zones that the account has opted in to; kept with the backend, so that a reset forgets them."""
    return backend.__dict__.setdefault("opted_in", set())


@replaces(EC2Backend)
def describe_availability_zones(
    original, self, filters=None, zone_names=None, zone_ids=None, everything=False
):
    """Local Zones are there for an account that has opted in to them (API reference, DescribeAvailabilityZones)."""
    found = []
    for zone in original(self, filters, zone_names, zone_ids):
        described = copy.copy(zone)
        described.opt_in_status = "opt-in-not-required"
        if zone.zone_type == LOCAL_ZONE:
            opted = zone.group_name in _opted_in(self)
            described.opt_in_status = "opted-in" if opted else "not-opted-in"
        if everything or described.opt_in_status != "not-opted-in":
            found.append(described)
    return found


@replaces(AvailabilityZonesAndRegions, "describe_availability_zones")
def describe_all(original, self):
    """AllAvailabilityZones shows the others too."""
    if not self._get_param("AllAvailabilityZones"):
        return original(self)
    zones = self.ec2_backend.describe_availability_zones(
        self._filters_from_querystring(),
        self._get_param("ZoneNames"),
        self._get_param("ZoneIds"),
        everything=True,
    )
    return ActionResult({"AvailabilityZones": zones})


def modify_availability_zone_group(self: EC2Response) -> ActionResult:
    """Opt in to a group of Local Zones; AWS has no way back but its support (API reference)."""
    group = self._get_param("GroupName")
    if group not in {fields[2] for fields in LOCAL_ZONES.values()}:
        raise EC2ClientError("InvalidParameterValue", f"Value ({group}) for parameter GroupName is invalid.")
    _opted_in(self.ec2_backend).add(group)
    return ActionResult({"Return": True})


EC2Response.modify_availability_zone_group = modify_availability_zone_group

# Subnets


@replaces(EC2Backend)
def create_subnet(
    original, self, vpc_id, cidr_block, ipv6_cidr_block=None, availability_zone=None, *more, **named
):
    """In a Local Zone only after opting in; the default one of its zone, or mapping addresses, in a default VPC alone."""
    known = {zone.name for zone in self.describe_availability_zones()}
    if availability_zone in {fields[0] for fields in LOCAL_ZONES.values()} - known:
        message = f"Value ({availability_zone}) for parameter availabilityZone is invalid."
        raise EC2ClientError("InvalidParameterValue", message)
    made = original(self, vpc_id, cidr_block, ipv6_cidr_block, availability_zone, *more, **named)
    default = getattr(self, "default_vpc", None)
    if default is not None and default.id != vpc_id:
        made.default_for_az = made.map_public_ip_on_launch = False
    return made


@replaces(Subnets, "create_subnet")
def create_on_outpost(original, self):
    """A subnet of an Outpost says so (API reference, Subnet, OutpostArn)."""
    answer = original(self)
    answer.result["Subnet"].outpost_arn = self._get_param("OutpostArn")
    return answer


Subnet.outpost_arn = None


def zone_type(subnet: Subnet) -> str:
    """availability-zone, or local-zone."""
    return subnet._availability_zone.zone_type


# VPC Block Public Access: VPC user guide, "Block public access to VPCs and subnets"; API reference, the operations' names.

OFF = "off"


def _blocking(backend: EC2Backend) -> dict:
    """The account's mode in the region, and what is excluded from it: the mode of each subnet or VPC."""
    return backend.__dict__.setdefault("blocking", {"mode": OFF, "excluded": {}})


def block_mode(subnet: Subnet) -> str:
    """How traffic between the subnet and internet gateways is blocked: off, block-ingress or block-bidirectional."""
    blocking = _blocking(subnet.ec2_backend)
    excluded = blocking["excluded"]
    allowed = excluded.get(subnet.id) or excluded.get(subnet.vpc_id)
    if blocking["mode"] == OFF or allowed == "allow-bidirectional":
        return OFF
    return "block-ingress" if allowed == "allow-egress" else blocking["mode"]


Subnet.block_public_access_states = property(lambda self: {"InternetGatewayBlockMode": block_mode(self)})


def modify_vpc_block_public_access_options(self: EC2Response) -> ActionResult:
    """The mode of the account in this region."""
    mode = self._get_param("InternetGatewayBlockMode")
    if mode not in (OFF, "block-bidirectional", "block-ingress"):
        message = f"Value ({mode}) for parameter InternetGatewayBlockMode is invalid."
        raise EC2ClientError("InvalidParameterValue", message)
    _blocking(self.ec2_backend)["mode"] = mode
    options = {
        "AwsAccountId": self.current_account,
        "AwsRegion": self.region,
        "State": "update-complete",
        "InternetGatewayBlockMode": mode,
    }
    return ActionResult({"VpcBlockPublicAccessOptions": options})


def create_vpc_block_public_access_exclusion(self: EC2Response) -> ActionResult:
    """A subnet or a VPC for which the mode does not hold."""
    resource = self._get_param("SubnetId") or self._get_param("VpcId")
    mode = self._get_param("InternetGatewayExclusionMode")
    _blocking(self.ec2_backend)["excluded"][resource] = mode
    kind = "subnet" if resource.startswith("subnet-") else "vpc"
    exclusion = {
        "ExclusionId": "vpcbpa-exclude-" + mock_random.get_random_hex(17),
        "InternetGatewayExclusionMode": mode,
        "ResourceArn": f"arn:aws:ec2:{self.region}:{self.current_account}:{kind}/{resource}",
        "State": "create-complete",
    }
    return ActionResult({"VpcBlockPublicAccessExclusion": exclusion})


EC2Response.modify_vpc_block_public_access_options = modify_vpc_block_public_access_options
EC2Response.create_vpc_block_public_access_exclusion = create_vpc_block_public_access_exclusion
