"""GetResources of the Resource Groups Tagging API: its user guide's list of supported resources."""

import pytest

from ..local import LocalAws
from .support import Balancer, Network


@pytest.fixture
def owner(name: str) -> dict:
    return {"Key": "owner", "Value": name}


def tagged(aws: LocalAws, owner: dict, kind: str) -> list[str]:
    client = aws.client("resourcegroupstaggingapi")
    wanted = [{"Key": owner["Key"], "Values": [owner["Value"]]}]
    found = client.get_resources(TagFilters=wanted, ResourceTypeFilters=[kind])
    return [resource["ResourceARN"] for resource in found["ResourceTagMappingList"]]


def test_listeners_are_among_the_resources(aws: LocalAws, network: Network, name: str, owner: dict):
    balancer = Balancer(aws, network, name)
    answer = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "200"},
    }
    [listener] = balancer.client.create_listener(
        LoadBalancerArn=balancer.arn, Protocol="HTTP", Port=80, DefaultActions=[answer], Tags=[owner]
    )["Listeners"]
    assert tagged(aws, owner, "elasticloadbalancing:listener/app") == [listener["ListenerArn"]]


def test_elastic_ips_are_among_the_resources(aws: LocalAws, owner: dict):
    ec2 = aws.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    assert tagged(aws, owner, "ec2:elastic-ip") == []
    ec2.create_tags(Resources=[address], Tags=[owner])
    [arn] = tagged(aws, owner, "ec2:elastic-ip")
    assert arn.endswith(f":elastic-ip/{address}")
