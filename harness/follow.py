"""Executions shown as they run: each function with its waits."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from local_aws.local import LocalAws
from local_aws.waiting import POLL_SECONDS

from .stack import Execution, Stack


@dataclass(frozen=True)
class Step:
    """All invocations of one function in one execution."""

    function: str
    tries: int
    running: bool
    error: str | None
    seconds: float

    def note(self, ended: bool) -> str:
        """What to say of it; `ended`: the execution is over, so nothing is tried again."""
        tries = f", {self.tries} tries" if self.tries > 1 else ""
        if self.error and not ended:
            return f"waits: {self.error}{tries}"
        if self.running:
            return "runs"
        return f"failed: {self.error}{tries}" if self.error else f"done{tries}"


def steps(invocations: Iterable[dict], names: dict[str, str]) -> list[Step]:
    """One step a function, in the order of their starts; `names` are the functions' short names."""
    by_function: dict[str, list[dict]] = {}
    for invocation in invocations:
        by_function.setdefault(names[invocation["function"]], []).append(invocation)
    return [_step(function, tries) for function, tries in by_function.items()]


def _step(function: str, tries: list[dict]) -> Step:
    ended = [invocation for invocation in tries if invocation["ended"]]
    running = len(ended) < len(tries)
    until = time.time() if running else max(invocation["ended"] for invocation in ended)
    return Step(
        function=function,
        tries=len(tries),
        running=running,
        error=ended[-1]["error"] if ended else None,
        seconds=until - tries[0]["started"],
    )


class Follower:
    """Shows the steps of an execution until its end: a live list on a terminal, else a line for each news."""

    def __init__(self, console: Console, aws: LocalAws, stack: Stack):
        self._console = console
        self._aws = aws
        self._stack = stack
        self._names = {deployed: name for name, deployed in stack.functions.items()}
        self._spinner = Spinner("dots")

    def follow(self, machine: str, event: dict) -> Execution:
        """Start an execution of a machine and show it to its end."""
        since = len(self._aws.invocations())
        return self._show(self._stack.start(machine, event), since)

    def follow_night(self) -> Execution:
        """Do what the nightly rule does and show it to its end."""
        since = len(self._aws.invocations())
        return self._show(self._stack.fire(self._stack.schedule("nightly")), since)

    def _show(self, arn: str, since: int) -> Execution:
        show = self._live if self._console.is_terminal else self._lines
        return show(self._states(arn, since))

    def _states(self, arn: str, since: int) -> Iterator[tuple[Execution, list[Step]]]:
        while True:
            execution = self._stack.execution(arn)
            yield execution, steps(self._aws.invocations(since), self._names)
            if not execution.running:
                return
            time.sleep(POLL_SECONDS)

    def _live(self, states: Iterator[tuple[Execution, list[Step]]]) -> Execution:
        with Live(console=self._console, refresh_per_second=12) as live:
            for execution, seen in states:
                live.update(self._list(execution, seen))
        return execution

    def _list(self, execution: Execution, seen: list[Step]) -> Table:
        table = Table.grid(padding=(0, 2))
        for step in seen:
            table.add_row(
                self._sign(step, execution),
                step.function,
                f"{step.seconds:.1f} s",
                step.note(not execution.running),
            )
        table.add_row("", f"[dim]{execution.status}", f"[dim]{execution.seconds:.1f} s")
        return table

    def _sign(self, step: Step, execution: Execution) -> RenderableType:
        if execution.running and (step.running or step.error):
            return self._spinner
        return "[red]✗" if step.error else "[green]✓"

    def _lines(self, states: Iterator[tuple[Execution, list[Step]]]) -> Execution:
        said: dict[str, str] = {}
        for execution, seen in states:
            for step in seen:
                news = step.note(not execution.running)
                # How often is told at the end; that it waits, and for what, is told once.
                if news.split(",")[0] != said.get(step.function):
                    said[step.function] = news.split(",")[0]
                    if news != "runs":
                        self._console.print(f"  {execution.seconds:6.1f} s  {step.function:20} {news}")
        self._console.print(f"  {execution.seconds:6.1f} s  {execution.status}")
        return execution
