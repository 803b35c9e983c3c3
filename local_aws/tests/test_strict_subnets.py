"""Subnets of all sorts, and which of them a load balancer takes.

Zones: API reference, DescribeAvailabilityZones, ModifyAvailabilityZoneGroup. Block Public Access: VPC user guide, "Block
public access to VPCs and subnets". Load balancers: ELB user guide, "Subnets for your load balancer"; API reference,
CreateLoadBalancer (Subnets).
"""

import pytest

from ..local import LocalAws
from ..world import World
from .support import SETTLED, Balancer, Network, refused
from .test_strict_unconfirmed import SEEDS, answer

LOCAL_ZONE = "us-east-1-bos-1a"


def opt_in(network: Network) -> None:
    network.ec2.modify_availability_zone_group(GroupName="us-east-1-bos-1", OptInStatus="opted-in")


def described(network: Network, subnet: str) -> dict:
    [found] = network.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    return found


# What subnets and zones say of themselves


def test_a_local_zone_is_there_after_opting_in(own: LocalAws):
    network = Network(own)

    def zones(**options) -> dict[str, dict]:
        found = network.ec2.describe_availability_zones(**options)["AvailabilityZones"]
        return {zone["ZoneName"]: zone for zone in found}

    assert LOCAL_ZONE not in zones()
    assert zones(AllAvailabilityZones=True)[LOCAL_ZONE]["OptInStatus"] == "not-opted-in"
    with refused("InvalidParameterValue"):
        network.subnet("-bos-1a")
    opt_in(network)
    assert zones()["us-east-1a"]["ZoneType"] == "availability-zone"
    local = zones()[LOCAL_ZONE]
    assert (local["ZoneType"], local["OptInStatus"]) == ("local-zone", "opted-in")
    assert (local["ZoneId"], local["GroupName"]) == ("use1-bos1-az1", "us-east-1-bos-1")
    found = described(network, network.subnet("-bos-1a"))
    assert (found["AvailabilityZone"], found["AvailabilityZoneId"]) == (LOCAL_ZONE, "use1-bos1-az1")
    assert (found["DefaultForAz"], found["MapPublicIpOnLaunch"]) == (False, False)


def test_a_subnet_of_an_outpost_says_so(network):
    arn = "arn:aws:outposts:us-east-1:123456789012:outpost/op-0123456789abcdef0"
    assert described(network, network.subnet("a", OutpostArn=arn))["OutpostArn"] == arn
    assert "OutpostArn" not in described(network, network.subnets[0])


@pytest.fixture
def blocking(network: Network):
    """The account's mode, and what is excluded from it; the account is the other tests' too."""

    def block(mode: str, **excluded: str) -> None:
        network.ec2.modify_vpc_block_public_access_options(InternetGatewayBlockMode=mode)
        for allowed, subnet in excluded.items():
            network.ec2.create_vpc_block_public_access_exclusion(
                SubnetId=subnet, InternetGatewayExclusionMode=allowed.replace("_", "-")
            )

    yield block
    block("off")


def test_a_subnet_says_how_public_access_is_blocked(network, blocking):
    def modes() -> list[str]:
        subnets = (described(network, subnet) for subnet in network.subnets)
        return [subnet["BlockPublicAccessStates"]["InternetGatewayBlockMode"] for subnet in subnets]

    network.subnet("c")
    first, second, _ = network.subnets
    assert modes() == ["off"] * 3
    blocking("block-bidirectional", allow_bidirectional=first, allow_egress=second)
    assert modes() == ["off", "block-ingress", "block-bidirectional"]
    blocking("block-ingress")
    assert modes() == ["off", "block-ingress", "block-ingress"]
    with refused("InvalidParameterValue"):
        blocking("on")


def test_a_load_balancers_interfaces_take_addresses(aws, network, name):
    before = [network.free(subnet) for subnet in network.subnets]
    balancer = Balancer(aws, network, name)
    assert [network.free(subnet) for subnet in network.subnets] == [free - 1 for free in before]
    balancer.delete()
    aws.advance(SETTLED)
    assert [network.free(subnet) for subnet in network.subnets] == before


# What a load balancer takes


@pytest.mark.usefixtures("likeliest_again")
def test_zones_of_two_types_do_not_mix(aws, network, name):
    """ "You can't enable both an Availability Zone and a Local Zone"; with which error it is refused is in no source."""
    opt_in(network)
    balancer = Balancer(aws, network, name)
    mixed = [network.subnets[0], network.subnet("-bos-1a")]
    codes = set()
    for seed in SEEDS:
        aws.seed = seed
        codes.add(answer(lambda: balancer.create(Name=f"{name}-x", Subnets=mixed)))
        codes.add(answer(lambda: balancer.client.set_subnets(LoadBalancerArn=balancer.arn, Subnets=mixed)))
    assert codes == {"InvalidConfigurationRequest", "InvalidSubnet"}


def test_in_a_local_zone_one_subnet_is_enough(aws, network, name):
    """ "You can specify subnets from one or more Local Zones" (API reference, Subnets)."""
    opt_in(network)
    made = Balancer(aws, network, name, Subnets=[network.subnet("-bos-1a")])
    assert [zone["ZoneName"] for zone in made.describe()["AvailabilityZones"]] == [LOCAL_ZONE]


def test_on_an_outpost_it_is_one_subnet(aws, network, name):
    """ "You must specify one Outpost subnet" (API reference, Subnets)."""
    arn = "arn:aws:outposts:us-east-1:123456789012:outpost/op-0123456789abcdef0"
    balancer = Balancer(aws, network, name)
    outpost = network.subnet("c", OutpostArn=arn)
    for subnets in ([outpost, network.subnets[0]], [outpost, network.subnet("d", OutpostArn=arn)]):
        with refused("InvalidConfigurationRequest"):
            balancer.create(Name=f"{name}-x", Subnets=subnets)
    balancer.create(Name=f"{name}-x", Subnets=[outpost])


def test_less_than_8_free_addresses_are_too_few(aws, network, name):
    """The words are those of aws/aws-rfdk#621; where it stands already it needs no more."""
    balancer = Balancer(aws, network, name, group=network.group(name))
    full, room = network.subnets
    network.fill(full, free=7)
    words = (
        f"Not enough IP space available in {full}. ELB requires at least 8 free IP addresses in each subnet."
    )
    with refused("InvalidSubnet", words):
        balancer.create(Name=f"{name}-x")
    balancer.client.set_subnets(LoadBalancerArn=balancer.arn, Subnets=[full, room])
    assert balancer.create()["LoadBalancerArn"] == balancer.arn
    other = Balancer(aws, network, f"{name}-y", Subnets=[room, network.subnet("c")])
    with refused("InvalidSubnet", words):
        other.client.set_subnets(LoadBalancerArn=other.arn, Subnets=[full, room])


def test_8_free_addresses_are_enough(aws, network, name):
    small = [network.subnet(zone, prefix=27) for zone in "ab"]
    for subnet in small:
        network.fill(subnet, free=8)
    Balancer(aws, network, name, Subnets=small)
    assert [network.free(subnet) for subnet in small] == [7, 7]


@pytest.mark.usefixtures("likeliest_again")
def test_a_subnet_smaller_than_27_may_be_refused(aws, network, name):
    """The user guide asks for /27; https://qiita.com/motani/items/9a4cadad1f570f4b3921 made seven in /28."""
    balancer = Balancer(aws, network, name)
    small = [network.subnet(zone, prefix=28) for zone in "ab"]
    codes = []
    for seed in SEEDS:
        aws.seed = seed
        codes.append(answer(lambda: balancer.create(Name=f"{name}-x", Subnets=small)))
        if codes[-1] is None:
            made = balancer.client.describe_load_balancers(Names=[f"{name}-x"])["LoadBalancers"][0]
            balancer.client.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
            aws.advance(SETTLED)
    assert codes[0] is None
    assert set(codes) == {None, "InvalidSubnet"}


def test_where_public_access_is_blocked_it_never_gets_active(aws, network, name, blocking):
    """What ELB does is in no source; it could not be reached."""
    blocking("block-ingress")
    outside, inside = Balancer(aws, network, name), Balancer(aws, network, f"{name}-in", Scheme="internal")
    aws.advance(SETTLED)
    assert [each.describe()["State"]["Code"] for each in (outside, inside)] == ["provisioning", "active"]
    blocking("off")
    assert outside.describe()["State"]["Code"] == "active"


def test_a_world_has_subnets_that_elb_does_not_like(own: LocalAws):
    with World(own) as world:
        assert world.free_addresses(world.small_subnet(3, "us-east-1a")) == 8
        network = Network(own)
        assert described(network, world.local_zone_subnet(4))["AvailabilityZone"] == LOCAL_ZONE
        assert "outpost" in described(network, world.outpost_subnet(5, "us-east-1b"))["OutpostArn"]
        world.block_public_access("block-bidirectional", but=(world.subnets[0],))
        states = [described(network, subnet)["BlockPublicAccessStates"] for subnet in world.subnets]
        modes = [state["InternetGatewayBlockMode"] for state in states]
        assert modes == ["off", "block-bidirectional"]
