"""A Valkey for the tests of this directory, and limiters in memory and on it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from construct_site.limits import Limiter
from tests.services import empty_redis_database, valkey

Amounts = Callable[..., None]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The server named by `REDIS_URL`, else one of our own until the session ends."""
    with ExitStack() as stack:
        yield os.environ.get("REDIS_URL") or stack.enter_context(valkey())


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """An empty database of this test's own."""
    with empty_redis_database(redis_server) as url:
        yield url


@pytest.fixture
def amounts(settings: Settings) -> Amounts:
    """Sets fields of the configuration for this test."""

    def configure(**changes: Any) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, **changes)

    return configure


@pytest.fixture(params=["memory", "valkey"])
def storage_url(request: pytest.FixtureRequest) -> str:
    """Where counts are kept: nowhere but in the process, or on Valkey."""
    url: str = request.getfixturevalue("redis_url") if request.param == "valkey" else ""
    return url


@pytest.fixture
async def limiter(storage_url: str) -> AsyncIterator[Limiter]:
    """A limiter in memory, and then one on Valkey: the same rules hold."""
    made = Limiter(storage_url)
    yield made
    await made.close()


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[tuple[Limiter, Limiter]]:
    """The limiters of two processes on one Valkey."""
    pair = Limiter(redis_url), Limiter(redis_url)
    yield pair
    for each in pair:
        await each.close()
