from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from messaging.pipeline import Pipeline, Reply
from tests.messaging.doubles import PATIENCE_S, turns


@pytest.fixture
def written() -> list[bytes]:
    return []


@pytest.fixture
def pipeline(written: list[bytes]) -> Pipeline:
    return Pipeline(written.append, most=2)


def three(pipeline: Pipeline) -> list[Reply]:
    return [pipeline.begin(due_at) for due_at in (1.0, 2.0, 3.0)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_replies_keep_the_order_of_the_requests(
    pipeline: Pipeline, written: list[bytes], order: tuple[int, ...]
) -> None:
    replies = three(pipeline)
    for number in order:
        pipeline.fill(replies[number], bytes([number]))
    assert written == [b"\x00", b"\x01", b"\x02"]
    assert len(pipeline) == 0


def test_a_reply_waits_for_no_later_one(pipeline: Pipeline, written: list[bytes]) -> None:
    first, *_ = three(pipeline)
    pipeline.fill(first, b"first")
    assert written == [b"first"]
    assert [reply.due_at for reply in pipeline.open_replies] == [2.0, 3.0]


def test_a_request_without_a_reply_holds_up_nobody(pipeline: Pipeline, written: list[bytes]) -> None:
    first, second, third = three(pipeline)
    pipeline.fill(second, None)
    pipeline.fill(third, b"third")
    assert written == []
    pipeline.fill(first, None)
    assert written == [b"third"]
    assert len(pipeline) == 0


def test_a_second_answer_is_dropped(pipeline: Pipeline, written: list[bytes]) -> None:
    first, second, _ = three(pipeline)
    pipeline.fill(second, b"second")
    pipeline.fill(second, b"again")
    pipeline.fill(first, b"first")
    pipeline.fill(first, b"again")
    assert written == [b"first", b"second"]


async def test_a_reader_waits_for_room(pipeline: Pipeline) -> None:
    first, second = pipeline.begin(1.0), pipeline.begin(1.0)
    waiting = asyncio.ensure_future(pipeline.has_room())
    pipeline.fill(second, b"not the oldest, so it frees no place")
    await turns()
    assert not waiting.done()
    pipeline.fill(first, b"")
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert len(pipeline) == 0


async def test_a_barrier_waits_for_every_earlier_reply(pipeline: Pipeline) -> None:
    first, second = pipeline.begin(1.0), pipeline.begin(1.0)
    waiting = asyncio.ensure_future(pipeline.is_empty())
    pipeline.fill(first, b"")
    await turns()
    assert not waiting.done()
    pipeline.fill(second, None)
    await asyncio.wait_for(waiting, PATIENCE_S)


async def test_nobody_waits_where_there_is_room(pipeline: Pipeline) -> None:
    await asyncio.wait_for(pipeline.is_empty(), PATIENCE_S)
    pipeline.begin(1.0)
    await asyncio.wait_for(pipeline.has_room(), PATIENCE_S)
    assert len(pipeline) == 1
