"""What all parts of the report are written with: tables and verdicts."""

import math
from collections.abc import Iterable


def table(head: Iterable[str], rows: Iterable[Iterable[str]], left: int = 1) -> str:
    """A table whose first `left` columns are text and whose others are figures."""
    head = list(head)
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def verdict(value: float | None, bound: float, most: bool = True, form: str = ".4g") -> str:
    """Whether a target is met, or by how much it is missed."""
    if value is None or math.isnan(value):
        return "not measured"
    over = value - bound if most else bound - value
    return "met" if over <= 0 else f"missed by {over:{form}}"
