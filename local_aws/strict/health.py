"""What a load balancer's health check of a target finds: state, reason and AWS's own words for it."""

import http.client
import ipaddress

from moto.elbv2.models import FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup

from ..clock import clock
from .delays import TARGET_INITIAL
from .ec2 import interfaces_of

BACKEND_TAG = "local:backend"
PROBE_SECONDS = 2.0

Found = tuple[str, str | None, str | None]


def check(
    target_group: FakeTargetGroup, target: dict, load_balancers: list[FakeLoadBalancer]
) -> FakeHealthStatus:
    """The health of a registered instance, whose load balancers are those that send to the target group."""
    return without_request(target_group, target, load_balancers) or probe(target_group, target)


def without_request(
    target_group: FakeTargetGroup, target: dict, load_balancers: list[FakeLoadBalancer]
) -> FakeHealthStatus | None:
    """The target's health where no request to it is needed, or would come through."""
    found = _standing(target_group, target, load_balancers)
    return found and _status(target_group, target, found)


def probe(target_group: FakeTargetGroup, target: dict) -> FakeHealthStatus:
    """The target's health by a request of the health check's path."""
    instance = target_group.ec2_backend.get_instance_by_id(target["Id"])
    return _status(target_group, target, _asked(target_group, target, instance))


def _check_port(target_group: FakeTargetGroup, target: dict) -> int:
    port = target_group.health_check_port
    return int(target["Port"] if port in (None, "traffic-port") else port)


def _status(target_group: FakeTargetGroup, target: dict, found: Found) -> FakeHealthStatus:
    check_port = str(_check_port(target_group, target))
    return FakeHealthStatus(target["Id"], target["Port"], check_port, *found)


def _standing(
    target_group: FakeTargetGroup, target: dict, load_balancers: list[FakeLoadBalancer]
) -> Found | None:
    instance = target_group.ec2_backend.get_instance_by_id(target["Id"])
    if not load_balancers:
        return (
            "unused",
            "Target.NotInUse",
            "Target group is not configured to receive traffic from the load balancer",
        )
    if instance.state != "running":
        return "unused", "Target.InvalidState", f"Target is in the {instance.state} state"
    load_balancer = load_balancers[0]
    if instance.availability_zone not in {subnet.availability_zone for subnet in load_balancer.subnets}:
        return (
            "unused",
            "Target.NotInUse",
            "Target is in an Availability Zone that is not enabled for the load balancer",
        )
    if load_balancer.state != "active" or not clock.passed(target["since"], TARGET_INITIAL):
        return "initial", "Elb.RegistrationInProgress", "Target registration is in progress"
    ports = {int(target["Port"]), _check_port(target_group, target)}
    if not all(admits(instance, load_balancer, port) for port in ports):
        return "unhealthy", "Target.Timeout", "Request timed out"
    return None


def admits(instance, load_balancer: FakeLoadBalancer, port: int) -> bool:
    """Whether a rule of the instance's groups lets the load balancer's interfaces in on the port."""
    interfaces = interfaces_of(instance.ec2_backend, load_balancer.arn)
    addresses = [ipaddress.ip_address(interface.private_ip_address) for interface in interfaces]
    rules = [rule for group in instance.network_interfaces[0].group_set for rule in group.ingress_rules]

    def lets_in(rule) -> bool:
        if rule.ip_protocol != "-1" and not (
            rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port
        ):
            return False
        if rule.source_group.get("GroupId") in load_balancer.security_groups:
            return True
        return rule.cidr_ipv4 is not None and all(
            address in ipaddress.ip_network(rule.cidr_ipv4, strict=False) for address in addresses
        )

    return any(lets_in(rule) for rule in rules)


def _backends(instance) -> str | None:
    return next((tag["value"] for tag in instance.get_tags() if tag["key"] == BACKEND_TAG), None)


def backend_of(instance, port: int) -> str | None:
    """The address on this machine that the instance's tag names for a port: `127.0.0.1:5000` is there on any port.

    `8080=127.0.0.1:5000` is there on one; several of them have spaces between them.
    """
    for each in (_backends(instance) or "").split():
        on, _, address = each.rpartition("=")
        if on in ("", str(port)):
            return address
    return None


def _asked(target_group: FakeTargetGroup, target: dict, instance) -> Found:
    """A real request where the instance has a backend on this machine; without one it is healthy.

    The Host header is the target's private address and port (user guide, "Troubleshoot your Application Load Balancers").
    """
    port = _check_port(target_group, target)
    backend = backend_of(instance, port)
    if not _backends(instance):
        return "healthy", None, None
    if backend is None:  # the instance refuses the connection
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"
    connection = http.client.HTTPConnection(backend, timeout=PROBE_SECONDS)
    headers = {"Host": f"{instance.private_ip_address}:{port}", "User-Agent": "ELB-HealthChecker/2.0"}
    try:
        connection.request("GET", target_group.health_check_path, headers=headers)
        status = connection.getresponse().status
    except TimeoutError:
        return "unhealthy", "Target.Timeout", "Request timed out"
    except (OSError, http.client.HTTPException):
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"
    finally:
        connection.close()
    if not _matches(status, target_group.matcher["HttpCode"]):
        return (
            "unhealthy",
            "Target.ResponseCodeMismatch",
            f"Health checks failed with these codes: [{status}]",
        )
    return "healthy", None, None


def _matches(status: int, matcher: str) -> bool:
    """A matcher is codes and ranges: `200`, `200,302`, `200-299`."""
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False
