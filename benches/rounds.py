"""Rounds of the same job on the local AWS: who does it, in which setting, and what each phase took."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.snapshot import Snapshot, differences, snapshot, without_certificate
from harness.world import World
from local_aws.curl import curl
from local_aws.local import LocalAws

from .peers import Absent, Failed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """How long AWS's waits are, and how many rounds there are."""

    name: str
    # AWS seconds per real second.
    speed: float
    rounds: int


def prepared(kinds: Iterable, aws: LocalAws, folder: Path) -> tuple[list, dict[str, str], list[dict]]:
    """The peers that can be had here, the versions of all of them, and who is skipped and why."""
    peers, versions, skipped = [], {}, []
    for kind in kinds:
        own = folder / kind.__name__
        own.mkdir()
        peer = kind(aws, own)
        try:
            versions |= peer.prepare()
        except Absent as absent:
            skipped.append({"peer": peer.name, "reason": str(absent)})
        else:
            peers.append(peer)
    return peers, versions, skipped


def run(kinds: Iterable, setting: Setting, say: Say) -> Iterator[dict]:
    """All rounds of a setting; yields the raw results so far after each phase, all of them at last."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="albatross-bench-")))
        aws = stack.enter_context(LocalAws())
        peers, versions, skipped = prepared(kinds, aws, folder)
        results = {
            "versions": versions,
            "skipped": skipped,
            "peers": [{"name": peer.name, "waits_for_dns": peer.waits_for_dns} for peer in peers],
            "setting": {
                "name": setting.name,
                "speed": None if math.isinf(setting.speed) else setting.speed,
            },
            "rounds": [],
        }
        for each in skipped:
            say(f"{each['peer']} is skipped: {each['reason']}")
        yield results
        for number in range(1, setting.rounds + 1):
            for peer in peers:
                for made in one(aws, peer, setting):
                    results["rounds"].append({"setting": setting.name, "round": number, **made})
                    say(line(results["rounds"][-1]))
                    yield results


def one(aws: LocalAws, peer, setting: Setting) -> Iterator[dict]:
    """A peer's phases in a world of its own, which an account holds alone, until one goes wrong."""
    aws.reset()
    aws.speed = setting.speed
    with World(aws) as world:
        before = stood = snapshot(aws)
        for name in peer.phases:
            made, stands = phase(aws, peer, name, world), snapshot(aws)
            if name == "teardown":
                made["left"] = differences(before, stands)
            elif not made["wrong"]:
                made["wrong"] = fault(name, world, before, stood, stands)
            yield made
            if made["wrong"]:
                break
            stood = stands


def fault(name: str, world: World, before: Snapshot, stood: Snapshot, stands: Snapshot) -> str | None:
    """What a phase that ended well has not done, or has done too much, if anything."""
    if name == "keep":
        left = differences(before, without_certificate(stands, world.domain))
        return f"beside the certificate it left {'; '.join(left)}" if left else None
    if name == "again" and (changed := differences(stood, stands)):
        return f"it changed {'; '.join(changed)}"
    return unserved(world)


def phase(aws: LocalAws, peer, name: str, world: World) -> dict:
    """What one phase took, or what went wrong."""
    mark, asked = len(aws.calls()), len(aws.execution_calls())
    wrong, used = None, {"wall": None, "memory": None}
    try:
        used = asdict(getattr(peer, name)(world))
    except Failed as failed:
        wrong = str(failed)
    calls = [*aws.calls(mark), *aws.execution_calls(asked)]
    counts = Counter("writes" if call["changes"] else "reads" for call in calls)
    return {
        "peer": peer.name,
        "phase": name,
        **used,
        "reads": counts["reads"],
        "writes": counts["writes"],
        "wrong": wrong,
    }


def unserved(world: World) -> str | None:
    """What of HTTPS, HSTS and the redirect a client does not get, if anything."""
    aws = world.aws
    named = aws.client("elbv2").describe_load_balancers(Names=[f"{world.name}-elb"])
    dns_name = named["LoadBalancers"][0]["DNSName"]
    secure = curl(aws, dns_name, f"https://{world.domain}/health")
    plain = curl(aws, dns_name, f"http://{world.domain}/health")
    if secure.status != 200 or secure.header("Strict-Transport-Security") != "max-age=300":
        return f"HTTPS does not serve: {secure.output}"
    if plain.status != 302 or plain.header("Location") != f"https://{world.domain}:443/health":
        return f"HTTP does not redirect: {plain.output}"
    pointed = [record for record in world.records(world.domain) if "AliasTarget" in record]
    return None if pointed else "the domain does not point at the load balancer"


def line(run: dict) -> str:
    """A run in words, as it happens."""
    what = f"{run['setting']}, round {run['round']}: {run['peer']} {run['phase']}"
    if run["wrong"]:
        return f"{what}: {run['wrong']}"
    took = f"{run['wall']:.1f} s, {run['memory'] / 1024:.0f} MiB"
    left = "".join(f"\n  left: {each}" for each in run.get("left", []))
    return f"{what}: {took}, {run['reads']} reads, {run['writes']} writes{left}"
