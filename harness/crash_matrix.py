"""The crash matrix: every API call of a provision and of a teardown, with every fault at it.

An undisturbed run is recorded: its calls, and what it makes of the world. Then, for every call and every fault, a run
in a fresh world, in which the state machines' own retries act. It has survived where the world is at last as the
undisturbed run leaves it, or as before the run where a provision has failed and taken itself back.

A call is named by its caller, its operation, and the how manieth of that operation by that caller it is: a number would
not do, as concurrent branches interleave.

    python -m harness.crash_matrix                  # whole; make crash-matrix, which builds before
    python -m harness.crash_matrix --sample 40 --seed 7
    python -m harness.crash_matrix --only 'provision: create-alb CreateSecurityGroup, killed'
"""

import argparse
import json
import random
import re
import string
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from local_aws.local import LocalAws
from local_aws.waiting import until

from .snapshot import Snapshot, comparable, snapshot
from .stack import Execution, Stack
from .world import World

# The SDK makes three attempts at a call: a fault that strikes three times gets through to the function.
ATTEMPTS = 3
# So many seeds are tried until a cell's call is made.
SEEDS = 12


@dataclass(frozen=True)
class Fault:
    """One column of the matrix."""

    name: str
    kind: str
    times: int = 1
    # The execution is stopped at the call, and its function dies.
    aborts: bool = False
    # After that the rule on an ended provision acts; without, the user runs it again.
    cleans_up: bool = False


FAULTS = (
    *(
        Fault(f"{name} x{times}" if times > 1 else name, kind, times)
        for name, kind in (
            ("throttled", "throttled"),
            ("500", "failed"),
            ("cut", "cut"),
            ("answer lost", "lost"),
            ("killed", "killed"),
        )
        for times in (1, ATTEMPTS)
    ),
    Fault("denied", "denied"),
    Fault("aborted before, run again", "stalled", aborts=True),
    Fault("aborted before, cleaned up", "stalled", aborts=True, cleans_up=True),
    Fault("aborted after, run again", "held", aborts=True),
    Fault("aborted after, cleaned up", "held", aborts=True, cleans_up=True),
)


@dataclass(frozen=True)
class Scene:
    """What is run under faults."""

    name: str
    machine: str
    event: Callable[[World], dict]
    prepare: Callable[[Stack, World], None]
    # What stood before the run stays where it fails, and the user runs it again.
    stood: bool = False
    # What an undisturbed run ends with; without an error it succeeds.
    error: str = ""
    # Its world has no Elastic IP.
    ephemeral: bool = False

    def check_undisturbed(self, execution: Execution) -> None:
        """Raises where an execution has not ended as it does undisturbed."""
        if not self.error:
            succeeded(execution)
        elif execution.error != self.error:
            raise Lost(f"{execution.status} {execution.error} is not {self.error}: {execution.cause}")

    def faults(self) -> Iterable[Fault]:
        """Those that this machine can meet: no rule cleans up after an ended teardown."""
        return (fault for fault in FAULTS if self.machine == "provision" or not fault.cleans_up)


def nothing(_: Stack, __: World) -> None:
    """The world is ready as it is."""


def provisioned(stack: Stack, world: World) -> None:
    """The environment stands."""
    succeeded(stack.run("provision", world.input))


def provisioned_with_consent(stack: Stack, world: World) -> None:
    """The environment stands, and the user's consent gives up instance and address too."""
    world.tag(world.instances[0], "albatross:on-teardown", "stop")
    world.tag(world.allocation, "albatross:on-teardown", "release")
    provisioned(stack, world)


def provisioned_before_another(stack: Stack, world: World) -> None:
    """The environment stands, and its user means another instance now, in another group."""
    provisioned(stack, world)
    world.instances = [world.instance(world.subnets[1], world.security_group("other"))]


ANOTHER = "another instance"
EVERYTHING = "teardown of everything"
SCENES = (
    Scene("provision", "provision", lambda world: world.input, nothing),
    Scene(ANOTHER, "provision", lambda world: world.input, provisioned_before_another, stood=True),
    Scene("teardown", "teardown", lambda world: {"domain": world.domain}, provisioned),
    Scene(
        EVERYTHING,
        "teardown",
        lambda world: {"domain": world.domain, "certificate": "delete"},
        provisioned_with_consent,
    ),
)


def succeeded(execution: Execution) -> None:
    """Raises where it did not."""
    if execution.status != "SUCCEEDED":
        raise Lost(f"{execution.status} {execution.error}: {execution.cause}")


class Lost(Exception):
    """A run that has not survived; the message is how not."""


@dataclass(frozen=True, order=True)
class Point:
    """One call of a scene."""

    scene: str
    caller: str
    operation: str
    nth: int
    changes: bool
    # None: the service has none.
    region: str | None

    def __str__(self) -> str:
        number = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.caller} {self.operation}{number}"


@dataclass(frozen=True)
class Cell:
    """A fault at a call."""

    point: Point
    fault: Fault

    def __str__(self) -> str:
        return f"{self.point.scene}: {self.point}, {self.fault.name}"


@dataclass(frozen=True)
class Result:
    """What became of a run."""

    cell: Cell
    # How it survived: `done`, `rolled back`, `again`, `cleaned up`; `LOST`; or `missed` where the call was not made.
    how: str
    detail: str
    seconds: float

    @property
    def survived(self) -> bool:
        return self.how not in ("LOST", "missed")

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.cell}: {self.how}, {self.seconds:.1f} s{detail}"


# What a run makes of the world: its differences, with names in place of ids; each with how often.
Changes = Counter[str]

IDS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|[a-z]{10}(?=\.acm-validations\.aws)"
    r"|[0-9a-f]{8,}"
)


def changed(before: Snapshot, after: Snapshot, world: World) -> dict[tuple[str, str], str]:
    """What of the world is not as it was, by kind and id, in words that are the same for every world."""
    known = {
        world.domain: "DOMAIN",
        world.name: "NAME",
        world.zone: "ZONE",
        world.vpc: "VPC",
        world.group: "GROUP",
        world.public_ip: "ADDRESS",
        **({world.allocation: "ALLOCATION"} if world.allocation else {}),
        world.backend.address: "BACKEND",
        **{subnet: f"SUBNET{number}" for number, subnet in enumerate(world.subnets)},
        **{instance: f"INSTANCE{number}" for number, instance in enumerate(world.instances)},
        world.zone_name: "ZONE-NAME",
    }

    def plain(item: dict | None) -> str:
        if item is None:
            return "absent"
        text = json.dumps(item, default=str)
        for name, word in known.items():
            text = text.replace(name, word)
        return comparable(json.loads(IDS.sub("#", text)))

    pairs = {
        (kind, identity): (before[kind].get(identity), after[kind].get(identity))
        for kind in before
        for identity in before[kind].keys() | after[kind].keys()
    }
    return {
        (kind, identity): f"{kind}: {plain(old)} → {plain(new)}"
        for (kind, identity), (old, new) in pairs.items()
        if old != new
    }


def changes(before: Snapshot, after: Snapshot, world: World) -> Changes:
    """The words of what is not as it was."""
    return Counter(changed(before, after, world).values())


def unlike(wanted: Changes, got: Changes) -> str:
    """What is too much and too little, in words; empty where they are the same."""
    excess = [f"too much: {line}" for line in (got - wanted).elements()]
    return "; ".join(excess + [f"missing: {line}" for line in (wanted - got).elements()])


class Matrix:
    """One local AWS with the project deployed, on which points are run one after the other."""

    def __init__(self, aws: LocalAws, stack: Stack, undisturbed: dict[str, Changes]):
        self.aws = aws
        self.stack = stack
        # What an undisturbed run makes of the world, by scene.
        self.undisturbed = undisturbed

    @contextmanager
    def stage(self, scene: Scene, seed: int = 0) -> Iterator[tuple[World, Snapshot]]:
        """A fresh world, ready for the scene, and how it was before anything was run in it."""
        self.aws.reset()
        # What no source tells of AWS differs from cell to cell.
        self.aws.seed = seed
        with World(self.aws, ephemeral=scene.ephemeral) as world:
            before = snapshot(self.aws)
            scene.prepare(self.stack, world)
            yield world, before

    def record(self, scene: Scene) -> list[Point]:
        """An undisturbed run: every call that its functions make."""
        with self.stage(scene) as (world, before):
            since = len(self.aws.calls())
            scene.check_undisturbed(self.stack.run(scene.machine, scene.event(world)))
            made = [call for call in self.aws.calls(since) if call["caller"] != "other"]
            self.undisturbed[scene.name] = changes(before, snapshot(self.aws), world)
        seen: Counter[tuple[str, str]] = Counter()
        points = []
        for call in made:
            seen[call["caller"], call["operation"]] += 1
            nth = seen[call["caller"], call["operation"]]
            point = Point(scene.name, call["caller"], call["operation"], nth, call["changes"], call["region"])
            points.append(point)
        return points

    def run(self, cell: Cell) -> Result:
        """The scene of the call, with the fault at it."""
        how, detail, started = "missed", "", time.monotonic()
        # By some seeds a step is repeated, and then trusts what it finds: the call is not made.
        for attempt in range(SEEDS):
            if how == "missed":
                how, detail = self._run_with(zlib.crc32(f"{cell}{attempt or ''}".encode()), cell)
        return Result(cell, how, detail, time.monotonic() - started)

    def _run_with(self, seed: int, cell: Cell) -> tuple[str, str]:
        """How the cell ended with this seed, and why it is lost."""
        [scene] = [scene for scene in SCENES if scene.name == cell.point.scene]
        try:
            with self.stage(scene, seed) as (world, before):
                how = self._disturbed(scene, world, cell)
                if how != "missed":
                    self._check(cell, how, changes(before, snapshot(self.aws), world))
        except (Lost, TimeoutError) as lost:
            return "LOST", str(lost)
        finally:
            self.aws.end_faults()
        return how, ""

    def _disturbed(self, scene: Scene, world: World, cell: Cell) -> str:
        """Run the scene with the fault, and then what is done about it; answers how it survived, if it did."""
        point, fault = cell.point, cell.fault
        self.aws.fault(fault.kind, point.operation, point.caller, point.nth, fault.times)
        arn = self.stack.start(scene.machine, scene.event(world))
        if fault.aborts:
            return self._aborted(scene, world, arn, fault)
        execution = self.stack.wait(arn)
        if not self.aws.struck():
            return "missed"
        self.aws.end_faults()
        if execution.status == "SUCCEEDED":
            return "done"
        if scene.machine == "provision" and not scene.stood:
            if "rollback failed" in execution.cause:
                raise Lost(f"{execution.error}: {execution.cause}")
            return "rolled back"
        succeeded(self.stack.run(scene.machine, scene.event(world)))
        return "again"

    def _aborted(self, scene: Scene, world: World, arn: str, fault: Fault) -> str:
        until(lambda: self.aws.struck() or not self.stack.execution(arn).running, "the call")
        if not self.aws.struck():
            return "missed"
        self.stack.stop(arn)
        self.aws.end_faults()
        until(lambda: all(made["ended"] for made in self.aws.invocations()), "the end of functions")
        if fault.cleans_up:
            reaction = self.stack.wait(self.stack.fire_reaction(arn))
            succeeded(reaction)
            if not scene.stood:
                # Stopped after its last call the environment is complete, and stays.
                return "done" if reaction.output["kept"] else "cleaned up"
            if reaction.output["removed"]:
                raise Lost(f"cleaned up what stood before: {reaction.output}")
        succeeded(self.stack.run(scene.machine, scene.event(world)))
        return "again"

    def _check(self, cell: Cell, how: str, made: Changes) -> None:
        """Raises where the world is not as it must be."""
        if how in ("rolled back", "cleaned up"):
            # The certificate and its record stay by design, as after a teardown: all, a part, or none of that.
            wrong = unlike(Changes(), made - self.undisturbed["teardown"])
        else:
            wanted = self.undisturbed[cell.point.scene]
            if cell.point.operation == "DescribeRegions" and cell.fault.kind == "denied":
                # A region that is not known may hold a certificate that needs the validation record, which so stays.
                wanted, made = without_validation(wanted), without_validation(made)
            wrong = unlike(wanted, made)
        if wrong:
            raise Lost(f"{how}, but {wrong}")


def without_validation(made: Changes) -> Changes:
    """Changes but those of validation records."""
    return Counter({line: count for line, count in made.items() if ".acm-validations.aws" not in line})


# --- Many points -------------------------------------------------------------------------------------------------


@contextmanager
def matrices(count: int = 1) -> Iterator[list[Matrix]]:
    """So many local AWSs with the project deployed; the rule on an ended provision is held off."""
    undisturbed: dict[str, Changes] = {}
    with ExitStack() as stage:
        made = []
        for _ in range(count):
            aws = stage.enter_context(LocalAws())
            stack = Stack(aws)
            stack.deploy()
            stage.enter_context(stack.without_reaction())
            made.append(Matrix(aws, stack, undisturbed))
        yield made


def record_all(matrix: Matrix) -> dict[str, list[Point]]:
    """Every scene's points.

    A teardown of everything makes the calls of a teardown too: of it, those that change something and those of an
    operation of its own. Likewise a provision with another instance.
    """
    recorded = {scene.name: matrix.record(scene) for scene in SCENES}

    def own(name: str, like: str) -> list[Point]:
        known = {(point.caller, point.operation) for point in recorded[like]}
        return [
            point for point in recorded[name] if point.changes or (point.caller, point.operation) not in known
        ]

    return recorded | {ANOTHER: own(ANOTHER, "provision"), EVERYTHING: own(EVERYTHING, "teardown")}


def cells(points: Iterable[Point]) -> list[Cell]:
    """Every fault at every point."""
    by_name = {scene.name: scene for scene in SCENES}
    return [Cell(point, fault) for point in points for fault in by_name[point.scene].faults()]


C = TypeVar("C")
R = TypeVar("R")


def run_all(matrices: list[Matrix], chosen: Iterable[C], run: Callable[[Matrix, C], R]) -> Iterator[R]:
    """Runs the cells, each on a matrix that is free; answers their results as they end."""
    free: SimpleQueue[Matrix] = SimpleQueue()
    for matrix in matrices:
        free.put(matrix)

    def run_one(cell: C) -> R:
        matrix = free.get()
        try:
            return run(matrix, cell)
        finally:
            free.put(matrix)

    with ThreadPoolExecutor(len(matrices)) as pool:
        for done in as_completed([pool.submit(run_one, cell) for cell in chosen]):
            yield done.result()


MARKS = {
    "done": "✓",
    "rolled back": "↺",
    "again": "»",
    "cleaned up": "∅",
    "missed": "?",
    "LOST": "✗",
}
LEGEND = """\
✓ the retries carried it through    ↺ rolled back, as before the run    » run again, complete
∅ cleaned up, as before the run     ✗ LOST                              ? the call was not made"""


def run_told(console: Console, ready: list[Matrix], cells: list[C], run: Callable[[Matrix, C], R]) -> list[R]:
    """The results of all cells, each told as it comes."""
    results = []
    for result in run_all(ready, cells, run):
        results.append(result)
        console.print(f"{len(results)}/{len(cells)} {result}", soft_wrap=True, markup=False)
    return results


def show(console: Console, results: list[Result]) -> None:
    """The matrix, what was lost, and the count."""
    letters = dict(zip(FAULTS, string.ascii_lowercase, strict=False))
    marks = {result.cell: MARKS[result.how] for result in results}
    for scene in SCENES:
        points = sorted({cell.point for cell in marks if cell.point.scene == scene.name})
        if not points:
            continue
        table = Table(scene.name, *(letters[fault] for fault in scene.faults()), box=None, padding=(0, 1))
        for point in points:
            table.add_row(str(point), *(marks.get(Cell(point, fault), "") for fault in scene.faults()))
        console.print(table, "", sep="\n")
    console.print("   ".join(f"{letter} {fault.name}" for fault, letter in letters.items()))
    console.print(LEGEND)
    for result in results:
        if not result.survived:
            console.print(str(result), soft_wrap=True, markup=False)
    survived = sum(result.survived for result in results)
    console.print(f"{len(results)} points run, survived {survived} of {len(results)}")


def main() -> int:
    """As the module says; 1 where a point was not survived."""
    parser = argparse.ArgumentParser(prog="python -m harness.crash_matrix", description="The crash matrix")
    parser.add_argument("--sample", type=int, help="so many points, chosen by the seed")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the sample")
    parser.add_argument("--only", default="", help="the points whose line holds this")
    parser.add_argument("--beside", type=int, default=2, help="so many local AWSs at work at once")
    options = parser.parse_args()
    console = Console(highlight=False)
    with matrices(options.beside) as ready:
        recorded = record_all(ready[0])
        for name, points in recorded.items():
            console.print(f"{name}: {len(points)} calls")
        chosen = [cell for points in recorded.values() for cell in cells(points) if options.only in str(cell)]
        if options.sample:
            console.print(f"a sample of {options.sample} from {len(chosen)} points, --seed {options.seed}")
            chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
        results = run_told(console, ready, chosen, Matrix.run)
    show(console, results)
    return int(not all(result.survived for result in results))


if __name__ == "__main__":
    sys.exit(main())
