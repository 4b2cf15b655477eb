"""So many HTTP requests at once, so many that wait, and no more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from construct_site.bounded import Bounded
from tests.messaging.doubles import turns


class Work:
    """An application whose requests go on until they are let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.begun += 1
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200})


async def _nothing() -> dict[str, Any]:
    raise AssertionError("nobody reads")


class Request:
    def __init__(self, application: Bounded, address: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self.task = asyncio.create_task(application({"address": address}, _nothing, self._send))

    async def _send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status


def bounded(work: Work, *, most: int, waiting: int) -> Bounded:
    return Bounded(work, most=most, waiting=waiting, address_of=lambda scope: str(scope["address"]))


async def test_more_than_may_be_in_work_wait_and_more_than_may_wait_are_refused() -> None:
    work = Work()
    application = bounded(work, most=2, waiting=3)
    requests = [Request(application, f"address {number}") for number in range(6)]
    await turns()
    assert work.begun == 2
    assert [request.task.done() for request in requests] == [False] * 5 + [True]
    assert requests[5].status == 503
    assert json.loads(requests[5].sent[1]["body"])["code"] == "SERVER_BUSY"
    work.gate.set()
    await asyncio.gather(*(request.task for request in requests))
    assert [request.status for request in requests] == [200] * 5 + [503]


async def test_who_leaves_while_waiting_gives_the_place_back() -> None:
    work = Work()
    application = bounded(work, most=1, waiting=1)
    first, leaving = Request(application, "one"), Request(application, "two")
    await turns()
    leaving.task.cancel()
    await turns()
    next_one = Request(application, "two")
    await turns()
    assert not next_one.task.done()
    work.gate.set()
    await asyncio.gather(first.task, next_one.task)
    assert (first.status, next_one.status) == (200, 200)


async def test_one_address_has_half_of_the_places_and_a_quarter_of_those_to_wait() -> None:
    work = Work()
    application = bounded(work, most=4, waiting=8)
    greedy = [Request(application, "greedy") for _ in range(10)]
    await turns()
    assert work.begun == 2
    assert [request.task.done() for request in greedy] == [False] * 4 + [True] * 6
    others = [Request(application, f"other {number}") for number in range(2)]
    await turns()
    assert work.begun == 4
    work.gate.set()
    await asyncio.gather(*(request.task for request in greedy + others))
    assert [request.status for request in greedy + others] == [200] * 4 + [503] * 6 + [200] * 2


async def test_an_address_that_left_has_all_its_places_again() -> None:
    work = Work()
    application = bounded(work, most=4, waiting=0)
    for _ in range(3):
        leaving = [Request(application, "one") for _ in range(2)]
        await turns()
        refused = Request(application, "one")
        await refused.task
        assert refused.status == 503
        for request in leaving:
            request.task.cancel()
        await asyncio.gather(*(request.task for request in leaving), return_exceptions=True)
    assert work.begun == 6
