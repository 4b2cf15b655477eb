"""The dedup key is rotated: processes with different rings on one mailbox, and each message is stored once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from messaging.mailbox.letters import Caps, Letter, Outcome, Verdict
from messaging.mailbox.store import Store
from messaging.models import MailboxMessage
from tests.messaging.doubles import PATIENCE_S
from tests.messaging.mailbox.conftest import (
    MAILBOX_KEYS,
    NEW_KEY,
    NEXT_KEY,
    OLD_KEY,
    make_recipient,
    run_at_once,
    write_letter,
)

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
EVERYTHING = 10**9
BEFORE, PREPARED = [OLD_KEY], [OLD_KEY, NEW_KEY]
SWITCHED, AFTER = [NEW_KEY, OLD_KEY], [NEW_KEY]
"""The rings of a process on its way through a rotation."""
OTHER_SENDER = b"o" * 16

Put = Callable[..., Outcome]


@pytest.fixture
def put(store: Store, caps: Caps, recipient: UUID) -> Put:
    """Put one message of one sender, named by its number, as a process with this ring does."""

    def put(keys: Sequence[bytes], number: int, **changes: Any) -> Outcome:
        (outcome,) = store.put([write_letter(recipient, keys, number, **changes)], caps, NOW)
        return outcome

    return put


def assert_every_row_opens(store: Store, recipient: UUID, count: int) -> None:
    """A frame is bound to the name that it was sealed with: the row must have that one."""
    rows = store.page(recipient, [], EVERYTHING, EVERYTHING).rows
    frames = {MAILBOX_KEYS.decrypt(row.sealed, recipient.bytes, row.name) for row in rows}
    assert len(rows) == len(frames) == count


class TestRepeats:
    @pytest.mark.parametrize(
        ("first", "then"),
        [
            (BEFORE, PREPARED),
            (BEFORE, SWITCHED),
            (PREPARED, SWITCHED),
            (SWITCHED, PREPARED),
            (SWITCHED, AFTER),
            (BEFORE, [NEXT_KEY, NEW_KEY, OLD_KEY]),
        ],
    )
    def test_a_message_named_under_another_key_is_a_repeat(
        self, put: Put, store: Store, recipient: UUID, first: list[bytes], then: list[bytes]
    ) -> None:
        stored = put(first, 1)
        assert put(then, 1) == Outcome(Verdict.REPEATED, stored.row_id)
        assert put(then, 1, content="BBBB") == Outcome(Verdict.CONFLICTING)
        assert_every_row_opens(store, recipient, 1)
        store.confirm([stored.row_id], NOW)
        assert put(then, 1) == Outcome(Verdict.CONFIRMED)
        assert put(then, 1, content="BBBB") == Outcome(Verdict.CONFLICTING)
        assert MailboxMessage.objects.count() == 1

    def test_under_a_dropped_key_nothing_is_recognised(self, put: Put, recipient: UUID, store: Store) -> None:
        first, again = put(BEFORE, 1), put(AFTER, 1)
        assert again.verdict is Verdict.STORED
        rows = store.page(recipient, [], EVERYTHING, EVERYTHING).rows
        assert [row.row_id for row in rows] == [first.row_id, again.row_id]

    def test_each_letter_of_a_batch_gets_its_own_outcome(
        self, put: Put, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        waits, confirmed, conflicting = (put(BEFORE, number) for number in (1, 2, 3))
        renamed = put(SWITCHED, 4)
        store.confirm([confirmed.row_id], NOW)
        letters = [
            write_letter(recipient, SWITCHED, 10),
            write_letter(recipient, SWITCHED, 1),
            write_letter(uuid4(), SWITCHED, 11),
            write_letter(recipient, SWITCHED, 2),
            write_letter(recipient, SWITCHED, 3, content="BBBB"),
            write_letter(recipient, SWITCHED, 4),
            write_letter(recipient, SWITCHED, 12),
        ]
        outcomes = store.put(letters, caps, NOW)
        first, last = outcomes[0], outcomes[-1]
        assert outcomes == [
            Outcome(Verdict.STORED, first.row_id, renamed.row_id),
            Outcome(Verdict.REPEATED, waits.row_id),
            Outcome(Verdict.UNKNOWN_RECIPIENT),
            Outcome(Verdict.CONFIRMED),
            Outcome(Verdict.CONFLICTING),
            Outcome(Verdict.REPEATED, renamed.row_id),
            Outcome(Verdict.STORED, last.row_id, first.row_id),
        ]
        assert conflicting.row_id < renamed.row_id < first.row_id < last.row_id
        assert_every_row_opens(store, recipient, 5)

    def test_a_batch_of_repeats_alone_stores_nothing(
        self, put: Put, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        rows = [put(BEFORE, number).row_id for number in range(3)]
        letters = [write_letter(recipient, SWITCHED, number) for number in reversed(range(3))]
        outcomes = store.put(letters, caps, NOW)
        assert outcomes == [Outcome(Verdict.REPEATED, row_id) for row_id in reversed(rows)]

    def test_a_repeat_is_known_where_the_mailbox_is_full(self, store: Store, recipient: UUID) -> None:
        caps = Caps(messages=2, bytes=10**6, sender_share=1)
        first, _ = store.put([write_letter(recipient, BEFORE, number) for number in (1, 2)], caps, NOW)
        again, new = store.put([write_letter(recipient, SWITCHED, number) for number in (1, 3)], caps, NOW)
        assert again == Outcome(Verdict.REPEATED, first.row_id)
        assert new == Outcome(Verdict.FULL)

    def test_without_further_keys_nothing_is_asked_beside_the_put(self, put: Put) -> None:
        asked: list[str] = []

        def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
            asked.append(sql)
            return execute(sql, *rest)

        with connection.execute_wrapper(note):
            put(AFTER, 1)
        # PostgreSQL's one statement goes past Django's cursor; SQLite's six begin with BEGIN.
        assert len(asked) == {"postgresql": 0, "sqlite": 6}[connection.vendor], asked


class TestOrderAndShare:
    def test_the_message_before_is_named_through_the_whole_rotation(self, put: Put) -> None:
        previous = 0
        for number, keys in enumerate([BEFORE, PREPARED, SWITCHED, PREPARED, SWITCHED, AFTER]):
            outcome = put(keys, number)
            assert outcome == Outcome(Verdict.STORED, outcome.row_id, previous)
            previous = outcome.row_id

    def test_another_sender_is_another_pair(self, put: Put) -> None:
        mine, theirs = put(BEFORE, 1), put(BEFORE, 2, sender=OTHER_SENDER)
        assert put(SWITCHED, 3).previous_id == mine.row_id
        assert put(BEFORE, 4, sender=OTHER_SENDER).previous_id == theirs.row_id
        assert put(SWITCHED, 5, sender=OTHER_SENDER).previous_id > theirs.row_id

    def test_what_was_confirmed_is_nobodys_predecessor(self, put: Put, store: Store) -> None:
        store.confirm([put(BEFORE, 1).row_id], NOW)
        assert put(SWITCHED, 2).previous_id == 0

    def test_a_share_stays_full_through_the_whole_rotation(self, store: Store, recipient: UUID) -> None:
        caps = Caps(messages=8, bytes=10**6, sender_share=4)

        def verdict(keys: list[bytes], number: int, sender: bytes = b"s" * 16) -> Verdict:
            (outcome,) = store.put([write_letter(recipient, keys, number, sender=sender)], caps, NOW)
            return outcome.verdict

        assert [verdict(BEFORE, 1), verdict(SWITCHED, 2)] == [Verdict.STORED] * 2
        for number, keys in enumerate([PREPARED, SWITCHED, PREPARED, SWITCHED, AFTER]):
            assert verdict(keys, 10 + number) is Verdict.FULL
        assert verdict(AFTER, 20, OTHER_SENDER) is Verdict.STORED

    def test_a_row_that_another_transaction_holds_is_not_waited_for(self, put: Put) -> None:
        held, free = put(BEFORE, 1).row_id, put(BEFORE, 2).row_id
        is_held, is_put = threading.Event(), threading.Event()
        waited: list[bool] = []
        outcomes: list[Outcome] = []

        def hold() -> None:
            with transaction.atomic():
                MailboxMessage.objects.select_for_update().get(id=held)
                is_held.set()
                # On SQLite the one writer holds every row, and every writer waits for it.
                waited.append(is_put.wait(PATIENCE_S) if connection.vendor == "postgresql" else True)

        def put_another() -> None:
            is_held.wait(PATIENCE_S)
            outcomes.append(put(SWITCHED, 3))
            is_put.set()

        run_at_once(hold, put_another)
        assert waited == [True]
        assert outcomes == [Outcome(Verdict.STORED, outcomes[0].row_id, free)]


class TestAtOnce:
    RINGS = [PREPARED, SWITCHED, [NEW_KEY, OLD_KEY, NEXT_KEY], PREPARED]

    def put_at_once(
        self, store: Store, caps: Caps, batches: Sequence[Sequence[list[Letter]]]
    ) -> list[list[Outcome]]:
        """Put each thread's batches one after another, the threads at once; all outcomes of each thread."""
        outcomes: list[list[Outcome]] = [[] for _ in batches]

        def work(number: int) -> Callable[[], None]:
            def put_all() -> None:
                for batch in batches[number]:
                    outcomes[number] += store.put(batch, caps, NOW)

            return put_all

        run_at_once(*(work(number) for number in range(len(batches))))
        return outcomes

    def test_the_same_message_under_different_keys_is_stored_once(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        batches = [[[write_letter(recipient, ring, number)] for number in range(20)] for ring in self.RINGS]
        outcomes = self.put_at_once(store, caps, batches)
        for of_one_message in zip(*outcomes, strict=True):
            verdicts = sorted(outcome.verdict.name for outcome in of_one_message)
            assert verdicts == ["REPEATED"] * 3 + ["STORED"]
            assert len({outcome.row_id for outcome in of_one_message}) == 1
        assert_every_row_opens(store, recipient, 20)

    def test_batches_of_the_same_messages_in_any_order_end_and_are_stored_once(
        self, store: Store, caps: Caps
    ) -> None:
        recipients = [make_recipient(f"recipient-{number}") for number in range(10)]
        orders = [recipients, recipients[::-1], recipients[5:] + recipients[:5], recipients[::2]]
        batches = [
            [[write_letter(to, ring, number) for to in order] for number in range(10)]
            for ring, order in zip(self.RINGS, orders, strict=True)
        ]
        outcomes = self.put_at_once(store, caps, batches)
        assert [len(of_thread) for of_thread in outcomes] == [100, 100, 100, 50]
        stored = [each for of_thread in outcomes for each in of_thread if each.verdict is Verdict.STORED]
        assert len(stored) == 100
        for to in recipients:
            assert_every_row_opens(store, to, 10)

    def test_one_sender_on_all_processes_has_one_order(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        caps = Caps(messages=1000, bytes=10**6, sender_share=1)
        batches = [
            [[write_letter(recipient, ring, 100 * thread + number)] for number in range(15)]
            for thread, ring in enumerate(self.RINGS)
        ]
        outcomes = [each for of_thread in self.put_at_once(store, caps, batches) for each in of_thread]
        previous = {outcome.row_id: outcome.previous_id for outcome in outcomes}
        rows = sorted(previous)
        assert len(rows) == 60
        assert [previous[row_id] for row_id in rows] == [0, *rows[:-1]]
