"""What tests expect of a first provision, and what they ask of an account and of a morning."""

from local_aws.local import LocalAws

from .stack import Stack
from .world import World

# What create-alb does in a new world, by resource; and what all of the first provision does.
MADE_BY_CREATE_ALB = {
    "security group": "created",
    "target group": "created",
    "load balancer": "created",
    "HTTP listener": "created",
    "rule that admits the load balancer": "created",
    "target": "created",
}
MADE = MADE_BY_CREATE_ALB | {
    "certificate": "created",
    "validation record": "created",
    "HTTPS listener": "created",
    "redirect to HTTPS": "changed",
    "alias record": "changed",
}


def load_balancers(aws: LocalAws) -> list[str]:
    """The names of all load balancers."""
    found = aws.client("elbv2").describe_load_balancers()["LoadBalancers"]
    return sorted(balancer["LoadBalancerName"] for balancer in found)


def rise(stack: Stack, *worlds: World) -> dict[str, str]:
    """What a morning answers of these worlds' environments: the URL, or why there is none.

    Earlier tests' environments are away too, and cannot come back.
    """
    ended = stack.run("morning", {})
    assert ended.error in ("", "ProvisionIncomplete"), ended.cause
    answer = stack.output_of(ended.arn, "EachEnvironment")
    assert bool(answer["failed"]) == (ended.status == "FAILED")
    said = {back["name"]: back["url"] for back in answer["provisioned"]}
    said |= {away["name"]: away["why"] for away in answer["failed"]}
    return {world.name: said[world.name] for world in worlds if world.name in said}
