"""The table, from what a benchmark found. Pure.

`python -m tests.load.report RESULTS.json PAGE.md` writes the page anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.load.results import ClientShare, Cost, Results, Row, read


def page(results: Results) -> str:
    """The page for people, in Markdown."""
    parts = [
        "# Benchmarks\n\nWritten by `make bench`.",
        table(results.rows),
        costs(results.costs),
        clients(results.clients),
    ]
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    lines = ["| | scenario | found | must | aim | absolute |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.scenario} | {row.title} | **{amount(row.value, row.unit)}** | {_bound(row, row.must)} "
        f"| {_bound(row, row.aim)} | {_absolute(row)} |"
        for row in rows
    ]
    return "\n".join(lines)


def costs(found: Sequence[Cost]) -> str:
    lines = ["| processor milliseconds a piece | server | database | Valkey |", "|---|---|---|---|"]
    lines += [
        f"| {cost.work} | {1000 * cost.server:.3f} | {1000 * cost.database:.3f} | {1000 * cost.valkey:.3f} |"
        for cost in found
    ]
    return "\n".join(lines)


def clients(found: Sequence[ClientShare]) -> str:
    lines = ["| load | client's share of a core | others' share of the machine |", "|---|---|---|"]
    lines += [f"| {each.load} | {each.share:.0%} | {each.elsewhere:.0%} |" for each in found]
    return "\n".join(lines)


def amount(value: float, unit: str) -> str:
    """Three significant digits, whole above a thousand, and the unit."""
    if abs(value) >= 1000:
        number = f"{value:,.0f}".replace(",", " ")
    else:
        digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
        number = f"{value:.{digits}f}"
    return f"{number}{unit}" if unit.startswith("/") or not unit else f"{number} {unit}"


def _bound(row: Row, bound: float | None) -> str:
    if bound is None:
        return ""
    sign = "≥" if row.is_least else "≤"
    return f"{sign} {amount(bound, row.unit)} {'met' if row.meets(bound) else '**not met**'}"


def _absolute(row: Row) -> str:
    parts = [f"{figure.name} {amount(figure.value, figure.unit)}" for figure in row.figures]
    if row.faults:
        parts.append("**faults: " + ", ".join(f"{name} {count}" for name, count in row.faults.items()) + "**")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts)


def main(results: Path, target: Path) -> None:
    target.write_text(page(read(results.read_bytes())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
