"""How much of each fault test is done: `short` in every `make test`, `full` in `make faults`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Numbers of one size. Speeds are kept far below what the server can do: faults are tested, not load."""

    accounts: int
    per_s: float
    """Messages that all clients together write in a second."""
    rounds: int
    """How often a fault happens in one test."""
    calm_s: float
    """Time under load before and after each fault."""
    many: int
    """Messages for one recipient where it takes many."""
    waiting: int
    """Messages in the fullest mailbox."""
    link_bytes_per_s: int
    """Speed of a slow link."""
    timeout_s: float
    """Of one test."""


SIZES = {
    "short": Size(
        accounts=8,
        per_s=150,
        rounds=1,
        calm_s=1.0,
        many=1500,
        waiting=8000,
        link_bytes_per_s=96 * 1024,
        timeout_s=120,
    ),
    "full": Size(
        accounts=40,
        per_s=300,
        rounds=3,
        calm_s=3.0,
        many=10_000,
        waiting=100_000,
        link_bytes_per_s=4 * 1024,
        timeout_s=1200,
    ),
}
