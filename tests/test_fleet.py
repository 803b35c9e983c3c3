"""A fleet is what provisions would have left: the nightly machine finds all of it and leaves nothing."""

from harness.fleet import MOST_BYTES, MOST_EVENTS, fleet, payloads
from harness.snapshot import differences, snapshot


def test_the_night_takes_a_fleet_down(aws, stack, world):
    before = snapshot(aws)
    names = fleet(world, stack.name, 3)
    assert names == ["fleet-0001", "fleet-0002", "fleet-0003"]
    standing = snapshot(aws)
    for kind, count in {"load balancer": 3, "target group": 3, "listener": 3, "record": 6}.items():
        assert len(standing[kind]) - len(before[kind]) == count, kind
    assert stack.run("nightly", {}).output["removed"] == names
    assert differences(before, snapshot(aws)) == []


def test_a_thousand_fit_into_one_night(stack, world):
    """All kept, as a thousand teardowns take too long here; their states are no larger than those of what goes."""
    names = fleet(world, stack.name, 1000, keep_until="2099-01-01T00:00:00Z")
    night = stack.run("nightly", {"warn": True})
    assert [kept["name"] for kept in night.output["kept"]] == names
    assert night.output["stands"]["hourly"] == 32.5
    history = stack.history(night.arn)
    # A teardown in place of the two states that keep one takes as many events again.
    assert 2 * len(history) < MOST_EVENTS
    assert max(payloads(history)) < MOST_BYTES
