"""The house: which file of `src/` may know which."""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src"
# `use crate::a::{b, c::D};` and `use super::a;`, and paths in the code. A module within a file has the file above it.
PATHS = re.compile(r"((?:\bcrate|^(?:pub )?use super)(?:::(?:\w+|\{[^;]*\}))+)", re.MULTILINE)


def files() -> dict[tuple[str, ...], Path]:
    """The files by the paths of their modules."""
    found = {}
    for file in SOURCES.rglob("*.rs"):
        *parents, name = file.relative_to(SOURCES).with_suffix("").parts
        found[(*parents,) if name in ("mod", "lib") else (*parents, name)] = file
    return found


def spelled(path: str) -> list[str]:
    """The paths that a tree of imports stands for."""
    head, brace, rest = path.partition("{")
    if not brace:
        return [path]
    branches, depth, start = [], 0, 0
    for index, letter in enumerate(rest):
        depth += (letter == "{") - (letter == "}")
        if depth == -1 or (letter == "," and depth == 0):
            branches.append(rest[start:index].strip())
            start = index + 1
    return [one for branch in branches if branch for one in spelled(head + branch)]


def imports(module: tuple[str, ...], file: Path, known: dict[tuple[str, ...], Path]) -> set[tuple[str, ...]]:
    """The modules that the code of a file names, without its tests."""
    code = re.sub(r"//.*", "", re.split(r"#\[cfg\(test\)\]\n(?:pub )?mod tests", file.read_text())[0])
    found = set()
    if file.name in ("mod.rs", "lib.rs"):
        children = re.findall(r"^(?:pub )?mod (\w+);", code, re.MULTILINE)
        found |= {(*module, child) for child in children}
    for path in (one for tree in PATHS.findall(code) for one in spelled(tree)):
        first, *parts = path.removeprefix("pub ").removeprefix("use ").split("::")
        above = list(module) if file.name == "mod.rs" else list(module[:-1])
        target = tuple(parts if first == "crate" else [*above, *parts])
        while target and target not in known:
            target = target[:-1]
        if target and target != module:
            found.add(target)
    return found


def test_files_of_src_import_downwards_only() -> None:
    known = files()
    graph = {module: imports(module, file, known) for module, file in known.items() if module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = [str(known[module].relative_to(SOURCES)) for module in reversed(error.args[1])]
        raise AssertionError(" imports ".join(circle)) from None
