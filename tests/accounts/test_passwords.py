"""Password hashing: the right parameters, equal cost, a bounded queue."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.contrib.auth.hashers import check_password, make_password
from pytest_django import Settings

from accounts.passwords import PasswordHashing, get_password_hashing, must_update, unmatchable_hash
from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode
from tests.accounts.conftest import PASSWORD
from tests.accounts.hashers import PATIENCE_S, GatedHasher


@contextmanager
def hashing(threads: int, queue: int) -> Iterator[PasswordHashing]:
    made = PasswordHashing(threads, queue)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def gate(settings: Settings) -> Iterator[type[GatedHasher]]:
    """Hashes begin and then wait until the test opens the gate."""
    settings.PASSWORD_HASHERS = [f"{GatedHasher.__module__}.{GatedHasher.__name__}"]
    GatedHasher.gate.clear()
    yield GatedHasher
    GatedHasher.gate.set()
    while GatedHasher.begun.acquire(blocking=False):
        pass


async def begun(gate: type[GatedHasher]) -> None:
    assert await asyncio.to_thread(gate.begun.acquire, timeout=PATIENCE_S)


async def waiting(hashing: PasswordHashing) -> asyncio.Task[str]:
    """A caller that was admitted: it has run until its first wait."""
    task = asyncio.create_task(hashing.make(PASSWORD))
    await asyncio.sleep(0)
    return task


def test_a_hash_has_the_recommended_parameters_by_default(settings: Settings) -> None:
    settings.CONSTRUCT = Config()
    assert make_password(PASSWORD).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_password_is_recognised_by_its_hash() -> None:
    with hashing(threads=1, queue=0) as passwords:
        encoded = await passwords.make(PASSWORD)
        assert PASSWORD not in encoded
        assert await passwords.verify(encoded, PASSWORD)
        assert not await passwords.verify(encoded, PASSWORD + "x")
        assert await passwords.make(PASSWORD) != encoded


async def test_a_hash_of_other_parameters_still_counts_and_is_due_for_renewal(settings: Settings) -> None:
    with hashing(threads=1, queue=0) as passwords:
        encoded = await passwords.make(PASSWORD)
        assert not must_update(encoded)
        settings.CONSTRUCT = replace(settings.CONSTRUCT, password_hash_passes=2)
        assert must_update(encoded)
        assert await passwords.verify(encoded, PASSWORD)


@pytest.mark.parametrize("password", ["", PASSWORD])
async def test_nobody_has_no_password_and_costs_one_hash(hashed: list[int], password: str) -> None:
    with hashing(threads=1, queue=0) as passwords:
        assert not await passwords.verify(None, password)
    assert hashed == [len(password)]


async def test_an_account_without_a_password_costs_one_hash_too(hashed: list[int]) -> None:
    with hashing(threads=1, queue=0) as passwords:
        assert not await passwords.verify(make_password(None), PASSWORD)
    assert len(hashed) == 1


def test_the_hash_that_nobody_has_is_like_all_others() -> None:
    ours, real = unmatchable_hash().split("$"), make_password(PASSWORD).split("$")
    assert ours[:4] == real[:4]
    assert [len(part) for part in ours] == [len(part) for part in real]
    assert not check_password(PASSWORD, unmatchable_hash())
    assert not must_update(unmatchable_hash())


async def test_beyond_the_queue_the_server_is_busy(gate: type[GatedHasher]) -> None:
    with hashing(threads=1, queue=2) as passwords:
        tasks = [await waiting(passwords) for _ in range(3)]
        await begun(gate)
        for attempt in (passwords.make(PASSWORD), passwords.verify(None, PASSWORD)):
            with pytest.raises(ConstructError) as refusal:
                await attempt
            assert refusal.value.code is ErrorCode.SERVER_BUSY
        gate.gate.set()
        assert len(set(await asyncio.gather(*tasks))) == 3
        assert await passwords.make(PASSWORD)


async def test_a_cancelled_waiter_gives_its_place_back_once(gate: type[GatedHasher]) -> None:
    with hashing(threads=1, queue=1) as passwords:
        running, cancelled = await waiting(passwords), await waiting(passwords)
        await begun(gate)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        successor = await waiting(passwords)
        with pytest.raises(ConstructError):
            await passwords.make(PASSWORD)
        gate.gate.set()
        assert await running
        assert await successor


async def test_a_hash_that_has_begun_keeps_its_place_though_nobody_waits(gate: type[GatedHasher]) -> None:
    with hashing(threads=1, queue=0) as passwords:
        running = await waiting(passwords)
        await begun(gate)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(ConstructError):
            await passwords.make(PASSWORD)
        gate.gate.set()
        # The one thread comes to this when it has done with the hash and its place.
        passwords._executor.submit(int).result(PATIENCE_S)
        assert await passwords.make(PASSWORD)


def test_the_process_has_one_queue() -> None:
    assert get_password_hashing() is get_password_hashing()


async def test_hashes_give_way_to_the_rest_of_the_process() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with hashing(1, 1) as made:
        in_thread = await made._run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert in_thread > own
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
