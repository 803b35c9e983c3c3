"""Tagging: GetResources (Resource Groups Tagging API reference) lists what moto leaves out."""

from moto.core.resource_tagging import TaggedResource
from moto.ec2.models import EC2Backend
from moto.elbv2.models import ELBv2Backend

from .patch import replaces


@replaces(ELBv2Backend, "iter_tagged_resources")
def with_listeners(original, self):
    """Listeners are resources of their own (tagging API user guide, supported resources: listener/app)."""
    yield from original(self)
    for balancer in self.load_balancers.values():
        for arn in balancer.listeners:
            tags = self.tagging_service.get_tag_dict_for_resource(arn)
            yield TaggedResource(arn, tags, "elasticloadbalancing:listener/app")


@replaces(EC2Backend, "iter_tagged_resources")
def with_addresses(original, self):
    """So are Elastic IPs (tagging API user guide, supported resources: elastic-ip)."""
    yield from original(self)
    for address in self.addresses:
        arn = f"arn:{self.partition}:ec2:{self.region_name}:{self.account_id}:elastic-ip/{address.allocation_id}"
        yield TaggedResource(arn, dict(self.tags.get(address.allocation_id, {})), "ec2:elastic-ip")
