"""Imports point down: tests and benches → harness → local_aws, which knows nothing of Albatross."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Whom the files of a package do not know.
ABOVE = {"local_aws": {"harness", "tests", "benches"}, "harness": {"tests", "benches"}}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, in full."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{each.name}" for each in node.names)


@pytest.mark.parametrize("package", ABOVE)
def test_nobody_imports_what_is_above(package: str):
    upwards = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for module in imported(path)
        if module.split(".")[0] in ABOVE[package]
    ]
    assert upwards == []


def test_the_local_aws_knows_nothing_of_albatross():
    files = [path for path in (ROOT / "local_aws").rglob("*") if path.suffix in (".py", ".md")]
    assert [path for path in files if "albatross" in path.read_text().lower()] == []
