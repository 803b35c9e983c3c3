"""`make demo`: HTTPS in front of an instance and gone again, on the local AWS, as an account would run it."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from .local import LocalAws
from .stack import POLL_SECONDS, Execution, Stack
from .world import Snapshot, World, differences, snapshot, without_certificate

DOMAIN = "api.example.com"
# AWS seconds per real second: a minute of AWS's waits passes in one second.
SPEED = 60


# --- The steps of an execution, live -----------------------------------------------------------------------------


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
        return self._show(self._stack.fire_nightly(), since)

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


# --- What exists -------------------------------------------------------------------------------------------------


def inventory(aws: LocalAws, world: World, answer: dict) -> Table:
    """What a provision has made, as AWS itself describes it."""
    elb, ec2, acm = aws.client("elbv2"), aws.client("ec2"), aws.client("acm")
    arn = answer["loadBalancer"]["arn"]
    [balancer] = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    [group] = elb.describe_target_groups(TargetGroupArns=[answer["targetGroupArn"]])["TargetGroups"]
    targets = elb.describe_target_health(TargetGroupArn=answer["targetGroupArn"])["TargetHealthDescriptions"]
    [own] = ec2.describe_security_groups(GroupIds=[answer["securityGroupId"]])["SecurityGroups"]
    certificate = acm.describe_certificate(CertificateArn=answer["certificateArn"])["Certificate"]
    table = Table("what", "which", "how", title="What now exists", title_justify="left")
    zones = ", ".join(zone["ZoneName"] for zone in balancer["AvailabilityZones"])
    table.add_row(
        "load balancer",
        balancer["LoadBalancerName"],
        f"{balancer['State']['Code']}, {balancer['Scheme']}, {zones}",
    )
    for listener in sorted(
        elb.describe_listeners(LoadBalancerArn=arn)["Listeners"], key=lambda found: found["Port"]
    ):
        table.add_row("listener", f"{listener['Protocol']}:{listener['Port']}", _action(listener))
    health = ", ".join(f"{target['Target']['Id']} {target['TargetHealth']['State']}" for target in targets)
    table.add_row(
        "target group", group["TargetGroupName"], f"{group['HealthCheckPath']} on {group['Port']}: {health}"
    )
    table.add_row("security group", own["GroupName"], ", ".join(_rules(own)))
    table.add_row("certificate", certificate["DomainName"], certificate["Status"])
    for record in world.records():
        name = record["Name"].rstrip(".")
        if name.endswith(world.domain):
            table.add_row(
                "record",
                f"{name.replace(world.domain, '…', 1) if name != world.domain else name} {record['Type']}",
                _target(record),
            )
    return table


def _action(listener: dict) -> str:
    [action] = listener["DefaultActions"]
    if action["Type"] == "redirect":
        to = action["RedirectConfig"]
        return f"{to['StatusCode'].removeprefix('HTTP_')} to {to['Protocol']}:{to['Port']}"
    return f"forward, {listener['SslPolicy']}" if "SslPolicy" in listener else "forward"


def _rules(group: dict) -> Iterator[str]:
    for rule in group["IpPermissions"]:
        for source in rule["IpRanges"]:
            yield f"{rule['FromPort']} from {source['CidrIp']}"


def _target(record: dict) -> str:
    if "AliasTarget" in record:
        return f"alias {record['AliasTarget']['DNSName']}"
    return " ".join(value["Value"] for value in record["ResourceRecords"])


# --- The show ----------------------------------------------------------------------------------------------------


class Demo:
    """The phases in order, and whether all that they show was true."""

    def __init__(self, console: Console, aws: LocalAws):
        self._console = console
        self._aws = aws
        self._failures = 0

    def run(self, wanted: dict) -> int:
        """Show everything for an input; answers the exit status."""
        began = time.monotonic()
        self._heading(f"A small world, where an AWS minute takes {60 / SPEED:.0f} s")
        path = wanted.get("healthCheck", {}).get("path", "/health")
        with World(self._aws, wanted["domain"], len(wanted["instances"]), path) as world:
            self._say(f"VPC {world.vpc} with two public subnets")
            self._say(f"{', '.join(world.instances)}, serving {path}")
            self._say(f"hosted zone {world.zone}: {world.domain} A {world.public_ip}")
            self._phases(world, wanted)
        self._console.print()
        verdict = (
            f"[bold red]{self._failures} of it was not true"
            if self._failures
            else "[bold green]All of it was true"
        )
        self._console.print(f"{verdict}[/], in {time.monotonic() - began:.0f} s.")
        return 1 if self._failures else 0

    def _phases(self, world: World, wanted: dict) -> None:
        before = snapshot(self._aws)
        stack = Stack(self._aws)
        self._heading("sam deploy")
        with self._busy("deploys template.yaml"):
            stack.deploy()
        self._say(f"stack {stack.name}: {len(stack.functions)} functions, three state machines")
        follower = Follower(self._console, self._aws, stack)
        event = placed_in(world, wanted)

        self._heading("Provision")
        self._console.print_json(data=event, indent=None)
        first = follower.follow("provision", event)
        if not self._check(first.status == "SUCCEEDED", f"{world.domain} has HTTPS", why(first)):
            return
        self._console.print(inventory(self._aws, world, first.output))
        self._report_checks(first.output["checks"])

        self._heading("Provision again")
        self._again(follower, event)

        self._heading("Night: the nightly rule's target")
        self._night(follower, first.output["environment"])

        self._heading("What is left")
        self._left(world.domain, before)

    def _again(self, follower: Follower, event: dict) -> None:
        mark = len(self._aws.calls())
        again = follower.follow("provision", event)
        calls = self._aws.calls(mark)
        changing = [f"{call['caller']} {call['operation']}" for call in calls if call["changes"]]
        outcomes = {step["outcome"] for step in again.output.get("steps", [])}
        self._check(again.status == "SUCCEEDED", "it succeeds again", why(again))
        self._check(not changing, f"of {len(calls)} calls none changes anything", ", ".join(changing))
        self._check(outcomes == {"found"}, "every step found what it wanted", ", ".join(sorted(outcomes)))

    def _night(self, follower: Follower, environment: str) -> None:
        night = follower.follow_night()
        self._check(night.status == "SUCCEEDED", "the night went well", why(night))
        removed = night.output.get("removed", [])
        self._check(removed == [environment], f"environment {environment} is gone", json.dumps(night.output))

    def _left(self, domain: str, before: Snapshot) -> None:
        after = snapshot(self._aws)
        table = Table("what", "which", title="The user's own things", title_justify="left")
        for kind, items in without_certificate(after, domain).items():
            for identity in items:
                table.add_row(kind, identity)
        self._console.print(table)
        changed = differences(before, without_certificate(after, domain))
        self._check(not changed, "all of it as it was", "\n".join(changed))
        kept = after["certificate"]
        self._check(
            len(kept) == 1 and all(not found["InUseBy"] for found in kept.values()),
            "the certificate is kept with its validation record: it is free, and yearly requests are limited",
            json.dumps(kept, default=str),
        )

    def _report_checks(self, checks: list[dict]) -> None:
        for check in checks:
            sign = "[green]✓[/]" if check["result"] == "passed" else "[yellow]○[/]"
            self._say(f"{sign} {check['name']}: {check['result']}, {escape(check['detail'])}")

    def _heading(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{text}", align="left")

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}")

    def _check(self, true: bool, claim: str, otherwise: str) -> bool:
        if true:
            self._say(f"[green]✓[/] {claim}")
        else:
            self._failures += 1
            self._say(f"[red]✗[/] not so: {claim}\n{escape(otherwise)}")
        return true

    @contextmanager
    def _busy(self, text: str) -> Iterator[None]:
        """A sign of life on a terminal, and how long it took."""
        began = time.monotonic()
        with self._console.status(text):
            yield
        self._say(f"[dim]{time.monotonic() - began:.1f} s[/]")


def why(execution: Execution) -> str:
    """Why an execution did not succeed."""
    return f"{execution.arn} {execution.status}: {execution.error} {execution.cause}"


def placed_in(world: World, wanted: dict) -> dict:
    """The input, with the world's own in place of what it names of an account."""
    own = {"instances": world.instances, "hostedZoneId": world.zone, "subnets": world.subnets}
    return {field: own.get(field, value) for field, value in wanted.items()}


def read_input(arguments: list[str]) -> dict:
    """The input that the command line asks for."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--domain", help=f"default: the input's, or {DOMAIN}")
    parser.add_argument("--input", type=Path, help="a file with a provision's input")
    given = parser.parse_args(arguments)
    wanted: dict = {}
    if given.input:
        try:
            wanted = json.loads(given.input.read_text())
        except (OSError, ValueError) as problem:
            parser.error(f"{given.input}: {problem}")
        if not isinstance(wanted, dict):
            parser.error(f"{given.input}: the input is a JSON object")
    wanted["domain"] = given.domain or wanted.get("domain", DOMAIN)
    wanted["instances"] = wanted.get("instances") or ["one"]
    # A certificate of the user's account does not exist here; one is requested in its place.
    wanted.pop("certificateArn", None)
    return wanted


def main() -> int:
    """Run the demo; the exit status says whether all that it shows was true."""
    wanted = read_input(sys.argv[1:])
    console = Console(highlight=False)
    try:
        with LocalAws(SPEED) as aws:
            return Demo(console, aws).run(wanted)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
