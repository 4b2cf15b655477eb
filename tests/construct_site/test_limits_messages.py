"""The count of messages: refusal, block, end of the block, and how processes agree on it."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from redis import Redis
from time_machine import TimeMachineFixture

from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import Limiter
from construct_site.limits.keys import counter_key
from construct_site.limits.memory import SMALLEST_SWEEP
from construct_site.limits.messages import MessageCounter
from construct_site.limits.reconcile import USERS_PER_CALL
from tests.construct_site.conftest import Amounts

HOUR_S = 3600


@pytest.fixture(autouse=True)
def _standing_clock(time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(1_800_000_000, tick=False)


@pytest.fixture(autouse=True)
def _small_amounts(amounts: Amounts) -> None:
    amounts(messages_per_hour=10, messages_block_at=15)


def send(
    limiter: Limiter | MessageCounter, user: UUID, times: int = 1, per_hour: int | None = None
) -> list[ErrorCode | None]:
    """The outcome of each attempt, in order."""
    outcomes: list[ErrorCode | None] = []
    for _ in range(times):
        try:
            count = limiter.count_message if isinstance(limiter, Limiter) else limiter.count
            count(user, per_hour)
        except ConstructError as error:
            outcomes.append(error.code)
        else:
            outcomes.append(None)
    return outcomes


def refusal(limiter: Limiter, user: UUID) -> str:
    with pytest.raises(ConstructError) as caught:
        limiter.count_message(user)
    return caught.value.text


async def test_the_fifteenth_attempt_blocks(limiter: Limiter) -> None:
    outcomes = send(limiter, uuid4(), 17)
    assert outcomes[:10] == [None] * 10
    assert outcomes[10:14] == [ErrorCode.RATE_LIMIT_EXCEEDED] * 4
    assert outcomes[14:] == [ErrorCode.RATE_LIMIT_BLOCKED, ErrorCode.USER_BLOCKED, ErrorCode.USER_BLOCKED]


async def test_each_refusal_says_when_to_try_again(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    user = uuid4()
    send(limiter, user, 10)
    time_machine.shift(600)
    assert refusal(limiter, user) == "Too many messages. Try again in 50 minutes."
    send(limiter, user, 3)
    assert refusal(limiter, user) == "Too many messages. You are blocked for 60 minutes."
    time_machine.shift(HOUR_S - 45)
    assert refusal(limiter, user) == "Still blocked for too many messages. Try again in 45 seconds."


async def test_a_block_lasts_an_hour_and_leaves_a_fresh_allowance(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    user = uuid4()
    send(limiter, user, 15)
    time_machine.shift(HOUR_S - 1)
    assert send(limiter, user, 20) == [ErrorCode.USER_BLOCKED] * 20
    time_machine.shift(1)
    assert send(limiter, user, 11) == [None] * 10 + [ErrorCode.RATE_LIMIT_EXCEEDED]


async def test_the_hour_begins_with_the_first_message(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    user = uuid4()
    send(limiter, user, 1)
    time_machine.shift(HOUR_S - 1)
    assert send(limiter, user, 10) == [None] * 9 + [ErrorCode.RATE_LIMIT_EXCEEDED]
    time_machine.shift(1)
    assert send(limiter, user, 10) == [None] * 10


async def test_users_are_counted_apart(limiter: Limiter) -> None:
    send(limiter, uuid4(), 15)
    assert send(limiter, uuid4(), 10) == [None] * 10


async def test_processes_learn_each_others_counts(processes: tuple[Limiter, Limiter]) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 6)
    send(two, user, 3)
    for each in (one, two, one):
        await each.reconcile()
    send(one, user)  # 10 in all
    await one.reconcile()
    assert send(two, user) == [None]  # not heard yet
    await two.reconcile()
    assert send(two, user) == [ErrorCode.RATE_LIMIT_EXCEEDED]
    await one.reconcile()


async def test_reconciling_again_and_again_counts_nothing_twice(processes: tuple[Limiter, Limiter]) -> None:
    one, two = processes
    user = uuid4()
    for each in (one, two) * 2:
        send(each, user, 2)
        for _ in range(3):
            await one.reconcile()
            await two.reconcile()
    send(one, user)  # the ninth
    await one.reconcile()
    assert send(one, user, 2) == [None, ErrorCode.RATE_LIMIT_EXCEEDED]


async def test_a_block_reaches_the_other_process(
    processes: tuple[Limiter, Limiter], time_machine: TimeMachineFixture
) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 15)
    send(two, user)
    await one.reconcile()
    await two.reconcile()
    time_machine.shift(60)
    assert refusal(two, user) == "Still blocked for too many messages. Try again in 59 minutes."
    time_machine.shift(HOUR_S - 60)
    for each in (one, two):
        assert send(each, user) == [None]


async def test_the_block_begins_where_the_counts_of_two_processes_reach_it(
    processes: tuple[Limiter, Limiter],
) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 9)
    send(two, user, 9)
    await one.reconcile()
    await two.reconcile()
    assert send(two, user, 2) == [ErrorCode.RATE_LIMIT_BLOCKED, ErrorCode.USER_BLOCKED]


async def test_a_new_hour_begins_for_all_processes(
    processes: tuple[Limiter, Limiter], time_machine: TimeMachineFixture
) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 9)
    await one.reconcile()
    time_machine.shift(HOUR_S)
    send(two, user, 2)
    await two.reconcile()
    send(one, user, 1)
    await one.reconcile()
    assert send(one, user, 8) == [None] * 7 + [ErrorCode.RATE_LIMIT_EXCEEDED]


async def test_hours_that_began_apart_merge_into_the_one_that_ends_first(
    processes: tuple[Limiter, Limiter], time_machine: TimeMachineFixture
) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 6)
    time_machine.shift(1800)
    send(two, user, 5)
    await two.reconcile()
    await one.reconcile()
    assert refusal(one, user) == "Too many messages. Try again in 30 minutes."


async def test_many_users_are_reconciled_in_several_calls(processes: tuple[Limiter, Limiter]) -> None:
    one, two = processes
    users = [uuid4() for _ in range(2 * USERS_PER_CALL + 1)]
    for user in users:
        send(one, user, 10)
        send(two, user)
    await one.reconcile()
    await two.reconcile()
    assert [send(two, user) for user in users] == [[ErrorCode.RATE_LIMIT_EXCEEDED]] * len(users)


async def test_the_last_counts_are_shared_on_closing(redis_url: str) -> None:
    user = uuid4()
    stopping, staying = Limiter(redis_url), Limiter(redis_url)
    send(stopping, user, 10)
    await stopping.close()
    send(staying, user)
    await staying.reconcile()
    assert send(staying, user) == [ErrorCode.RATE_LIMIT_EXCEEDED]
    await staying.close()


def test_counters_in_memory_are_swept(time_machine: TimeMachineFixture) -> None:
    counter = MessageCounter(is_shared=False)
    for _ in range(SMALLEST_SWEEP):
        counter.count(uuid4())
    time_machine.shift(HOUR_S)
    counter.count(uuid4())
    assert (len(counter.windows), len(counter.changed)) == (1, 0)


async def test_a_raised_limit_ends_the_block_and_a_lower_one_does_not(limiter: Limiter) -> None:
    user = uuid4()
    assert send(limiter, user, 16)[14:] == [ErrorCode.RATE_LIMIT_BLOCKED, ErrorCode.USER_BLOCKED]
    for per_hour in (10, 3):
        assert send(limiter, user, per_hour=per_hour) == [ErrorCode.USER_BLOCKED]
    assert send(limiter, user, 3, per_hour=17) == [None, None, ErrorCode.RATE_LIMIT_EXCEEDED]
    assert send(limiter, user) == [ErrorCode.USER_BLOCKED], "the limit was taken back"


async def test_attempts_of_the_hour_count_towards_a_raised_limit(limiter: Limiter) -> None:
    user = uuid4()
    send(limiter, user, 15)
    outcomes = send(limiter, user, 3, per_hour=12)
    assert outcomes == [
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.RATE_LIMIT_BLOCKED,
        ErrorCode.USER_BLOCKED,
    ]


async def test_after_the_hour_a_raised_limit_is_a_fresh_allowance_within_the_block(
    limiter: Limiter, time_machine: TimeMachineFixture
) -> None:
    user = uuid4()
    send(limiter, user)
    time_machine.shift(HOUR_S / 2)
    send(limiter, user, 14)
    time_machine.shift(HOUR_S / 2 + 1)
    assert send(limiter, user) == [ErrorCode.USER_BLOCKED]
    assert send(limiter, user, 13, per_hour=12) == [None] * 12 + [ErrorCode.RATE_LIMIT_EXCEEDED]


async def test_a_raised_limit_ends_the_block_on_every_process(processes: tuple[Limiter, Limiter]) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 15)
    send(two, user)
    for each in (one, two):
        await each.reconcile()
        assert send(each, user) == [ErrorCode.USER_BLOCKED]
    for each in (one, two, one, two):
        assert send(each, user, per_hour=30) == [None]
        await each.reconcile()
    assert send(two, user) == [ErrorCode.USER_BLOCKED]


async def test_a_block_by_a_process_of_the_version_before_holds_under_every_limit(
    processes: tuple[Limiter, Limiter], redis_url: str
) -> None:
    one, two = processes
    user = uuid4()
    send(one, user, 15)
    await one.reconcile()
    with Redis.from_url(redis_url) as store:
        assert store.hdel(counter_key("messages", str(user)), "blocked_above") == 1
    send(two, user)
    await two.reconcile()
    assert send(two, user, per_hour=1_000_000) == [ErrorCode.USER_BLOCKED]


async def test_a_limit_of_ones_own_holds_in_the_place_of_the_servers(limiter: Limiter) -> None:
    for per_hour in (0, 3, 20):
        user = uuid4()
        refused = [ErrorCode.RATE_LIMIT_EXCEEDED] * 4
        assert send(limiter, user, per_hour + 6, per_hour) == [
            *[None] * per_hour,
            *refused,
            ErrorCode.RATE_LIMIT_BLOCKED,
            ErrorCode.USER_BLOCKED,
        ], "blocked as far beyond it as others beyond theirs"


async def test_a_limit_of_ones_own_is_counted_by_all_processes(processes: tuple[Limiter, Limiter]) -> None:
    one, two = processes
    user = uuid4()
    for _ in range(3):
        one.count_message(user, 4)
    await one.reconcile()
    two.count_message(user, 4)
    await two.reconcile()
    with pytest.raises(ConstructError) as refused:
        two.count_message(user, 4)
    assert refused.value.code is ErrorCode.RATE_LIMIT_EXCEEDED
    two.count_message(user, 6)
