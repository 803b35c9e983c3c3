"""A sample of the denial matrix, as large as fits in its time, and that it finds what it looks for."""

import os
import random
import time
from collections import Counter

import pytest
from rich.console import Console

from harness.crash_matrix import Matrix
from harness.denial_matrix import SCENES, Denial, Sight, denials, run, show
from harness.snapshot import snapshot
from harness.stack import Stack
from harness.world import World
from local_aws.local import LocalAws
from local_aws.world import TTL

SECONDS = 60
# Recording a scene takes as long as a denial or two.
OF_A_SCENE = 4


def test_what_costs_goes_whatever_call_is_denied_for_good(
    aws: LocalAws, stack: Stack, capsys: pytest.CaptureFixture
) -> None:
    seed = int(os.environ.get("DENIAL_SEED") or random.randrange(2**32))
    chance, end = random.Random(seed), time.monotonic() + SECONDS
    open_scenes = {scene.name: scene for scene in SCENES}
    left: dict[str, list[Denial]] = {}
    results = []
    with stack.without_reaction():
        matrix = Matrix(aws, stack, {})
        while open_scenes and time.monotonic() < end:
            name = chance.choice([*open_scenes])
            if name not in left:
                left[name] = denials(matrix.record(open_scenes[name]))
                chance.shuffle(left[name])
            for _ in range(OF_A_SCENE):
                if left[name] and time.monotonic() < end:
                    results.append(run(matrix, left[name].pop()))
            if not left[name]:
                del open_scenes[name]
    with capsys.disabled():
        console = Console(highlight=False)
        console.print(f"\na sample of the denial matrix, DENIAL_SEED={seed}")
        show(console, results)
    assert [str(result) for result in results if not result.survived] == [], f"DENIAL_SEED={seed}"


class Standing:
    """An environment that stands, and what the matrix finds wrong after a teardown that did and said no more than a test says."""

    def __init__(self, aws: LocalAws, stack: Stack, world: World):
        self.aws, self.world, self.before = aws, world, snapshot(aws)
        world.tag(world.instances[0], "albatross:on-teardown", "stop")
        built = stack.run("provision", world.input)
        assert built.status == "SUCCEEDED", built.cause
        self.standing, self.built = snapshot(aws), built.output

    def wrong(self, operation: str, told: str = "") -> str:
        """In one text."""
        after = snapshot(self.aws)
        sight = Sight(self.before, self.standing, after, self.world, Counter(), told)
        return "\n".join(sight.wrong(operation))


@pytest.fixture
def standing(aws: LocalAws, stack: Stack, world: World) -> Standing:
    return Standing(aws, stack, world)


def test_the_matrix_finds_what_costs_on_and_is_not_named(standing: Standing) -> None:
    balancer, group = standing.built["loadBalancer"]["arn"], standing.built["targetGroupArn"]
    [instance] = standing.world.instances
    wrong = standing.wrong("ListCertificates")
    assert f"load balancer {balancer} costs on" in wrong
    assert f"instance {instance} costs on" in wrong
    assert "not named: target group" in wrong
    assert "not named: record" in wrong
    wrong = standing.wrong("DeleteLoadBalancer", f"load balancer: denied; target group {group}: stays")
    assert "costs on" not in wrong
    assert "not named: load balancer" not in wrong
    assert "not named: target group" not in wrong
    assert "not named: security group" in wrong


def test_the_matrix_finds_what_is_touched_and_a_lock_that_stays(standing: Standing) -> None:
    world = standing.world
    assert "touched" not in standing.wrong("ListCertificates")
    world.tag(world.group, "owner", "nobody")
    assert "touched: security group" in standing.wrong("ListCertificates")
    value = {"Value": '"heritage=albatross run=arn:aws:states:us-east-1:123456789012:execution:x:y"'}
    lock = {"Type": "TXT", "TTL": TTL, "ResourceRecords": [value]}
    world.put_record(lock, name=f"_lock._albatross.{world.domain}")
    assert "the lock is not given back" in standing.wrong("ListCertificates")
    assert "the lock is not given back" not in standing.wrong("ChangeResourceRecordSets")


def test_the_matrix_finds_a_domain_that_leads_nowhere_or_away(standing: Standing) -> None:
    world = standing.world
    assert "the domain leads" not in standing.wrong("ListCertificates")
    [alias] = [record for record in world.records(world.domain) if record["Type"] == "A"]
    world.put_record(alias, "DELETE")
    assert "the domain leads away" in standing.wrong("ListCertificates")
    world.put_record(alias)
    arn = standing.built["loadBalancer"]["arn"]
    world.aws.client("elbv2").delete_load_balancer(LoadBalancerArn=arn)
    assert "leads to a load balancer that is gone" in standing.wrong("ListCertificates")
    assert "the domain leads" not in standing.wrong("ListResourceRecordSets")
