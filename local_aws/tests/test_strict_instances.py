"""EC2's instances: what protects them, and how an automatic public address comes and goes.

Protections: EC2 user guide, "Change instance termination protection" and "Enable stop protection for your EC2
instances"; API reference, TerminateInstances. Addresses: EC2 user guide, "Amazon EC2 instance IP addressing".
"""

import pytest

from ..local import LocalAws
from ..world import World
from .support import Network, refused


def state(network: Network, instance: str) -> str:
    return network.describe(instance)["State"]["Name"]


def protect(network: Network, instance: str, attribute: str, on: bool = True) -> None:
    network.ec2.modify_instance_attribute(InstanceId=instance, **{attribute: {"Value": on}})


def is_protected(network: Network, instance: str, attribute: str) -> bool:
    found = network.ec2.describe_instance_attribute(
        InstanceId=instance, Attribute=attribute[0].lower() + attribute[1:]
    )
    assert found["InstanceId"] == instance
    return found[attribute]["Value"]


# Protections


@pytest.mark.parametrize("attribute", ["DisableApiTermination", "DisableApiStop"])
def test_a_protected_instance_is_not_terminated(network, name, attribute):
    """Stop protection "also protects your instance from accidental termination"."""
    instance = network.instance(network.group(name))
    assert not is_protected(network, instance, attribute)
    protect(network, instance, attribute)
    assert is_protected(network, instance, attribute)
    with refused("OperationNotPermitted", f"'{instance}' may not be terminated"):
        network.ec2.terminate_instances(InstanceIds=[instance])
    assert state(network, instance) == "running"
    protect(network, instance, attribute, on=False)
    network.ec2.terminate_instances(InstanceIds=[instance])
    assert state(network, instance) == "terminated"


def test_an_instance_is_protected_from_its_launch_on(network, name):
    """RunInstances takes both attributes."""
    instance = network.instance(network.group(name), DisableApiTermination=True, DisableApiStop=True)
    assert is_protected(network, instance, "DisableApiTermination")
    assert is_protected(network, instance, "DisableApiStop")


def test_termination_protection_does_not_keep_an_instance_from_being_stopped(network, name):
    instance = network.instance(network.group(name))
    protect(network, instance, "DisableApiTermination")
    network.ec2.stop_instances(InstanceIds=[instance])
    assert state(network, instance) == "stopped"


def test_a_protected_instance_keeps_those_in_its_zone(network, name):
    """API reference, TerminateInstances: those in other zones are terminated, and the request fails."""
    group = network.group(name)
    protected, beside = (network.instance(group, network.subnets[0]) for _ in range(2))
    elsewhere = network.instance(group, network.subnets[1])
    protect(network, protected, "DisableApiTermination")
    with refused("OperationNotPermitted", protected):
        network.ec2.terminate_instances(InstanceIds=[beside, elsewhere, protected])
    found = [state(network, instance) for instance in (protected, beside, elsewhere)]
    assert found == ["running", "running", "terminated"]


def test_one_wrong_id_terminates_none(network, name):
    """API reference, TerminateInstances: "none of the instances are terminated"."""
    instance = network.instance(network.group(name))
    with refused("InvalidInstanceID.NotFound"):
        network.ec2.terminate_instances(InstanceIds=[instance, "i-00000000000000000"])
    assert state(network, instance) == "running"


@pytest.mark.usefixtures("likeliest_again")
def test_an_instance_with_stop_protection_is_not_stopped(aws: LocalAws, network, name):
    """Whether others of the same call are is in no source: over the seeds both come."""
    group = network.group(name)
    protected, elsewhere = (network.instance(group, subnet) for subnet in network.subnets)
    protect(network, protected, "DisableApiStop")
    states = set()
    for seed in range(20):
        aws.seed = seed
        with refused("OperationNotPermitted", f"'{protected}' may not be stopped"):
            network.ec2.stop_instances(InstanceIds=[elsewhere, protected])
        assert state(network, protected) == "running"
        states.add(state(network, elsewhere))
        network.ec2.start_instances(InstanceIds=[elsewhere])
    assert states == {"running", "stopped"}


def test_a_terminated_instance_is_not_started(network, name):
    """API reference, "Error codes": IncorrectInstanceState."""
    instance = network.instance(network.group(name))
    network.ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState"):
        network.ec2.start_instances(InstanceIds=[instance])


# Automatic public addresses


def addresses(network: Network, instance: str) -> tuple[str | None, str, str | None, str | None, str | None]:
    """The instance's address and name, and its interface's address, name and owner."""
    found = network.describe(instance)
    filters = [{"Name": "attachment.instance-id", "Values": [instance]}]
    [interface] = network.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    association = interface.get("Association", {})
    of_interface = (association.get(field) for field in ("PublicIp", "PublicDnsName", "IpOwnerId"))
    return found.get("PublicIpAddress"), found.get("PublicDnsName", ""), *of_interface


def test_a_stopped_instance_loses_its_automatic_address_and_gets_another_one(network, name):
    network.ec2.modify_subnet_attribute(SubnetId=network.subnets[0], MapPublicIpOnLaunch={"Value": True})
    instance = network.instance(network.group(name), network.subnets[0])
    seen = []
    for _ in range(2):
        ip, host, *of_interface = addresses(network, instance)
        assert host == f"ec2-{ip.replace('.', '-')}.compute-1.amazonaws.com"
        assert of_interface == [ip, host, "amazon"]
        seen.append(ip)
        network.ec2.start_instances(InstanceIds=[instance])
        assert addresses(network, instance)[0] == ip, "it runs already"
        network.ec2.stop_instances(InstanceIds=[instance])
        assert addresses(network, instance) == (None, "", None, None, None)
        network.ec2.start_instances(InstanceIds=[instance])
    assert len({*seen, addresses(network, instance)[0]}) == 3


def test_an_elastic_ip_stays_while_its_instance_is_stopped(network, name):
    """It takes the place of the automatic address; when it goes, a running instance gets a new automatic one."""
    network.ec2.modify_subnet_attribute(SubnetId=network.subnets[0], MapPublicIpOnLaunch={"Value": True})
    instance = network.instance(network.group(name), network.subnets[0])
    before = addresses(network, instance)[0]
    allocated = network.ec2.allocate_address(Domain="vpc")
    network.ec2.associate_address(AllocationId=allocated["AllocationId"], InstanceId=instance)
    own = network.describe(instance)["NetworkInterfaces"][0]["OwnerId"]
    for act in (network.ec2.stop_instances, network.ec2.start_instances):
        act(InstanceIds=[instance])
        ip, host, *of_interface = addresses(network, instance)
        assert ip == allocated["PublicIp"]
        assert of_interface == [ip, host, own]
    [found] = network.ec2.describe_addresses(AllocationIds=[allocated["AllocationId"]])["Addresses"]
    network.ec2.disassociate_address(AssociationId=found["AssociationId"])
    assert addresses(network, instance)[0] not in (None, before, allocated["PublicIp"])


def test_without_an_automatic_address_there_is_none_after_a_start(network, name):
    instance = network.instance(network.group(name))
    network.ec2.stop_instances(InstanceIds=[instance])
    network.ec2.start_instances(InstanceIds=[instance])
    assert addresses(network, instance) == (None, "", None, None, None)


def test_an_ephemeral_world_stands_on_an_automatic_address(aws: LocalAws):
    with World(aws, ephemeral=True) as world:
        [instance] = world.instances
        [found] = world.records(world.domain)
        assert world.allocation is None
        assert found["ResourceRecords"] == [{"Value": world.address_of(instance)}]
        world.restart(instance)
        assert world.address_of(instance) not in (None, world.public_ip)
