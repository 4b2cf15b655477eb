"""Limits that are counted in moving windows, their keys, and the switch that lifts them all."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
import redis
from pytest_django import Settings
from time_machine import TimeMachineFixture

from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import Limiter, RateLimit, get_limiter
from construct_site.limits.keys import address_group, counter_key
from construct_site.limits.memory import SMALLEST_SWEEP
from construct_site.limits.refusals import in_words
from construct_site.limits.table import Allowance
from construct_site.limits.windows import MemoryWindows
from tests.construct_site.conftest import Amounts
from tests.services import TAKEN

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


async def refusal(limiter: Limiter, limit: RateLimit, key: UUID | str, per_hour: int | None = None) -> str:
    with pytest.raises(ConstructError) as caught:
        await limiter.hit(limit, key, per_hour=per_hour)
    assert caught.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    return caught.value.text


@pytest.mark.parametrize(
    ("limit", "amount", "text"),
    [
        (RateLimit.ROTATIONS, 10, "Too many key rotations. Try again in 24 hours."),
        (RateLimit.SEARCHES, 30, "Too many searches. Try again in 60 seconds."),
        (RateLimit.BUNDLES, 300, "Too many key requests. Try again in 60 minutes."),
        (RateLimit.EXPORTS, 5, "Too many exports. Try again in 24 hours."),
        (RateLimit.MESSAGES, 1000, "Too many messages. Try again in 60 minutes."),
    ],
)
async def test_the_default_amounts_of_a_user_are_the_contracts(
    limiter: Limiter, time_machine: TimeMachineFixture, limit: RateLimit, amount: int, text: str
) -> None:
    time_machine.move_to(1_800_000_000, tick=False)
    user, other = uuid4(), uuid4()
    for _ in range(amount):
        await limiter.hit(limit, user)
    assert await refusal(limiter, limit, user) == text
    await limiter.hit(limit, other)


async def test_ten_registrations_an_hour_from_one_ipv6_network(limiter: Limiter) -> None:
    for host in range(10):
        await limiter.hit(RateLimit.REGISTRATIONS, f"2001:db8:1:2::{host:x}")
    text = await refusal(limiter, RateLimit.REGISTRATIONS, "2001:db8:1:2:ffff::1")
    assert text.startswith("Too many registrations from this address.")
    await limiter.hit(RateLimit.REGISTRATIONS, "2001:db8:1:3::1")


async def test_the_window_moves_with_its_oldest_use(
    limiter: Limiter, time_machine: TimeMachineFixture, amounts: Amounts
) -> None:
    amounts(bundles_per_hour=2)
    user = uuid4()
    time_machine.move_to(1_800_000_000, tick=False)
    await limiter.hit(RateLimit.BUNDLES, user)
    time_machine.shift(HOUR_S - 10)
    await limiter.hit(RateLimit.BUNDLES, user)
    assert (
        await refusal(limiter, RateLimit.BUNDLES, user) == "Too many key requests. Try again in 10 seconds."
    )
    time_machine.shift(71)
    await limiter.hit(RateLimit.BUNDLES, user)
    assert "59 minutes" in await refusal(limiter, RateLimit.BUNDLES, user)


async def test_searches_are_limited_by_the_day_as_well_as_by_the_minute(
    limiter: Limiter, time_machine: TimeMachineFixture, amounts: Amounts
) -> None:
    amounts(searches_per_minute=2, searches_per_day=3)
    user = uuid4()
    time_machine.move_to(1_800_000_000, tick=False)
    for _ in range(2):
        await limiter.hit(RateLimit.SEARCHES, user)
    assert "60 seconds" in await refusal(limiter, RateLimit.SEARCHES, user)
    time_machine.shift(MINUTE_S + 1)
    await limiter.hit(RateLimit.SEARCHES, user)
    for _ in range(5):
        assert "24 hours" in await refusal(limiter, RateLimit.SEARCHES, user)
    time_machine.shift(DAY_S - MINUTE_S)
    # Refused searches took nothing from the minute: both places of the first minute are free again.
    for _ in range(2):
        await limiter.hit(RateLimit.SEARCHES, user)


async def test_two_processes_share_a_limit(processes: tuple[Limiter, Limiter], amounts: Amounts) -> None:
    amounts(rotations_per_day=3)
    one, two = processes
    user = uuid4()
    await one.hit(RateLimit.ROTATIONS, user)
    await two.hit(RateLimit.ROTATIONS, user)
    await one.hit(RateLimit.ROTATIONS, user)
    await refusal(one, RateLimit.ROTATIONS, user)
    await refusal(two, RateLimit.ROTATIONS, user)


async def test_uses_at_once_on_two_processes_never_pass_the_limit(
    processes: tuple[Limiter, Limiter], amounts: Amounts
) -> None:
    amounts(bundles_per_hour=7)
    user = uuid4()
    uses = [processes[n % 2].hit(RateLimit.BUNDLES, user) for n in range(40)]
    outcomes = await asyncio.gather(*uses, return_exceptions=True)
    assert outcomes.count(None) == 7


async def test_an_hourly_limit_takes_the_place_of_the_tables_and_stands_beside_the_others(
    limiter: Limiter, amounts: Amounts
) -> None:
    amounts(bundles_per_hour=1, searches_per_minute=2, searches_per_day=100)
    user, other = uuid4(), uuid4()
    for _ in range(3):
        await limiter.hit(RateLimit.BUNDLES, user, per_hour=3)
    await refusal(limiter, RateLimit.BUNDLES, user, per_hour=3)
    await limiter.hit(RateLimit.SEARCHES, other, per_hour=1)
    assert "minute" in await refusal(limiter, RateLimit.SEARCHES, other, per_hour=1)
    for _ in range(2):
        await limiter.hit(RateLimit.SEARCHES, user, per_hour=3)
    assert "second" in await refusal(limiter, RateLimit.SEARCHES, user, per_hour=3)
    await refusal(limiter, RateLimit.SEARCHES, uuid4(), per_hour=0)


async def test_the_store_never_sees_who_is_counted(redis_url: str, amounts: Amounts) -> None:
    limiter, user = Limiter(redis_url), uuid4()
    await limiter.hit(RateLimit.SEARCHES, user)
    await limiter.hit(RateLimit.REGISTRATIONS, "192.0.2.77")
    await limiter.check_login("victoria", "192.0.2.77", known=False)
    await limiter.record_failed_login("victoria", "192.0.2.77", known=False)
    limiter.count_message(user)
    await limiter.close()
    with redis.Redis.from_url(redis_url, decode_responses=True) as connection:
        keys = [key for key in connection.keys("*") if key != TAKEN]
        lives_s = [connection.ttl(key) for key in keys]
        kept = " ".join(keys + [str(connection.hgetall(key)) for key in connection.scan_iter(_type="hash")])
    assert len(keys) == 2 + 1 + 3 + 1
    assert all(0 < life_s <= DAY_S for life_s in lives_s)
    for secret in (str(user), user.hex, "192.0.2", "victoria"):
        assert secret not in kept


async def test_with_limits_off_every_check_passes(limiter: Limiter, amounts: Amounts) -> None:
    amounts(limits="off", connections_per_address=1, searches_per_minute=1, messages_per_hour=1)
    user = uuid4()
    for _ in range(60):
        await limiter.hit(RateLimit.SEARCHES, user)
        await limiter.check_login("name", "192.0.2.1", known=False)
        await limiter.record_failed_login("name", "192.0.2.1", known=False)
        limiter.count_message(user)
        limiter.open_connection("192.0.2.1")
    amounts(limits="on")
    await limiter.hit(RateLimit.SEARCHES, user)  # nothing was counted meanwhile
    await limiter.check_login("name", "192.0.2.1", known=False)
    limiter.count_message(user)


async def test_the_loop_has_one_limiter_until_it_is_closed(amounts: Amounts) -> None:
    amounts(redis_url="")
    first = get_limiter()
    assert get_limiter() is first
    await first.close()
    second = get_limiter()
    assert second is not first
    await second.close()


def test_each_loop_has_a_limiter_of_its_own(amounts: Amounts) -> None:
    amounts(redis_url="")

    async def current() -> Limiter:
        return get_limiter()

    assert asyncio.run(current()) is not asyncio.run(current())


def test_without_a_loop_there_is_no_limiter() -> None:
    with pytest.raises(RuntimeError):
        get_limiter()


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_counts_as_its_group(address: str, group: str) -> None:
    assert address_group(address) == group


def test_a_key_depends_on_every_part_and_on_the_secret(settings: Settings) -> None:
    parts = [("ab", "c"), ("a", "bc"), ("ab", "c", ""), ("ab\0c",), ("\ud800",)]
    keys = {counter_key("kind", *each) for each in parts} | {counter_key("other", "ab", "c")}
    assert len(keys) == len(parts) + 1
    assert counter_key("kind", "ab", "c") in keys
    settings.SECRET_KEY = settings.SECRET_KEY + "2"
    assert counter_key("kind", "ab", "c") not in keys


def test_windows_in_memory_are_swept(time_machine: TimeMachineFixture) -> None:
    windows, allowances = MemoryWindows(), (Allowance(5, MINUTE_S),)
    time_machine.move_to(1_800_000_000, tick=False)
    for number in range(SMALLEST_SWEEP):
        windows.take(allowances, f"early {number}")
    assert len(windows) == SMALLEST_SWEEP
    time_machine.shift(MINUTE_S)
    windows.take(allowances, "late")
    assert len(windows) == 1


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (-5, "1 second"),
        (0.2, "1 second"),
        (1.01, "2 seconds"),
        (119, "119 seconds"),
        (119.5, "2 minutes"),
        (3600, "60 minutes"),
        (7200, "2 hours"),
        (86399, "24 hours"),
    ],
)
def test_a_wait_is_rounded_up_in_words(duration_s: float, words: str) -> None:
    assert in_words(duration_s) == words
