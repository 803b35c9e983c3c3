"""EC2: what is in use is not deleted, and what a load balancer has in the network is there to be seen."""

import functools

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidPermissionNotFoundError,
    RulesPerSecurityGroupLimitExceededError,
)
from moto.ec2.models import EC2Backend
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses import EC2Response
from moto.ec2.responses.security_groups import SecurityGroups
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix, random_public_ip

from ..clock import clock
from . import unconfirmed
from .delays import INTERFACES
from .paging import Pages, paged
from .patch import replaces

MOST_RULES = 60


@replaces(EC2Backend, "__init__")
def new_region(original, self, *arguments, **named):
    """A default VPC comes with an internet gateway and a route to it, so its subnets are public."""
    original(self, *arguments, **named)
    gateway = self.create_internet_gateway()
    self.attach_internet_gateway(gateway.id, self.default_vpc.id)
    self.create_route(_main_route_table(self, self.default_vpc.id).id, "0.0.0.0/0", gateway_id=gateway.id)


def _main_route_table(backend: EC2Backend, vpc_id: str):
    tables = backend.route_tables.values()
    return next(table for table in tables if table.vpc_id == vpc_id and table.main_association_id)


def has_internet_route(backend: EC2Backend, subnet: Subnet) -> bool:
    """Whether the subnet's own route table, or else the VPC's main one, leads to an internet gateway."""
    own = [table for table in backend.route_tables.values() if subnet.id in table._associations.values()]
    table = own[0] if own else _main_route_table(backend, subnet.vpc_id)
    return any(
        route.destination_cidr_block == "0.0.0.0/0" and (route.gateway_id or "").startswith("igw-")
        for route in table.routes
    )


# Network interfaces of load balancers


def interface_description(load_balancer_arn: str) -> str:
    """`ELB app/<name>/<id>`: how AWS says whose interface it is."""
    return "ELB " + load_balancer_arn.partition(":loadbalancer/")[2]


def interfaces_of(backend: EC2Backend, load_balancer_arn: str) -> list[NetworkInterface]:
    """The load balancer's interfaces, not those that only linger."""
    description = interface_description(load_balancer_arn)
    return [
        interface
        for interface in backend.enis.values()
        if interface.description == description and not hasattr(interface, "released_at")
    ]


def set_interfaces(backend: EC2Backend, load_balancer) -> None:
    """One interface in each of its subnets, with its security groups; one that is no longer needed lingers."""
    found = {interface.subnet.id: interface for interface in interfaces_of(backend, load_balancer.arn)}
    wanted = {subnet.id for subnet in load_balancer.subnets}
    for subnet_id in wanted - set(found):
        found[subnet_id] = interface = backend.create_network_interface(
            subnet_id,
            backend.get_subnet(subnet_id).get_available_subnet_ip(instance=None),
            group_ids=load_balancer.security_groups,
            description=interface_description(load_balancer.arn),
        )
        interface.requester_managed = True
        interface.requester_id = "amazon-elb"
        interface.status = "in-use"
        if load_balancer.scheme == "internet-facing":
            interface.public_ip = random_public_ip()
    for subnet_id in set(found) - wanted:
        found[subnet_id].released_at = clock.now()
    groups = [backend.get_security_group_from_id(group_id) for group_id in load_balancer.security_groups]
    for subnet_id in wanted:
        found[subnet_id]._group_set = groups


def release_interfaces(backend: EC2Backend, load_balancer_arn: str) -> None:
    """After DeleteLoadBalancer the interfaces linger, and hold the security group, for about a minute."""
    for interface in interfaces_of(backend, load_balancer_arn):
        interface.released_at = clock.now()


def _drop_released(backend: EC2Backend) -> None:
    for interface in list(backend.enis.values()):
        if hasattr(interface, "released_at") and clock.passed(interface.released_at, INTERFACES):
            interface.delete()


@replaces(EC2Backend)
def get_all_network_interfaces(original, self, *arguments, **named):
    """DescribeNetworkInterfaces shows a lingering interface until its time has come."""
    _drop_released(self)
    return original(self, *arguments, **named)


# Tags


@replaces(TaggedEC2Resource)
def get_tags(original, self):
    """Those of one resource, without a look at everybody's: of a thousand groups that takes minutes."""
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "") if self.id else ""
    tags = self.ec2_backend.tags.get(self.id, {})
    return [
        {"resource_id": self.id, "resource_type": kind, "key": key, "value": value}
        for key, value in tags.items()
    ]


# Security groups


@replaces(EC2Backend)
def create_security_group(original, self, name, description, vpc_id=None, **named):
    """Names are unique per VPC, whatever their case, and do not begin with sg-."""
    if vpc_id:
        self.get_vpc(vpc_id)
    if name.startswith("sg-"):
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Invalid value '{name}' for groupName. Group names may not be in the format sg-*.",
        )
    vpc_id = vpc_id or self.default_vpc.id
    if not named.get("force") and any(g.name.lower() == name.lower() for g in self.groups[vpc_id].values()):
        raise EC2ClientError(
            "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc_id}'"
        )
    return original(self, name, description, vpc_id=vpc_id, **named)


@replaces(SecurityGroupRule, "__eq__")
def same_rule(original, self, other):
    """A description makes no other rule: not for a duplicate, not for a revoke."""

    def values(rule: SecurityGroupRule) -> tuple:
        ports = (rule.from_port, rule.to_port)
        return (
            rule.ip_protocol,
            ports,
            rule.cidr_ipv4,
            rule.cidr_ipv6,
            rule.prefix_list_id,
            rule.source_group.get("GroupId"),
        )

    return values(self) == values(other)


@replaces(EC2Backend)
def _verify_group_will_respect_rule_count_limit(
    original, self, group, current_rule_nb, ip_ranges, source_groups=None, egress=False
):
    """60 inbound and 60 outbound rules (VPC user guide, quotas, security groups).

    Those for IPv4 and those for IPv6 are counted apart, and a rule that names a group in both.
    """
    for family, other in (("CidrIp", "CidrIpv6"), ("CidrIpv6", "CidrIp")):
        rules = group.egress_rules if egress else group.ingress_rules
        # What a rule is not for is said by a range of the other family alone.
        standing = [rule for rule in rules if other not in rule.ip_range]
        new = [each for each in ip_ranges or [] if isinstance(each, str) or family in each]
        if len(standing) + len(new) + len(source_groups or []) > MOST_RULES:
            raise RulesPerSecurityGroupLimitExceededError()


def _dependents(backend: EC2Backend, group: SecurityGroup) -> bool:
    """Whether an interface has the group, or a rule of another group names it."""
    if any(group in interface.group_set for interface in backend.enis.values()):
        return True
    return any(
        rule.source_group.get("GroupId") == group.id
        for groups in backend.groups.values()
        for other in groups.values()
        if other is not group
        for rule in [*other.ingress_rules, *other.egress_rules]
    )


@replaces(SecurityGroups)
def delete_security_group(original, self):
    """A group in use answers DependencyViolation; a VPC's default group goes with the VPC alone."""
    self.error_on_dryrun()
    backend = self.ec2_backend
    _drop_released(backend)
    group_id = self._get_param("GroupId") or self._get_param("GroupName")
    group = backend.get_security_group_by_name_or_id(group_id)
    if group and group.is_default:
        raise EC2ClientError(
            "CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
        )
    if group and _dependents(backend, group):
        raise EC2ClientError("DependencyViolation", f"resource {group.id} has a dependent object")
    return original(self)


def _wholly(original, self):
    """All permissions of a request or none."""
    group_id = self._get_param("GroupId") or self._get_param("GroupName")
    group = self.ec2_backend.get_security_group_by_name_or_id(group_id)
    if group is None:
        return original(self)
    ingress, egress = list(group.ingress_rules), list(group.egress_rules)
    try:
        answer = original(self)
    except EC2ClientError:
        group.ingress_rules, group.egress_rules = ingress, egress
        raise
    if "SecurityGroupRules" in answer.result:  # of Authorize, whose answer has the rules of them all
        before = {rule.id for rule in [*ingress, *egress]}
        answer.result["SecurityGroupRules"] = [
            rule for rule in [*group.ingress_rules, *group.egress_rules] if rule.id not in before
        ]
    return answer


def _revoke(original, self, *arguments, **named):
    """An absent rule is no error in a default VPC (EC2 API reference); of one given by its id that is not known."""
    try:
        return original(self, *arguments, **named)
    except InvalidPermissionNotFoundError as error:
        if named["security_rule_ids"]:
            if code := unconfirmed.answer(unconfirmed.REVOKE_ABSENT):
                raise EC2ClientError(code, "The security group rule ID does not exist") from None
        elif self.get_security_group_by_name_or_id(named["group_name_or_id"]).vpc_id != self.default_vpc.id:
            raise error
        return None


for operation in ("authorize", "revoke"):
    for direction in ("ingress", "egress"):
        replaces(SecurityGroups, f"{operation}_security_group_{direction}")(_wholly)
for direction in ("ingress", "egress"):
    replaces(EC2Backend, f"revoke_security_group_{direction}")(_revoke)


# Pages


paged(
    EC2Response,
    Pages(
        "MaxResults", "NextToken", "NextToken", 1000, functools.partial(EC2ClientError, "InvalidNextToken")
    ),
    describe_instances="Reservations",
    describe_network_interfaces="NetworkInterfaces",
    describe_route_tables="RouteTables",
    describe_security_group_rules="SecurityGroupRules",
    describe_security_groups="SecurityGroups",
    describe_subnets="Subnets",
)
