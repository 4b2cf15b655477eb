"""What a benchmark found, as it is kept in JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Figure(msgspec.Struct, frozen=True):
    """An absolute value beside a ratio."""

    name: str
    value: float
    unit: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    scenario: str
    """The number by which `--only` selects it."""
    title: str
    value: float
    unit: str
    """Empty for a ratio."""
    is_least: bool = True
    """`must` and `aim` are the least that is wanted; else the most."""
    must: float | None
    aim: float | None
    rounds: list[float] = []
    """The value of each round; `value` is their median."""
    figures: list[Figure] = []
    faults: dict[str, int] = {}
    """What should never happen, and how often it did. Any of it fails the scenario."""
    note: str = ""

    def meets(self, bound: float | None) -> bool | None:
        """Whether the value keeps a bound, without faults; None where there is no bound."""
        if bound is None:
            return None
        is_kept = self.value >= bound if self.is_least else self.value <= bound
        return is_kept and not self.faults


class Cost(msgspec.Struct, frozen=True):
    """Processor seconds for a piece of work, of each part."""

    work: str
    server: float
    database: float
    valkey: float


class ClientShare(msgspec.Struct, frozen=True):
    """How busy the load client was, while the load named ran."""

    load: str
    share: Annotated[float, Meta(ge=0)]
    """Of one core; the largest of all rounds."""
    elsewhere: Annotated[float, Meta(ge=0)]
    """Share of the machine that worked for others than servers, services and clients; the largest of all rounds."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    @property
    def is_faultless(self) -> bool:
        """Everything was measured, and nothing happened that should never."""
        return not self.failures and not any(row.faults for row in self.rows)

    version: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    """Of PostgreSQL."""
    limits: dict[str, str]
    """Raised numbers."""
    sizes: dict[str, float]
    took_s: float
    rows: list[Row]
    """In the order of the scenarios."""
    failures: dict[str, str] = {}
    """Scenarios that ended without a result, and why."""
    costs: list[Cost]
    clients: list[ClientShare]


def write(results: Results) -> bytes:
    return msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n"


def read(text: bytes) -> Results:
    """Raises ``msgspec.ValidationError``."""
    return msgspec.json.decode(text, type=Results)
