"""Pages as the API references have them: every list that the functions make, with its own token, cut where a test says."""

import pytest

from ..local import LocalAws
from .support import Balancer, Network, Zone, record, refused
from .test_strict_ec2 import rule

REGION = "eu-north-1"  # with nothing of another test's in it


@pytest.fixture(autouse=True)
def pages_of_two(aws: LocalAws):
    aws.page_size = 2
    yield
    aws.page_size = None


def listed(client, operation: str, kind: str, key: str, **parameters) -> list[str]:
    """All of it by boto3's paginator: whole pages, and on the last one what is left."""
    pages = [page[kind] for page in client.get_paginator(operation).paginate(**parameters)]
    assert {len(page) for page in pages[:-1]} <= {2}
    assert len(pages[-1]) in (1, 2)
    assert len(pages) > 1
    return [each[key] for page in pages for each in page]


def of_vpc(network: Network) -> dict:
    return {"Filters": [{"Name": "vpc-id", "Values": [network.vpc]}]}


def test_load_balancers_target_groups_and_listeners(aws, network, name):
    client, made = aws.client("elbv2"), []
    for number in range(3):
        balancer = Balancer(aws, network, f"{name}-{number}")
        made.append((balancer.arn, balancer.target_group))
    listeners = [balancer.listener(port) for port in (80, 81, 82)]
    arns = listed(client, "describe_load_balancers", "LoadBalancers", "LoadBalancerArn")
    assert {arn for arn, _ in made} <= set(arns)
    assert len(arns) == len(set(arns))
    arns = listed(client, "describe_target_groups", "TargetGroups", "TargetGroupArn")
    assert {arn for _, arn in made} <= set(arns)
    assert len(arns) == len(set(arns))
    of_one = {"LoadBalancerArn": balancer.arn}
    assert listed(client, "describe_listeners", "Listeners", "ListenerArn", **of_one) == listeners


def test_what_is_named_is_answered_at_once(aws, network, name):
    client = aws.client("elbv2")
    arns = [Balancer(aws, network, f"{name}-{number}").arn for number in range(3)]
    answer = client.describe_load_balancers(LoadBalancerArns=arns)
    assert len(answer["LoadBalancers"]) == 3
    assert "NextMarker" not in answer
    group = network.group(name)
    ids = [network.instance(group) for _ in range(3)]
    answer = network.ec2.describe_instances(InstanceIds=ids)
    assert len(answer["Reservations"]) == 3
    assert "NextToken" not in answer


def test_instances_groups_and_rules(network, name):
    ec2 = network.ec2
    groups = [network.group(f"{name}-{number}") for number in range(3)]
    instances = {network.instance(groups[0]) for _ in range(3)}
    found = listed(ec2, "describe_instances", "Reservations", "Instances", **of_vpc(network))
    assert {each["InstanceId"] for reserved in found for each in reserved} == instances
    found = listed(ec2, "describe_security_groups", "SecurityGroups", "GroupId", **of_vpc(network))
    assert set(groups) < set(found), "these and the VPC's default one"
    assert len(found) == 4
    permissions = [rule(port=port, cidr="0.0.0.0/0") for port in (80, 81, 82)]
    ec2.authorize_security_group_ingress(GroupId=groups[0], IpPermissions=permissions)
    filters = [{"Name": "group-id", "Values": groups[:1]}]
    found = listed(
        ec2, "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId", Filters=filters
    )
    assert len(found) == len(set(found)) == 4, "these and the one for what goes out"


def test_subnets_route_tables_and_interfaces(network, name):
    network.subnet("c")
    ec2, group = network.ec2, network.group(name)
    found = listed(ec2, "describe_subnets", "Subnets", "SubnetId", **of_vpc(network))
    assert sorted(found) == sorted(network.subnets)
    found = listed(ec2, "describe_route_tables", "RouteTables", "RouteTableId", **of_vpc(network))
    assert len(found) == len(set(found)) == 4, "one a subnet, and the VPC's main one"
    for _ in range(3):
        network.instance(group)
    found = listed(
        ec2, "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", **of_vpc(network)
    )
    assert len(found) == len(set(found)) == 3


def test_addresses_have_no_pages(network):
    for _ in range(3):
        network.ec2.allocate_address(Domain="vpc")
    assert len(network.ec2.describe_addresses()["Addresses"]) >= 3


def test_certificates(aws, name):
    acm = aws.client("acm", REGION)
    made = {
        acm.request_certificate(DomainName=f"{name}-{number}.test", ValidationMethod="DNS")["CertificateArn"]
        for number in range(3)
    }
    found = listed(acm, "list_certificates", "CertificateSummaryList", "CertificateArn")
    assert made <= set(found)
    assert len(found) == len(set(found))


def test_hosted_zones(aws, name):
    made = {f"/hostedzone/{Zone(aws, f'{name}-{number}.test').id}" for number in range(3)}
    client = aws.client("route53")
    found = listed(client, "list_hosted_zones", "HostedZones", "Id")
    assert made <= set(found)
    assert len(found) == len(set(found))
    page = client.list_hosted_zones()
    assert (page["IsTruncated"], page["MaxItems"]) == (True, "2")


def test_record_sets_also_those_of_one_name_and_type(zone):
    www = f"www.{zone.domain}."
    for number in range(5):
        weighted = {"SetIdentifier": f"set-{number}", "Weight": number}
        zone.change(("CREATE", record(www, "A", f"192.0.2.{number}") | weighted))
    zone.change(("CREATE", record(zone.domain, "A", "192.0.2.9")))
    of_zone = {"HostedZoneId": zone.id}
    found = listed(zone.client, "list_resource_record_sets", "ResourceRecordSets", "Name", **of_zone)
    assert found == [f"{zone.domain}."] * 3 + [www] * 5
    begin = {"StartRecordName": www, "StartRecordType": "A", "StartRecordIdentifier": "set-3"}
    page = zone.client.list_resource_record_sets(**of_zone, **begin)
    assert [each["SetIdentifier"] for each in page["ResourceRecordSets"]] == ["set-3", "set-4"]
    assert not page["IsTruncated"]


def test_a_token_of_something_else_is_refused(aws, network):
    token = network.ec2.describe_route_tables()["NextToken"]
    with refused("InvalidNextToken"):
        network.ec2.describe_subnets(NextToken=token)
    with refused("ValidationError"):
        aws.client("elbv2").describe_target_groups(Marker=token)
    with refused("ValidationException"):
        aws.client("acm").list_certificates(NextToken=token)
    with refused("InvalidInput"):
        aws.client("route53").list_hosted_zones(Marker=token)


def test_less_may_be_asked_for_and_more_is_not_given(aws, name):
    zones = [Zone(aws, f"{name}-{number}.test") for number in range(3)]
    ask = zones[0].client.list_hosted_zones
    assert len(ask(MaxItems="1")["HostedZones"]) == 1
    assert len(ask(MaxItems="100")["HostedZones"]) == 2


def test_a_reset_brings_back_pages_of_aws_size(own: LocalAws):
    own.page_size = 1
    assert len(own.client("ec2").describe_subnets()["Subnets"]) == 1
    own.reset()
    assert own.page_size is None
    assert len(own.client("ec2").describe_subnets()["Subnets"]) > 1


def test_an_unknown_setting_is_refused(aws):
    with pytest.raises(OSError, match="404"):
        aws._settings(page_length=1)
