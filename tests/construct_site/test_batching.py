from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from construct_site.batching import Batcher
from tests.messaging.doubles import turns


class Doubling:
    """Doubles numbers when its gate is open; refuses odd ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return [ValueError(number) if number % 2 else 2 * number for number in numbers]


async def begun(batcher: Batcher[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    calls = [asyncio.create_task(batcher.call(number)) for number in numbers]
    await turns()
    return calls


async def test_calls_that_come_during_one_go_together_in_the_next() -> None:
    work = Doubling()
    batcher = Batcher(work, most=3)
    calls = await begun(batcher, [0]) + await begun(batcher, [2, 4, 6, 8])
    work.gate.set()
    assert await asyncio.gather(*calls) == [0, 4, 8, 12, 16]
    assert work.batches == [[0], [2, 4, 6], [8]]


async def test_a_call_alone_is_made_at_once_and_again_later() -> None:
    work = Doubling()
    work.gate.set()
    batcher = Batcher(work, most=3)
    assert [await batcher.call(number) for number in (2, 4)] == [4, 8]
    assert work.batches == [[2], [4]]


async def test_each_call_raises_its_own_error() -> None:
    work = Doubling()
    work.gate.set()
    batcher = Batcher(work, most=3)
    answers = await asyncio.gather(*(batcher.call(number) for number in (1, 2, 3)), return_exceptions=True)
    assert [answer if isinstance(answer, int) else str(answer) for answer in answers] == ["1", 4, "3"]


async def test_what_the_work_raises_every_call_raises_and_the_next_works() -> None:
    work = Doubling()
    work.gate.set()
    work.fault = ConnectionError("away")
    batcher = Batcher(work, most=3)
    answers = await asyncio.gather(*(batcher.call(number) for number in (2, 4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 2
    work.fault = None
    assert await batcher.call(2) == 4


async def test_who_waits_no_longer_is_left_out() -> None:
    work = Doubling()
    batcher = Batcher(work, most=3)
    first, second, third = await begun(batcher, [0]) + await begun(batcher, [2, 4])
    first.cancel()
    second.cancel()
    await turns()
    work.gate.set()
    assert await third == 8
    assert work.batches == [[0], [4]]
    with pytest.raises(asyncio.CancelledError):
        await first
