"""ELBv2: names mean one resource each, requests are checked as AWS checks them, and things take time."""

import ipaddress
import re
from datetime import UTC, datetime, timedelta

from moto.core.utils import iso_8601_datetime_with_milliseconds
from moto.ec2.exceptions import InvalidSubnetIdError
from moto.ec2.models.subnets import Subnet
from moto.elbv2.exceptions import (
    DuplicateListenerError,
    ELBClientError,
    ListenerNotFoundError,
    LoadBalancerNotFoundError,
    TooManyTagsError,
    ValidationError,
)
from moto.elbv2.models import (
    ELBv2Backend,
    FakeAction,
    FakeListener,
    FakeLoadBalancer,
    FakeTargetGroup,
    elbv2_backends,
)
from moto.elbv2.responses import ELBV2Response
from moto.elbv2.ssl_policies import SSL_POLICIES
from moto.moto_api._internal import mock_random
from moto.utilities.utils import ARN_PARTITION_REGEX

from ..clock import clock
from . import acm, unconfirmed
from .delays import ACTIVE
from .ec2 import has_internet_route, release_interfaces, set_interfaces
from .paging import Pages, paged
from .patch import replaces
from .route53 import ALB_ZONES
from .subnets import LOCAL_ZONE, OFF, block_mode, zone_type
from .tags import must_fit

MOST_ARNS = 20
MOST_TAGS = 50
# User guide, "Subnets for your load balancer".
FREE_ADDRESSES = 8
LONGEST_PREFIX = 27
REDIRECT_CODES = ("HTTP_301", "HTTP_302")
_loopback = ipaddress.ip_network("127.64.0.0/10").hosts()


# Load balancers


def _check_name(name: str) -> None:
    """At most 32 letters, digits and hyphens, no hyphen first or last, not beginning with internal-."""
    if not re.fullmatch(r"(?!-)(?!internal-)[A-Za-z0-9-]{1,32}(?<!-)", name):
        raise ValidationError(
            f"The load balancer name '{name}' is not valid: it can have at most 32 characters, only letters, digits "
            "and hyphens, cannot begin or end with a hyphen, and cannot begin with 'internal-'"
        )


def _checked_subnets(
    backend: ELBv2Backend, kind: str, subnet_ids: list[str], standing: FakeLoadBalancer | None
) -> list[Subnet]:
    """Known, of one VPC, one in each zone; for an application load balancer in at least two Availability Zones.

    Those of a load balancer that stands there already are not asked for room.
    """
    subnets = []
    for subnet_id in subnet_ids:
        try:
            subnets.append(backend.ec2_backend.get_subnet(subnet_id))
        except InvalidSubnetIdError:
            raise ELBClientError("SubnetNotFound", f"The subnet ID '{subnet_id}' does not exist") from None
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise ELBClientError("InvalidConfigurationRequest", "All subnets must belong to the same VPC")
    zones = {subnet.availability_zone for subnet in subnets}
    if len(zones) < len(subnets):
        message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        raise ELBClientError("InvalidConfigurationRequest", message)
    _check_places(subnets)
    in_availability_zones = zone_type(subnets[0]) != LOCAL_ZONE and not subnets[0].outpost_arn
    if kind == "application" and in_availability_zones and len(zones) < 2:
        raise ValidationError("At least two subnets in two different Availability Zones must be specified")
    held = {subnet.id for subnet in standing.subnets} if standing else set()
    for subnet in subnets:
        if subnet.id not in held:
            _check_room(subnet)
    return subnets


def _check_places(subnets: list[Subnet]) -> None:
    """Zones are of one type (user guide, subnets); on an Outpost it is one subnet (API reference, Subnets)."""
    if len({zone_type(subnet) for subnet in subnets}) > 1:
        code = unconfirmed.answer(unconfirmed.MIXED_ZONES)
        raise ELBClientError(code, "Availability Zones and Local Zones cannot be mixed")
    if len(subnets) > 1 and any(subnet.outpost_arn for subnet in subnets):
        code = unconfirmed.answer(unconfirmed.MIXED_ZONES)
        raise ELBClientError(code, "A load balancer on an Outpost has one subnet")


def _check_room(subnet: Subnet) -> None:
    """At least 8 free addresses, and by the user guide a range of at least /27, which not everybody was asked for."""
    free = subnet.available_ip_address_count
    if free < FREE_ADDRESSES:
        raise ELBClientError(
            "InvalidSubnet",
            f"Not enough IP space available in {subnet.id}. "
            f"ELB requires at least {FREE_ADDRESSES} free IP addresses in each subnet.",
        )
    if subnet.cidr.prefixlen > LONGEST_PREFIX and (code := unconfirmed.answer(unconfirmed.SMALL_SUBNET)):
        raise ELBClientError(code, f"{subnet.id} is smaller than /{LONGEST_PREFIX}")


def _checked_groups(backend: ELBv2Backend, group_ids: list[str], vpc_id: str) -> list[str]:
    """Known and of the subnets' VPC; with none given it is the VPC's default group."""
    if not group_ids:
        return [backend.ec2_backend.get_default_security_group(vpc_id).id]
    for group_id in group_ids:
        group = backend.ec2_backend.get_security_group_from_id(group_id)
        if group is None or group.vpc_id != vpc_id:
            raise ELBClientError(
                "InvalidSecurityGroup", f"Security group '{group_id}' does not exist in VPC '{vpc_id}'"
            )
    return group_ids


@replaces(ELBv2Backend)
def create_load_balancer(
    original,
    self,
    name,
    security_groups,
    subnet_ids,
    subnet_mappings=None,
    scheme=None,
    loadbalancer_type=None,
    ip_address_type="ipv4",
    tags=None,
):
    """Again with the same settings: the one that there is, whoever made it; with others: DuplicateLoadBalancerName."""
    _check_name(name)
    subnet_ids = subnet_ids or [mapping["SubnetId"] for mapping in subnet_mappings or []]
    scheme = scheme or "internet-facing"
    loadbalancer_type = loadbalancer_type or "application"
    found = next((each for each in self.load_balancers.values() if each.name == name), None)
    subnets = _checked_subnets(self, loadbalancer_type, subnet_ids, found)
    groups = _checked_groups(self, security_groups, subnets[0].vpc_id)
    if found:
        has = (
            found.scheme,
            found.type,
            found.ip_address_type,
            {s.id for s in found.subnets},
            {*found.security_groups},
        )
        if has == (scheme, loadbalancer_type, ip_address_type, set(subnet_ids), set(groups)):
            return found
        message = f"A load balancer with the same name '{name}' exists, but with different settings"
        raise ELBClientError("DuplicateLoadBalancerName", message)
    new = original(self, name, groups, subnet_ids, None, scheme, loadbalancer_type, ip_address_type, tags)
    new.since = clock.now()
    new.dns_name = f"{name}-{mock_random.randint(10**9, 10**10 - 1)}.{self.region_name}.elb.amazonaws.com"
    new.canonical_hosted_zone_id = ALB_ZONES.get(self.region_name, new.canonical_hosted_zone_id)
    # The local DNS answers with it, and front.py knows whose it is.
    new.loopback = str(next(_loopback))
    set_interfaces(self.ec2_backend, new)
    return new


def _created_time(self: FakeLoadBalancer) -> str:
    """When it was made, on the clock of who asks: that one does not advance with AWS's here."""
    made = datetime.now(UTC) - timedelta(seconds=clock.age(self.since))
    return iso_8601_datetime_with_milliseconds(made)


FakeLoadBalancer.created_time = property(_created_time, lambda _, __: None)


@replaces(FakeLoadBalancer)
def activate(original, self):
    """Active after minutes; provisioning for ever while a subnet has no way in from an internet gateway.

    That is no route, or VPC Block Public Access; what ELB does of the second is in no source.
    """
    backend = self.subnets[0].ec2_backend
    reachable = self.scheme == "internal" or all(
        has_internet_route(backend, subnet) and block_mode(subnet) == OFF for subnet in self.subnets
    )
    if reachable and clock.passed(self.since, ACTIVE):
        original(self)


@replaces(ELBv2Backend)
def describe_load_balancers(original, self, arns, names):
    """All that are named, or LoadBalancerNotFound; at most 20 ARNs a call."""
    _check_count(arns)
    for found in self.load_balancers.values():
        found.activate()
    if not arns and not names:
        return list(self.load_balancers.values())
    found = [lb for lb in self.load_balancers.values() if lb.arn in (arns or []) or lb.name in (names or [])]
    missing = {*(arns or []), *(names or [])} - {lb.arn for lb in found} - {lb.name for lb in found}
    if missing:
        raise ELBClientError(
            "LoadBalancerNotFound", f"Load balancers '[{', '.join(sorted(missing))}]' not found"
        )
    return found


@replaces(ELBv2Backend)
def delete_load_balancer(original, self, arn):
    """Refused while deletion protection is on; its listeners go with it, its interfaces later."""
    found = self.load_balancers.get(arn)
    if found is None:
        return
    if found.attrs["deletion_protection.enabled"] == "true":
        message = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        raise ELBClientError("OperationNotPermitted", message)
    release_interfaces(self.ec2_backend, arn)
    original(self, arn)


@replaces(ELBv2Backend)
def set_subnets(original, self, arn, subnets, subnet_mappings):
    """The same rules as for CreateLoadBalancer; the interfaces follow."""
    if arn in self.load_balancers:
        subnet_ids = subnets or [mapping["SubnetId"] for mapping in subnet_mappings]
        _checked_subnets(self, self.load_balancers[arn].type, subnet_ids, self.load_balancers[arn])
    zones = original(self, arn, subnets, subnet_mappings)
    set_interfaces(self.ec2_backend, self.load_balancers[arn])
    return zones


@replaces(ELBv2Backend)
def set_security_groups(original, self, arn, sec_groups):
    """The same rules as for CreateLoadBalancer; the interfaces follow."""
    if arn in self.load_balancers:
        _checked_groups(self, sec_groups, self.load_balancers[arn].vpc_id)
    original(self, arn, sec_groups)
    set_interfaces(self.ec2_backend, self.load_balancers[arn])


# Target groups


def sending(backend: ELBv2Backend, target_group_arn: str) -> list[FakeLoadBalancer]:
    """The load balancers with a listener or rule that forwards to the target group."""
    return [
        load_balancer
        for load_balancer in backend.load_balancers.values()
        if any(
            target_group_arn in backend._get_target_group_arns_from(action.data)
            for listener in load_balancer.listeners.values()
            for rule in listener.rules.values()
            for action in rule.actions
        )
    ]


def _load_balancer_arns(target_group: FakeTargetGroup) -> list[str]:
    """Only those that use it now."""
    backend = elbv2_backends[target_group.account_id][target_group.region_name]
    return [load_balancer.arn for load_balancer in sending(backend, target_group.arn)]


# moto keeps a list that only grows; what it appends to is a copy.
FakeTargetGroup.load_balancer_arns = property(_load_balancer_arns, lambda self, _: None)


def _settings(target_group: FakeTargetGroup) -> dict:
    """What must be the same for a CreateTargetGroup to be a repeated one."""
    own = {"arn", "attributes", "targets", "deregistered_targets", "terminated_targets"}
    return {name: str(value) for name, value in vars(target_group).items() if name not in own}


@replaces(ELBv2Backend)
def create_target_group(original, self, name, tags=None, **settings):
    """Again with the same settings: the one that there is, whoever made it; with others: DuplicateTargetGroupName."""
    found = next((group for group in self.target_groups.values() if group.name == name), None)
    if found is None:
        return original(self, name, tags=tags, **settings)
    del self.target_groups[found.arn]
    try:
        wanted = original(self, name, **settings)
        del self.target_groups[wanted.arn]
    finally:
        self.target_groups[found.arn] = found
    if _settings(wanted) != _settings(found):
        message = f"A target group with the same name '{name}' exists, but with different settings"
        raise ELBClientError("DuplicateTargetGroupName", message)
    return found


@replaces(ELBv2Backend)
def describe_target_groups(original, self, load_balancer_arn, target_group_arns, names):
    """A load balancer without target groups has none to describe, and that is no error."""
    if load_balancer_arn in self.load_balancers and not target_group_arns and not names:
        return [
            group for group in self.target_groups.values() if load_balancer_arn in group.load_balancer_arns
        ]
    return original(self, load_balancer_arn, target_group_arns, names)


@replaces(ELBv2Backend)
def delete_target_group(original, self, target_group_arn):
    """Whether an absent one is an error is not known; one that a listener uses is ResourceInUse, as moto has it."""
    if target_group_arn in self.target_groups:
        return original(self, target_group_arn)
    if code := unconfirmed.answer(unconfirmed.DELETE_TARGET_GROUP_ABSENT):
        raise ELBClientError(code, "One or more target groups not found")
    return None


# Listeners


@replaces(FakeAction, "__init__")
def new_action(original, self, data):
    """What AWS fills in: a redirect keeps what it does not set, a forward names its group in both ways."""
    data = dict(data)
    if data.get("Type") == "redirect":
        kept = {
            "Protocol": "#{protocol}",
            "Port": "#{port}",
            "Host": "#{host}",
            "Path": "/#{path}",
            "Query": "#{query}",
        }
        data["RedirectConfig"] = kept | data["RedirectConfig"]
    if data.get("Type") == "forward":
        config = dict(
            data.get("ForwardConfig") or {"TargetGroups": [{"TargetGroupArn": data["TargetGroupArn"]}]}
        )
        if len(config.get("TargetGroups", [])) == 1:
            data["TargetGroupArn"] = config["TargetGroups"][0]["TargetGroupArn"]
        data["ForwardConfig"] = config
    original(self, data)


@replaces(ELBv2Backend)
def _validate_actions(original, self, actions):
    """A redirect is a 301 or a 302; a forward goes to a target group that no other load balancer uses."""
    original(self, actions)
    for index, action in enumerate(actions, 1):
        code = action.data.get("RedirectConfig", {}).get("StatusCode")
        if action.type == "redirect" and code not in REDIRECT_CODES:
            raise ValidationError(
                f"1 validation error detected: Value '{code}' at 'defaultActions.{index}.member.redirectConfig."
                "statusCode' failed to satisfy constraint: Member must satisfy enum value set: [HTTP_301, HTTP_302]"
            )


def _check_one_load_balancer(
    backend: ELBv2Backend, load_balancer_arn: str, actions: list[FakeAction]
) -> None:
    for action in actions:
        for arn in backend._get_target_group_arns_from(action.data):
            if any(other.arn != load_balancer_arn for other in sending(backend, arn)):
                message = f"The following target groups cannot be associated with more than one load balancer: {arn}"
                raise ELBClientError("TargetGroupAssociationLimit", message)


def _check_tls(backend: ELBv2Backend, protocol: str, ssl_policy: str | None, certificates: list[str]) -> None:
    """HTTPS has a known policy and a certificate that exists and is issued."""
    if protocol != "HTTPS":
        return
    if ssl_policy and ssl_policy not in SSL_POLICIES:
        raise ELBClientError("SSLPolicyNotFound", f"SSL policy '{ssl_policy}' not found")
    if not certificates:
        raise ValidationError("A certificate must be specified for HTTPS listeners")
    for arn in certificates:
        if not backend._certificate_exists(arn):
            raise ELBClientError("CertificateNotFound", f"Certificate '{arn}' not found")
        if not re.search(f"{ARN_PARTITION_REGEX}:iam:", arn) and not acm.is_issued(arn):
            raise ELBClientError(
                unconfirmed.answer(unconfirmed.LISTENER_CERTIFICATE_PENDING),
                f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, "
                "and a supported key size.",
            )


def _check_free(load_balancer: FakeLoadBalancer, port: str, but: FakeListener | None = None) -> None:
    """One listener a port."""
    if any(other is not but and int(other.port) == int(port) for other in load_balancer.listeners.values()):
        raise DuplicateListenerError()


@replaces(ELBv2Backend)
def create_listener(
    original,
    self,
    load_balancer_arn,
    protocol,
    port,
    ssl_policy,
    certificate,
    actions,
    alpn_policy=None,
    tags=None,
):
    """Again with the same settings: the one that there is, whoever made it; with others: DuplicateListener."""
    load_balancer = self.load_balancers.get(load_balancer_arn)
    if load_balancer is None:
        raise LoadBalancerNotFoundError()
    wanted = [FakeAction(action) for action in actions]
    ssl_policy = ssl_policy if protocol == "HTTPS" else None
    for found in load_balancer.listeners.values():
        has = (int(found.port), found.protocol, found.ssl_policy, found.certificate)
        same_actions = [action.data for action in found.default_actions] == [action.data for action in wanted]
        if has == (int(port or 0), protocol, ssl_policy, certificate) and same_actions:
            return found
    self._validate_port_and_protocol(load_balancer.type, port, protocol)
    _check_free(load_balancer, port)
    _check_tls(self, protocol, ssl_policy, [certificate] if certificate else [])
    self._validate_actions(wanted)
    _check_one_load_balancer(self, load_balancer_arn, wanted)
    return original(
        self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, alpn_policy, tags
    )


@replaces(ELBv2Backend)
def modify_listener(
    original, self, arn, port=None, protocol=None, ssl_policy=None, certificates=None, actions=None
):
    """Checked as a new listener is, before anything of it is changed."""
    listener = self.describe_listeners(None, [arn])[0]
    load_balancer = self.load_balancers[listener.load_balancer_arn]
    wanted = [FakeAction(action) for action in actions or []]
    if port is not None:
        _check_free(load_balancer, port, listener)
    arns = [certificate["CertificateArn"] for certificate in certificates or []] or listener.certificates
    _check_tls(self, protocol or listener.protocol, ssl_policy, arns)
    self._validate_actions(wanted)
    _check_one_load_balancer(self, load_balancer.arn, wanted)
    changed = original(self, arn, port, protocol, ssl_policy, certificates or [], actions or [])
    if changed.protocol != "HTTPS":
        changed.ssl_policy, changed.certificate, changed.certificates = None, None, []
    return changed


@replaces(ELBv2Backend)
def describe_listeners(original, self, load_balancer_arn, listener_arns):
    """All that are named, or ListenerNotFound."""
    found = original(self, load_balancer_arn, listener_arns)
    if not load_balancer_arn and len(found) < len(set(listener_arns)):
        raise ListenerNotFoundError()
    return found


def _letting_go(original, self, *arguments, **named):
    """ACM goes on naming a load balancer for a while after it has let go of a certificate."""

    def held() -> set[tuple[str, str]]:
        return {
            (certificate, load_balancer.arn)
            for load_balancer in self.load_balancers.values()
            for listener in load_balancer.listeners.values()
            for certificate in listener.certificates
        }

    before = held()
    answer = original(self, *arguments, **named)
    for certificate, load_balancer_arn in before - held():
        acm.release(certificate, load_balancer_arn)
    return answer


for operation in (
    "delete_load_balancer",
    "delete_listener",
    "modify_listener",
    "remove_listener_certificates",
):
    replaces(ELBv2Backend, operation)(_letting_go)


# Tags and pages


must_fit(
    ELBV2Response,
    ("create_load_balancer", "create_target_group", "create_listener", "add_tags"),
    lambda fault: ValidationError(f"1 validation error detected: {fault}"),
)


def _check_count(arns: list[str] | None) -> None:
    """DescribeLoadBalancers and DescribeTags take at most 20 ARNs."""
    if len(arns or []) > MOST_ARNS:
        raise ValidationError(f"The number of resource ARNs cannot exceed '{MOST_ARNS}'")


@replaces(ELBv2Backend)
def describe_tags(original, self, resource_arns):
    """A resource that is gone has no tags to describe, but an error."""
    _check_count(resource_arns)
    for arn in resource_arns:
        self._get_resource_by_arn(arn)
    return original(self, resource_arns)


@replaces(ELBv2Backend)
def add_tags(original, self, resource_arns, tags):
    """50 tags a resource."""
    for arn in resource_arns:
        self._get_resource_by_arn(arn)
        keys = self.tagging_service.get_tag_dict_for_resource(arn).keys() | {tag["Key"] for tag in tags}
        if len(keys) > MOST_TAGS:
            raise TooManyTagsError()
        self.tagging_service.tag_resource(arn, tags)


paged(
    ELBV2Response,
    Pages("PageSize", "Marker", "NextMarker", 400, ValidationError),
    describe_load_balancers="LoadBalancers",
    describe_target_groups="TargetGroups",
    describe_listeners="Listeners",
)
