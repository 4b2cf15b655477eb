"""Reading the figures: complete, in few queries, and how long things took from their classes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from construct_site.metrics.figures import (
    Point,
    Step,
    Times,
    latest,
    quantile_s,
    series,
    several_series,
    time_over,
    times,
)
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.store import Batch, store_batch
from construct_site.metrics.table import BOUNDS_S, TABLE, Kind, Metric

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLAIN = [metric for metric in Metric if TABLE[metric].kind is not Kind.TIMES]


def put(metric: Metric, hour: datetime, value: int, bucket: int = 0) -> None:
    HourlyMetric.objects.create(metric=metric.value, hour=hour, value=value, bucket=bucket)


def values(metric: Metric, since: datetime, until: datetime, step: Step) -> list[int | None]:
    return [point.value for point in series(metric, since, until, step)]


class TestSeries:
    def test_every_hour_has_a_point_with_zero_where_nothing_was_counted(self) -> None:
        put(Metric.LOGINS, NOON, 4)
        put(Metric.LOGINS, NOON + 2 * HOUR, 8)
        put(Metric.REGISTRATIONS, NOON + HOUR, 1)
        assert series(Metric.LOGINS, NOON, NOON + 3 * HOUR, Step.HOUR) == [
            Point(NOON, 4),
            Point(NOON + HOUR, 0),
            Point(NOON + 2 * HOUR, 8),
        ]

    def test_hours_of_which_a_part_is_meant_are_whole_and_others_left_out(self) -> None:
        for hours in range(-1, 4):
            put(Metric.LOGINS, NOON + hours * HOUR, 10 + hours)
        half = HOUR / 2
        assert values(Metric.LOGINS, NOON + half, NOON + HOUR + half, Step.HOUR) == [10, 11]
        assert values(Metric.LOGINS, NOON, NOON + HOUR, Step.HOUR) == [10]
        assert values(Metric.LOGINS, NOON, NOON, Step.HOUR) == []

    def test_of_a_day_sums_are_added_up(self) -> None:
        for hours in (-1, 0, 1, 23, 24):
            put(Metric.LOGINS, MIDNIGHT + hours * HOUR, 2 ** (hours + 1))
        since, until = MIDNIGHT - DAY, MIDNIGHT + DAY + HOUR
        assert values(Metric.LOGINS, since, until, Step.DAY) == [1, 2 + 4 + 2**24, 2**25]

    def test_of_a_day_a_reading_is_the_highest_or_the_last(self) -> None:
        for hours, reading in ((0, 5), (1, 9), (2, 7)):
            put(Metric.CONNECTIONS, NOON + hours * HOUR, reading)
            put(Metric.MESSAGES_WAITING, NOON + hours * HOUR, reading)
        assert values(Metric.CONNECTIONS, MIDNIGHT, MIDNIGHT + DAY, Step.DAY) == [9]
        assert values(Metric.MESSAGES_WAITING, MIDNIGHT, MIDNIGHT + DAY, Step.DAY) == [7]

    def test_a_reading_that_was_not_taken_is_not_zero(self) -> None:
        put(Metric.MESSAGES_WAITING, NOON, 0)
        assert values(Metric.MESSAGES_WAITING, NOON, NOON + 2 * HOUR, Step.HOUR) == [0, None]
        assert values(Metric.CONNECTIONS, NOON, NOON + DAY, Step.DAY) == [None, None]

    def test_days_are_those_of_utc_wherever_the_moments_are_from(self) -> None:
        put(Metric.LOGINS, MIDNIGHT, 3)
        east = timezone(timedelta(hours=5, minutes=30))
        since = MIDNIGHT.astimezone(east)
        assert series(Metric.LOGINS, since, since + DAY, Step.DAY) == [Point(MIDNIGHT, 3)]
        assert series(Metric.LOGINS, since, since + HOUR, Step.HOUR) == [Point(MIDNIGHT, 3)]

    @pytest.mark.parametrize(("step", "most", "points"), [(Step.HOUR, 1, 30 * 24 + 1), (Step.DAY, 2, 31)])
    def test_many_series_are_one_query_and_of_days_two(self, step: Step, most: int, points: int) -> None:
        for metric in Metric:
            put(metric, NOON, 1)
        with CaptureQueriesContext(connection) as queries:
            found = several_series(PLAIN, NOON - 30 * DAY, NOON + HOUR, step)
        assert len(queries) == most
        assert {metric: each[-1].value for metric, each in found.items()} == dict.fromkeys(PLAIN, 1)
        assert {len(each) for each in found.values()} == {points}

    def test_times_have_no_single_value(self) -> None:
        with pytest.raises(ValueError, match="times"):
            series(Metric.DELIVERY_TIME, NOON, NOON + HOUR, Step.HOUR)


class TestTimes:
    def test_of_each_hour_half_and_nineteen_in_twenty(self) -> None:
        put(Metric.DELIVERY_TIME, NOON, 90, bucket=3)
        put(Metric.DELIVERY_TIME, NOON, 10, bucket=6)
        first, second = times(Metric.DELIVERY_TIME, NOON, NOON + 2 * HOUR, Step.HOUR)
        assert (first.at, first.amount) == (NOON, 100)
        assert first.median_s == pytest.approx(0.005 + 0.005 * 50 / 90)
        assert first.p95_s == pytest.approx(0.075)
        assert second == Times(NOON + HOUR, 0, None, None)

    def test_of_a_day_the_classes_of_all_its_hours_count(self) -> None:
        for hours in range(24):
            put(Metric.DELIVERY_TIME, MIDNIGHT + hours * HOUR, 1, bucket=hours % 2)
        with CaptureQueriesContext(connection) as queries:
            (day,) = times(Metric.DELIVERY_TIME, MIDNIGHT, MIDNIGHT + DAY, Step.DAY)
        assert len(queries) == 1
        assert day.amount == 24
        assert day.median_s == pytest.approx(0.001)

    def test_of_a_whole_period_the_classes_of_all_its_hours_count_together(self) -> None:
        for hours, bucket in ((-1, 9), (0, 3), (1, 3), (2, 6), (3, 9)):
            put(Metric.DELIVERY_TIME, NOON + hours * HOUR, 2, bucket=bucket)
        with CaptureQueriesContext(connection) as queries:
            found = time_over(Metric.DELIVERY_TIME, NOON + HOUR / 2, NOON + 3 * HOUR)
        assert len(queries) == 1
        assert found.amount == 6
        assert found.median_s == pytest.approx(0.005 + 0.005 * 3 / 4)
        assert time_over(Metric.DELIVERY_TIME, NOON, NOON).median_s is None

    @pytest.mark.parametrize(
        ("amounts", "share", "found"),
        [
            ({0: 1}, 0.5, 0.0005),
            ({0: 1}, 1.0, 0.001),
            ({0: 10, 5: 10}, 0.5, 0.001),
            ({0: 10, 5: 10}, 0.75, 0.035),
            ({14: 4}, 0.5, 45.0),
            ({15: 4}, 0.5, 60.0),
            ({0: 94, 15: 6}, 0.95, 60.0),
            ({}, 0.5, None),
        ],
    )
    def test_within_a_class_times_are_taken_as_evenly_spread(
        self, amounts: dict[int, int], share: float, found: float | None
    ) -> None:
        classes = [amounts.get(position, 0) for position in range(len(BOUNDS_S) + 1)]
        assert quantile_s(classes, share) == (None if found is None else pytest.approx(found))


class TestLatest:
    def test_the_sum_of_24_hours_the_newest_reading_and_the_processes(self) -> None:
        now = NOON + HOUR / 2
        for hours, value in ((-24, 1), (-23, 2), (0, 4)):
            put(Metric.LOGINS, NOON + hours * HOUR, value)
            put(Metric.CONNECTIONS, NOON + hours * HOUR, 10 - value)
            put(Metric.DELIVERY_TIME, NOON + hours * HOUR, value, bucket=1)
        put(Metric.OPEN_REPORTS, NOON - 24 * HOUR, 1)
        store_batch("one", Batch(1, {}), 7, now)
        with CaptureQueriesContext(connection) as queries:
            found = latest(now)
        assert len(queries) == 2
        assert found.values[Metric.LOGINS] == 6
        assert found.values[Metric.CONNECTIONS] == 6
        assert found.values[Metric.REGISTRATIONS] == 0
        assert found.values[Metric.OPEN_REPORTS] is None
        assert set(found.values) == set(PLAIN)
        assert found.connections == {"one": 7}
        assert found.delivery.amount == 6
        assert found.delivery.p95_s == pytest.approx(0.00195)

    def test_at_the_very_hour_it_is_the_running_one(self) -> None:
        put(Metric.LOGINS, NOON, 1)
        put(Metric.LOGINS, NOON - 23 * HOUR, 2)
        put(Metric.LOGINS, NOON - 24 * HOUR, 4)
        assert latest(NOON).values[Metric.LOGINS] == 3
