"""Small charts, drawn here as shapes that a template writes as SVG: no script, nothing from elsewhere. Pure.

A chart is as wide as its card: the template stretches it, so only its width knows no proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SLOT = 10
"""The width of one point."""
HEIGHT = 60
_MARGIN = 3
"""Above the highest value, for the line's own width."""
_LEAST = 2
"""The height of a bar that is more than nothing."""
_BAR = 8


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: a bar, the place of a missing reading, or where a pointer is told a point's value."""

    x: int
    y: int
    width: int
    height: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws, `width` by HEIGHT units."""

    width: int
    bars: Sequence[Box]
    lines: Sequence[str]
    """Path data, as of SVG; the first is the main one."""
    missing: Sequence[Box]
    spots: Sequence[Box]
    """One for each point, over its whole height, with its text."""

    @property
    def view_box(self) -> str:
        # The line at 0 lies on the lower end.
        return f"0 0 {self.width} {HEIGHT + 1}"

    @property
    def baseline(self) -> int:
        return HEIGHT


def bars(values: Sequence[int], texts: Sequence[str]) -> Chart:
    """How often something happened: a bar each, none for 0."""
    top = max(values, default=0)
    drawn = []
    for position, value in enumerate(values):
        if value:
            height = max(HEIGHT - round(_y(value, top)), _LEAST)
            drawn.append(Box(position * SLOT + (SLOT - _BAR) // 2, HEIGHT - height, _BAR, height))
    return Chart(len(texts) * SLOT, drawn, [], [], _spots(texts))


def steps(lines: Sequence[Sequence[float | None]], texts: Sequence[str]) -> Chart:
    """Readings: a level each, joined to its neighbour. Where the first line has none there is a gap, no zero.

    All lines have one scale.
    """
    top = max((value for line in lines for value in line if value is not None), default=0)
    missing = [
        Box(position * SLOT, 0, SLOT, HEIGHT) for position, value in enumerate(lines[0]) if value is None
    ]
    return Chart(len(texts) * SLOT, [], [_path(line, top) for line in lines], missing, _spots(texts))


def _path(line: Sequence[float | None], top: float) -> str:
    parts = []
    for position, (before, value) in enumerate(pairwise([None, *line])):
        if value is not None:
            x, y = position * SLOT, f"{_y(value, top):.1f}"
            parts.append(f"{f'M{x} {y}' if before is None else f'V{y}'}H{x + SLOT}")
    return "".join(parts)


def _y(value: float, top: float) -> float:
    return HEIGHT - value / top * (HEIGHT - _MARGIN) if top else HEIGHT


def _spots(texts: Sequence[str]) -> list[Box]:
    return [Box(position * SLOT, 0, SLOT, HEIGHT, text) for position, text in enumerate(texts)]
