"""The login door: who is shut out after failed logins, for how long, and who never is."""

from __future__ import annotations

import asyncio

import pytest
from time_machine import TimeMachineFixture

from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import Limiter
from construct_site.limits import door as door_module
from construct_site.limits.attempts import PLACE_S, Guard, MemoryAttempts, Outcome
from construct_site.limits.memory import SMALLEST_SWEEP
from tests.construct_site.conftest import Amounts

HERE, THERE = "192.0.2.1", "198.51.100.2"
NOW = 1_800_000_000
WINDOW_S = 900


@pytest.fixture(autouse=True)
def _standing_clock(time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(NOW, tick=False)


async def fail(limiter: Limiter, name: str | None, address: str, known: bool = False) -> None:
    await limiter.check_login(name, address, known)
    await limiter.record_failed_login(name, address, known)


async def succeed(limiter: Limiter, name: str | None, address: str, known: bool = False) -> None:
    await limiter.check_login(name, address, known)
    await limiter.record_login(name, address, known)


async def refusal(limiter: Limiter, name: str | None, address: str, known: bool = False) -> str:
    with pytest.raises(ConstructError) as caught:
        await limiter.check_login(name, address, known)
    assert caught.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    return caught.value.text


async def test_five_failures_shut_the_name_at_the_address_alone(limiter: Limiter) -> None:
    for _ in range(5):
        await fail(limiter, "alice", HERE)
    assert await refusal(limiter, "alice", HERE) == "Too many failed logins. Try again in 30 seconds."
    await succeed(limiter, "alice", THERE)
    await succeed(limiter, "bob", HERE)


async def test_a_name_counts_whatever_its_case(limiter: Limiter) -> None:
    for name in ("alice", "ALICE", "Alice", "aLice", "alicE"):
        await fail(limiter, name, HERE)
    await refusal(limiter, "AlIcE", HERE)


async def test_each_further_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    for _ in range(5):
        await fail(limiter, "alice", HERE)
    for wait_s in (30, 60, 120, 240, 480, 900, 900):
        time_machine.shift(wait_s - 1)
        assert "Try again in 1 second." in await refusal(limiter, "alice", HERE)
        time_machine.shift(1)
        await fail(limiter, "alice", HERE)


async def test_a_refused_attempt_does_not_lengthen_the_wait(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    for _ in range(5):
        await fail(limiter, "alice", HERE)
    for _ in range(29):
        time_machine.shift(1)
        await refusal(limiter, "alice", HERE)
    time_machine.shift(1)
    await succeed(limiter, "alice", HERE)


async def test_failures_are_forgotten_a_quarter_of_an_hour_after_the_first(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    for _ in range(4):
        await fail(limiter, "alice", HERE)
    time_machine.shift(WINDOW_S)
    for _ in range(5):
        await fail(limiter, "alice", HERE)
    await refusal(limiter, "alice", HERE)
    time_machine.shift(30 + WINDOW_S)
    for _ in range(5):
        await fail(limiter, "alice", HERE)


async def test_a_success_clears_the_name_at_the_address(limiter: Limiter) -> None:
    for _ in range(3):
        for _ in range(4):
            await fail(limiter, "alice", HERE)
        await succeed(limiter, "alice", HERE)


async def test_twenty_failures_shut_the_address_for_all_names(limiter: Limiter) -> None:
    for number in range(20):
        await fail(limiter, f"name{number}", f"2001:db8::{number:x}")
    await refusal(limiter, "another", "2001:db8::ffff")
    await succeed(limiter, "another", "2001:db8:0:1::1")


async def test_who_comes_without_a_name_is_counted_for_the_address_which_no_success_clears(
    limiter: Limiter,
) -> None:
    for number in range(10):
        await fail(limiter, f"name{number}", HERE)
        await fail(limiter, None, HERE)
        if number == 5:
            await succeed(limiter, None, HERE)
    for name in (None, "another"):
        assert await refusal(limiter, name, HERE) == "Too many failed logins. Try again in 30 seconds."
    await succeed(limiter, None, THERE)


async def test_fifty_failures_from_anywhere_shut_the_name_but_not_to_its_own_address(
    limiter: Limiter,
) -> None:
    for number in range(50):
        await fail(limiter, "victim", f"203.0.113.{number}")
    await refusal(limiter, "victim", THERE)
    await succeed(limiter, "victim", HERE, known=True)
    await succeed(limiter, "victim", HERE, known=True)


async def test_a_known_address_has_five_failures_of_its_own(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    for _ in range(5):
        await fail(limiter, "victim", HERE)  # somebody behind the same address, before the first good session
    for _ in range(5):
        await fail(limiter, "victim", HERE, known=True)
    await refusal(limiter, "victim", HERE, known=True)
    time_machine.shift(30)
    await succeed(limiter, "victim", HERE, known=True)


async def test_failures_at_a_known_address_count_neither_for_the_name_nor_for_the_address(
    limiter: Limiter, amounts: Amounts
) -> None:
    amounts(failed_logins_per_name=2, failed_logins_per_address=2)
    for _ in range(4):
        await fail(limiter, "alice", HERE, known=True)
    await fail(limiter, "alice", THERE)
    await fail(limiter, "bob", HERE)


async def test_attempts_at_once_never_get_past_the_limit(limiter: Limiter) -> None:
    async def guess() -> None:
        await limiter.check_login("alice", HERE, known=False)
        await asyncio.sleep(0.02)  # the password is hashed
        await limiter.record_failed_login("alice", HERE, known=False)

    outcomes = await asyncio.gather(*(guess() for _ in range(30)), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, ConstructError)]
    assert (outcomes.count(None), len(refused)) == (5, 25)


async def test_after_a_wait_only_one_attempt_is_made_at_a_time(
    limiter: Limiter, time_machine: TimeMachineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.0)
    for _ in range(5):
        await fail(limiter, "alice", HERE)
    time_machine.shift(30)
    await limiter.check_login("alice", HERE, known=False)
    assert await refusal(limiter, "alice", HERE) == "Too many logins at once. Try again in 1 second."
    await limiter.record_failed_login("alice", HERE, known=False)
    assert "60 seconds" in await refusal(limiter, "alice", HERE)


async def test_good_logins_at_once_all_get_their_turn(limiter: Limiter) -> None:
    async def log_in(name: str) -> None:
        await limiter.check_login(name, HERE, known=False)
        await asyncio.sleep(0.01)
        await limiter.record_login(name, HERE, known=False)

    await asyncio.gather(*(log_in(f"name{number}") for number in range(50)))
    await succeed(limiter, "last", HERE)


async def test_an_attempt_without_a_verdict_counts_as_nothing(limiter: Limiter) -> None:
    for _ in range(12):
        await limiter.check_login("alice", HERE, known=False)
        await limiter.abandon_login("alice", HERE, known=False)
    for _ in range(4):
        await fail(limiter, "alice", HERE)
    await succeed(limiter, "alice", HERE)


async def test_places_that_nobody_gives_back_are_free_again_after_a_while(
    limiter: Limiter, time_machine: TimeMachineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.0)
    for _ in range(5):
        await limiter.check_login("alice", HERE, known=False)
    assert "logins at once" in await refusal(limiter, "alice", HERE)
    time_machine.shift(PLACE_S)
    await succeed(limiter, "alice", HERE)


async def test_two_processes_share_the_door(processes: tuple[Limiter, Limiter]) -> None:
    for number in range(5):
        await fail(processes[number % 2], "alice", HERE)
    for each in processes:
        await refusal(each, "alice", HERE)


def test_hundreds_of_failures_keep_the_longest_wait() -> None:
    attempts, guards, now = MemoryAttempts(), [Guard("key", 1)], float(NOW)
    for _ in range(2000):
        attempts.leave(guards, Outcome.FAILED, now)
    assert attempts.enter(guards, now) == WINDOW_S


def test_failures_in_memory_are_swept() -> None:
    attempts = MemoryAttempts()
    for number in range(SMALLEST_SWEEP):
        attempts.leave([Guard(f"key {number}", 5)], Outcome.FAILED, float(NOW))
    attempts.leave([Guard("late", 5)], Outcome.FAILED, float(NOW + WINDOW_S))
    assert len(attempts) == 1
