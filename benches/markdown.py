"""What all parts of the report are written with: tables, verdicts and plots."""

import math
from collections.abc import Iterable
from html import escape
from statistics import median


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


WIDTH, BAR, LABEL, VALUE = 640, 28, 130, 70


def bars(title: str, values: dict[str, list[float]], ours: str | None = None) -> str:
    """A bar for each median, with a line from the least to the most; an SVG that is legible on light and dark."""
    most = max((max(each) for each in values.values()), default=0) or 1

    def x(value: float) -> float:
        return round(LABEL + max(value, 0) / most * (WIDTH - LABEL - VALUE), 1)

    parts = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    for number, (name, each) in enumerate(values.items()):
        top, middle = 28 + number * BAR, 28 + number * BAR + BAR // 2 - 2
        colour = "#1f77b4" if name == ours else "#999999"
        parts += [
            f'<text x="{LABEL - 8}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{x(median(each)) - LABEL:.1f}" height="{BAR - 6}" fill="{colour}"/>',
            f'<path d="M{x(min(each))} {middle}H{x(max(each))}" stroke="#d62728" stroke-width="2"/>',
            f'<text x="{x(max(each)) + 6}" y="{middle + 5}">{median(each):.3g}</text>',
        ]
    height = 28 + len(values) * BAR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="14" fill="#777777">{"".join(parts)}</svg>\n'
    )
