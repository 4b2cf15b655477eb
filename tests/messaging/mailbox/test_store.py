from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from accounts.models import User
from accounts.services import approve_account
from keys.services import rotate_prekey
from messaging.mailbox import decisions
from messaging.mailbox.letters import Caps, Letter, Outcome, Verdict
from messaging.mailbox.store import Store, get_store
from messaging.models import MailboxMessage
from tests.keys.owners import KeyOwner, registered, replaced
from tests.messaging.doubles import PATIENCE_S
from tests.messaging.mailbox.conftest import (
    NEW_KEY,
    OLD_KEY,
    make_letter,
    make_recipient,
    run_at_once,
    until_someone_waits_for_a_lock,
    write_letter,
)

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
EVERYTHING = 10**9
READ_ONLY_SESSION = {
    "postgresql": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    ),
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
}
"""What makes a session take no writes, and what undoes it."""


def put_one(store: Store, letter: Letter, caps: Caps, now: datetime = NOW) -> Outcome:
    (outcome,) = store.put([letter], caps, now)
    return outcome


def waiting(store: Store, recipient: UUID) -> list[int]:
    return [row.row_id for row in store.page(recipient, [], EVERYTHING, EVERYTHING).rows]


class ByCommitter:
    """A store whose batches take the event loop's way; all else is the store's own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        return asyncio.run(self._put(letters, caps, now))

    async def _put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        committer = self._store.committer()
        try:
            return await committer.put(letters, caps, now)
        finally:
            await committer.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture(params=["directly", "from the event loop"])
def store_either_way(request: pytest.FixtureRequest, transactional_db: None) -> Any:
    return get_store() if request.param == "directly" else ByCommitter(get_store())


class TestPut:
    @pytest.fixture
    def store(self, store_either_way: Any) -> Any:
        return store_either_way

    def test_a_batch_is_stored_in_its_order(self, store: Store, caps: Caps, recipient: UUID) -> None:
        letters = [make_letter(recipient, sealed=bytes([number])) for number in range(20)]
        outcomes = store.put(letters, caps, NOW)
        assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED] * 20
        page = store.page(recipient, [], EVERYTHING, EVERYTHING)
        assert [row.row_id for row in page.rows] == [outcome.row_id for outcome in outcomes]
        assert [row.sealed for row in page.rows] == [letter.sealed for letter in letters]
        assert [row.name for row in page.rows] == [letter.name for letter in letters]

    def test_each_letter_names_the_one_of_its_pair_before_it(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        one, other = b"1" * 16, b"2" * 16
        pairs = [one, one, other, one]
        first = store.put([make_letter(recipient, pair=pair) for pair in pairs], caps, NOW)
        rows = [outcome.row_id for outcome in first]
        assert [outcome.previous_id for outcome in first] == [0, rows[0], 0, rows[1]]
        assert put_one(store, make_letter(recipient, pair=one), caps).previous_id == rows[3]
        assert put_one(store, make_letter(recipient, pair=other), caps).previous_id == rows[2]

    def test_a_confirmed_letter_is_nobodys_predecessor(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        store.confirm([put_one(store, make_letter(recipient), caps).row_id], NOW)
        assert put_one(store, make_letter(recipient), caps).previous_id == 0

    def test_a_repeat_is_not_stored_again(self, store: Store, caps: Caps, recipient: UUID) -> None:
        letter = make_letter(recipient)
        first = put_one(store, letter, caps)
        assert put_one(store, letter, caps) == Outcome(Verdict.REPEATED, first.row_id)
        assert waiting(store, recipient) == [first.row_id]

    def test_a_repeat_after_confirmation_is_known(self, store: Store, caps: Caps, recipient: UUID) -> None:
        letter = make_letter(recipient)
        first = put_one(store, letter, caps)
        store.confirm([first.row_id], NOW)
        assert put_one(store, letter, caps).verdict is Verdict.CONFIRMED
        assert waiting(store, recipient) == []

    @pytest.mark.parametrize("is_confirmed", [False, True])
    def test_another_body_of_the_same_name_conflicts(
        self, store: Store, caps: Caps, recipient: UUID, is_confirmed: bool
    ) -> None:
        first = put_one(store, make_letter(recipient, name=b"n" * 16), caps)
        if is_confirmed:
            store.confirm([first.row_id], NOW)
        other = make_letter(recipient, name=b"n" * 16, body=b"x" * 16)
        assert put_one(store, other, caps).verdict is Verdict.CONFLICTING
        assert MailboxMessage.objects.count() == 1

    def test_nothing_is_stored_for_nobody(self, store: Store, caps: Caps) -> None:
        assert put_one(store, make_letter(uuid4()), caps).verdict is Verdict.UNKNOWN_RECIPIENT
        assert not MailboxMessage.objects.exists()

    def test_nor_for_a_user_without_keys(self, store: Store, caps: Caps) -> None:
        staff = User.objects.create(username="staff", display_name="staff")
        assert put_one(store, make_letter(staff.id), caps).verdict is Verdict.UNKNOWN_RECIPIENT

    def test_nor_for_one_who_waits_for_approval_until_it_comes(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        pending = make_recipient("pending", is_approved=False)
        letters = [make_letter(recipient), make_letter(pending), make_letter(recipient)]
        verdicts = [outcome.verdict for outcome in store.put(letters, caps, NOW)]
        assert verdicts == [Verdict.STORED, Verdict.UNKNOWN_RECIPIENT, Verdict.STORED]
        assert approve_account(pending)
        assert put_one(store, letters[1], caps).verdict is Verdict.STORED
        assert len(waiting(store, pending)) == 1

    def test_for_one_who_may_not_log_in_it_waits(self, store: Store, caps: Caps) -> None:
        inactive = make_recipient("inactive", is_active=False)
        assert put_one(store, make_letter(inactive), caps).verdict is Verdict.STORED

    def test_one_bad_letter_spoils_no_other(self, store: Store, caps: Caps, recipient: UUID) -> None:
        letters = [make_letter(recipient), make_letter(uuid4()), make_letter(recipient)]
        verdicts = [outcome.verdict for outcome in store.put(letters, caps, NOW)]
        assert verdicts == [Verdict.STORED, Verdict.UNKNOWN_RECIPIENT, Verdict.STORED]

    def test_a_full_mailbox_takes_no_more_but_still_knows_what_it_has(
        self, store: Store, recipient: UUID
    ) -> None:
        caps = Caps(messages=4, bytes=10**6, sender_share=1)
        letters = [make_letter(recipient) for _ in range(4)]
        store.put(letters, caps, NOW)
        assert put_one(store, make_letter(recipient, pair=b"q" * 16), caps).verdict is Verdict.FULL
        assert put_one(store, letters[0], caps).verdict is Verdict.REPEATED

    def test_a_mailbox_is_full_by_bytes(self, store: Store, recipient: UUID) -> None:
        caps = Caps(messages=1000, bytes=100, sender_share=1)
        put_one(store, make_letter(recipient, sealed=bytes(100)), caps)
        assert put_one(store, make_letter(recipient, pair=b"q" * 16), caps).verdict is Verdict.FULL

    @pytest.mark.parametrize(("sealed", "taken"), [(b"x", 25), (bytes(500), 5)])
    def test_one_sender_fills_a_quarter_and_leaves_room_for_others(
        self, store: Store, recipient: UUID, sealed: bytes, taken: int
    ) -> None:
        caps = Caps(messages=100, bytes=10_000, sender_share=4)
        verdicts = [
            put_one(store, make_letter(recipient, pair=b"flooder!" * 2, sealed=sealed), caps).verdict
            for _ in range(taken + 1)
        ]
        assert verdicts == [Verdict.STORED] * taken + [Verdict.FULL]
        assert put_one(store, make_letter(recipient, pair=b"friendly" * 2), caps).verdict is Verdict.STORED

    def test_stubs_fill_nothing(self, store: Store, recipient: UUID) -> None:
        caps = Caps(messages=1, bytes=10**6, sender_share=1)
        for _ in range(3):
            outcome = put_one(store, make_letter(recipient), caps)
            assert outcome.verdict is Verdict.STORED
            store.confirm([outcome.row_id], NOW)

    def test_the_same_name_at_once_is_stored_once(self, store: Store, caps: Caps, recipient: UUID) -> None:
        letters = [make_letter(recipient) for _ in range(20)]
        outcomes: list[list[Outcome]] = []

        def put() -> None:
            outcomes.append([put_one(store, letter, caps) for letter in letters])

        run_at_once(put, put, put, put)
        assert len(outcomes) == 4
        for of_one_name in zip(*outcomes, strict=True):
            assert sorted(outcome.verdict.name for outcome in of_one_name) == ["REPEATED"] * 3 + ["STORED"]
            assert len({outcome.row_id for outcome in of_one_name}) == 1
        assert len(waiting(store, recipient)) == 20

    @pytest.mark.parametrize("keys", [[NEW_KEY], [NEW_KEY, OLD_KEY]], ids=["one key", "a rotation"])
    def test_a_recipient_deleted_meanwhile_is_unknown_and_spoils_no_other(
        self, store: Store, caps: Caps, recipient: UUID, keys: list[bytes]
    ) -> None:
        going = make_recipient("going")
        letters = [write_letter(to, keys, number) for number, to in enumerate([recipient, going, recipient])]
        outcomes: list[Outcome] = []
        deleting = threading.Event()

        def delete() -> None:
            with transaction.atomic():
                User.objects.get(id=going).delete()
                deleting.set()
                until_someone_waits_for_a_lock()

        def put() -> None:
            deleting.wait(PATIENCE_S)
            outcomes.extend(store.put(letters, caps, NOW))

        run_at_once(delete, put)
        verdicts = [outcome.verdict for outcome in outcomes]
        assert verdicts == [Verdict.STORED, Verdict.UNKNOWN_RECIPIENT, Verdict.STORED]
        assert waiting(store, recipient) == [outcomes[0].row_id, outcomes[2].row_id]

    @pytest.mark.parametrize("keys", [[NEW_KEY], [NEW_KEY, OLD_KEY]], ids=["one key", "a rotation"])
    def test_a_deletion_that_meets_a_batch_takes_along_what_the_batch_stores(
        self, caps: Caps, recipient: UUID, keys: list[bytes]
    ) -> None:
        store = get_store()
        going = make_recipient("going")
        letters = [write_letter(to, keys, number) for number, to in enumerate([recipient, going])]
        stored = threading.Event()

        def put() -> None:
            with transaction.atomic():
                outcomes = store.put(letters, caps, NOW)
                assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED] * 2
                stored.set()
                until_someone_waits_for_a_lock()

        def delete() -> None:
            stored.wait(PATIENCE_S)
            User.objects.get(id=going).delete()

        run_at_once(put, delete)
        assert waiting(store, recipient)
        assert MailboxMessage.objects.count() == 1


class TestPrekeyRotation:
    @pytest.mark.usefixtures("transactional_db")
    def test_a_rotation_under_way_holds_up_no_batch(self, caps: Caps) -> None:
        owner = KeyOwner()
        user_id = registered(owner).pk
        stored = threading.Event()

        def rotate() -> None:
            with transaction.atomic():
                rotate_prekey(user_id, owner.update())
                assert connection.vendor != "postgresql" or stored.wait(PATIENCE_S)

        def put() -> None:
            assert put_one(get_store(), make_letter(user_id), caps).verdict is Verdict.STORED
            stored.set()

        run_at_once(rotate, put)
        assert stored.is_set()


class TestBundleReplacement:
    @pytest.mark.usefixtures("transactional_db")
    @pytest.mark.parametrize("keys", [[NEW_KEY], [NEW_KEY, OLD_KEY]], ids=["one key", "a rotation"])
    def test_a_batch_that_meets_a_replacement_waits_for_it_and_loses_nothing(
        self, store_either_way: Any, caps: Caps, keys: list[bytes]
    ) -> None:
        store = get_store()
        user = registered(KeyOwner())
        before = write_letter(user.pk, keys, 1)
        put_one(store, before, caps)
        replacing = threading.Event()
        outcomes: list[Outcome] = []

        def drop() -> None:
            with transaction.atomic():
                assert replaced(user).is_new
                replacing.set()
                until_someone_waits_for_a_lock()
                assert decisions.drop(user.pk, NOW) == 1

        def put() -> None:
            replacing.wait(PATIENCE_S)
            outcomes.append(put_one(store_either_way, write_letter(user.pk, keys, 2), caps))

        run_at_once(drop, put)
        assert outcomes[0].verdict is Verdict.STORED
        assert waiting(store, user.pk) == [outcomes[0].row_id]
        assert put_one(store, before, caps).verdict is Verdict.CONFIRMED

    @pytest.mark.usefixtures("transactional_db")
    def test_a_replacement_that_meets_a_batch_drops_what_the_batch_stores(self, caps: Caps) -> None:
        store = get_store()
        user = registered(KeyOwner())
        stored = threading.Event()
        dropped: list[int] = []

        def put() -> None:
            with transaction.atomic():
                store.put([make_letter(user.pk) for _ in range(3)], caps, NOW)
                stored.set()
                until_someone_waits_for_a_lock()

        def drop() -> None:
            stored.wait(PATIENCE_S)
            with transaction.atomic():
                replaced(user)
                dropped.append(decisions.drop(user.pk, NOW))

        run_at_once(put, drop)
        assert dropped == [3]
        assert waiting(store, user.pk) == []


class TestLostSession:
    def test_a_session_that_was_lost_before_its_first_statement_is_an_outage(
        self, caps: Caps, recipient: UUID
    ) -> None:
        """A restarting database takes a session, which the pool hands out after it was lost again."""
        connection.ensure_connection()
        if connection.vendor == "postgresql":
            connection.connection.prepare_threshold = None
        connection.connection.close()
        with pytest.raises(OperationalError if connection.vendor == "postgresql" else DatabaseError):
            put_one(get_store(), make_letter(recipient), caps)
        connection.close()
        assert put_one(get_store(), make_letter(recipient), caps).verdict is Verdict.STORED


class TestReadOnly:
    @pytest.mark.parametrize("keys", [[NEW_KEY], [NEW_KEY, OLD_KEY]], ids=["one key", "a rotation"])
    def test_a_session_that_takes_no_writes_is_an_outage(
        self, store: Store, caps: Caps, recipient: UUID, keys: list[bytes]
    ) -> None:
        put_one(store, write_letter(recipient, [OLD_KEY], 1), caps)
        forbid, allow = READ_ONLY_SESSION[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(forbid)
            try:
                with pytest.raises(OperationalError):
                    put_one(store, write_letter(recipient, keys, 2), caps)
            finally:
                cursor.execute(allow)
        assert put_one(store, write_letter(recipient, keys, 2), caps).verdict is Verdict.STORED


class TestPage:
    def test_a_page_leaves_out_what_was_handed(self, store: Store, caps: Caps, recipient: UUID) -> None:
        rows = [
            outcome.row_id for outcome in store.put([make_letter(recipient) for _ in range(5)], caps, NOW)
        ]
        page = store.page(recipient, [rows[0], rows[2]], EVERYTHING, EVERYTHING)
        assert [row.row_id for row in page.rows] == [rows[1], rows[3], rows[4]]
        assert page.is_last

    def test_a_page_ends_at_the_number_asked_for(self, store: Store, caps: Caps, recipient: UUID) -> None:
        rows = [
            outcome.row_id for outcome in store.put([make_letter(recipient) for _ in range(5)], caps, NOW)
        ]
        page = store.page(recipient, [], 3, EVERYTHING)
        assert [row.row_id for row in page.rows] == rows[:3]
        assert not page.is_last
        assert store.page(recipient, [], 5, EVERYTHING).is_last

    def test_a_page_ends_at_the_bytes_asked_for(self, store: Store, caps: Caps, recipient: UUID) -> None:
        store.put([make_letter(recipient, sealed=bytes(100)) for _ in range(5)], caps, NOW)
        page = store.page(recipient, [], 100, 250)
        assert len(page.rows) == 2
        assert not page.is_last

    def test_a_page_holds_one_row_whatever_its_size(self, store: Store, caps: Caps, recipient: UUID) -> None:
        store.put([make_letter(recipient, sealed=bytes(100)) for _ in range(2)], caps, NOW)
        assert len(store.page(recipient, [], 100, 0).rows) == 1

    def test_an_empty_mailbox_is_one_last_empty_page(self, store: Store, recipient: UUID) -> None:
        page = store.page(recipient, [], 10, 10)
        assert (page.rows, page.is_last) == ([], True)

    def test_a_page_shows_nobody_elses_messages(self, store: Store, caps: Caps, recipient: UUID) -> None:
        other = make_recipient("other")
        put_one(store, make_letter(other), caps)
        assert waiting(store, recipient) == []
        assert len(waiting(store, other)) == 1


class TestConfirm:
    def test_a_stub_keeps_name_body_and_hour_alone(self, store: Store, caps: Caps, recipient: UUID) -> None:
        letter = make_letter(recipient)
        outcome = put_one(store, letter, caps)
        store.confirm([outcome.row_id], NOW + timedelta(hours=2))
        row = MailboxMessage.objects.get()
        assert (row.recipient_id, row.pair, row.frame, row.size) == (None, None, None, None)
        assert (bytes(row.name), bytes(row.body)) == (letter.name, letter.body)
        assert row.stored_at == datetime(2026, 11, 23, 14, 0, tzinfo=UTC)

    def test_confirming_again_changes_nothing(self, store: Store, caps: Caps, recipient: UUID) -> None:
        outcome = put_one(store, make_letter(recipient), caps)
        store.confirm([outcome.row_id], NOW)
        store.confirm([outcome.row_id], NOW + timedelta(days=1))
        assert MailboxMessage.objects.get().stored_at == NOW.replace(minute=0, second=0)

    def test_confirming_what_is_gone_is_no_fault(self, store: Store) -> None:
        store.confirm([123456], NOW)
        assert not MailboxMessage.objects.exists()


class TestDrop:
    def test_what_is_dropped_becomes_stubs_as_if_it_were_confirmed(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        letters = [make_letter(recipient) for _ in range(3)]
        store.put(letters, caps, NOW)
        assert decisions.drop(recipient, NOW) == 3
        assert store.count(recipient) == (0, 0, None)
        rows = MailboxMessage.objects.values("recipient_id", "pair", "frame", "size", "stored_at")
        stub = dict.fromkeys(("recipient_id", "pair", "frame", "size"))
        assert list(rows) == [{**stub, "stored_at": NOW.replace(minute=0, second=0)}] * 3
        assert [put_one(store, letter, caps).verdict for letter in letters] == [Verdict.CONFIRMED] * 3
        other_body = msgspec.structs.replace(letters[0], body=b"x" * 16)
        assert put_one(store, other_body, caps).verdict is Verdict.CONFLICTING

    def test_it_meets_neither_other_peoples_messages_nor_stubs(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        other = make_recipient("other")
        kept = put_one(store, make_letter(other), caps)
        store.confirm([put_one(store, make_letter(recipient), caps).row_id], NOW)
        assert decisions.drop(recipient, NOW + timedelta(days=1)) == 0
        assert waiting(store, other) == [kept.row_id]
        assert MailboxMessage.objects.get(recipient=None).stored_at == NOW.replace(minute=0, second=0)

    def test_confirmations_of_the_same_rows_at_once_do_not_lock_each_other_out(
        self, store: Store, recipient: UUID
    ) -> None:
        caps = Caps(messages=10_000, bytes=10**9, sender_share=1)
        ended: list[str] = []
        for _ in range(5):
            outcomes = store.put([make_letter(recipient) for _ in range(1000)], caps, NOW)
            rows = [outcome.row_id for outcome in outcomes]
            # On PostgreSQL the older half now lies behind the newer, and a drop that is planned without the index
            # meets the newer first; a confirmation begins with the oldest.
            MailboxMessage.objects.filter(id__in=rows[:500]).update(stored_at=NOW)

            def confirm(rows: list[int] = rows) -> None:
                store.confirm(rows, NOW)
                ended.append("confirmed")

            def drop() -> None:
                with transaction.atomic(), connection.cursor() as cursor:
                    if connection.vendor == "postgresql":
                        cursor.execute("SET LOCAL enable_indexscan = off")
                    decisions.drop(recipient, NOW)
                ended.append("dropped")

            run_at_once(confirm, drop)
            assert waiting(store, recipient) == []
        assert sorted(ended) == ["confirmed"] * 5 + ["dropped"] * 5

    def test_a_confirmation_of_what_was_dropped_changes_nothing(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        row = put_one(store, make_letter(recipient), caps).row_id
        decisions.drop(recipient, NOW)
        store.confirm([row], NOW + timedelta(days=1))
        assert MailboxMessage.objects.get().stored_at == NOW.replace(minute=0, second=0)


class TestExpire:
    LIFE = timedelta(days=30)
    STUB_LIFE = timedelta(hours=24)

    def expire(self, store: Store, now: datetime, most: int = 100) -> int:
        return store.expire(now, self.LIFE, self.STUB_LIFE, most)

    def test_a_message_goes_at_the_end_of_its_life(self, store: Store, caps: Caps, recipient: UUID) -> None:
        put_one(store, make_letter(recipient), caps)
        assert self.expire(store, NOW + self.LIFE) == 0
        assert self.expire(store, NOW + self.LIFE + timedelta(seconds=1)) == 1
        assert not MailboxMessage.objects.exists()

    def test_a_stub_is_kept_for_at_least_its_life(self, store: Store, caps: Caps, recipient: UUID) -> None:
        outcome = put_one(store, make_letter(recipient), caps)
        store.confirm([outcome.row_id], NOW)
        assert self.expire(store, NOW + self.STUB_LIFE) == 0
        assert self.expire(store, NOW + self.STUB_LIFE + timedelta(hours=1)) == 1

    def test_a_round_is_bounded(self, store: Store, caps: Caps, recipient: UUID) -> None:
        store.put([make_letter(recipient) for _ in range(5)], caps, NOW)
        assert self.expire(store, NOW + timedelta(days=31), most=3) == 3
        assert MailboxMessage.objects.count() == 2


class TestRest:
    def test_count_tells_messages_bytes_and_age(self, store: Store, caps: Caps, recipient: UUID) -> None:
        assert store.count(recipient) == (0, 0, None)
        store.put([make_letter(recipient, sealed=bytes(10)) for _ in range(3)], caps, NOW)
        assert store.count(recipient) == (3, 30, NOW)

    def test_a_deleted_account_takes_its_mailbox_along(
        self, store: Store, caps: Caps, recipient: UUID
    ) -> None:
        put_one(store, make_letter(recipient), caps)
        User.objects.get(id=recipient).delete()
        assert not MailboxMessage.objects.exists()

    def test_discarded_rows_are_gone(self, store: Store, caps: Caps, recipient: UUID) -> None:
        outcome = put_one(store, make_letter(recipient), caps)
        store.discard([outcome.row_id])
        assert not MailboxMessage.objects.exists()
