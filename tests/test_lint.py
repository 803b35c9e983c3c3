"""The template, the state machines and the dependencies: linted, and in step with the code beside them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "template.yaml"
TEMPLATE_PARTS: dict[str, dict] = yaml_parse(TEMPLATE.read_text())
RESOURCES: dict[str, dict] = TEMPLATE_PARTS["Resources"]
MACHINES = {
    Path(resource["Properties"]["DefinitionUri"]).name: resource["Properties"]
    for resource in RESOURCES.values()
    if resource["Type"] == "AWS::Serverless::StateMachine"
}
FUNCTIONS = [resource for resource in RESOURCES.values() if resource["Type"] == "AWS::Serverless::Function"]
FUNCTION_SECONDS: int = TEMPLATE_PARTS["Globals"]["Function"]["Timeout"]
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
CALLS_A_FUNCTION = "lambda:invoke"
# What passes, and what a function that ended without an answer is called: provision.asl.yaml has the sources.
PASSES = {
    "AwsUnavailable",
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
}
ENDED = {"Lambda.Unknown", "Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout", "States.Timeout"}
# The same call would fail the same way.
FINAL = {
    "AwsRefused",
    "CertificateFailed",
    "DnsRecordConflict",
    "EnvironmentBusy",
    "InvalidInput",
    "LoadBalancerFailed",
    "NotOurs",
    "TeardownIncomplete",
}


def run(*command: str | Path) -> None:
    """Run a linter; what it says is the failure."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def tool(name: str) -> Path:
    """A program of the virtual environment that runs this."""
    return Path(sys.executable).with_name(name)


def definition(machine: str) -> dict:
    """A machine's definition with an ARN in each placeholder but the partition's."""
    text = (ROOT / "statemachine" / machine).read_text().replace("${Partition}", "aws")
    return yaml_parse(PLACEHOLDER.sub(r"arn:aws:lambda:us-east-1:123456789012:function:\1", text))


def states(machine: dict) -> Iterator[tuple[str, dict]]:
    """All states by name, those in branches and maps too."""
    for name, state in machine["States"].items():
        yield name, state
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from states(inner)


def tasks() -> list:
    return [
        pytest.param(state, id=f"{machine} {name}")
        for machine in MACHINES
        for name, state in states(definition(machine))
        if state["Type"] == "Task"
    ]


def test_cfn_lint():
    run(tool("cfn-lint"), TEMPLATE)


def test_sam_validate():
    run(tool("sam"), "validate", "--lint", "--template", TEMPLATE, "--region", "us-east-1")


def test_asl_validator(tmp_path: Path):
    paths: list[str | Path] = []
    for machine in MACHINES:
        path = tmp_path / f"{machine}.json"
        path.write_text(json.dumps(definition(machine)))
        paths += ["--json-path", path]
    run(ROOT / "node_modules" / ".bin" / "asl-validator", *paths)


def test_cargo_deny():
    """Licences, versions and sources. Not advisories: their database is on the network, and changes without us."""
    run(tool("cargo-deny"), "--locked", "check", "--deny", "warnings", "licenses", "bans", "sources")


def test_every_machine_is_deployed():
    assert set(MACHINES) == {path.name for path in (ROOT / "statemachine").iterdir()}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_placeholder_has_its_substitution(machine: str):
    text = (ROOT / "statemachine" / machine).read_text()
    assert set(PLACEHOLDER.findall(text)) == set(MACHINES[machine]["DefinitionSubstitutions"])


def test_every_binary_is_a_function():
    binaries = [function["Metadata"]["BuildProperties"]["Binary"] for function in FUNCTIONS]
    names = [f["Properties"]["Environment"]["Variables"]["AWS_SDK_UA_APP_ID"] for f in FUNCTIONS]
    assert names == binaries
    assert sorted(binaries) == sorted(path.stem for path in (ROOT / "functions").glob("*.rs"))


def error_names() -> set[str]:
    """The names that the functions' errors have, from the one function that gives them."""
    body = re.search(r"pub fn name\(.*?\n    \}", (ROOT / "src" / "error.rs").read_text(), re.DOTALL)
    return set(re.findall(r'=> "(\w+)"', body[0]))


def retried() -> set[str]:
    """What the machines retry of functions' calls."""
    return {error for retriers in calls() for retrier in retriers for error in retrier["ErrorEquals"]}


def calls() -> list[list[dict]]:
    """The retriers of each call of a function."""
    return [
        task.values[0]["Retry"] for task in tasks() if task.values[0]["Resource"].endswith(CALLS_A_FUNCTION)
    ]


def test_machines_and_functions_know_the_same_errors():
    caught = {
        error
        for task in tasks()
        for catcher in task.values[0].get("Catch", [])
        for error in catcher["ErrorEquals"]
    }
    assert caught - {"States.ALL"} <= error_names()
    assert (retried() - ENDED - PASSES) | {"AwsUnavailable"} == error_names() - FINAL


@pytest.mark.parametrize("task", tasks())
def test_every_task_is_bounded(task: dict):
    assert task["TimeoutSeconds"] > FUNCTION_SECONDS
    for retrier in task.get("Retry", []):
        assert "MaxAttempts" in retrier


def test_every_call_of_a_function_sorts_errors_alike():
    """The last two retriers have what passes, and what a function is called that has ended; before them stand waits."""
    assert calls()
    for *waits, passes, ended in calls():
        assert (passes, ended) == (calls()[0][-2], calls()[0][-1])
        assert set(passes["ErrorEquals"]) == PASSES
        assert set(ended["ErrorEquals"]) == ENDED
        for wait in waits:
            assert set(wait["ErrorEquals"]) <= error_names() - FINAL - PASSES
            assert wait["BackoffRate"] == 1 or wait["MaxDelaySeconds"] > wait["IntervalSeconds"]


def test_no_machine_is_bound_to_one_partition():
    """Step Functions refuses a resource of another partition than the execution's (aws/aws-cdk#4597)."""
    for machine in MACHINES:
        text = (ROOT / "statemachine" / machine).read_text()
        assert "arn:aws" not in text, machine
        assert MACHINES[machine]["DefinitionSubstitutions"]["Partition"] == {"Ref": "AWS::Partition"}


def test_no_definition_has_yaml_aliases():
    """AWS refuses them (aws-cloudformation/cfn-language-discussion#49)."""
    for machine in MACHINES:
        events = yaml.parse((ROOT / "statemachine" / machine).read_text(), yaml.SafeLoader)
        assert not [event for event in events if isinstance(event, yaml.AliasEvent)], machine


def statements(machine: dict) -> Iterator[dict]:
    """What a machine's role allows: its own statements, and those of the stack's managed policies that it refers to."""
    for policy in machine["Policies"]:
        if "Ref" in policy:
            policy = RESOURCES[policy["Ref"]]["Properties"]["PolicyDocument"]
        yield from policy["Statement"]


@pytest.mark.parametrize(
    ("action", "called"),
    [
        ("lambda:InvokeFunction", "AWS::Serverless::Function"),
        ("states:StartExecution", "AWS::Serverless::StateMachine"),
        ("sns:Publish", "AWS::SNS::Topic"),
    ],
)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_may_call_what_its_definition_calls_and_no_more(machine: str, action: str, called: str):
    def resource(value: dict) -> str:
        return value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]

    substituted = map(resource, MACHINES[machine]["DefinitionSubstitutions"].values())
    allowed = [
        statement["Resource"] for statement in statements(MACHINES[machine]) if statement["Action"] == action
    ]
    flat = [one for each in allowed for one in (each if isinstance(each, list) else [each])]
    assert {resource(one) for one in flat} == {
        name for name in substituted if RESOURCES.get(name, {}).get("Type") == called
    }


def test_the_readme_explains_every_error():
    table = (ROOT / "README.md").read_text().split("## Troubleshooting")[1]
    fixed = {
        state["Error"]
        for machine in MACHINES
        for _, state in states(definition(machine))
        if state["Type"] == "Fail" and state["Error"].isalpha()
    }
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == error_names() | fixed


def metric_names(text: str) -> set[str]:
    return set(re.findall(r'"Albatross", "(\w+)"', text))


def test_dashboard_and_alarms_show_metrics_that_functions_emit():
    emitted = {
        name
        for path in (ROOT / "functions").glob("*.rs")
        for name in re.findall(r'\("(\w+)", "(?:Count|None|Seconds)"', path.read_text())
    }
    shown = metric_names(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    alarms = [
        resource["Properties"]
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert shown == emitted
    assert {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == "Albatross"} <= emitted
