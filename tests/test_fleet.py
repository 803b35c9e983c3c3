"""A fleet is what provisions would have left: the nightly machine finds all of it and leaves nothing."""

from .aws.fleet import fleet
from .aws.world import differences, snapshot


def test_the_night_takes_a_fleet_down(aws, stack, world):
    before = snapshot(aws)
    names = fleet(world, stack.name, 3)
    assert names == ["fleet-0001", "fleet-0002", "fleet-0003"]
    standing = snapshot(aws)
    for kind, count in {"load balancer": 3, "target group": 3, "listener": 3, "record": 6}.items():
        assert len(standing[kind]) - len(before[kind]) == count, kind
    assert stack.run("nightly", {}).output["removed"] == names
    assert differences(before, snapshot(aws)) == []
