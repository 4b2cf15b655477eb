"""One identity on one socket, against a mailbox in memory: what is handed, what is confirmed, when it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from django.db import InterfaceError, OperationalError
from hypothesis import example, given
from hypothesis import strategies as st

from construct_site.errors import CloseCode, ErrorCode
from construct_site.metrics.collector import COLLECTOR
from construct_site.metrics.table import BOUNDS_S, Metric
from messaging import connection as connection_module
from messaging.connection import Connection
from messaging.protocol import codec
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import (
    ModelRows,
    RecordingSocket,
    begun,
    chat_message,
    identity,
    message_frame,
    turns,
    until,
)

FRAMES = [bytes([number]) * 10 for number in range(100)]


@pytest.fixture
def rows() -> ModelRows:
    return ModelRows()


def store_all(rows: ModelRows, frames: list[bytes]) -> list[int]:
    return [rows.store(frame)[0] for frame in frames]


def offer_all(rows: ModelRows, connection: Connection, frames: list[bytes]) -> list[bool]:
    return [connection.offer(*rows.store(frame)) for frame in frames]


def answer(connection: Connection, socket: RecordingSocket) -> None:
    """The client answers the newest ping."""
    connection.pong(socket.pings[-1])


def answer_all(connection: Connection, socket: RecordingSocket) -> None:
    """The client answers every ping."""
    answered = 0
    while answered < len(socket.pings):
        answered = len(socket.pings)
        answer(connection, socket)


def offer_seen(rows: ModelRows, connection: Connection, number: int) -> int:
    """A message whose id is this number is stored and written; its row."""
    row_id, previous, frame = rows.store(message_frame(message_id=str(UUID(int=number))))
    assert connection.offer(row_id, previous, frame)
    return row_id


class TestHandingOver:
    async def test_nothing_is_handed_before_the_success_frame(self, rows: ModelRows) -> None:
        socket = RecordingSocket()
        connection = Connection(identity(), socket, rows)
        store_all(rows, FRAMES[:1])
        assert not connection.offer(*rows.store(FRAMES[1]))
        await turns()
        assert (socket.frames, rows.pages) == ([], 0)
        connection.begin()
        await turns()
        assert socket.frames == FRAMES[:2]

    async def test_what_waits_comes_first_and_in_order(self, rows: ModelRows) -> None:
        store_all(rows, FRAMES[:5])
        _, socket = await begun(rows)
        assert socket.frames == FRAMES[:5]

    async def test_a_connection_with_everything_is_handed_messages_directly(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        pages = rows.pages
        assert offer_all(rows, connection, FRAMES[:3]) == [True, True, True]
        assert socket.frames == FRAMES[:3]
        assert rows.pages == pages

    async def test_a_message_stored_during_the_first_page_comes_once(self, rows: ModelRows) -> None:
        socket = RecordingSocket()
        connection = Connection(identity(), socket, rows)
        connection.begin()
        assert offer_all(rows, connection, FRAMES[:2]) == [False, False]
        await turns()
        assert socket.frames == FRAMES[:2]
        assert connection.offer(*rows.store(FRAMES[2]))

    async def test_what_is_rung_for_during_a_page_needs_no_further_page(self) -> None:
        rows = ModelRows(is_stepwise=True)
        connection, socket = await begun(rows)
        rows.step()
        await turns()
        offer_all(rows, connection, FRAMES[:3])
        rows.step()
        await turns()
        assert (socket.frames, rows.pages, connection.knows_all) == (FRAMES[:3], 1, True)

    async def test_a_ring_that_was_lost_during_a_page_needs_a_further_page(self) -> None:
        rows = ModelRows(is_stepwise=True)
        connection, socket = await begun(rows)
        rows.step()
        await turns()
        store_all(rows, FRAMES[:1])
        offer_all(rows, connection, FRAMES[1:3])
        for _ in range(3):
            rows.step()
        await turns()
        assert (socket.frames, rows.pages, connection.knows_all) == (FRAMES[:3], 2, True)

    async def test_an_earlier_message_of_the_sender_that_was_not_handed_means_a_lost_ring(
        self, rows: ModelRows
    ) -> None:
        connection, socket = await begun(rows)
        store_all(rows, FRAMES[:1])
        assert not connection.offer(*rows.store(FRAMES[1]))
        assert socket.frames == []
        await turns()
        assert socket.frames == FRAMES[:2]

    async def test_a_predecessor_that_became_a_stub_meanwhile_was_handed(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        connection.offer(*rows.store(FRAMES[0]))
        begun_store = rows.begin_store()
        answer(connection, socket)
        rows.commit_stubs()
        rows.end_store(begun_store[0], FRAMES[1])
        assert connection.offer(*begun_store, FRAMES[1])

    async def test_what_others_sent_and_nobody_rang_does_not_hold_up_a_sender(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        rows.end_store(rows.begin_store(sender=1)[0], FRAMES[0])
        assert connection.offer(*rows.store(FRAMES[1]))
        assert socket.frames == FRAMES[1:2]

    async def test_a_ring_that_comes_late_is_not_trusted(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        late, _ = rows.begin_store()
        assert connection.offer(*rows.store(FRAMES[1]))
        rows.end_store(late, FRAMES[0])
        assert not connection.offer(late, 0, FRAMES[0])
        assert socket.frames == FRAMES[1:2]
        await turns()
        assert socket.frames == [FRAMES[1], FRAMES[0]]

    async def test_a_second_ring_for_a_handed_row_hands_nothing(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        ring = rows.store(FRAMES[0])
        assert connection.offer(*ring)
        assert connection.offer(*ring)
        assert socket.frames == FRAMES[:1]

    async def test_a_look_finds_what_was_not_offered(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        row, *_ = store_all(rows, FRAMES[:2])
        assert not connection.has_been_handed(row)
        connection.look()
        await turns()
        assert socket.frames == FRAMES[:2]
        assert connection.has_been_handed(row)

    async def test_unreadable_rows_are_discarded_and_the_rest_comes(self, rows: ModelRows) -> None:
        stored = store_all(rows, FRAMES[:4])
        rows.unreadable = {stored[0], stored[2]}
        _, socket = await begun(rows)
        assert socket.frames == [FRAMES[1], FRAMES[3]]
        assert rows.discarded == [stored[0], stored[2]]

    async def test_a_page_that_comes_after_the_end_is_not_handed(self) -> None:
        rows = ModelRows(is_stepwise=True)
        store_all(rows, FRAMES[:1])
        connection, socket = await begun(rows)
        connection.detach()
        rows.step()
        rows.step()
        await turns()
        assert (rows.pages, socket.frames) == (1, [])

    @pytest.mark.parametrize("failure", [OperationalError, InterfaceError, RuntimeError])
    async def test_paging_is_tried_again_whatever_failed(
        self, rows: ModelRows, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_module, "_PAGING_RETRY_S", 0.001)
        store_all(rows, FRAMES[:1])
        rows.failures = [failure("away"), failure("away")]
        _, socket = await begun(rows)
        await until(lambda: bool(socket.frames))
        assert (socket.frames, rows.pages) == (FRAMES[:1], 3)


class TestUnheard:
    """Rows of a blocked sender: taken and confirmed, never written."""

    async def test_one_is_taken_and_confirmed_by_the_next_pong(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        row_id, previous, frame = rows.store(FRAMES[0])
        assert connection.offer(row_id, previous, frame, is_unheard=True)
        assert (socket.frames, connection.has_been_handed(row_id)) == ([], True)
        answer(connection, socket)
        assert rows.confirmed == [row_id]

    async def test_a_paged_one_is_not_written_and_the_others_keep_their_order(self, rows: ModelRows) -> None:
        stored = store_all(rows, FRAMES[:4])
        rows.unheard = {stored[0], stored[2]}
        connection, socket = await begun(rows)
        assert socket.frames == [FRAMES[1], FRAMES[3]]
        answer(connection, socket)
        answer(connection, socket)
        assert sorted(rows.confirmed) == stored

    async def test_a_client_with_receipts_need_not_say_that_it_stored_one(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows, receipts=True)
        seen = message_frame(message_id=str(UUID(int=1)))
        row_ids = [row for row, _, _ in (rows.store(FRAMES[0]), rows.store(seen))]
        connection.offer(row_ids[0], 0, FRAMES[0], is_unheard=True)
        connection.offer(row_ids[1], row_ids[0], seen)
        answer(connection, socket)
        assert (socket.frames, rows.confirmed) == ([seen], row_ids[:1])
        connection.received([str(UUID(int=1))])
        assert rows.confirmed == row_ids

    async def test_one_waits_for_the_receipts_that_are_owed_before_it_and_not_for_later_ones(
        self, rows: ModelRows
    ) -> None:
        connection, socket = await begun(rows, receipts=True)
        first = offer_seen(rows, connection, 1)
        unheard, previous, frame = rows.store(FRAMES[0])
        assert connection.offer(unheard, previous, frame, is_unheard=True)
        last = offer_seen(rows, connection, 2)
        answer_all(connection, socket)
        assert (rows.confirmed, connection.has_been_handed(unheard)) == ([], True)
        connection.received([str(UUID(int=1))])
        assert sorted(rows.confirmed) == [first, unheard]
        connection.received([str(UUID(int=2))])
        assert sorted(rows.confirmed) == [first, unheard, last]

    async def test_a_message_that_the_client_passes_over_is_no_reason_to_wait(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows, receipts=True)
        passed_over = offer_seen(rows, connection, 1)
        stored = [rows.store(FRAMES[0])]
        connection.offer(*stored[0], is_unheard=True)
        named = offer_seen(rows, connection, 2)
        answer_all(connection, socket)
        connection.received([str(UUID(int=2))])
        stored.append(rows.store(FRAMES[1]))
        connection.offer(*stored[1], is_unheard=True)
        answer_all(connection, socket)
        assert sorted(rows.confirmed) == [stored[0][0], named, stored[1][0]]
        assert connection.has_been_handed(passed_over)

    async def test_one_waits_for_what_was_written_before_it_in_whatever_order_that_was_stored(
        self, rows: ModelRows
    ) -> None:
        connection, socket = await begun(rows, receipts=True)
        late, _ = rows.begin_store()
        named = offer_seen(rows, connection, 2)
        frame = message_frame(message_id=str(UUID(int=1)))
        rows.end_store(late, frame)
        connection.offer(late, 0, frame)
        await turns()
        assert len(socket.frames) == 2
        connection.received([str(UUID(int=2))])
        unheard, previous, frame = rows.store(FRAMES[0])
        assert connection.offer(unheard, previous, frame, is_unheard=True)
        answer_all(connection, socket)
        assert rows.confirmed == [named]
        connection.received([str(UUID(int=1))])
        assert rows.confirmed == [named, late, unheard]

    async def test_a_message_that_is_named_late_is_no_reason_to_wait(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows, receipts=True)
        seen = [offer_seen(rows, connection, number) for number in (1, 2)]
        for number in (2, 1):
            connection.received([str(UUID(int=number))])
        unheard, previous, frame = rows.store(FRAMES[0])
        assert connection.offer(unheard, previous, frame, is_unheard=True)
        answer_all(connection, socket)
        assert rows.confirmed == [*reversed(seen), unheard]

    async def test_those_left_on_disk_keep_their_order(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(window_bytes=1000, window_bytes_max=2000)
        connection, socket = await begun(rows, receipts=True)
        seen = [offer_seen(rows, connection, number) for number in (1, 2)]
        rings = [rows.store(bytes(size)) for size in (500, 600, 900, 10)]
        assert [connection.offer(*ring, is_unheard=True) for ring in rings] == [True, False, False, False]
        answer_all(connection, socket)
        connection.received([str(UUID(int=1))])
        # The last would fit, the one before it does not.
        unheard = [row for row, _, _ in rings]
        assert [connection.has_been_handed(row) for row in unheard] == [True, True, False, False]
        connection.received([str(UUID(int=2))])
        answer_all(connection, socket)
        assert sorted(rows.confirmed) == [*seen, *unheard]

    async def test_those_that_wait_for_a_receipt_hold_up_no_others(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(window_messages=3, window_messages_max=6)
        connection, socket = await begun(rows, receipts=True)
        first = offer_seen(rows, connection, 1)
        unheard = []
        for frame in FRAMES[:5]:
            unheard.append(rows.store(frame))
            connection.offer(*unheard[-1], is_unheard=True)
            answer_all(connection, socket)
        written = [offer_seen(rows, connection, number) for number in (2, 3)]
        answer_all(connection, socket)
        handed = [row for row, _, _ in unheard if connection.has_been_handed(row)]
        assert (handed, rows.confirmed) == ([row for row, _, _ in unheard[:2]], [])
        # A fourth does not fit: pongs let the window of a client with receipts grow by nothing that it stored.
        assert not connection.offer(*rows.store(message_frame()))
        connection.received([str(UUID(int=number)) for number in (1, 2, 3)])
        answer_all(connection, socket)
        assert sorted(rows.confirmed) == [first, *(row for row, _, _ in unheard), *written]
        assert len(socket.frames) == 4

    async def test_those_left_on_disk_are_known(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(window_messages=2, window_messages_max=2)
        connection, _ = await begun(rows, receipts=True)
        offer_seen(rows, connection, 1)
        rings = [rows.store(frame) for frame in FRAMES[:3]]
        taken = [connection.offer(*ring, is_unheard=True) for ring in rings + rings]
        assert taken == [True, False, False] * 2
        pages = rows.pages
        connection.compare(len(rows.waiting), rings[-1][0])
        await turns()
        assert (rows.pages, connection.knows_all) == (pages, True)

    async def test_paged_ones_without_room_let_others_past(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(window_messages=3, window_messages_max=3)
        frames = [message_frame(message_id=str(UUID(int=number))) for number in range(20)]
        stored = store_all(rows, frames)
        seen = {0, 15, 19}
        rows.unheard = {stored[number] for number in range(20) if number not in seen}
        connection, socket = await begun(rows, receipts=True)
        for _ in range(10):
            answer_all(connection, socket)
            await turns()
        assert socket.frames == [frames[number] for number in sorted(seen)]
        assert [connection.has_been_handed(row) for row in stored[:4]] == [True, True, True, False]
        assert (rows.confirmed, connection.knows_all) == ([], True)
        connection.received([str(UUID(int=number)) for number in seen])
        for _ in range(10):
            answer_all(connection, socket)
        assert sorted(rows.confirmed) == stored
        assert len(socket.frames) == 3

    async def test_a_row_that_follows_one_left_on_disk_needs_no_page(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(window_messages=2, window_messages_max=2)
        connection, socket = await begun(rows, receipts=True)
        offer_seen(rows, connection, 1)
        for frame in FRAMES[:3]:
            connection.offer(*rows.store(frame), is_unheard=True)
            answer_all(connection, socket)
        pages = rows.pages
        offer_seen(rows, connection, 2)
        await turns()
        assert (rows.pages, len(socket.frames)) == (pages, 2)

    async def test_more_than_a_mailbox_holds_are_not_left(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(window_messages=1, window_messages_max=1, mailbox_messages=3)
        connection, socket = await begun(rows, receipts=True)
        socket.on_close = connection.detach
        offer_seen(rows, connection, 1)
        for frame in FRAMES[:3]:
            connection.offer(*rows.store(frame), is_unheard=True)
        assert socket.closes == []
        connection.offer(*rows.store(FRAMES[3]), is_unheard=True)
        assert socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]

    async def test_those_without_room_come_as_soon_as_there_is_some(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(window_messages=1, window_messages_max=1)
        connection, socket = await begun(rows)
        rings = [rows.store(frame) for frame in FRAMES[:4]]
        assert [connection.offer(*ring, is_unheard=True) for ring in rings] == [True, False, False, False]
        answer_all(connection, socket)
        assert rows.confirmed == [row for row, _, _ in rings]

    async def test_they_take_room_in_the_window_like_others(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(window_messages=1)
        connection, socket = await begun(rows)
        taken = [connection.offer(*rows.store(frame), is_unheard=True) for frame in FRAMES[:2]]
        assert (taken, connection.offer(*rows.store(FRAMES[2]))) == ([True, False], False)
        for _ in range(3):
            answer(connection, socket)
        assert (socket.frames, len(rows.confirmed)) == (FRAMES[2:3], 3)

    async def test_what_is_kept_of_one_who_is_blocked_is_not_written(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(window_messages=1)
        connection, socket = await begun(rows)
        blocked, friend = uuid4(), uuid4()
        senders = friend, blocked, friend, blocked
        frames = [codec.encode(chat_message(sender, connection.user_id)) for sender in senders]
        offer_all(rows, connection, frames)
        connection.silence(blocked)
        for _ in range(4):
            answer(connection, socket)
        assert (socket.frames, len(rows.confirmed)) == ([frames[0], frames[2]], 4)


@dataclass
class Seen:
    """What a sender finds out by the acks of its messages to an app that hangs."""

    statuses: list[bool] = field(default_factory=list)
    """Whether each message was delivered."""
    repeats: list[list[bool]] = field(default_factory=list)
    """The same of all of them, sent again, each time."""
    after_close: list[bool] = field(default_factory=list)

    @property
    def delivered(self) -> tuple[int, ...]:
        """How many were, at first, at each repeat, and after the end of the connection."""
        return sum(self.statuses), *map(sum, self.repeats), sum(self.after_close)


async def send_to_app_that_hangs(
    sizes: Sequence[int], *, is_unheard: bool, owed: int = 1, named: int = 0, pongs_at_once: bool = True
) -> Seen:
    """What one who is blocked sees, or one who is not, in the same state: the app named some and owes some."""
    rows = ModelRows()
    connection, socket = await begun(rows, receipts=True)
    for number in range(named):
        offer_seen(rows, connection, number)
        connection.received([str(UUID(int=number))])
    for number in range(named, named + owed):
        offer_seen(rows, connection, number)
    answer_all(connection, socket)
    seen = Seen()
    sent = []
    for size in sizes:
        row_id, previous, frame = rows.store(message_frame(size=size))
        if is_unheard:
            rows.unheard.add(row_id)
        sent.append(row_id)
        seen.statuses.append(connection.offer(row_id, previous, frame, is_unheard=is_unheard))
        if pongs_at_once:
            answer_all(connection, socket)
    answer_all(connection, socket)
    for _ in range(2):
        repeated = []
        for row_id in sent:
            repeated.append(connection.has_been_handed(row_id))
            if not repeated[-1]:
                connection.look()
            await turns()
            answer_all(connection, socket)
        seen.repeats.append(repeated)
    connection.detach()
    seen.after_close = [row_id in rows.confirmed for row_id in sent]
    return seen


class TestUnheardByAppsThatHang:
    """A block shows neither by the status nor by repeats, if the app owes a receipt."""

    @pytest.mark.parametrize(
        ("owed", "named", "delivered"), [(1, 0, 15), (5, 0, 11), (16, 0, 0), (1, 1, 31), (3, 9, 125)]
    )
    async def test_as_much_is_delivered_as_to_others(self, owed: int, named: int, delivered: int) -> None:
        of_blocked, of_free = [
            await send_to_app_that_hangs([10] * 140, is_unheard=is_unheard, owed=owed, named=named)
            for is_unheard in (True, False)
        ]
        assert of_blocked.delivered == of_free.delivered == (delivered, delivered, delivered, 0)
        assert of_blocked == of_free

    async def test_to_an_app_that_owes_nothing_all_is_delivered(self) -> None:
        of_blocked, of_free = [
            await send_to_app_that_hangs([10] * 140, is_unheard=is_unheard, owed=0)
            for is_unheard in (True, False)
        ]
        assert of_blocked.delivered == (140, 140, 140, 140)
        assert of_free.delivered == (16, 16, 16, 0)

    @given(
        st.lists(st.sampled_from([10, 500, 3000, 20_000]), max_size=30),
        st.integers(1, 16),
        st.integers(0, 4),
        st.booleans(),
    )
    # What is too big for the rest of the window goes with the first look, and what follows waits for it.
    @example([40_000, 20_000, 10], 1, 0, True)
    @example([40_000, 40_000, 10], 1, 0, True)
    @example([40_000, 40_000, 10], 1, 0, False)
    def test_whatever_the_sizes(self, sizes: list[int], owed: int, named: int, pongs_at_once: bool) -> None:
        of_blocked, of_free = [
            asyncio.run(
                send_to_app_that_hangs(
                    sizes, is_unheard=is_unheard, owed=owed, named=named, pongs_at_once=pongs_at_once
                )
            )
            for is_unheard in (True, False)
        ]
        assert of_blocked == of_free


class TestWindow:
    @pytest.fixture(autouse=True)
    def small_windows(self, amounts: Amounts) -> None:
        amounts(window_messages=2, window_bytes=100, window_messages_max=8, window_bytes_max=1000)

    async def test_a_full_window_takes_nothing_until_a_confirmation(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        assert offer_all(rows, connection, FRAMES[:5]) == [True, True, False, False, False]
        await turns()
        assert socket.frames == FRAMES[:2]
        answer(connection, socket)
        await turns()
        answer(connection, socket)
        await turns()
        assert socket.frames == FRAMES[:5]

    async def test_the_window_doubles_with_each_pong_up_to_its_most(self, rows: ModelRows) -> None:
        store_all(rows, FRAMES[:40])
        connection, socket = await begun(rows)
        unconfirmed = [len(socket.frames)]
        while len(socket.frames) < 40:
            answer(connection, socket)
            await turns()
            unconfirmed.append(len(socket.frames) - len(rows.confirmed))
        assert socket.frames == FRAMES[:40]
        assert unconfirmed[:4] == [2, 4, 8, 8]
        assert max(unconfirmed) == 8

    async def test_bytes_fill_the_window_too(self, rows: ModelRows) -> None:
        connection, _ = await begun(rows)
        assert connection.offer(*rows.store(bytes(60)))
        assert not connection.offer(*rows.store(bytes(60)))

    async def test_one_message_is_handed_whatever_its_size(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        big = bytes(5000)
        assert connection.offer(*rows.store(big))
        assert not connection.offer(*rows.store(b"x"))
        await turns()
        assert socket.frames == [big]
        answer(connection, socket)
        await turns()
        assert socket.frames == [big, b"x"]

    async def test_a_caught_up_connection_takes_messages_directly_again(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        offer_all(rows, connection, FRAMES[:3])
        answer(connection, socket)
        await turns()
        rows.commit_stubs()
        pages = rows.pages
        assert connection.offer(*rows.store(FRAMES[3]))
        assert socket.frames == FRAMES[:4]
        assert rows.pages == pages


class TestKeeping:
    """What was rung for and has no room yet: another socket of the user may confirm it meanwhile."""

    @pytest.fixture(autouse=True)
    def small_window(self, amounts: Amounts) -> None:
        amounts(window_messages=2, window_messages_max=2, kept_bytes=100)

    async def test_what_another_socket_confirmed_meanwhile_still_comes_in_order(
        self, rows: ModelRows
    ) -> None:
        connection, socket = await begun(rows)
        offer_all(rows, connection, FRAMES[:6])
        rows.waiting.clear()
        for _ in range(3):
            answer(connection, socket)
            await turns()
        assert socket.frames == FRAMES[:6]

    async def test_room_is_filled_from_memory_while_no_ring_was_missed(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        pages = rows.pages
        offer_all(rows, connection, FRAMES[:6])
        for _ in range(3):
            answer(connection, socket)
            await turns()
        assert socket.frames == FRAMES[:6]
        assert rows.pages == pages

    async def test_what_was_rung_for_during_a_page_comes_though_it_was_confirmed_elsewhere(self) -> None:
        rows = ModelRows(is_stepwise=True)
        connection, socket = await begun(rows)
        rows.step()
        await turns()
        assert not connection.offer(*rows.store(FRAMES[0]))
        rows.waiting.clear()
        for _ in range(3):
            rows.step()
        await turns()
        assert socket.frames == FRAMES[:1]

    async def test_it_does_not_overtake_what_waits_before_it(self, rows: ModelRows) -> None:
        store_all(rows, FRAMES[:5])
        connection, socket = await begun(rows)
        ring = rows.store(FRAMES[5])
        connection.offer(*ring)
        del rows.waiting[ring[0]]
        for _ in range(6):
            answer(connection, socket)
            rows.commit_stubs()
            await turns()
        assert socket.frames == FRAMES[:6]

    async def test_more_than_may_be_kept_closes_the_connection(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        socket.on_close = connection.detach
        offer_all(rows, connection, FRAMES[:12])
        assert socket.closes == []
        offer_all(rows, connection, FRAMES[12:13])
        assert socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]

    async def test_what_was_handed_no_longer_counts(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        for start in range(0, 40, 2):
            offer_all(rows, connection, FRAMES[start : start + 2])
            answer(connection, socket)
            answer(connection, socket)
        assert (socket.frames, socket.closes) == (FRAMES[:40], [])

    async def test_the_comparison_counts_what_is_kept(self, rows: ModelRows) -> None:
        connection, _ = await begun(rows)
        offer_all(rows, connection, FRAMES[:4])
        connection.compare(4, 4)
        assert connection.knows_all
        connection.compare(5, 4)
        assert not connection.knows_all


class TestPongs:
    async def test_a_pong_confirms_what_went_before_its_ping(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        offer_all(rows, connection, FRAMES[:3])
        # One ping at a time: it follows the first message, the other two wait for the next.
        assert len(socket.pings) == 1
        answer(connection, socket)
        assert rows.confirmed == [1]
        assert len(socket.pings) == 2
        answer(connection, socket)
        assert rows.confirmed == [1, 2, 3]
        assert len(socket.pings) == 2

    async def test_the_payload_is_a_nonce_and_a_counter(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        offer_all(rows, connection, FRAMES[:2])
        answer(connection, socket)
        first, second = socket.pings
        assert (len(first), len(second)) == (16, 16)
        assert first[:8] == second[:8]
        assert (first[8:], second[8:]) == ((1).to_bytes(8, "big"), (2).to_bytes(8, "big"))

    async def test_two_identities_have_two_nonces(self, rows: ModelRows) -> None:
        socket = RecordingSocket()
        for frame in FRAMES[:2]:
            connection, _ = await begun(rows, socket)
            connection.offer(*rows.store(frame))
            connection.detach()
        first, second = socket.pings[0], socket.pings[-1]
        assert first[:8] != second[:8]

    @pytest.mark.parametrize(
        "forge",
        [
            lambda ping: bytes(8) + ping[8:],
            lambda ping: ping[:8] + (0).to_bytes(8, "big"),
            lambda ping: ping[:8] + (2).to_bytes(8, "big"),
            lambda _ping: b"",
            lambda ping: ping[:-1],
            lambda ping: ping + b"\x00",
        ],
        ids=["another nonce", "an older counter", "a counter to come", "empty", "short", "long"],
    )
    async def test_another_payload_confirms_nothing(
        self, rows: ModelRows, forge: Callable[[bytes], bytes]
    ) -> None:
        connection, socket = await begun(rows)
        connection.offer(*rows.store(FRAMES[0]))
        connection.pong(forge(socket.pings[-1]))
        assert rows.confirmed == []
        answer(connection, socket)
        assert rows.confirmed == [1]

    async def test_the_same_pong_again_confirms_nothing_more(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        offer_all(rows, connection, FRAMES[:2])
        first = socket.pings[0]
        connection.pong(first)
        connection.pong(first)
        assert rows.confirmed == [1]

    async def test_a_pong_that_nobody_asked_for_is_harmless(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        connection.pong(b"unasked")
        assert (rows.confirmed, socket.pings) == ([], [])

    async def test_after_the_identity_ended_a_pong_confirms_nothing(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        connection.offer(*rows.store(FRAMES[0]))
        connection.detach()
        answer(connection, socket)
        assert rows.confirmed == []

    async def test_a_confirmed_row_is_not_handed_again_before_it_is_forgotten(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        row_id, _, frame = ring = rows.store(FRAMES[0])
        connection.offer(*ring)
        answer(connection, socket)
        # The stub is not on disk yet: a page would find the row.
        connection.look()
        await turns()
        assert connection.offer(row_id, 0, frame)
        assert socket.frames == FRAMES[:1]
        rows.commit_stubs()
        assert not connection.has_been_handed(row_id)
        connection.look()
        await turns()
        assert socket.frames == FRAMES[:1]

    async def test_a_late_ring_for_a_forgotten_row_hands_nothing(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        ring = rows.store(FRAMES[0])
        connection.offer(*ring)
        answer(connection, socket)
        rows.commit_stubs()
        assert connection.offer(*ring)
        await turns()
        assert socket.frames == FRAMES[:1]

    async def test_a_ring_that_is_late_by_many_messages_hands_nothing(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        rings = [rows.store(frame) for frame in FRAMES * 4]
        connection.look()
        await turns()
        while len(rows.confirmed) < len(rings):
            answer(connection, socket)
            rows.commit_stubs()
            await turns()
        for ring in rings:
            connection.offer(*ring)
            await turns()
        assert len(socket.frames) == len(rings)

    async def test_what_was_confirmed_is_remembered_in_bounds(
        self, rows: ModelRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_module, "_FORGOTTEN_ROWS", 5)
        connection, socket = await begun(rows)
        for frame in FRAMES[:10]:
            connection.offer(*rows.store(frame))
            answer(connection, socket)
            rows.commit_stubs()
        assert list(connection._forgotten) == [6, 7, 8, 9, 10]


class TestReceipts:
    async def test_a_pong_proves_life_alone(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows, receipts=True)
        connection.offer(*rows.store(message_frame()))
        answer(connection, socket)
        assert rows.confirmed == []

    async def test_what_the_client_stored_is_confirmed(self, rows: ModelRows) -> None:
        ids = [f"0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b{number:02}" for number in range(3)]
        connection, _ = await begun(rows, receipts=True)
        offer_all(rows, connection, [message_frame(message_id=each) for each in ids])
        connection.received([ids[2], ids[0]])
        assert rows.confirmed == [3, 1]
        connection.received([ids[2], ids[0], "unknown", ids[1].upper()])
        assert rows.confirmed == [3, 1]
        connection.received([ids[1]])
        assert rows.confirmed == [3, 1, 2]

    async def test_of_two_senders_messages_with_one_id_each_mention_confirms_the_oldest(
        self, rows: ModelRows
    ) -> None:
        same = "0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77"
        connection, _ = await begun(rows, receipts=True)
        offer_all(rows, connection, [message_frame(message_id=same) for _ in range(2)])
        connection.received([same])
        assert rows.confirmed == [1]
        connection.received([same, same])
        assert rows.confirmed == [1, 2]

    async def test_receipts_open_the_window(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(window_messages=1, window_messages_max=1)
        ids = [f"0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b{number:02}" for number in range(3)]
        frames = [message_frame(message_id=each) for each in ids]
        store_all(rows, frames)
        connection, socket = await begun(rows, receipts=True)
        for number in range(3):
            assert socket.frames == frames[: number + 1]
            connection.received([ids[number]])
            await turns()
        assert rows.confirmed == [1, 2, 3]

    async def test_without_the_extension_they_confirm_nothing(self, rows: ModelRows) -> None:
        message_id = "0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77"
        connection, _ = await begun(rows)
        connection.offer(*rows.store(message_frame(message_id=message_id)))
        connection.received([message_id])
        assert rows.confirmed == []


class TestWithoutPongs:
    """On a server that passes no pongs on."""

    AGE_S = 0.05

    @pytest.fixture(autouse=True)
    def short_age(self, amounts: Amounts) -> None:
        amounts(confirm_without_pong_s=self.AGE_S, heartbeat_s=0.001, pong_s=0.001, stall_s=0.001)

    @pytest.fixture
    def socket(self) -> RecordingSocket:
        return RecordingSocket(has_pongs=False)

    async def test_a_message_is_confirmed_by_its_age_and_not_earlier(
        self, rows: ModelRows, socket: RecordingSocket
    ) -> None:
        clock = asyncio.get_running_loop().time
        connection, _ = await begun(rows, socket)
        confirmed_at: dict[int, float] = {}
        handed_at: dict[int, float] = {}
        for frame in FRAMES[:2]:
            ring = rows.store(frame)
            handed_at[ring[0]] = clock()
            assert connection.offer(*ring)
            await asyncio.sleep(self.AGE_S / 2)

        def note() -> bool:
            for row in rows.confirmed:
                confirmed_at.setdefault(row, clock())
            return len(confirmed_at) == 2

        await until(note)
        # The loop rounds its clock to milliseconds.
        assert all(confirmed_at[row] >= handed_at[row] + self.AGE_S - 0.002 for row in (1, 2))
        assert rows.confirmed == [1, 2]

    async def test_nothing_is_pinged_and_silence_is_no_fault(
        self, rows: ModelRows, socket: RecordingSocket
    ) -> None:
        connection, _ = await begun(rows, socket)
        connection.probe()
        connection.offer(*rows.store(FRAMES[0]))
        await until(lambda: bool(rows.confirmed))
        assert (socket.pings, socket.closes) == ([], [])

    async def test_a_connection_that_ended_confirms_nothing(
        self, rows: ModelRows, socket: RecordingSocket
    ) -> None:
        connection, _ = await begun(rows, socket)
        connection.offer(*rows.store(FRAMES[0]))
        connection.detach()
        other, _ = await begun(ModelRows(), RecordingSocket(has_pongs=False))
        later = ModelRows()
        other._rows = later
        other.offer(*later.store(FRAMES[0]))
        await until(lambda: bool(later.confirmed))
        assert rows.confirmed == []

    async def test_receipts_confirm_there_too(self, rows: ModelRows, socket: RecordingSocket) -> None:
        message_id = "0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77"
        connection, _ = await begun(rows, socket, receipts=True)
        connection.offer(*rows.store(message_frame(message_id=message_id)))
        await asyncio.sleep(2 * self.AGE_S)
        assert rows.confirmed == []
        connection.received([message_id])
        assert rows.confirmed == [1]


class TestHeartbeat:
    async def test_an_idle_connection_is_pinged_and_its_pong_keeps_it(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(heartbeat_s=0.3, pong_s=0.3)
        connection, socket = await begun(rows)
        for number in range(1, 4):
            await until(lambda number=number: len(socket.pings) == number)  # type: ignore[misc]
            answer(connection, socket)
        assert len(set(socket.pings)) == 3
        assert socket.closes == []
        connection.detach()

    async def test_a_client_that_talks_is_not_pinged(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(heartbeat_s=0.3)
        connection, socket = await begun(rows)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + 0.6
        while loop.time() < ends_at:
            connection.heard()
            await asyncio.sleep(0.005)
        assert socket.pings == []
        await until(lambda: len(socket.pings) == 1)
        connection.detach()

    async def test_an_overdue_pong_closes_the_connection(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(heartbeat_s=0.01, pong_s=0.02)
        connection, socket = await begun(rows)
        socket.on_close = connection.detach
        await until(lambda: bool(socket.closes))
        assert socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]
        assert len(socket.pings) == 1

    async def test_messages_that_nobody_confirms_close_the_connection(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(heartbeat_s=1000.0, pong_s=1000.0, stall_s=0.05)
        connection, socket = await begun(rows)
        socket.on_close = connection.detach
        connection.offer(*rows.store(FRAMES[0]))
        await until(lambda: bool(socket.closes))
        assert socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]
        assert rows.confirmed == []

    @pytest.mark.parametrize("receipts", [False, True], ids=["messages", "life alone"])
    async def test_a_deadline_shorter_than_the_heartbeat_is_kept(
        self, rows: ModelRows, amounts: Amounts, receipts: bool
    ) -> None:
        amounts(heartbeat_s=1000.0, pong_s=0.05, stall_s=0.05)
        connection, socket = await begun(rows, receipts=receipts)
        socket.on_close = connection.detach
        connection.offer(*rows.store(message_frame()))
        await until(lambda: bool(socket.closes))
        assert socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]

    async def test_a_client_that_takes_bit_by_bit_what_went_before_the_ping_is_not_closed(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(heartbeat_s=0.01, pong_s=1000.0, stall_s=0.2)
        connection, socket = await begun(rows)
        socket.on_close = connection.detach
        loop = asyncio.get_running_loop()
        connection.offer(*rows.store(FRAMES[0]))
        ends_at = loop.time() + 0.6
        while loop.time() < ends_at:
            socket.progress_at = loop.time()
            await asyncio.sleep(0.01)
        assert socket.closes == []
        await until(lambda: bool(socket.closes))
        assert loop.time() - socket.progress_at >= 0.2

    async def test_a_client_that_takes_messages_and_answers_no_ping_is_found(
        self, rows: ModelRows, amounts: Amounts
    ) -> None:
        amounts(heartbeat_s=0.01, pong_s=0.02)
        connection, socket = await begun(rows, receipts=True)
        socket.on_close = connection.detach
        connection.offer(*rows.store(message_frame()))
        assert len(socket.pings) == 1
        await until(lambda: bool(socket.closes))
        assert socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]

    async def test_a_probed_client_is_silent_until_it_is_heard(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        asked_at = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)
        connection.probe()
        connection.probe()
        assert len(socket.pings) == 1
        assert connection.is_silent_since(asked_at + 0.001)
        answer(connection, socket)
        assert not connection.is_silent_since(asked_at)

    async def test_after_detach_no_timer_is_left(self, rows: ModelRows, amounts: Amounts) -> None:
        amounts(heartbeat_s=0.001, pong_s=0.001)
        connection, socket = await begun(rows)
        connection.detach()
        before = (list(socket.pings), list(socket.closes))
        other, other_socket = await begun(rows)
        other_socket.on_close = other.detach
        await until(lambda: bool(other_socket.closes))
        assert (socket.pings, socket.closes) == before


class TestDeliveryTime:
    """How long messages take that come while their recipient is connected."""

    @pytest.mark.parametrize("receipts", [False, True])
    async def test_it_is_noted_once_the_client_confirmed(
        self, rows: ModelRows, newly_counted: Callable[[], Counter[Metric]], receipts: bool
    ) -> None:
        connection, socket = await begun(rows, receipts=receipts)
        ids = [str(uuid4()) for _ in range(2)]
        offer_all(rows, connection, [message_frame(message_id=each) for each in ids])
        assert newly_counted() == {}
        if receipts:
            connection.received(ids)
        else:
            answer(connection, socket)
            answer(connection, socket)
        assert newly_counted() == {Metric.DELIVERY_TIME: 2}
        connection.received(ids)
        answer(connection, socket)
        assert newly_counted() == {}

    async def test_it_counts_from_when_the_message_came_also_if_it_was_kept(self, rows: ModelRows) -> None:
        COLLECTOR.take()
        socket = RecordingSocket()
        connection = Connection(identity(), socket, rows)
        connection.offer(*rows.store(FRAMES[0]))
        await asyncio.sleep(0.06)
        connection.begin()
        await turns()
        answer(connection, socket)
        ((metric, position),) = COLLECTOR.take()
        assert metric is Metric.DELIVERY_TIME
        assert BOUNDS_S[position] > 0.06

    async def test_what_waited_in_the_mailbox_is_not_measured(
        self, rows: ModelRows, newly_counted: Callable[[], Counter[Metric]]
    ) -> None:
        store_all(rows, FRAMES[:2])
        connection, socket = await begun(rows)
        answer(connection, socket)
        answer(connection, socket)
        assert rows.confirmed == [1, 2]
        assert newly_counted() == {}

    @pytest.mark.parametrize("receipts", [False, True])
    async def test_nor_is_what_a_blocked_sender_wrote(
        self, rows: ModelRows, newly_counted: Callable[[], Counter[Metric]], receipts: bool
    ) -> None:
        connection, socket = await begun(rows, receipts=receipts)
        connection.offer(*rows.store(FRAMES[0]), is_unheard=True)
        answer(connection, socket)
        assert rows.confirmed == [1]
        assert newly_counted() == {}

    async def test_nor_is_what_was_kept_when_its_sender_was_blocked(
        self, rows: ModelRows, newly_counted: Callable[[], Counter[Metric]]
    ) -> None:
        socket = RecordingSocket()
        connection = Connection(identity(), socket, rows)
        frame = message_frame()
        connection.offer(*rows.store(frame))
        connection.silence(codec.sender_of(frame))
        connection.begin()
        await turns()
        answer(connection, socket)
        assert rows.confirmed == [1]
        assert newly_counted() == {}

    async def test_nor_is_anything_where_no_pongs_come(
        self, rows: ModelRows, amounts: Amounts, newly_counted: Callable[[], Counter[Metric]]
    ) -> None:
        amounts(confirm_without_pong_s=0.01)
        connection, _ = await begun(rows, RecordingSocket(has_pongs=False))
        offer_all(rows, connection, FRAMES[:2])
        await until(lambda: rows.confirmed == [1, 2])
        assert newly_counted() == {}


class TestExpiry:
    async def test_an_ended_session_ends_the_socket(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        connection.expire()
        assert (socket.expiries, connection.has_ended) == (1, False)

    async def test_while_it_logs_out_itself_the_end_is_only_noted(self, rows: ModelRows) -> None:
        connection, socket = await begun(rows)
        connection.is_leaving = True
        connection.expire()
        assert (socket.expiries, connection.has_ended) == (0, True)
