"""Reading the figures: for charts, and as they are now. Each function is one query or two, however much there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from django.db.models import Max, Sum
from django.db.models.functions import TruncDay

from construct_site.metrics import store
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.store import hour_of
from construct_site.metrics.table import BOUNDS_S, TABLE, Kind, Metric, buckets


class Step(Enum):
    """What one point of a chart is of. Days are those of UTC."""

    HOUR = timedelta(hours=1)
    DAY = timedelta(days=1)

    def begin_of(self, at: datetime) -> datetime:
        hour = hour_of(at.astimezone(UTC))
        return hour if self is Step.HOUR else hour.replace(hour=0)


@dataclass(frozen=True, slots=True)
class Point:
    """`at`: when its time begins. `value` is None where a reading is missing: the server did not run."""

    at: datetime
    value: int | None


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took: half of it at most `median_s`, 19 in 20 at most `p95_s`; None where nothing did.

    Both are as exact as the classes of :data:`~construct_site.metrics.table.BOUNDS_S`; what took
    longer than the last of them counts as that.
    """

    at: datetime
    amount: int
    median_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class Latest:
    """How the server is now."""

    connections: Mapping[str, int]
    """Of each process, by its random id."""
    values: Mapping[Metric, int | None]
    """Of what is counted, the sum of 24 hours, the running one included; of what is read, the newest of them."""
    delivery: Times
    """Of these 24 hours."""


def series(metric: Metric, since: datetime, until: datetime, step: Step) -> list[Point]:
    """See :func:`several_series`."""
    return several_series([metric], since, until, step)[metric]


def several_series(
    metrics: Collection[Metric], since: datetime, until: datetime, step: Step
) -> dict[Metric, list[Point]]:
    """A point for each hour or day that has a part between the two moments, oldest first. One query, of days two.

    Where nothing was counted there is 0. Raises ValueError for a metric that is of times: :func:`times`.
    """
    if any(TABLE[metric].kind is Kind.TIMES for metric in metrics):
        raise ValueError("times have no single value")
    begins = _begins(since, until, step)
    found = _rows(metrics, begins, step)
    return {
        metric: [Point(begin, _one(metric, found[metric].get(begin, []))) for begin in begins]
        for metric in metrics
    }


def times(metric: Metric, since: datetime, until: datetime, step: Step) -> list[Times]:
    """As :func:`series`, of a metric that is of times."""
    begins = _begins(since, until, step)
    found = _rows([metric], begins, step)[metric]
    return [_times(begin, found.get(begin, [])) for begin in begins]


def time_over(metric: Metric, since: datetime, until: datetime) -> Times:
    """Of all hours that have a part between the two moments together. One query."""
    hours = HourlyMetric.objects.filter(metric=metric, hour__gte=hour_of(since), hour__lt=until)
    return _times(since, hours.order_by().values_list("bucket").annotate(Sum("value")))


def latest(now: datetime) -> Latest:
    """Two queries."""
    begins = [hour_of(now) - timedelta(hours=ago) for ago in reversed(range(24))]
    found = _rows(list(Metric), begins, Step.HOUR)
    values: dict[Metric, int | None] = {}
    for metric in Metric:
        rows = [row for begin in begins for row in found[metric].get(begin, [])]
        if TABLE[metric].kind is Kind.SUM:
            values[metric] = sum(value for _, value in rows)
        elif TABLE[metric].kind is not Kind.TIMES:
            values[metric] = rows[-1][1] if rows else None
    delivery = [row for rows in found[Metric.DELIVERY_TIME].values() for row in rows]
    return Latest(store.processes(now), values, _times(begins[0], delivery))


_Rows = Sequence[tuple[int, int]]
"""Bucket and value, oldest first."""
_Found = dict[str, dict[datetime, list[tuple[int, int]]]]
"""The rows of each metric, by the hour or day that they are in; of a day, where they add up, one of each bucket."""


def _begins(since: datetime, until: datetime, step: Step) -> list[datetime]:
    begin, begins = step.begin_of(since), []
    while begin < until:
        begins.append(begin)
        begin += step.value
    return begins


def _rows(metrics: Collection[Metric], begins: Sequence[datetime], step: Step) -> _Found:
    found: _Found = defaultdict(lambda: defaultdict(list))
    if not begins:
        return found
    within = HourlyMetric.objects.filter(hour__gte=begins[0], hour__lt=begins[-1] + step.value)
    added_up = [metric for metric in metrics if step is Step.DAY and TABLE[metric].kind is not Kind.LAST]
    if added_up:
        # By the database: the hours of a month are 20 000 rows.
        days = within.filter(metric__in=added_up).annotate(day=TruncDay("hour", tzinfo=UTC)).order_by()
        columns = days.values_list("metric", "day", "bucket").annotate(Sum("value"), Max("value"))
        for metric, day, bucket, total, highest in columns:
            is_sum = TABLE[Metric(metric)].kind is not Kind.HIGHEST
            found[metric][day].append((bucket, total if is_sum else highest))
    if others := [metric for metric in metrics if metric not in added_up]:
        hours = within.filter(metric__in=others).order_by("hour")
        for metric, hour, bucket, value in hours.values_list("metric", "hour", "bucket", "value"):
            found[metric][step.begin_of(hour)].append((bucket, value))
    return found


def _one(metric: Metric, rows: _Rows) -> int | None:
    values = [value for _, value in rows]
    match TABLE[metric].kind:
        case Kind.SUM:
            return sum(values)
        case Kind.HIGHEST:
            return max(values, default=None)
        case _:
            return values[-1] if values else None


def _times(at: datetime, rows: Iterable[tuple[int, int]]) -> Times:
    amounts = [0] * buckets(Metric.DELIVERY_TIME)
    for bucket, value in rows:
        amounts[bucket] += value
    return Times(at, sum(amounts), quantile_s(amounts, 0.5), quantile_s(amounts, 0.95))


def quantile_s(amounts: Sequence[int], share: float) -> float | None:
    """The time within which this share of all was, taken as evenly spread within each class. None: there are none."""
    wanted, before = sum(amounts) * share, 0
    for position, amount in enumerate(amounts[: len(BOUNDS_S)]):
        if amount and before + amount >= wanted:
            low = BOUNDS_S[position - 1] if position else 0.0
            return low + (BOUNDS_S[position] - low) * (wanted - before) / amount
        before += amount
    return BOUNDS_S[-1] if sum(amounts) else None
