"""When the confirmation of a row goes to the mailbox: not while its ring may be on its way elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from messaging import rung
from messaging.rung import RungRows
from tests.messaging.doubles import turns, until


class Confirmations:
    """What reached the mailbox, in its order."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, row_ids: list[int], then: Callable[[int], None]) -> None:
        self.rows += row_ids
        for row_id in row_ids:
            then(row_id)


@pytest.fixture
def confirmations() -> Confirmations:
    return Confirmations()


@pytest.fixture
async def rows(confirmations: Confirmations) -> RungRows:
    return RungRows(confirmations)


def ring(rows: RungRows, row_id: int, *, own: int = 1) -> asyncio.Future[int]:
    heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    rows.note(row_id, heard, own)
    return heard


def unseen(_row_id: int) -> None:
    """Nobody wants to know."""


class TestAtOnce:
    async def test_a_row_that_was_not_rung_for(self, rows: RungRows, confirmations: Confirmations) -> None:
        ring(rows, 1)
        stubs: list[int] = []
        rows.confirm([7, 8], stubs.append)
        assert (confirmations.rows, stubs) == ([7, 8], [7, 8])

    @pytest.mark.parametrize("own", [0, 1])
    async def test_a_row_whose_recipient_no_other_process_has(
        self, rows: RungRows, confirmations: Confirmations, own: int
    ) -> None:
        ring(rows, 1, own=own).set_result(own)
        await turns()
        rows.confirm([1], unseen)
        assert confirmations.rows == [1]

    @pytest.mark.parametrize("own", [0, 1])
    async def test_a_row_that_is_confirmed_before_that_is_known(
        self, rows: RungRows, confirmations: Confirmations, own: int
    ) -> None:
        heard = ring(rows, 1, own=own)
        rows.confirm([1], unseen)
        assert confirmations.rows == []
        heard.set_result(own)
        await turns()
        assert confirmations.rows == [1]

    async def test_all_who_confirmed_a_row_hear_of_it(
        self, rows: RungRows, confirmations: Confirmations
    ) -> None:
        heard = ring(rows, 1)
        stubs: list[str] = []
        rows.confirm([1], lambda _row: stubs.append("phone"))
        rows.confirm([1], lambda _row: stubs.append("laptop"))
        heard.set_result(1)
        await turns()
        assert (confirmations.rows, stubs) == ([1, 1], ["phone", "laptop"])

    async def test_everything_when_the_process_ends(
        self, rows: RungRows, confirmations: Confirmations
    ) -> None:
        ring(rows, 1)
        ring(rows, 2).set_result(2)
        await turns()
        rows.confirm([1], unseen)
        rows.confirm([2], unseen)
        assert confirmations.rows == []
        rows.release_all()
        assert confirmations.rows == [1, 2]


class TestLater:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rung, "ON_ITS_WAY_S", 0.05)

    @pytest.mark.parametrize("count", [2, 0], ids=["another process has the user", "nobody heard it"])
    async def test_a_row_that_may_be_on_its_way(
        self, rows: RungRows, confirmations: Confirmations, count: int
    ) -> None:
        begun = asyncio.get_running_loop().time()
        heard = ring(rows, 1)
        stubs: list[int] = []
        rows.confirm([1, 9], stubs.append)
        assert confirmations.rows == [9]
        heard.set_result(count)
        await until(lambda: confirmations.rows == [9, 1])
        assert stubs == [9, 1]
        assert asyncio.get_running_loop().time() - begun >= 0.05

    async def test_the_time_begins_when_the_ring_was_published(
        self, rows: RungRows, confirmations: Confirmations
    ) -> None:
        loop = asyncio.get_running_loop()
        heard = ring(rows, 1)
        await asyncio.sleep(0.03)
        published = loop.time()
        heard.set_result(2)
        await turns()
        rows.confirm([1], unseen)
        await until(lambda: confirmations.rows == [1])
        assert loop.time() - published >= 0.05

    async def test_each_batch_goes_when_its_time_has_come(
        self, rows: RungRows, confirmations: Confirmations
    ) -> None:
        ring(rows, 1).set_result(2)
        rows.confirm([1], unseen)
        await asyncio.sleep(0.03)
        ring(rows, 2).set_result(2)
        rows.confirm([2], unseen)
        await until(lambda: bool(confirmations.rows))
        assert confirmations.rows == [1]
        await until(lambda: confirmations.rows == [1, 2])

    async def test_what_nobody_confirms_here_is_forgotten(self, rows: RungRows) -> None:
        for row_id in range(100):
            ring(rows, row_id, own=0).set_result(1)
        await asyncio.sleep(0.06)
        ring(rows, 100)
        assert list(rows._until) == [100]
