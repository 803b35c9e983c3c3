"""`make demo`: HTTPS in front of an instance and gone again, on the local AWS, as an account would run it."""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from local_aws.curl import curl
from local_aws.local import LocalAws

from .follow import Follower
from .snapshot import Snapshot, differences, snapshot, without_certificate
from .stack import Execution, Stack, is_for_lock
from .world import World

DOMAIN = "api.example.com"
# What a hosted zone of the local AWS can hold.
HOST_NAME = re.compile(r"([a-z0-9-]{1,63}\.)+[a-z0-9-]{1,63}")
# AWS seconds per real second: slow enough to see what waits for what.
SPEED = 30
# Where no terminal says how wide it is.
WIDTH = 120
# Parts of other things that are shown already.
DETAILS = ("security group rule", "network interface")


# --- What exists -------------------------------------------------------------------------------------------------


def table_of(title: str, *columns: str) -> Table:
    """A table that breaks long values and loses nothing of them."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def inventory(aws: LocalAws, world: World, answer: dict) -> Table:
    """What a provision has made, as AWS itself describes it."""
    elb, ec2, acm = aws.client("elbv2"), aws.client("ec2"), aws.client("acm")
    arn = answer["loadBalancer"]["arn"]
    [balancer] = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    [group] = elb.describe_target_groups(TargetGroupArns=[answer["targetGroupArn"]])["TargetGroups"]
    targets = elb.describe_target_health(TargetGroupArn=answer["targetGroupArn"])["TargetHealthDescriptions"]
    [own] = ec2.describe_security_groups(GroupIds=[answer["securityGroupId"]])["SecurityGroups"]
    certificate = acm.describe_certificate(CertificateArn=answer["certificateArn"])["Certificate"]
    table = table_of("What now exists", "what", "which", "how")
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
            table.add_row("record", f"{name} {record['Type']}", value(record))
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


def rate(cost: dict) -> str:
    """Dollars by the hour and the month."""
    return f"${cost['hourly']:.4f} an hour, ${cost['monthly']:.2f} a month"


def value(record: dict) -> str:
    """What a record says, a line for each of its values."""
    if "AliasTarget" in record:
        return f"alias to {record['AliasTarget']['DNSName']}"
    return "\n".join(held["Value"] for held in record["ResourceRecords"])


def state(kind: str, item: dict) -> str:
    """How one of the user's own things stands."""
    match kind:
        case "security group":
            return item["GroupName"]
        case "instance":
            return item["State"]["Name"]
        case "address":
            return f"{item['PublicIp']} on {item.get('InstanceId') or 'nothing'}"
        case "record":
            return value(item)
    return json.dumps(item, default=str)


# --- The show ----------------------------------------------------------------------------------------------------


class Demo:
    """The phases in order, and whether all that they show was true."""

    def __init__(self, console: Console, aws: LocalAws, world: World):
        self._console = console
        self._aws = aws
        self._world = world
        self._stack = Stack(aws)
        self._failures = 0

    def run(self, wanted: dict) -> bool:
        """Show everything for an input; answers whether all of it was true."""
        before = snapshot(self._aws)
        self._deploy()
        follower = Follower(self._console, self._aws, self._stack)
        event = placed_in(self._world, wanted)
        self._plan(follower, event)
        environment = self._provision(follower, event)
        if environment:
            self._again(follower, event)
            self._night(follower, environment, event)
        self._left(before, bool(environment))
        return not self._failures

    def _deploy(self) -> None:
        self._heading("sam deploy")
        began = time.monotonic()
        with self._console.status("deploys template.yaml"):
            self._stack.deploy()
        what = f"stack {self._stack.name}: {len(self._stack.functions)} functions and five state machines"
        self._say(f"{what}, in {time.monotonic() - began:.0f} s")

    def _plan(self, follower: Follower, event: dict) -> None:
        self._heading("A plan first")
        mark = len(self._aws.calls())
        planned = follower.follow("provision", event | {"mode": "plan"})
        if not self._check(planned.status == "SUCCEEDED", "there is a plan", why(planned)):
            return
        table = table_of("What a provision would do", "what", "it would be")
        for step in planned.output["steps"]:
            table.add_row(step["resource"], step["outcome"])
        for line in planned.output["dns"]:
            table.add_row("in DNS", line)
        self._console.print(table)
        self._say(f"It would cost {rate(planned.output['cost'])}.")
        changes = [call["operation"] for call in self._aws.calls(mark) if call["changes"]]
        self._check(not changes, "nothing was changed for it", ", ".join(changes))

    def _provision(self, follower: Follower, event: dict) -> str | None:
        """Answers the name of the environment."""
        self._heading("Provision")
        self._say(escape(json.dumps(event)))
        first = follower.follow("provision", event)
        if not self._check(first.status == "SUCCEEDED", f"{event['domain']} has HTTPS", why(first)):
            return None
        by_result: dict[str, list[dict]] = {}
        for check in first.output["checks"]:
            by_result.setdefault(check["result"], []).append(check)
        self._say(f"[green]✓[/] passed: {', '.join(check['name'] for check in by_result['passed'])}")
        for check in by_result.get("skipped", []):
            self._say(f"[yellow]○[/] skipped: {check['name']}, as {check['detail']}")
        self._console.print(inventory(self._aws, self._world, first.output))
        charges = ", ".join(f"{line['count']} {line['what']}" for line in first.output["cost"]["items"])
        self._say(f"It costs {rate(first.output['cost'])}: {charges}.")
        self._say(f"This execution cost ${first.output['executionCost']['dollars']:.4f}.")
        self._ask(first.output, event)
        return first.output["environment"]

    def _ask(self, answer: dict, event: dict) -> None:
        """What anybody's client gets, HTTPS and HTTP."""
        path = event.get("healthCheck", {}).get("path", "/health")
        dns_name, domain = answer["loadBalancer"]["dnsName"], event["domain"]
        secure = curl(self._aws, dns_name, f"https://{domain}{path}")
        plain = curl(self._aws, dns_name, f"http://{domain}{path}")
        for asked in (secure, plain):
            self._console.print(f"  [bold]$ {escape(asked.command)}", soft_wrap=True)
            self._console.print(Padding(Text(asked.output.strip(), "dim"), (0, 0, 1, 2)))
        hsts = secure.header("Strict-Transport-Security")
        self._check(
            secure.status == 200 and hsts is not None,
            f"https://{domain} answers {secure.status}, with Strict-Transport-Security: {hsts}",
            secure.output,
        )
        to = plain.header("Location")
        self._check(
            plain.status == 302 and to == f"https://{domain}:443{path}",
            f"http://{domain} answers {plain.status}, to {to}",
            plain.output,
        )

    def _again(self, follower: Follower, event: dict) -> None:
        self._heading("Provision again")
        mark = len(self._aws.calls())
        again = follower.follow("provision", event)
        calls, changes = self._aws.calls(mark), self._stack.changes(mark)
        of_lock = sum(is_for_lock(call) for call in calls)
        outcomes = {step["outcome"] for step in again.output.get("steps", [])}
        self._check(again.status == "SUCCEEDED", "it succeeds again", why(again))
        none = f"none of its {len(calls)} calls changes anything, but for two that take the lock and give it back"
        self._check(not changes and of_lock == 2, none, f"{', '.join(changes)}; {of_lock} for the lock")
        self._check(outcomes == {"found"}, "every step found what it wanted", ", ".join(sorted(outcomes)))

    def _night(self, follower: Follower, environment: str, event: dict) -> None:
        self._heading("Night: what the nightly rule starts")
        earlier = set(self._stack.executions("teardown"))
        night = follower.follow_night()
        self._check(night.status == "SUCCEEDED", "the night went well", why(night))
        kept = [spared["name"] for spared in night.output.get("kept", [])]
        if "keepUntil" in event and kept:
            self._check(kept == [environment], f"{environment} is kept until {event['keepUntil']}", str(kept))
            self._heading("Teardown, before that")
            down = follower.follow("teardown", {"name": environment})
            self._check(down.status == "SUCCEEDED", f"environment {environment} is gone", why(down))
        else:
            removed = night.output.get("removed", [])
            self._check(
                removed == [environment], f"environment {environment} is gone", json.dumps(night.output)
            )
            self._say(f"That saves {rate(night.output['saves'])}.")
        for arn in set(self._stack.executions("teardown")) - earlier:
            self._console.print(decisions(self._stack.execution(arn)))

    def _left(self, before: Snapshot, provisioned: bool) -> None:
        self._heading("What is left")
        after, domain = snapshot(self._aws), self._world.domain
        table = table_of("The user's own things", "what", "which", "how")
        for kind, items in without_certificate(after, domain).items():
            for identity, item in items.items():
                if kind not in DETAILS:
                    table.add_row(kind, identity, state(kind, item))
        self._console.print(table)
        changed = differences(before, without_certificate(after, domain))
        self._check(not changed, "all of it as it was", "\n".join(changed))
        if provisioned:
            held = after["certificate"]
            unused = not any(certificate["InUseBy"] for certificate in held.values())
            kept = (
                "the certificate and its validation record are kept: free, and ready for the next provision"
            )
            self._check(len(held) == 1 and unused, kept, json.dumps(held))

    def _heading(self, text: str) -> None:
        heading(self._console, text)

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}")

    def _check(self, true: bool, claim: str, otherwise: str) -> bool:
        if true:
            self._say(f"[green]✓[/] {claim}")
        else:
            self._failures += 1
            self._say(f"[red]✗[/] not so: {claim}\n{escape(otherwise)}")
        return true


def heading(console: Console, text: str) -> None:
    """Begin a phase."""
    console.print()
    console.rule(f"[bold]{text}", align="left")


def decisions(teardown: Execution) -> Table:
    """What a teardown decided, and why."""
    table = table_of("What the teardown decided", "what", "decision", "reason")
    for item in teardown.output.get("items", []):
        table.add_row(item["resource"], item["decision"], item["reason"])
    return table


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
    if not HOST_NAME.fullmatch(wanted["domain"]):
        parser.error(f"{wanted['domain']!r} is not a host name such as {DOMAIN}")
    wanted["instances"] = wanted.get("instances") or ["one"]
    # A certificate of the user's account does not exist here; one is requested in its place.
    wanted.pop("certificateArn", None)
    return wanted


def main() -> int:
    """Run the demo; the exit status says whether all that it shows was true."""
    wanted = read_input(sys.argv[1:])
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    began = time.monotonic()
    path = wanted.get("healthCheck", {}).get("path", "/health")
    heading(console, f"A small world, where an AWS minute takes {60 / SPEED:.0f} s")
    with LocalAws(SPEED) as aws, World(aws, wanted["domain"], len(wanted["instances"]), path) as world:
        console.print(f"  VPC {world.vpc} with two public subnets")
        console.print(f"  {', '.join(world.instances)}, which answers {path}")
        console.print(f"  hosted zone {world.zone} with {world.domain} A {world.public_ip}")
        true = Demo(console, aws, world).run(wanted)
    console.print()
    verdict = "[bold green]All of it was true" if true else "[bold red]Not all of it was true"
    console.print(f"{verdict}[/], in {time.monotonic() - began:.0f} s.")
    return 0 if true else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
