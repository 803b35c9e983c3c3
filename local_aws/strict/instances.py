"""EC2's instances and their addresses: protections, public addresses that come and go, what remains for a while."""

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidAllocationIdError,
    InvalidAssociationIdError,
    OperationNotPermitted4,
)
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance, StateReason
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_public_ip

from ..clock import clock
from . import unconfirmed
from .delays import TERMINATED
from .patch import replaces

# Addresses


def _is_elastic(interface: NetworkInterface) -> bool:
    """Whether the interface's public address is an Elastic IP."""
    return any(address.eni is interface for address in interface.ec2_backend.addresses)


@replaces(NetworkInterface)
def check_auto_public_ip(original, self):
    """An automatic public address is one that nobody has; with a second interface there is none (EC2 user guide)."""
    if not self.public_ip_auto_assign or (self.instance and len(self.instance.nics) > 1):
        return
    taken = {interface.public_ip for interface in self.ec2_backend.enis.values()}
    taken |= {address.public_ip for address in self.ec2_backend.addresses}
    # The address that was given up does not come back at once.
    taken.add(getattr(self, "given_up", None))
    self.public_ip = next(ip for ip in iter(random_public_ip, None) if ip not in taken)


@replaces(NetworkInterface)
def start(original, self):
    """A started instance gets an automatic public address, if it has none (EC2 user guide, instance IP addressing)."""
    if self.public_ip is None:
        self.check_auto_public_ip()


@replaces(NetworkInterface)
def stop(original, self):
    """A stopped instance gives its automatic public address up, and keeps an Elastic IP (EC2 user guide, as above)."""
    if not _is_elastic(self):
        self.given_up, self.public_ip = self.public_ip, None


def public_name(region: str, ip: str) -> str:
    """The name that EC2 gives a public address (VPC user guide, "DNS attributes for your VPC")."""
    place = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{ip.replace('.', '-')}.{place}.amazonaws.com"


@replaces(NetworkInterface)
def association(original, self):
    """Whose the public address is: this account's, if it is an Elastic IP (API reference, Association)."""
    found = original(self)
    if found:
        found["publicDnsName"] = public_name(self.ec2_backend.region_name, self.public_ip)
        if not _is_elastic(self):
            found["ipOwnerId"] = self.requester_id if self.requester_managed else "amazon"
    return found


@replaces(EC2Backend)
def disassociate_address(original, self, address=None, association_id=None):
    """Whether an absent association is an error is not known."""
    try:
        return original(self, address, association_id)
    except InvalidAssociationIdError:
        if unconfirmed.answer(unconfirmed.DISASSOCIATE_ABSENT):
            raise
        return None


@replaces(EC2Backend)
def release_address(original, self, address=None, allocation_id=None):
    """InvalidIPAddress.InUse while associated; only in a default VPC a release also disassociates.

    Whether an absent address is an error is not known.
    """
    try:
        found = self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
    except InvalidAllocationIdError:
        if unconfirmed.answer(unconfirmed.RELEASE_ABSENT):
            raise
        return None
    interface = found[0].eni
    if interface and interface.vpc_id != self.default_vpc.id:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
    return original(self, address, allocation_id)


# Instances


def _apart_from(protected: list[Instance], instances: list[Instance]) -> list[Instance]:
    """Those in zones where none of the protected is."""
    zones = {instance.availability_zone for instance in protected}
    return [instance for instance in instances if instance.availability_zone not in zones]


@replaces(EC2Response)
def terminate_instances(original, self):
    """One that is protected keeps those in its zone; those in other zones go, and the call fails (API reference).

    Stop protection protects from termination too (EC2 user guide, "Enable stop protection for your EC2 instances").
    """
    self.error_on_dryrun()
    instances = self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", []))
    standing = [instance for instance in instances if instance.state != "terminated"]
    protected = [each for each in standing if each.disable_api_termination or each.disable_api_stop]
    if not protected:
        return original(self)
    if others := _apart_from(protected, instances):
        self.params = self.params | {"InstanceIds": [instance.id for instance in others]}
        original(self)
    if protected[0].disable_api_termination:
        raise OperationNotPermitted4(protected[0].id)
    raise _stop_protected(protected[0], "terminated")


def _stop_protected(instance: Instance, what: str) -> EC2ClientError:
    return EC2ClientError(
        "OperationNotPermitted",
        f"The instance '{instance.id}' may not be {what}. Modify its 'disableApiStop' instance attribute and try again.",
    )


@replaces(EC2Backend)
def stop_instances(original, self, instance_ids):
    """One that is protected is not stopped; whether others of the same call are is not known."""
    instances = self.get_multi_instances_by_id(instance_ids)
    protected = [instance for instance in instances if instance.disable_api_stop]
    if not protected:
        return original(self, instance_ids)
    if unconfirmed.answer(unconfirmed.STOP_BESIDE_PROTECTED) == "of other zones":
        if others := _apart_from(protected, instances):
            original(self, [instance.id for instance in others])
    raise _stop_protected(protected[0], "stopped")


@replaces(EC2Backend)
def start_instances(original, self, instance_ids):
    """One that is terminated is not started, and so none of the call's (API reference, "Error codes")."""
    for instance in self.get_multi_instances_by_id(instance_ids):
        if instance.state == "terminated":
            raise EC2ClientError(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in a state from which it can be started.",
            )
    return original(self, instance_ids)


@replaces(Instance, "start")
def start_instance(original, self):
    """An instance that cannot start falls back to stopped: a test says so by the tag local:start, with the reason."""
    before = original(self)
    reason = self.ec2_backend.tags.get(self.id, {}).get("local:start")
    if reason:
        self.stop()
        self.state_reason = StateReason(reason, reason.partition(": ")[0])
    return before


@replaces(Instance)
def terminate(original, self):
    """With an instance go its own interface and the associations of its addresses."""
    for address in self.ec2_backend.addresses:
        if address.eni in self.network_interfaces:
            self.ec2_backend.disassociate_address(address=address.public_ip)
    before = original(self)
    if not hasattr(self, "terminated_at"):
        self.terminated_at = clock.now()
    for interface in self.network_interfaces:
        if interface.description == "Primary network interface":
            self.ec2_backend.enis.pop(interface.id, None)
    return before


@replaces(EC2Backend)
def all_reservations(original, self, filters=None):
    """A terminated instance is visible for about an hour (EC2 user guide); at infinite speed for a real one."""

    def remembered(instance: Instance) -> bool:
        return instance.state != "terminated" or clock.age(instance.terminated_at) < TERMINATED

    for key, reservation in list(self.reservations.items()):
        reservation.instances = [instance for instance in reservation.instances if remembered(instance)]
        if not reservation.instances:
            del self.reservations[key]
    return original(self, filters)


@replaces(EC2Response)
def run_instances(original, self):
    """A ClientToken means the same instances; with other parameters it is refused (EC2 developer guide, idempotency)."""
    token = self._get_param("ClientToken")
    parameters = str({name: value for name, value in self.params.items() if name != "ClientToken"})
    requests = self.ec2_backend.__dict__.setdefault("client_tokens", {})
    asked, answer = requests.get(token, (parameters, None))
    if asked != parameters:
        raise EC2ClientError(
            "IdempotentParameterMismatch", f"The request of token '{token}' had other parameters"
        )
    if answer is None:
        answer = original(self)
        for instance in answer.result.instances:
            instance.disable_api_termination = bool(self._get_param("DisableApiTermination"))
        if token:
            requests[token] = parameters, answer
    return answer
