"""The figures in the database. Plain synchronous functions, outside any other transaction.

Rows are written in one order by everybody, so no two processes wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from construct_site.metrics.collector import COLLECTOR
from construct_site.metrics.models import HourlyMetric, ProcessFigures
from construct_site.metrics.table import TABLE, Kind, Metric

_TABLE: str = HourlyMetric._meta.db_table  # noqa: SLF001 - Django's documented name for it
_ROWS_AT_ONCE = 200
_SILENT = timedelta(minutes=2)
_GONE = timedelta(hours=1)
"""A row is deleted so late because a process that could not write for a while finds in it what it had stored."""

_ADD = f"{_TABLE}.value + excluded.value"
_KEEP_HIGHEST = f"CASE WHEN excluded.value > {_TABLE}.value THEN excluded.value ELSE {_TABLE}.value END"
_REPLACE = "excluded.value"


class Cell(NamedTuple):
    """One row. Cells are sorted as the rows are written."""

    hour: datetime
    metric: Metric
    bucket: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What a process counted and stores at once; a batch that is tried again has its number still."""

    number: int
    """1 for the process's first, then one more each."""
    amounts: Mapping[Cell, int]


def hour_of(at: datetime) -> datetime:
    """When the hour began."""
    return at.replace(minute=0, second=0, microsecond=0)


def store_batch(process_id: str, batch: Batch, connections: int, now: datetime) -> None:
    """Add what a process counted, in one transaction, and note how it is.

    A batch that was stored already, which a process whose connection broke cannot know, is not
    added again. A process stores one batch at a time.
    """
    state = {"connections": connections, "batch": batch.number, "updated_at": now}
    with transaction.atomic():
        # Held: the end of a transaction that was given up here may be under way still.
        known = ProcessFigures.objects.select_for_update().filter(pk=process_id).first()
        if known is None or known.batch != batch.number:
            _upsert(batch.amounts, _ADD)
        ProcessFigures.objects.update_or_create(pk=process_id, defaults=state)


def store_counts() -> None:
    """Add what this process counted so far: at the end of a command, which has nobody who does it each minute."""
    hour = hour_of(timezone.now())
    amounts = {Cell(hour, *bucket): amount for bucket, amount in COLLECTOR.take().items()}
    with transaction.atomic():
        _upsert(amounts, _ADD)


def store_readings(readings: Mapping[Metric, int], now: datetime) -> None:
    """Keep what was read: of an hour's readings the last one or the highest, as the table says."""
    hour = hour_of(now)
    with transaction.atomic():
        for kind, value in ((Kind.HIGHEST, _KEEP_HIGHEST), (Kind.LAST, _REPLACE)):
            chosen = {
                Cell(hour, metric, 0): reading
                for metric, reading in readings.items()
                if TABLE[metric].kind is kind
            }
            _upsert(chosen, value)


def remove_process(process_id: str) -> None:
    """The process ends, everything that it counted is stored."""
    ProcessFigures.objects.filter(pk=process_id).delete()


def processes(now: datetime) -> dict[str, int]:
    """The connections of each process that was heard of within two minutes, by its id."""
    heard = ProcessFigures.objects.filter(updated_at__gt=now - _silence()).order_by("id")
    return dict(heard.values_list("id", "connections"))


def count_connections(now: datetime) -> int:
    """Of all processes that were heard of within two minutes."""
    heard = ProcessFigures.objects.filter(updated_at__gt=now - _silence())
    return heard.aggregate(together=Sum("connections"))["together"] or 0


def purge_metrics(now: datetime) -> int:
    """Delete figures that are older than ``CONSTRUCT_METRICS_S``, and processes that died. Returns how many."""
    oldest = now - timedelta(seconds=settings.CONSTRUCT.metrics_s)
    gone = HourlyMetric.objects.filter(hour__lt=oldest).delete()[0]
    return gone + ProcessFigures.objects.filter(updated_at__lte=now - _GONE).delete()[0]


def _silence() -> timedelta:
    """A process that flushes less often is not gone in between."""
    return max(_SILENT, timedelta(seconds=2 * settings.CONSTRUCT.metrics_flush_s))


def _upsert(amounts: Mapping[Cell, int], value: str) -> None:
    """Within a transaction. `value`: what a row becomes that is there already."""
    rest = iter(sorted(amounts.items()))
    while rows := list(islice(rest, _ROWS_AT_ONCE)):
        statement = f"""
            INSERT INTO {_TABLE} (metric, hour, bucket, value) VALUES {", ".join(["(%s, %s, %s, %s)"] * len(rows))}
            ON CONFLICT (metric, hour, bucket) DO UPDATE SET value = {value}
        """  # noqa: S608 - fixed fragments only
        with connection.cursor() as cursor:
            cursor.execute(statement, list(_parameters(rows)))


def _parameters(rows: Sequence[tuple[Cell, int]]) -> Iterator[str | int | None]:
    for cell, amount in rows:
        yield from (
            cell.metric.value,
            connection.ops.adapt_datetimefield_value(cell.hour),
            cell.bucket,
            amount,
        )
