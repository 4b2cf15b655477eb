"""What every test shares. Two markers say where a test belongs; both follow from its path.

`live`: under `tests/live`, `tests/browser`, `tests/faults` or `tests/load`, starts servers of its own. `pure`: touches
neither the database nor the channel layer, so it need not run again on PostgreSQL and Valkey.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier
from typing import Any

import hypothesis
import pytest
import redis
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import Style
from django.core.management.commands import flush
from django.core.management.sql import sql_flush
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from pytest_django import DjangoDbBlocker

from construct_site.database import DATABASE_THREADS, database_threads
from construct_site.limits import store as limits_store
from construct_site.metrics.collector import COLLECTOR
from construct_site.metrics.table import Metric
from tests.services import TAKEN, postgresql, valkey

TESTS = Path(__file__).parent
LIVE = ("live", "browser", "faults", "load")
BUSY_S = 30.0
"""How long what a test began in the database's threads may take after its end."""
UNLIVE = {"plain", "real"}
"""Parts without live tests."""
PURE = (
    "accounts/services/test_codes.py",
    "accounts/services/test_rules.py",
    "accounts/services/test_user_ids.py",
    "accounts/test_folding.py",
    "accounts/test_passwords.py",
    "accounts/test_peers.py",
    "construct_site/test_batching.py",
    "construct_site/test_derivation.py",
    "construct_site/test_env.py",
    "construct_site/test_errors.py",
    "construct_site/test_limits_meters.py",
    "construct_site/test_logs.py",
    "construct_site/metrics/test_collector.py",
    "construct_site/metrics/test_table.py",
    "construct_site/test_notices.py",
    "construct_site/test_proxies.py",
    "construct_site/test_server_http.py",
    "construct_site/test_server_run.py",
    "construct_site/test_server_websocket.py",
    "construct_site/test_server_framing.py",
    "construct_site/test_supervisor.py",
    "keys/test_bundle.py",
    "keys/test_models.py",
    "messaging/client",
    "messaging/mailbox/test_sealing.py",
    "messaging/protocol",
    "messaging/test_connection.py",
    "messaging/test_connection_order.py",
    "messaging/test_demo_command.py",
    "messaging/test_outbox.py",
    "messaging/test_pipeline.py",
    "messaging/test_routes.py",
    "messaging/test_subscriptions.py",
    "messaging/test_window.py",
    "repository",
    "test_audit.py",
    "test_run.py",
)

# A deadline for one example measures the machine, not the code.
hypothesis.settings.register_profile("construct", deadline=None)
hypothesis.settings.load_profile("construct")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        action="append",
        default=[],
        choices=["plain", "real", "distributed", "embedded", "faults", "load"],
        help="run one part of `make test` (see tests/run.py), or several: all but the live tests; of these what "
        "uses the database or the channel layer; the tests of tests/live on PostgreSQL and Valkey; those on "
        "SQLite and the in-memory layer; the tests of tests/faults; those of tests/load",
    )
    parser.addoption(
        "--fault-size",
        choices=["short", "full"],
        default="short",
        help="how much each test of tests/faults does (`make faults` runs the full size)",
    )
    parser.addoption(
        "--screenshots",
        metavar="DIRECTORY",
        help="where tests/browser writes its pictures of pages (pytest's temporary directory, if not given)",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What no test of the parts can be in is not even imported."""
    parts = set(config.getoption("part"))
    if not parts or collection_path.parent != TESTS or not collection_path.is_dir():
        return None
    is_wanted = parts - UNLIVE if collection_path.name in LIVE else parts & UNLIVE
    return None if is_wanted else True


def pytest_collection_finish() -> None:
    # Else each full collection of garbage walks through all tests: a sixth of the processor time of the short ones.
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path.is_relative_to(TESTS / path) for path in LIVE):
            item.add_marker("live")
        elif any(item.path.is_relative_to(TESTS / path) for path in PURE):
            item.add_marker("pure")
    if parts := set(config.getoption("part")):
        left_out = [item for item in items if parts.isdisjoint(_parts_of(item))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not parts.isdisjoint(_parts_of(item))]


def _parts_of(item: pytest.Item) -> set[str]:
    marks = {mark.name for mark in item.iter_markers()}
    if "live" not in marks:
        return {"plain"} if "pure" in marks else {"plain", "real"}
    for directory in ("faults", "load"):
        if item.path.is_relative_to(TESTS / directory):
            return {directory}
    return {"distributed"} if "distributed" in _values_of(item) else {"embedded"}


def _values_of(item: pytest.Item) -> list[object]:
    """What the test is parametrized with."""
    callspec = getattr(item, "callspec", None)
    return [] if callspec is None else list(callspec.params.values())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """pytest-django's, with another way to empty the tables after a test that commits.

    What migrations wrote is put back, as it was. Django's own way, to have each app make its permissions anew,
    takes 0.2 s and leaves no role; on PostgreSQL it makes each table anew, which takes 0.1 s, and the audit refuses.
    """
    with django_db_blocker.unblock():
        migrated: list[tuple[type[Model], list[Any]]] = [
            (model, list(model._base_manager.all()))
            for model in (ContentType, Permission, Group, Group.permissions.through)
        ]

    def put_back(*_arguments: object, **_options: object) -> None:
        for model, rows in migrated:
            model._base_manager.bulk_create(rows)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flush, "emit_post_migrate_signal", put_back)
        patched.setattr(flush, "sql_flush", _deletions)
        yield


def _deletions(style: Style, database: BaseDatabaseWrapper, **options: bool) -> list[str]:
    """What empties all tables, once nobody writes them any more."""
    free = Barrier(DATABASE_THREADS + 1)
    for _ in range(DATABASE_THREADS):
        database_threads.submit(free.wait, BUSY_S)
    free.wait(BUSY_S)
    if database.vendor != "postgresql":
        return sql_flush(style, database, **options)
    tables = database.introspection.django_table_names(only_existing=True, include_views=False)
    deletions = (f'DELETE FROM "{table}"' for table in tables)  # noqa: S608 - the names are Django's
    # As a replica's writer, for whom no trigger fires.
    return ["SET LOCAL session_replication_role = replica", *deletions]


@pytest.fixture(autouse=True)
def _patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a store that is there may answer too late to count; test_limits_outage.py is about that."""
    monkeypatch.setattr(limits_store, "ANSWER_S", 10.0)


@pytest.fixture(autouse=True)
def _empty_redis(pytestconfig: pytest.Config) -> Iterator[None]:
    """On the pass with Valkey each test leaves an empty database: limits are counted there for hours."""
    yield
    if "real" in pytestconfig.getoption("part"):
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as connection:
            connection.flushdb()
            connection.set(TAKEN, "")


@pytest.fixture
def newly_counted() -> Callable[[], Counter[Metric]]:
    """Tells what this process counted since the test began, or since it last told; times of all classes together."""

    def tell() -> Counter[Metric]:
        counted: Counter[Metric] = Counter()
        for (metric, _), amount in COLLECTOR.take().items():
            counted[metric] += amount
        return counted

    tell()
    return tell


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The PostgreSQL server of `make test`; without it, one of this session's own."""
    given = os.environ.get("TEST_DATABASE_URL")
    with nullcontext(given) if given else postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The Valkey server of `make test`; without it, one of this session's own."""
    given = os.environ.get("TEST_REDIS_URL")
    with nullcontext(given) if given else valkey() as url:
        yield url
