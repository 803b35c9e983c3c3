"""Targets: one for each instance and port. A registered one has the health that it earns; a deregistered one drains."""

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup, elbv2_backends

from ..clock import clock
from . import health
from .elbv2 import sending
from .patch import replaces


def _key(target_group: FakeTargetGroup, target: dict) -> tuple[str, int | None]:
    """Without a port it is the target group's."""
    port = target.get("Port") or target_group.port
    return target["Id"], int(port) if port else None


def _check(target_group: FakeTargetGroup, instance_id: str) -> None:
    """An instance exists, is running and lies in the group's VPC."""
    instance = target_group.ec2_backend.get_instance_by_id(instance_id)
    if instance is None or instance.state == "terminated":
        raise ELBClientError("InvalidTarget", f"Instance ID '{instance_id}' is not valid")
    if instance.state != "running":
        message = (
            f"The following targets are not in a running state and cannot be registered: '{instance_id}'"
        )
        raise ELBClientError("InvalidTarget", message)
    if instance.vpc_id != target_group.vpc_id:
        message = (
            f"The following targets are not in the target group VPC '{target_group.vpc_id}': '{instance_id}'"
        )
        raise ELBClientError("InvalidTarget", message)


@replaces(FakeTargetGroup)
def register(original, self, targets):
    """All of them or none. An instance on two ports is two targets, where moto has the last alone."""
    for target in targets:
        if self.target_type == "instance":
            _check(self, target["Id"])
    for target in targets:
        key = target_id, port = _key(self, target)
        self.deregistered_targets.pop(key, None)
        self.targets.setdefault(key, {"Id": target_id, "Port": port, "since": clock.now()})


@replaces(FakeTargetGroup)
def deregister(original, self, targets):
    """A target that is not registered is no error; one that a load balancer sends to drains."""
    for target in targets:
        key = _key(self, target)
        registered = self.targets.pop(key, None)
        if registered and self.load_balancer_arns:
            self.deregistered_targets[key] = registered | {"since": clock.now()}


@replaces(FakeTargetGroup)
def deregister_terminated_instances(original, self, instance_ids):
    """A terminated instance is deregistered like any other."""
    self.deregister([target for target in self.targets.values() if target["Id"] in instance_ids])


def _draining(target_group: FakeTargetGroup) -> dict[tuple, dict]:
    """For as long as the deregistration delay lasts, of AWS's 300 seconds if it is not set."""
    delay = float(target_group.attributes["deregistration_delay.timeout_seconds"])
    return {
        key: target
        for key, target in target_group.deregistered_targets.items()
        if target_group.load_balancer_arns and not clock.passed(target["since"], delay)
    }


@replaces(ELBv2Backend)
def describe_target_health(original, self, target_group_arn, targets):
    """With no targets named: those that are registered, and those that drain."""
    target_group = self.target_groups.get(target_group_arn)
    if target_group and not targets:
        targets = [*target_group.targets.values(), *_draining(target_group).values()]
    # With none, moto would list by itself.
    return original(self, target_group_arn, targets) if targets or not target_group else []


@replaces(FakeTargetGroup)
def health_for(original, self, target, ec2_backend):
    """A registered instance's health is what a health check finds; a draining target gets no new requests."""
    key = target_id, port = _key(self, target)
    if key in self.targets:
        if self.target_type != "instance":
            return FakeHealthStatus(target_id, port, self.health_check_port, "healthy")
        backend = elbv2_backends[self.account_id][self.region_name]
        load_balancers = sending(backend, self.arn)
        for load_balancer in load_balancers:
            load_balancer.activate()
        return health.check(self, self.targets[key], load_balancers)
    if key in _draining(self):
        found = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
    else:
        found = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
    return FakeHealthStatus(target_id, port, self.health_check_port, *found)
