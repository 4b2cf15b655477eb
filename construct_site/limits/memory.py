"""Counters in process memory that forget what has expired."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

SMALLEST_SWEEP = 1024


class Expiring(Protocol):
    """`expires_at`: Unix seconds from which the record says nothing any more."""

    @property
    def expires_at(self) -> float: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Expiring)


class ExpiringRecords(Generic[K, V]):
    """A mapping whose expired records are gone for readers, and swept whenever it has doubled.

    So it never holds more than twice its live records (or 1 024), at a constant
    cost per insertion and without a task of its own.
    """

    def __init__(self) -> None:
        self._records: dict[K, V] = {}
        self._sweep_at = SMALLEST_SWEEP

    def get(self, key: K, now: float) -> V | None:
        record = self._records.get(key)
        return record if record is not None and now < record.expires_at else None

    def put(self, key: K, record: V, now: float) -> V:
        if len(self._records) >= self._sweep_at:
            self._records = {k: kept for k, kept in self._records.items() if now < kept.expires_at}
            self._sweep_at = max(SMALLEST_SWEEP, 2 * len(self._records))
        self._records[key] = record
        return record

    def __len__(self) -> int:
        return len(self._records)
