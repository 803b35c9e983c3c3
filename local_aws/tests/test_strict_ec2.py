"""EC2 as its API reference and user guide have it: what is in use stays, interfaces, rules with tags, instances.

In use, duplicates, names: API reference, "Error codes". A load balancer's interfaces: ELB user guide, and how AWS's
support has customers find them, by description.
"""

import pytest

from ..local import LocalAws
from .support import Balancer, Network, refused


def rule(*groups: str, port: int = 80, cidr: str | None = None) -> dict:
    """A permission for other groups, or for a range of addresses."""
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "UserIdGroupPairs": [{"GroupId": group} for group in groups],
        "IpRanges": [{"CidrIp": cidr}] if cidr else [],
    }


def interfaces(network: Network, balancer: Balancer) -> list[dict]:
    """Found as AWS says to find them: by description."""
    description = "ELB " + balancer.arn.partition(":loadbalancer/")[2]
    filters = [{"Name": "description", "Values": [description]}]
    return network.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]


# Network interfaces of load balancers


def test_a_load_balancer_has_an_interface_in_each_zone(aws, network, name):
    balancer = Balancer(aws, network, name)
    found = interfaces(network, balancer)
    assert {each["SubnetId"] for each in found} == set(network.subnets)
    for each in found:
        assert each["RequesterManaged"]
        assert [group["GroupId"] for group in each["Groups"]] == [balancer.group]


def test_interfaces_follow_subnets_and_groups(aws, network, name):
    balancer = Balancer(aws, network, name)
    other = network.group(f"{name}-other")
    network.subnet("c")
    balancer.client.set_subnets(LoadBalancerArn=balancer.arn, Subnets=network.subnets[1:])
    balancer.client.set_security_groups(LoadBalancerArn=balancer.arn, SecurityGroups=[other])
    aws.advance(60)
    found = interfaces(network, balancer)
    assert {each["SubnetId"] for each in found} == set(network.subnets[1:])
    assert {group["GroupId"] for each in found for group in each["Groups"]} == {other}


def test_interfaces_linger_and_hold_the_security_group(aws, network, name):
    balancer = Balancer(aws, network, name)
    with refused("DependencyViolation"):
        network.ec2.delete_security_group(GroupId=balancer.group)
    balancer.delete()
    assert len(interfaces(network, balancer)) == 2
    with refused("DependencyViolation"):
        network.ec2.delete_security_group(GroupId=balancer.group)
    aws.advance(60)
    assert interfaces(network, balancer) == []
    network.ec2.delete_security_group(GroupId=balancer.group)


# Security groups


def test_a_group_named_by_another_groups_rule_stays(network, name):
    ec2, ours, theirs = network.ec2, network.group(f"{name}-a"), network.group(f"{name}-b")
    ec2.authorize_security_group_ingress(GroupId=ours, IpPermissions=[rule(ours)])
    ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[rule(ours)])
    with refused("DependencyViolation", "has a dependent object"):
        ec2.delete_security_group(GroupId=ours)
    ec2.revoke_security_group_ingress(GroupId=theirs, IpPermissions=[rule(ours)])
    ec2.delete_security_group(GroupId=ours)
    with refused("InvalidGroup.NotFound"):
        ec2.delete_security_group(GroupId=ours)


def test_an_instances_group_stays_until_it_is_terminated(network, name):
    group = network.group(name)
    instance = network.instance(group)
    network.ec2.stop_instances(InstanceIds=[instance])
    with refused("DependencyViolation"):
        network.ec2.delete_security_group(GroupId=group)
    network.ec2.terminate_instances(InstanceIds=[instance])
    network.ec2.delete_security_group(GroupId=group)


def test_a_default_group_stays_and_goes_with_its_vpc(network):
    ec2, vpc = network.ec2, network.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    [default] = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId=default["GroupId"])
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_security_groups(Filters=filters)["SecurityGroups"] == []


def test_names_are_unique_in_a_vpc_whatever_their_case(aws, network, name):
    network.group(name)
    with refused("InvalidGroup.Duplicate"):
        network.group(name.upper())
    Network(aws).group(name)
    with refused("InvalidParameterValue"):
        network.group(f"sg-{name}")


def test_rules_have_tags_and_are_found_by_them(network, name):
    ec2, group, other = network.ec2, network.group(f"{name}-a"), network.group(f"{name}-b")
    tags = [{"Key": "owner:environment", "Value": name}]
    made = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[rule(other), rule(port=443, cidr="0.0.0.0/0")],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": tags}],
    )["SecurityGroupRules"]
    assert len(made) == 2
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(other, port=22)])

    filters = [{"Name": "group-id", "Values": [group]}]
    everything = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert len([each for each in everything if not each["IsEgress"]]) == 3
    by_tag = {"Name": "tag:owner:environment", "Values": [name]}
    for wanted in ([by_tag], [*filters, by_tag]):
        found = ec2.describe_security_group_rules(Filters=wanted)["SecurityGroupRules"]
        assert {each["SecurityGroupRuleId"] for each in found} == {
            each["SecurityGroupRuleId"] for each in made
        }
        assert all(each["Tags"] == tags for each in found)
    [reference] = [each for each in found if each["FromPort"] == 80]
    assert reference["ReferencedGroupInfo"]["GroupId"] == other
    assert reference["GroupId"] == group

    ec2.revoke_security_group_ingress(
        GroupId=group, SecurityGroupRuleIds=[each["SecurityGroupRuleId"] for each in made]
    )
    assert ec2.describe_security_group_rules(Filters=[by_tag])["SecurityGroupRules"] == []


def test_groups_are_found_by_their_tags_and_by_whom_they_admit(network, name):
    ec2, ours = network.ec2, network.group(f"{name}-a")
    tags = [{"Key": "owner:environment", "Value": name}]
    theirs = ec2.create_security_group(
        GroupName=f"{name}-b",
        Description="of a test",
        VpcId=network.vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[rule(ours)])
    for key, value in {
        "ip-permission.group-id": ours,
        "tag:owner:environment": name,
        "group-name": f"{name}-b",
    }.items():
        found = ec2.describe_security_groups(Filters=[{"Name": key, "Values": [value]}])["SecurityGroups"]
        assert [each["GroupId"] for each in found] == [theirs]


def test_a_rule_twice_is_a_duplicate_and_a_request_is_atomic(network, name):
    ec2, group = network.ec2, network.group(name)
    open_80, open_443 = rule(cidr="0.0.0.0/0"), rule(port=443, cidr="0.0.0.0/0")
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[open_80])
    described = open_80 | {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "another description"}]}
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[open_443, described])
    [found] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert [each["FromPort"] for each in found["IpPermissions"]] == [80]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[open_80])
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[open_80])


def test_a_revoke_is_atomic_and_of_an_absent_rule_no_error_in_a_default_vpc(network, name):
    """EC2 API reference, RevokeSecurityGroupIngress."""
    ec2, absent, there = network.ec2, rule(port=22, cidr="0.0.0.0/0"), rule(cidr="0.0.0.0/0")
    default = ec2.create_security_group(GroupName=name, Description="of a test")["GroupId"]
    own = network.group(name)
    for group in (default, own):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[there])
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=own, IpPermissions=[there, absent])
    ec2.revoke_security_group_ingress(GroupId=default, IpPermissions=[absent, there])
    for group, left in ((own, 1), (default, 0)):
        [found] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        assert len(found["IpPermissions"]) == left


def test_a_group_holds_60_rules_of_each_family_and_direction(network, name):
    """VPC user guide, quotas: counted apart for IPv4 and IPv6; a rule that names a group counts in both."""
    ec2, group, other = network.ec2, network.group(name), network.group(f"{name}-other")

    def admit(call, **sources) -> None:
        call(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **sources}])

    def ranges(first: int, count: int) -> list[dict]:
        return [{"CidrIp": f"192.0.2.{number}/32"} for number in range(first, first + count)]

    def ranges6(count: int) -> list[dict]:
        return [{"CidrIpv6": f"2001:db8::{number:x}/128"} for number in range(count)]

    for call, standing in (
        (ec2.authorize_security_group_ingress, 0),
        # A new group lets everything out to IPv4.
        (ec2.authorize_security_group_egress, 1),
    ):
        with refused("RulesPerSecurityGroupLimitExceeded"):
            admit(call, IpRanges=ranges(0, 61 - standing))
        admit(call, IpRanges=ranges(0, 59 - standing))
        admit(call, UserIdGroupPairs=[{"GroupId": other}])
        with refused("RulesPerSecurityGroupLimitExceeded"):
            admit(call, IpRanges=ranges(100, 1))
        with refused("RulesPerSecurityGroupLimitExceeded"):
            admit(call, Ipv6Ranges=ranges6(60))
        admit(call, Ipv6Ranges=ranges6(59))
        with refused("RulesPerSecurityGroupLimitExceeded"):
            admit(call, UserIdGroupPairs=[{"GroupId": group}])
    # So many rules would slow whoever lists groups later.
    ec2.delete_security_group(GroupId=group)


def test_groups_are_found_by_the_groups_that_their_rules_name(network, name):
    """API reference, DescribeSecurityGroups: ip-permission.group-id and egress.ip-permission.group-id."""
    ec2 = network.ec2
    ours, lets_in, lets_out = (network.group(f"{name}-{which}") for which in ("ours", "in", "out"))
    ec2.authorize_security_group_ingress(GroupId=lets_in, IpPermissions=[rule(ours)])
    ec2.authorize_security_group_egress(GroupId=lets_out, IpPermissions=[rule(ours)])

    def found(filter_name: str) -> list[str]:
        filters = [{"Name": filter_name, "Values": [ours]}]
        return [group["GroupId"] for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]]

    assert found("ip-permission.group-id") == [lets_in]
    assert found("egress.ip-permission.group-id") == [lets_out]


def test_a_group_named_by_another_groups_egress_rule_stays(network, name):
    ec2, ours, theirs = network.ec2, network.group(f"{name}-a"), network.group(f"{name}-b")
    ec2.authorize_security_group_egress(GroupId=theirs, IpPermissions=[rule(ours)])
    with refused("DependencyViolation", "has a dependent object"):
        ec2.delete_security_group(GroupId=ours)
    ec2.revoke_security_group_egress(GroupId=theirs, IpPermissions=[rule(ours)])
    ec2.delete_security_group(GroupId=ours)


# Addresses and instances


@pytest.fixture
def associated(network: Network, name: str) -> dict:
    """An Elastic IP at an instance."""
    instance = network.instance(network.group(name))
    address = network.ec2.allocate_address(Domain="vpc")
    network.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance)
    [found] = network.ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    return found


def test_an_associated_address_is_not_released(network, associated):
    with refused("InvalidIPAddress.InUse"):
        network.ec2.release_address(AllocationId=associated["AllocationId"])
    network.ec2.disassociate_address(AssociationId=associated["AssociationId"])
    with refused("InvalidAssociationID.NotFound"):
        network.ec2.disassociate_address(AssociationId=associated["AssociationId"])
    network.ec2.release_address(AllocationId=associated["AllocationId"])
    with refused("InvalidAllocationID.NotFound"):
        network.ec2.release_address(AllocationId=associated["AllocationId"])


def test_a_terminated_instance_lets_its_address_go(network, associated):
    network.ec2.terminate_instances(InstanceIds=[associated["InstanceId"]])
    network.ec2.release_address(AllocationId=associated["AllocationId"])


def test_a_terminated_instance_is_visible_for_an_hour(aws, network, name):
    """EC2 user guide, "Terminate Amazon EC2 instances"."""
    gone, stays = (network.instance(network.group(f"{name}-{number}")) for number in range(2))
    network.ec2.terminate_instances(InstanceIds=[gone])
    aws.advance(3599)
    network.ec2.terminate_instances(InstanceIds=[gone])
    [found] = network.ec2.describe_instances(InstanceIds=[gone])["Reservations"]
    assert found["Instances"][0]["State"]["Name"] == "terminated"
    aws.advance(1)
    for call in (network.ec2.describe_instances, network.ec2.terminate_instances):
        with refused("InvalidInstanceID.NotFound"):
            call(InstanceIds=[gone])
    filters = [{"Name": "instance-id", "Values": [gone, stays]}]
    [found] = network.ec2.describe_instances(Filters=filters)["Reservations"]
    assert [each["InstanceId"] for each in found["Instances"]] == [stays]


def test_a_client_token_means_the_same_instances(network, name):
    """EC2 developer guide, "Ensuring idempotency in Amazon EC2 API requests"."""
    request = {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1, "SubnetId": network.subnets[0]}

    def run(**changes) -> str:
        made = network.ec2.run_instances(**request | {"ClientToken": name} | changes)
        return made["Instances"][0]["InstanceId"]

    first = run()
    assert run() == first
    with refused("IdempotentParameterMismatch"):
        run(InstanceType="t3.micro")
    assert run(ClientToken=f"{name}-other") != first


def test_instances_come_in_pages(network, name):
    group = network.group(name)
    made = {network.instance(group) for _ in range(6)}
    filters = [{"Name": "vpc-id", "Values": [network.vpc]}]
    first = network.ec2.describe_instances(Filters=filters, MaxResults=5)
    assert len(first["Reservations"]) == 5
    assert first["NextToken"]
    paginator = network.ec2.get_paginator("describe_instances")
    pages = list(paginator.paginate(Filters=filters, PaginationConfig={"PageSize": 5}))
    found = [each["InstanceId"] for page in pages for r in page["Reservations"] for each in r["Instances"]]
    assert len(pages) == 2
    assert sorted(found) == sorted(made)


def test_an_instance_that_cannot_start_falls_back(network, name):
    """re:Post, kms-iam-ec2-permission."""
    instance = network.instance(network.group(name))
    network.ec2.stop_instances(InstanceIds=[instance])
    reason = "Client.InternalError: Client error on launch"
    network.ec2.create_tags(Resources=[instance], Tags=[{"Key": "local:start", "Value": reason}])
    network.ec2.start_instances(InstanceIds=[instance])
    [reservation] = network.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    [found] = reservation["Instances"]
    assert found["State"]["Name"] == "stopped"
    assert found["StateReason"] == {"Code": "Client.InternalError", "Message": reason}


def test_the_default_vpc_is_public(aws: LocalAws):
    ec2 = aws.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    filters = [
        {"Name": "vpc-id", "Values": [vpc["VpcId"]]},
        {"Name": "association.main", "Values": ["true"]},
    ]
    [table] = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    assert any(route.get("GatewayId", "").startswith("igw-") for route in table["Routes"])
