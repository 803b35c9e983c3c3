"""The denial matrix: every API call of a teardown, denied for good.

An undisturbed run is recorded, as for the crash matrix. Then, for every call, a run in a fresh world in which this call is
denied, and so is each later one of its operation and caller. What may come of it:

1. All that costs is gone, but for what cannot go without the call: NEEDS says which that is.
2. Nothing of anybody else's is touched.
3. The execution ends, and names whatever is left that an undisturbed run ends.
4. Where the load balancer is gone the domain leads elsewhere, and where it stays the domain still leads there; the lock is
   given back. Where an undisturbed run keeps all, nothing is changed.
5. Once the call is allowed, the same teardown leaves the world as an undisturbed one does. But for a validation record: what
   regions that do not tell may need stays for good, as nothing says whose it is once its certificate is deleted.

    python -m harness.denial_matrix                  # whole; make crash-matrix runs it too
    python -m harness.denial_matrix --only 'rollback: teardown DeleteLoadBalancer'
"""

import argparse
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console

from local_aws.endpoints import REGION
from local_aws.local import FOR_GOOD, LocalAws
from local_aws.world import TTL

from . import crash_matrix
from .crash_matrix import (
    Changes,
    Lost,
    Matrix,
    Point,
    Result,
    Scene,
    changed,
    matrices,
    provisioned,
    run_all,
    run_told,
    succeeded,
    unlike,
)
from .snapshot import Snapshot, snapshot
from .stack import Execution, Stack, is_for_lock
from .world import World

# The calls without which these cannot go. Instances and addresses are found by the target group, and their users are seen in
# others'; both go after the load balancer.
LOAD_BALANCER = {"DescribeLoadBalancers", "DescribeTags", "DeleteLoadBalancer"}
BEHIND = LOAD_BALANCER | {"DescribeTargetGroups", "DescribeTargetHealth"}
NEEDS = {
    "load balancer": LOAD_BALANCER,
    "instance": BEHIND | {"DescribeInstances", "StopInstances", "TerminateInstances"},
    "address": BEHIND | {"DescribeAddresses", "DisassociateAddress", "ReleaseAddress"},
}
ALIAS_NEEDS = {"ListResourceRecordSets", "ChangeResourceRecordSets"}
LOCK_NEEDS = {"ChangeResourceRecordSets"}

# What a teardown says of the validation record of a certificate that it deletes.
VALIDATION_STAYS = "its validation record stays"
# What goes with something that is looked at for itself.
DEPENDENT = ("listener", "network interface")


# --- Scenes ------------------------------------------------------------------------------------------------------


def by_domain(world: World) -> dict:
    """A teardown's input."""
    return {"domain": world.domain}


def provisioned_to_stop(stack: Stack, world: World) -> None:
    """The instance is to be stopped, and keeps its Elastic IP."""
    world.tag(world.instances[0], "albatross:on-teardown", "stop")
    provisioned(stack, world)


def provisioned_to_terminate(stack: Stack, world: World) -> None:
    """The instance is to be terminated."""
    world.tag(world.instances[0], "albatross:on-teardown", "terminate")
    provisioned(stack, world)


def unhealthy(_: Stack, world: World) -> None:
    """A provision fails when all is made."""
    world.backend.status = 500


def provisioned_by_name(stack: Stack, world: World) -> None:
    """The environment has a name of its own."""
    succeeded(stack.run("provision", world.input | {"name": "api"}))


def provisioned_under_wildcard(stack: Stack, world: World) -> None:
    """A wildcard serves the domain."""
    world.serve_by_wildcard()
    provisioned(stack, world)


def provisioned_beside_dead_certificate(stack: Stack, world: World) -> None:
    """The environment has a second certificate, which ACM has refused."""
    provisioned(stack, world)
    acm = world.aws.client("acm")
    [issued] = acm.list_certificates()["CertificateSummaryList"]
    tags = acm.list_tags_for_certificate(CertificateArn=issued["CertificateArn"])["Tags"]
    forbidden = {"Type": "CAA", "TTL": TTL, "ResourceRecords": [{"Value": '0 issue ";"'}]}
    world.put_record(forbidden)
    dead = acm.request_certificate(DomainName=world.domain, ValidationMethod="DNS", Tags=tags)
    certificate = acm.describe_certificate(CertificateArn=dead["CertificateArn"])["Certificate"]
    assert certificate["Status"] == "FAILED", certificate
    world.put_record(forbidden, "DELETE")


def provisioned_and_protected(stack: Stack, world: World) -> None:
    """Deletion protection is on."""
    provisioned(stack, world)
    elb = world.aws.client("elbv2")
    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    on = {"Key": "deletion_protection.enabled", "Value": "true"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=[on])


SCENES = (
    *(scene for scene in crash_matrix.SCENES if scene.machine == "teardown"),
    Scene("teardown that stops", "teardown", by_domain, provisioned_to_stop),
    Scene("teardown that terminates", "teardown", by_domain, provisioned_to_terminate, ephemeral=True),
    Scene("rollback", "provision", lambda world: world.input, unhealthy, error="TargetsNotHealthy"),
    Scene("night", "nightly", lambda _: {}, provisioned),
    Scene("teardown by domain of a name of its own", "teardown", by_domain, provisioned_by_name),
    Scene("teardown under a wildcard", "teardown", by_domain, provisioned_under_wildcard),
    Scene("teardown of a dead certificate", "teardown", by_domain, provisioned_beside_dead_certificate),
    Scene("teardown of what is protected", "teardown", by_domain, provisioned_and_protected),
)


# --- Denials -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Denial:
    """A call and all later ones of its operation and caller, or those of them to one region or `outside` of one."""

    point: Point
    region: str | None = None
    outside: str | None = None

    def __str__(self) -> str:
        where = f" in {self.region}" if self.region else f" outside of {self.outside}" if self.outside else ""
        return f"{self.point.scene}: {self.point}, denied for good{where}"

    def begin(self, aws: LocalAws) -> None:
        """From now on."""
        point = self.point
        where = {"region": self.region, "outside": self.outside}
        aws.fault("denied", point.operation, point.caller, point.nth, FOR_GOOD, **where)


def denials(points: Iterable[Point]) -> list[Denial]:
    """Those of a scene's calls. Of an operation that is asked of many regions: everywhere, here, elsewhere, and in one."""
    points = [point for point in points if point.scene != "rollback" or point.caller == "teardown"]
    elsewhere = {
        (point.caller, point.operation): point.region
        for point in points
        if point.region not in (None, REGION)
    }
    found = []
    for point in points:
        other = elsewhere.get((point.caller, point.operation))
        if other is None or point.nth == 1:
            found.append(Denial(point))
        if other is not None and point.nth == 1:
            found += [Denial(point, REGION), Denial(point, other), Denial(point, outside=REGION)]
    return found


def _unused(line: str) -> str:
    """Without who uses a certificate, which says nothing of its own fate."""
    return re.sub(r'"InUseBy": \[[^]]*\]', '"InUseBy": []', line)


@dataclass(frozen=True)
class Sight:
    """What is judged: the world at three times, and what the execution said in between."""

    # Before anything of Albatross's stood, before the denied run, and after it.
    before: Snapshot
    standing: Snapshot
    after: Snapshot
    world: World
    # What an undisturbed run makes of the world.
    undisturbed: Changes
    # The execution's cause, or what its answer says of what is left.
    told: str

    def left(self) -> dict[tuple[str, str], str]:
        """What differs from an undisturbed run's end, by kind and id."""
        made = changed(self.before, self.after, self.world)
        excess = Counter(map(_unused, made.values())) - Counter(map(_unused, self.undisturbed.elements()))
        return {
            (kind, identity): line
            for (kind, identity), line in made.items()
            if excess[_unused(line)] and kind not in DEPENDENT and not self._has_ended(kind, identity)
        }

    def _has_ended(self, kind: str, identity: str) -> bool:
        """Whether this is an instance that runs no more, though its address may differ."""
        state = self.after[kind].get(identity, {}).get("State", {}).get("Name")
        return kind == "instance" and state in ("stopped", "terminated")

    def is_named(self, kind: str, identity: str) -> bool:
        """Whether the execution says of this that it is left."""
        domain, item = self.world.domain, self.after[kind].get(identity, {})
        if kind == "security group rule" and item.get("GroupId") not in self.before["security group"]:
            kind, identity = "security group", item["GroupId"]
        words = {
            "load balancer": ["load balancer: ", f"load balancer {identity}: "],
            "target group": ["target group: ", f"target group {identity}: "],
            "security group": ["security group: ", f"security group {identity}: "],
            "security group rule": ["rule that admits the load balancer: ", f"{identity} in "],
            # Of two that are alike in words, one or the other.
            "certificate": ["certificate: ", "certificate arn:"],
            "instance": ["instance: ", f"instance {identity}: "],
            "address": ["Elastic IP: ", f"Elastic IP {identity} "],
            "record": [f"alias record {domain}: "],
        }[kind]
        if identity.startswith("_lock."):
            words = [f"lock record _lock._albatross.{domain}: "]
        elif kind == "record" and item.get("Type") == "CNAME":
            words = ["certificate: ", "certificate arn:", VALIDATION_STAYS]
        return any(word in self.told for word in words)

    def foreign(self) -> list[str]:
        """What the run has touched and is neither the environment's nor the user's who consented."""
        made = changed(self.before, self.standing, self.world)
        touched = changed(self.standing, self.after, self.world)
        return [
            line
            for (kind, identity), line in touched.items()
            if kind not in DEPENDENT
            and (kind, identity) not in made
            and not self._is_new_of_ours(kind, identity, line)
        ]

    def _is_new_of_ours(self, kind: str, identity: str, line: str) -> bool:
        """Whether something that the run made is the environment's."""
        group = self.after[kind].get(identity, {}).get("GroupId")
        is_rule_of_ours = group is not None and group not in self.before["security group"]
        is_tagged = "DOMAIN" in line or "NAME" in line
        return identity not in self.before[kind] and (is_tagged or is_rule_of_ours)

    def aliases(self, taken: Snapshot) -> dict[str, dict]:
        """The records that lead to a load balancer of ours."""
        records = taken["record"].items()
        return {key: record for key, record in records if "-elb-" in str(record.get("AliasTarget"))}

    def wrong(self, operation: str) -> Iterator[str]:
        """What must not have come of the denial, in words."""
        left = self.left()
        for (kind, identity), line in left.items():
            if kind in NEEDS and operation not in NEEDS[kind]:
                yield f"{kind} {identity} costs on"
            if not self.is_named(kind, identity):
                yield f"not named: {line}"
        for line in self.foreign():
            yield f"touched: {line}"
        is_locked = any(key.startswith("_lock.") for key in self.after["record"])
        if is_locked and operation not in LOCK_NEEDS:
            yield "the lock is not given back"
        aliases = self.aliases(self.after)
        if self.after["load balancer"]:
            if aliases != self.aliases(self.standing):
                yield "the domain leads away from a load balancer that stands"
        elif aliases and operation not in ALIAS_NEEDS:
            yield "the domain leads to a load balancer that is gone"


def told(stack: Stack, execution: Execution) -> str:
    """What an execution says of what is left; of a provision its rollback does."""
    if execution.arn.split(":")[6] == stack.machine("provision").split(":")[6]:
        name = execution.arn.split(":")[-1]
        [rollback] = [arn for arn in stack.executions("teardown") if name in arn]
        return told(stack, stack.execution(rollback))
    items = execution.output.get("items", [])
    left = [item for item in items if item.get("outcome") != "done"]
    lines = [f"{item['resource']} {item['id']}: {item['reason']}" for item in left]
    return "\n".join([execution.cause, *lines, *(item["reason"] for item in items)])


# How an execution may end where something is left.
INCOMPLETE, REFUSED = "TeardownIncomplete", "AwsRefused"


def run(matrix: Matrix, denial: Denial) -> Result:
    """A scene with the denial, and again without."""
    [scene] = [scene for scene in SCENES if scene.name == denial.point.scene]
    detail, started, seed = "", time.monotonic(), zlib.crc32(str(denial).encode())
    try:
        with matrix.stage(scene, seed) as (world, before):
            if seed % 2:
                # Nothing was made just a moment ago, so a denial is not taken for a passing one.
                matrix.aws.advance(3600)
                matrix.aws.tags_lag = False
            how = _denied(matrix, scene, world, before, denial)
    except (Lost, TimeoutError) as lost:
        how, detail = "LOST", str(lost)
    finally:
        matrix.aws.end_faults()
    return Result(denial, how, detail, time.monotonic() - started)


def _denied(matrix: Matrix, scene: Scene, world: World, before: Snapshot, denial: Denial) -> str:
    aws, stack, undisturbed = matrix.aws, matrix.stack, matrix.undisturbed[scene.name]
    standing, since = snapshot(aws), len(aws.calls())
    denial.begin(aws)
    execution = stack.run(scene.machine, scene.event(world))
    calls, after = aws.calls(since), snapshot(aws)
    if not aws.struck():
        return "missed"
    aws.end_faults()
    sight = Sight(before, standing, after, world, undisturbed, told(stack, execution))
    if execution.error == REFUSED and denial.point.caller != "teardown":
        # Nothing is known to the night, and it says why.
        wrong = [f"touched: {line}" for line in changed(standing, after, world).values()]
        wrong += [] if denial.point.operation in execution.cause else ["the call is not named"]
    else:
        wrong = list(sight.wrong(denial.point.operation))
        if execution.status != "SUCCEEDED" and execution.error not in (scene.error, INCOMPLETE):
            wrong.append(f"{execution.status} {execution.error}")
    if any(line.startswith("load balancer") for line in undisturbed):
        made = [call for call in calls if call["changes"] and call["caller"] != "other" and not call["error"]]
        wrong += [f"kept whole, but {call['operation']}" for call in made if not is_for_lock(call)]
    if wrong:
        raise Lost(f"{'; '.join(wrong)}. It said {execution.error}: {sight.told}")
    # By the time that somebody has allowed the call, AWS knows all tags.
    aws.tags_lag = False
    if scene.machine == "provision":
        succeeded(stack.run("teardown", by_domain(world)))
    else:
        scene.check_undisturbed(stack.run(scene.machine, scene.event(world)))
    if scene.machine == "nightly" and denial.point.operation in LOCK_NEEDS:
        # A night finds no environment by its lock alone.
        succeeded(stack.run("teardown", by_domain(world)))
    made = changed(before, snapshot(aws), world)
    if VALIDATION_STAYS in sight.told:
        made = {key: line for key, line in made.items() if sight.left().get(key) != line}
    unsettled = unlike(undisturbed, Counter(made.values()))
    if unsettled:
        raise Lost(f"allowed again, but {unsettled}")
    return "done" if execution.status == "SUCCEEDED" else "again"


def show(console: Console, results: list[Result]) -> None:
    """What was lost, and the count by scene."""
    for result in results:
        if not result.survived:
            console.print(str(result), soft_wrap=True, markup=False)
    of = Counter(result.cell.point.scene for result in results)
    survived = Counter(result.cell.point.scene for result in results if result.survived)
    for scene in SCENES:
        if of[scene.name]:
            console.print(
                f"{scene.name}: {of[scene.name]} calls denied for good, survived {survived[scene.name]}"
            )
    console.print(f"{of.total()} denials in {len(of)} scenes, survived {survived.total()} of {of.total()}")


def main() -> int:
    """As the module says; 1 where a denial was not survived."""
    parser = argparse.ArgumentParser(prog="python -m harness.denial_matrix", description="The denial matrix")
    parser.add_argument("--only", default="", help="the denials whose line holds this")
    parser.add_argument("--beside", type=int, default=2, help="so many local AWSs at work at once")
    options = parser.parse_args()
    console = Console(highlight=False)
    with matrices(options.beside) as ready:
        scenes = [scene for scene in SCENES if options.only.startswith(f"{scene.name}: ")] or SCENES
        recorded = run_all(ready, scenes, Matrix.record)
        chosen = [each for points in recorded for each in denials(points) if options.only in str(each)]
        results = run_told(console, ready, chosen, run)
    show(console, results)
    return int(not all(result.survived for result in results))


if __name__ == "__main__":
    sys.exit(main())
