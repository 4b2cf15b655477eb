"""The test harness itself: no empty part counts as a success, no server stays behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests.run import verdict
from tests.services import empty_redis_database, fresh_database, postgresql, valkey

OK, FAILED, NOTHING = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)


@pytest.mark.parametrize(
    ("codes", "selective", "code"),
    [
        ([OK, OK], False, OK),
        ([OK, FAILED], False, FAILED),
        ([FAILED, OK], False, FAILED),
        ([OK, NOTHING], False, NOTHING),
        ([OK, NOTHING], True, OK),
        ([NOTHING, OK], True, OK),
        ([FAILED, NOTHING], True, FAILED),
        ([NOTHING, FAILED], True, FAILED),
        ([NOTHING, NOTHING], True, NOTHING),
        ([-9, OK], False, -9),
    ],
)
def test_the_parts_have_one_verdict(codes: list[int], selective: bool, code: int) -> None:
    assert verdict(codes, selective=selective) == code


class Unwanted(Exception):
    """What goes wrong in a test that uses a service."""


def is_open(url: str) -> bool:
    try:
        if url.startswith("redis"):
            with redis.Redis.from_url(url) as connection:
                return bool(connection.ping())
        psycopg.connect(url, connect_timeout=2).close()
    except (redis.ConnectionError, psycopg.OperationalError):
        return False
    return True


@pytest.mark.parametrize("service", [postgresql, valkey], ids=["postgresql", "valkey"])
def test_a_service_listens_on_loopback_and_stops_when_its_user_fails(
    service: Callable[[], AbstractContextManager[str]],
) -> None:
    urls: list[str] = []

    def fail_while_it_runs() -> None:
        with service() as url:
            urls.append(url)
            assert is_open(url)
            raise Unwanted

    with pytest.raises(Unwanted):
        fail_while_it_runs()
    assert urlsplit(urls[0]).hostname == "127.0.0.1"
    assert not is_open(urls[0])


def test_a_database_begins_as_a_copy_of_its_template(postgresql_url: str) -> None:
    with fresh_database(postgresql_url) as original:
        with psycopg.connect(original) as connection:
            connection.execute("CREATE TABLE copied AS SELECT 7 AS number")
        with fresh_database(postgresql_url, urlsplit(original).path[1:]) as copy:
            with psycopg.connect(copy) as connection:
                assert connection.execute("DELETE FROM copied RETURNING number").fetchall() == [(7,)]
            with psycopg.connect(original) as connection:
                assert connection.execute("SELECT number FROM copied").fetchall() == [(7,)]


def test_databases_of_their_own_are_empty_and_gone_afterwards(postgresql_url: str, valkey_url: str) -> None:
    with fresh_database(postgresql_url) as first, fresh_database(postgresql_url) as second:
        assert first != second
        assert is_open(first)
    assert not is_open(first)
    with empty_redis_database(valkey_url) as first, empty_redis_database(valkey_url) as second:
        assert first != second
        with redis.Redis.from_url(first) as connection:
            connection.set("left", "behind")
    with redis.Redis.from_url(first) as connection:
        assert connection.dbsize() == 0
