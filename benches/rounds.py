"""Rounds of the same job on the local AWS: who does it, in which setting, and what each phase took."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.aws.curl import curl
from tests.aws.local import LocalAws
from tests.aws.world import Snapshot, World, differences, snapshot

from .peers import Absent, Failed, name_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """How long AWS's waits are, and how many rounds there are."""

    name: str
    # AWS seconds per real second.
    speed: float
    rounds: int


def settings(rounds: int, speed: float, real_rounds: int) -> list[Setting]:
    """AWS's waits at zero; on the sped-up clock; and in real time, which alone binds all peers alike."""
    every = [
        Setting("no waits", math.inf, rounds),
        Setting(f"AWS's waits, {speed:g} times as fast", speed, rounds),
        Setting("AWS's waits in real time", 1, real_rounds),
    ]
    return [setting for setting in every if setting.rounds]


def takes_part(peer, setting: Setting) -> str | None:
    """Why a peer takes no part in a setting, if it does not."""
    if peer.scales or setting.speed == 1 or math.isinf(setting.speed):
        return None
    return "how often it polls cannot be told to it"


def prepared(kinds: Iterable, aws: LocalAws, folder: Path) -> tuple[list, dict[str, str], list[dict]]:
    """The peers that can be had here, the versions of all of them, and who is left out and why."""
    peers, versions, skipped = [], {}, []
    for kind in kinds:
        own = folder / kind.__name__
        own.mkdir()
        peer = kind(aws, own)
        try:
            versions |= peer.prepare()
        except Absent as absent:
            skipped.append({"peer": peer.name, "setting": None, "reason": str(absent)})
        else:
            peers.append(peer)
    return peers, versions, skipped


def run(kinds: Iterable, chosen: list[Setting], say: Say) -> dict:
    """All rounds of all settings; answers the raw results."""
    runs: list[dict] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="albatross-bench-")))
        aws = stack.enter_context(LocalAws())
        peers, versions, skipped = prepared(kinds, aws, folder)
        for each in skipped:
            say(f"{each['peer']} is skipped: {each['reason']}")
        for setting in chosen:
            for peer in peers:
                if reason := takes_part(peer, setting):
                    skipped.append({"peer": peer.name, "setting": setting.name, "reason": reason})
                    say(f"{setting.name}: {peer.name} is skipped: {reason}")
            for number in range(1, setting.rounds + 1):
                for peer in peers:
                    if not takes_part(peer, setting):
                        for phase in one(aws, peer, setting):
                            runs.append({"setting": setting.name, "round": number, **phase})
                            say(line(runs[-1]))
    return {
        "versions": versions,
        "skipped": skipped,
        "peers": [{"name": peer.name, "waits_for_dns": peer.waits_for_dns} for peer in peers],
        "settings": [
            asdict(setting) | {"speed": None if math.isinf(setting.speed) else setting.speed}
            for setting in chosen
        ],
        "runs": runs,
    }


def one(aws: LocalAws, peer, setting: Setting) -> Iterable[dict]:
    """One provision and teardown in a world of its own, which an account holds alone."""
    aws.reset()
    aws.speed = setting.speed
    with World(aws) as world:
        before = snapshot(aws)
        made = phase(aws, peer, "provision", world)
        yield made | {"made": news(before, snapshot(aws)), "wrong": made["wrong"] or unserved(aws, world)}
        if not made["wrong"]:
            gone = phase(aws, peer, "teardown", world)
            yield gone | {"left": differences(before, snapshot(aws))}


def phase(aws: LocalAws, peer, name: str, world: World) -> dict:
    """What one phase took, or what went wrong."""
    mark, asked = len(aws.calls()), len(aws.execution_calls())
    wrong, used = None, {"wall": None, "cpu": None, "memory": None}
    try:
        used = asdict({"provision": peer.provision, "teardown": peer.teardown}[name](world))
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


def news(before: Snapshot, after: Snapshot) -> dict[str, int]:
    """How many of each kind are new."""
    return {kind: count for kind in before if (count := len(after[kind].keys() - before[kind].keys()))}


def unserved(aws: LocalAws, world: World) -> str | None:
    """What of HTTPS, HSTS and the redirect a client does not get, if anything."""
    named = aws.client("elbv2").describe_load_balancers(Names=[f"{name_of(world)}-elb"])
    dns_name = named["LoadBalancers"][0]["DNSName"]
    secure = curl(aws, dns_name, f"https://{world.domain}/health")
    plain = curl(aws, dns_name, f"http://{world.domain}/health")
    if secure.status != 200 or secure.header("Strict-Transport-Security") != "max-age=300":
        return f"HTTPS does not serve: {secure.output}"
    if plain.status != 301 or plain.header("Location") != f"https://{world.domain}:443/health":
        return f"HTTP does not redirect: {plain.output}"
    pointed = [record for record in world.records(world.domain) if "AliasTarget" in record]
    return None if pointed else "the domain does not point at the load balancer"


def line(run: dict) -> str:
    """A run in words, as it happens."""
    what = f"{run['setting']}, round {run['round']}: {run['peer']} {run['phase']}"
    if run["wrong"]:
        return f"{what}: {run['wrong']}"
    took = f"{run['wall']:.1f} s, {run['cpu']:.2f} s of CPU, {run['memory'] / 1024:.0f} MiB"
    left = "".join(f"\n  left: {each}" for each in run.get("left", []))
    return f"{what}: {took}, {run['reads']} reads, {run['writes']} writes{left}"
