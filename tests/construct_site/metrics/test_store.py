"""The figures in the database: added together by all processes, none twice; nothing of a user."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from construct_site.metrics import store
from construct_site.metrics.models import HourlyMetric, ProcessFigures
from construct_site.metrics.store import (
    Batch,
    Cell,
    count_connections,
    processes,
    purge_metrics,
    remove_process,
    store_batch,
    store_readings,
)
from construct_site.metrics.table import BOUNDS_S, Metric
from tests.construct_site.conftest import Amounts
from tests.messaging.mailbox.conftest import run_at_once

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
HOUR = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def rows() -> dict[tuple[str, datetime, int], int]:
    return {
        (metric, hour, bucket): value
        for metric, hour, bucket, value in HourlyMetric.objects.values_list(
            "metric", "hour", "bucket", "value"
        )
    }


def batch(number: int, amounts: Mapping[Metric, int], hour: datetime = HOUR) -> Batch:
    return Batch(number, {Cell(hour, metric, 0): amount for metric, amount in amounts.items()})


class TestBatches:
    def test_processes_add_to_the_same_rows(self) -> None:
        store_batch("one", batch(1, {Metric.LOGINS: 2, Metric.REGISTRATIONS: 1}), 5, NOW)
        store_batch("two", batch(1, {Metric.LOGINS: 3}), 7, NOW)
        store_batch("one", batch(2, {Metric.LOGINS: 4}), 6, NOW)
        assert rows() == {("logins", HOUR, 0): 9, ("registrations", HOUR, 0): 1}
        assert processes(NOW) == {"one": 6, "two": 7}
        assert count_connections(NOW) == 13

    def test_hours_and_classes_have_rows_of_their_own(self) -> None:
        before = HOUR - timedelta(hours=1)
        amounts = {
            Cell(before, Metric.LOGINS, 0): 1,
            Cell(HOUR, Metric.LOGINS, 0): 2,
            Cell(HOUR, Metric.DELIVERY_TIME, 3): 4,
            Cell(HOUR, Metric.DELIVERY_TIME, 4): 8,
        }
        store_batch("one", Batch(1, amounts), 0, NOW)
        assert rows() == {
            ("logins", before, 0): 1,
            ("logins", HOUR, 0): 2,
            ("delivery_time", HOUR, 3): 4,
            ("delivery_time", HOUR, 4): 8,
        }

    def test_the_same_batch_again_adds_nothing(self) -> None:
        for _ in range(2):
            store_batch("one", batch(1, {Metric.LOGINS: 2}), 0, NOW)
        store_batch("one", batch(2, {Metric.LOGINS: 2}), 0, NOW)
        assert rows() == {("logins", HOUR, 0): 4}

    def test_one_without_counts_tells_that_the_process_lives(self) -> None:
        store_batch("one", Batch(1, {}), 3, NOW)
        assert rows() == {}
        assert processes(NOW) == {"one": 3}

    def test_after_a_long_outage_many_rows_go_together(self) -> None:
        amounts = {
            Cell(HOUR - timedelta(hours=ago), Metric.DELIVERY_TIME, bucket): 1
            for ago in range(100)
            for bucket in range(len(BOUNDS_S) + 1)
        }
        for number in (1, 2):
            store_batch("one", Batch(number, amounts), 0, NOW)
        assert len(rows()) == 1600
        assert set(rows().values()) == {2}

    def test_it_is_one_transaction(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            store_batch("one", batch(1, dict.fromkeys(Metric, 1)), 0, NOW)
        begins = [each["sql"] for each in queries if each["sql"].startswith("BEGIN")]
        assert len(begins) == 1

    def test_of_one_that_fails_nothing_is_stored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_args: object, **_fields: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(ProcessFigures.objects, "update_or_create", fail)
        with pytest.raises(RuntimeError):
            store_batch("one", batch(1, {Metric.LOGINS: 2}), 0, NOW)
        assert rows() == {}

    def test_processes_that_store_at_once_neither_fail_nor_lose_a_count(self) -> None:
        """Each has the rows in another order."""
        failures: list[Exception] = []

        def work(process_id: str, metrics: list[Metric]) -> None:
            try:
                for number in range(1, 16):
                    store_batch(process_id, batch(number, dict.fromkeys(metrics, 1)), 1, NOW)
            except Exception as error:  # noqa: BLE001 - the thread's failure is this test's
                failures.append(error)

        metrics = list(Metric)
        run_at_once(
            lambda: work("one", metrics),
            lambda: work("two", metrics[::-1]),
            lambda: work("three", metrics[5:] + metrics[:5]),
        )
        assert failures == []
        assert rows() == {(metric.value, HOUR, 0): 45 for metric in Metric}


class TestReadings:
    def test_of_an_hour_the_last_or_the_highest_counts(self) -> None:
        for reading in (5, 9, 7):
            store_readings({Metric.CONNECTIONS: reading, Metric.MESSAGES_WAITING: reading}, NOW)
        assert rows() == {("connections", HOUR, 0): 9, ("messages_waiting", HOUR, 0): 7}

    def test_another_hour_is_another_row(self) -> None:
        store_readings({Metric.CONNECTIONS: 9}, NOW)
        store_readings({Metric.CONNECTIONS: 1}, NOW + timedelta(hours=1))
        assert sorted(rows().values()) == [1, 9]


class TestProcesses:
    def test_one_that_is_silent_for_two_minutes_counts_no_more(self) -> None:
        store_batch("one", Batch(1, {}), 3, NOW)
        store_batch("two", Batch(1, {}), 4, NOW + MINUTE)
        at = NOW + timedelta(minutes=2)
        assert processes(at - timedelta(seconds=1)) == {"one": 3, "two": 4}
        assert processes(at) == {"two": 4}
        assert count_connections(at) == 4
        assert count_connections(at + MINUTE) == 0

    def test_where_processes_flush_less_often_silence_is_longer(self, amounts: Amounts) -> None:
        amounts(metrics_flush_s=600)
        store_batch("one", Batch(1, {}), 3, NOW)
        assert processes(NOW + timedelta(minutes=19)) == {"one": 3}
        assert processes(NOW + timedelta(minutes=20)) == {}

    def test_one_that_ends_in_order_is_gone_at_once(self) -> None:
        store_batch("one", Batch(1, {}), 3, NOW)
        store_batch("two", Batch(1, {}), 4, NOW)
        remove_process("one")
        assert processes(NOW) == {"two": 4}


class TestPurge:
    def test_figures_go_at_the_end_of_their_life(self, amounts: Amounts) -> None:
        amounts(metrics_s=3600)
        for hours in (2, 1, 0):
            store_readings({Metric.CONNECTIONS: 1, Metric.OPEN_REPORTS: 1}, NOW - timedelta(hours=hours))
        assert purge_metrics(NOW) == 4
        assert {hour for _, hour, _ in rows()} == {HOUR}

    def test_by_default_they_stay_for_400_days(self) -> None:
        store_readings({Metric.CONNECTIONS: 1}, NOW - timedelta(days=400, hours=-1))
        store_readings({Metric.CONNECTIONS: 2}, NOW - timedelta(days=400, hours=1))
        assert purge_metrics(NOW) == 1
        assert list(rows().values()) == [1]

    def test_processes_that_died_go_after_an_hour(self) -> None:
        store_batch("one", Batch(1, {}), 3, NOW)
        store_batch("two", Batch(1, {}), 3, NOW + MINUTE)
        assert purge_metrics(NOW + timedelta(hours=1)) == 1
        assert list(ProcessFigures.objects.values_list("id", flat=True)) == ["two"]


def test_no_row_has_room_for_a_user_or_an_address() -> None:
    """Words of a fixed list, times of an hour, numbers: whoever adds a column thinks about this first."""
    assert {field.name for field in HourlyMetric._meta.get_fields()} == {
        "id",
        "metric",
        "hour",
        "bucket",
        "value",
    }
    assert {field.name for field in ProcessFigures._meta.get_fields()} == {
        "id",
        "connections",
        "batch",
        "updated_at",
    }


def test_a_statement_has_few_enough_parameters_for_every_database() -> None:
    assert store._ROWS_AT_ONCE * 4 < 999
