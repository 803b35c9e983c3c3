"""Everything in an account, before and after: what differs was made, changed or removed."""

import json

from local_aws.endpoints import REGION
from local_aws.local import LocalAws

Snapshot = dict[str, dict[str, dict]]


def snapshot(aws: LocalAws, region: str = REGION) -> Snapshot:
    """Everything in a region that Albatross could touch, by kind and id, without what changes by itself."""
    ec2, elb, acm = (aws.client(service, region) for service in ("ec2", "elbv2", "acm"))
    groups = _pages(ec2, "describe_security_groups", "SecurityGroups")
    rules = _pages(ec2, "describe_security_group_rules", "SecurityGroupRules")
    reservations = _pages(ec2, "describe_instances", "Reservations")
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    interfaces = _pages(ec2, "describe_network_interfaces", "NetworkInterfaces")
    balancers = _pages(elb, "describe_load_balancers", "LoadBalancers")
    for balancer in balancers:
        arn = balancer["LoadBalancerArn"]
        balancer["Attributes"] = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    listeners = [
        listener
        for balancer in balancers
        for listener in _pages(
            elb, "describe_listeners", "Listeners", LoadBalancerArn=balancer["LoadBalancerArn"]
        )
    ]
    for listener in listeners:
        arn = listener["ListenerArn"]
        listener["Attributes"] = elb.describe_listener_attributes(ListenerArn=arn)["Attributes"]
    target_groups = _pages(elb, "describe_target_groups", "TargetGroups")
    for group in target_groups:
        health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        group["Targets"] = [described["Target"] for described in health["TargetHealthDescriptions"]]
    certificates = [
        acm.describe_certificate(CertificateArn=listed["CertificateArn"])["Certificate"]
        | {"Tags": acm.list_tags_for_certificate(CertificateArn=listed["CertificateArn"])["Tags"]}
        for listed in _pages(acm, "list_certificates", "CertificateSummaryList")
    ]
    return {
        "security group": _by("GroupId", groups, "GroupName", "Tags"),
        "security group rule": _by("SecurityGroupRuleId", rules, *RULE_FIELDS),
        "instance": _by("InstanceId", instances, "State", "SecurityGroups", "PublicIpAddress", "Tags"),
        "address": _by(
            "AllocationId", ec2.describe_addresses()["Addresses"], "InstanceId", "PublicIp", "Tags"
        ),
        "network interface": _by("NetworkInterfaceId", interfaces, "Description"),
        "load balancer": _by(
            "LoadBalancerArn", _tagged(elb, "LoadBalancerArn", balancers), *LOAD_BALANCER_FIELDS
        ),
        "target group": _by(
            "TargetGroupArn", _tagged(elb, "TargetGroupArn", target_groups), *TARGET_GROUP_FIELDS
        ),
        "listener": _by("ListenerArn", _tagged(elb, "ListenerArn", listeners), *LISTENER_FIELDS),
        "certificate": _by("CertificateArn", certificates, *CERTIFICATE_FIELDS),
        "record": _records(aws),
    }


CERTIFICATE_FIELDS = ("DomainName", "SubjectAlternativeNames", "InUseBy", "Tags")
RULE_FIELDS = (
    "GroupId",
    "IsEgress",
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIpv4",
    "ReferencedGroupInfo",
    "Tags",
)
LOAD_BALANCER_FIELDS = (
    "LoadBalancerName",
    "Scheme",
    "SecurityGroups",
    "AvailabilityZones",
    "Attributes",
    "Tags",
)
TARGET_GROUP_FIELDS = ("TargetGroupName", "Port", "HealthCheckPath", "Matcher", "Targets", "Tags")
LISTENER_FIELDS = ("Port", "DefaultActions", "SslPolicy", "Certificates", "Attributes", "Tags")


def _pages(client, operation: str, key: str, **parameters: object) -> list[dict]:
    return [item for page in client.get_paginator(operation).paginate(**parameters) for item in page[key]]


def _tagged(elb, identity: str, items: list[dict]) -> list[dict]:
    """With their tags; the API takes at most 20 at once."""
    tags = {}
    for start in range(0, len(items), 20):
        arns = [item[identity] for item in items[start : start + 20]]
        described = elb.describe_tags(ResourceArns=arns)["TagDescriptions"]
        tags |= {each["ResourceArn"]: each["Tags"] for each in described}
    return [item | {"Tags": tags[item[identity]]} for item in items]


def _by(identity: str, items: list[dict], *fields: str) -> dict[str, dict]:
    return {item[identity]: {field: item[field] for field in fields if field in item} for item in items}


def _records(aws: LocalAws) -> dict[str, dict]:
    route53 = aws.client("route53")
    records = {}
    for zone in _pages(route53, "list_hosted_zones", "HostedZones"):
        for record in _pages(
            route53, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"]
        ):
            records[f"{record['Name'].rstrip('.')} {record['Type']} in {zone['Id']}"] = record
    return records


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What differs between two snapshots, one line each; none where they are the same."""
    lines = []
    for kind in before:
        for identity in sorted(before[kind].keys() | after[kind].keys()):
            old, new = (comparable(side[kind].get(identity)) for side in (before, after))
            if old != new:
                lines.append(f"{kind} {identity}: {old or 'absent'} → {new or 'absent'}")
    return lines


def comparable(value: object) -> str:
    """As text in which the order of a list does not matter: AWS promises none."""

    def ordered(value: object) -> object:
        if isinstance(value, dict):
            return {key: ordered(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return sorted(
                (ordered(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True)
            )
        return value

    return "" if value is None else json.dumps(ordered(value), sort_keys=True, default=str)


def without_certificate(taken: Snapshot, domain: str) -> Snapshot:
    """The snapshot but for the domain's certificate and its validation record, which a teardown keeps by default."""

    def belongs(kind: str, item: dict) -> bool:
        if kind == "certificate":
            return item["DomainName"] == domain
        return (
            kind == "record" and item["Type"] == "CNAME" and item["Name"].rstrip(".").endswith(f".{domain}")
        )

    return {
        kind: {identity: item for identity, item in items.items() if not belongs(kind, item)}
        for kind, items in taken.items()
    }
