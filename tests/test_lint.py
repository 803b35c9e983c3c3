"""The template, the state machines and the dependencies: linted, and in step with the code beside them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
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


def run(*command: str | Path) -> None:
    """Run a linter; what it says is the failure."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def tool(name: str) -> Path:
    """A program of the virtual environment that runs this."""
    return Path(sys.executable).with_name(name)


def definition(machine: str) -> dict:
    """A machine's definition with an ARN in each placeholder."""
    text = (ROOT / "statemachine" / machine).read_text()
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


def test_machines_and_functions_know_the_same_errors():
    handled = {
        error
        for task in tasks()
        for handler in [*task.values[0].get("Retry", []), *task.values[0].get("Catch", [])]
        for error in handler["ErrorEquals"]
    }
    assert {name for name in handled if not name.startswith(("States.", "Lambda."))} == error_names()


@pytest.mark.parametrize("task", tasks())
def test_every_task_is_bounded(task: dict):
    assert task["TimeoutSeconds"] > FUNCTION_SECONDS
    for retrier in task.get("Retry", []):
        assert "MaxAttempts" in retrier


def test_every_call_of_a_function_sorts_errors_alike():
    """The first retrier has the errors that are final, the last two those that pass; waits stand between."""
    calls = [task.values[0]["Retry"] for task in tasks() if "lambda" in task.values[0]["Resource"]]
    assert calls
    for retriers in calls:
        assert [retriers[0], *retriers[-2:]] == [calls[0][0], *calls[0][-2:]]
        assert retriers[0]["MaxAttempts"] == 0
        for wait in retriers[1:-2]:
            assert wait["BackoffRate"] == 1 or wait["MaxDelaySeconds"] > wait["IntervalSeconds"]


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
