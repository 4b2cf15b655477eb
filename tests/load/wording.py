"""Numbers as people read them. Pure."""

from __future__ import annotations


def count(number: float) -> str:
    """With a gap between thousands."""
    return f"{number:,.0f}".replace(",", "\N{NO-BREAK SPACE}")


def amount(value: float, unit: str) -> str:
    """Three significant digits, whole above a thousand, and the unit; none for a ratio."""
    if abs(value) >= 1000:
        number = count(value)
    else:
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
        number = f"{value:.{digits}f}"
    return f"{number}{unit}" if unit.startswith("/") or not unit else f"{number} {unit}"


def duration(seconds: float) -> str:
    """In the unit that gives a number above one."""
    if not seconds:
        return "0"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return amount(seconds / size, unit)
    return amount(seconds / 1e-6, "µs")
