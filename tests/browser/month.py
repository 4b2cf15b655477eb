"""A month of figures for the dashboard, and a superuser who looks at it: stored in a process beside the server's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from construct_site.metrics.models import HourlyMetric, ProcessFigures
from construct_site.metrics.store import hour_of
from construct_site.metrics.table import TABLE, Kind, Metric

USERNAME = "root"
PASSWORD = "a long enough password"
DAYS = 30
DOWN = range(7, 11)
"""The hours, counted back from now, in which there was no server."""
PROCESSES = {"3f9c2ab4d1e07765": 312, "b80e6d1f2c9a4433": 287}
_SIZES = {
    Metric.REGISTRATIONS: 2,
    Metric.FAILED_LOGINS: 3,
    Metric.ACTIVE_USERS: 90,
    Metric.CONNECTIONS: 40,
    Metric.MESSAGES_RELAYED: 1300,
    Metric.MESSAGES_WAITING: 210,
    Metric.MESSAGES_EXPIRED: 5,
    Metric.STALE_PREKEYS: 4,
    Metric.OPEN_REPORTS: 1,
}


def store() -> None:
    User.objects.create_superuser(USERNAME, PASSWORD)
    store_figures()


def store_figures() -> None:
    # The server that runs has read some of this hour.
    HourlyMetric.objects.bulk_create(
        _rows(), update_conflicts=True, unique_fields=["metric", "hour", "bucket"], update_fields=["value"]
    )
    for process_id, connections in PROCESSES.items():
        ProcessFigures.objects.create(
            pk=process_id, connections=connections, batch=1, updated_at=timezone.now()
        )


def _rows() -> Iterator[HourlyMetric]:
    now = hour_of(timezone.now())
    for ago in range(DAYS * 24):
        if ago in DOWN:
            continue
        hour = now - timedelta(hours=ago)
        wave = 16 - abs(14 - hour.hour) + ago * 7 % 5 + hour.day * 5 % 7
        for metric in Metric:
            if TABLE[metric].kind is Kind.TIMES:
                for bucket in range(8):
                    value = 40 * wave // (1 + abs(3 - bucket) ** 2)
                    yield HourlyMetric(metric=metric, hour=hour, bucket=bucket, value=value)
            else:
                yield HourlyMetric(metric=metric, hour=hour, value=wave * _SIZES.get(metric, 0))
