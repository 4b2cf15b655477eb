"""Group commit, paging and confirmations, on the real database in the mailbox's own threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, Error, InterfaceError, OperationalError, connection
from structlog.testing import capture_logs

from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from messaging.mailbox import mailbox as mailbox_module
from messaging.mailbox.commits import ThreadCommitter
from messaging.mailbox.letters import Caps, Letter, Outcome, Verdict
from messaging.mailbox.mailbox import Mailbox
from tests.messaging.doubles import PATIENCE_S, turns, until
from tests.messaging.mailbox.conftest import every_new_session_read_only, make_letter
from tests.messaging.mailbox.faulty import FaultyStore

EVERYTHING = 10**9
AWAY = OperationalError, InterfaceError


READ_ONLY_SESSION = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}
READ_ONLY_DATABASE: dict[str, list[tuple[Callable[[], AbstractContextManager[None]], int]]] = {
    "postgresql": [(nullcontext, 2), (every_new_session_read_only, 3)],
    "sqlite": [(nullcontext, 2)],
}
"""What is read-only beside the committer's session, and the tries that it is seen to take at least."""


def make_this_session_read_only() -> None:
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY_SESSION[connection.vendor])


@pytest.fixture
def faulty_store(transactional_db: None) -> FaultyStore:
    return FaultyStore()


@pytest.fixture
async def mailbox(faulty_store: FaultyStore, caps: Caps) -> AsyncIterator[Mailbox]:
    """Commits at most five letters, or what reaches 1000 bytes."""
    made = Mailbox(faulty_store, caps, batch_messages=5, batch_bytes=1000)
    yield made
    faulty_store.gate.set()
    await made.close()


def unseen(_outcome: Outcome) -> None:
    """For letters whose announcement does not matter."""


def letters_to(recipient: UUID, count: int, size: int = 1) -> list[Letter]:
    return [make_letter(recipient, sealed=bytes([number]) * size) for number in range(count)]


def _note(order: list[int], number: int, _future: asyncio.Future[Outcome]) -> None:
    order.append(number)


async def outcome_of(future: asyncio.Future[Outcome]) -> Outcome:
    return await asyncio.wait_for(asyncio.shield(future), PATIENCE_S)


async def sealed_waiting(mailbox: Mailbox, recipient: UUID) -> list[bytes]:
    return [row.sealed for row in (await mailbox.page(recipient, [], EVERYTHING, EVERYTHING)).rows]


async def hold_the_next_commit(mailbox: Mailbox, store: FaultyStore, letter: Letter) -> None:
    """Put a letter whose commit stays under way until the store's gate opens."""
    store.gate.clear()
    mailbox.put(letter, unseen)
    await until(lambda: store.begun.acquire(blocking=False))


class TestPut:
    async def test_a_letter_is_on_disk_when_its_future_ends(self, mailbox: Mailbox, recipient: UUID) -> None:
        outcome = await outcome_of(mailbox.put(make_letter(recipient, sealed=b"kept"), unseen))
        assert outcome.verdict is Verdict.STORED
        assert await sealed_waiting(mailbox, recipient) == [b"kept"]

    async def test_letters_that_wait_together_go_down_together_in_their_order(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        letters = letters_to(recipient, 4)
        order: list[int] = []
        futures = [mailbox.put(letter, unseen) for letter in letters]
        for number, future in enumerate(futures):
            future.add_done_callback(partial(_note, order, number))
        outcomes = await asyncio.gather(*futures)
        assert faulty_store.batches == [letters]
        assert order == [0, 1, 2, 3]
        assert [outcome.row_id for outcome in outcomes] == sorted(outcome.row_id for outcome in outcomes)
        assert [outcome.previous_id for outcome in outcomes] == [
            0,
            *(outcome.row_id for outcome in outcomes[:3]),
        ]

    async def test_batches_are_bounded_by_messages(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        await asyncio.gather(*(mailbox.put(letter, unseen) for letter in letters_to(recipient, 12)))
        assert [len(batch) for batch in faulty_store.batches] == [5, 5, 2]

    async def test_batches_are_bounded_by_bytes(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        sizes = [600, 600, 999, 1, 5000, 10]
        letters = [make_letter(recipient, sealed=bytes(size)) for size in sizes]
        await asyncio.gather(*(mailbox.put(letter, unseen) for letter in letters))
        of_batches = [[len(letter.sealed) for letter in batch] for batch in faulty_store.batches]
        assert of_batches == [[600, 600], [999, 1], [5000], [10]]

    async def test_what_comes_during_a_commit_goes_down_with_the_next(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        first, *others = letters_to(recipient, 4)
        await hold_the_next_commit(mailbox, faulty_store, first)
        futures = [mailbox.put(letter, unseen) for letter in others]
        faulty_store.gate.set()
        await asyncio.gather(*futures)
        assert faulty_store.batches == [[first], others]

    async def test_a_refused_letter_is_told_so(self, mailbox: Mailbox) -> None:
        announced: list[Outcome] = []
        outcome = await outcome_of(mailbox.put(make_letter(uuid4()), announced.append))
        assert outcome.verdict is Verdict.UNKNOWN_RECIPIENT
        assert announced == []


class TestAnnouncing:
    async def test_each_is_announced_in_order_before_its_future_ends(
        self, mailbox: Mailbox, recipient: UUID
    ) -> None:
        steps: list[str] = []

        def put(number: int, letter: Letter) -> asyncio.Future[Outcome]:
            future = mailbox.put(
                letter, lambda _outcome: steps.append(f"announced {number}: {future.done()}")
            )
            return future

        await asyncio.gather(*(put(number, letter) for number, letter in enumerate(letters_to(recipient, 3))))
        assert steps == ["announced 0: False", "announced 1: False", "announced 2: False"]

    async def test_a_batch_is_announced_once_the_next_is_on_its_way(
        self, mailbox: Mailbox, recipient: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        put = ThreadCommitter.put

        async def noted(
            committer: ThreadCommitter, letters: Sequence[Letter], caps: Caps, now: datetime
        ) -> list[Outcome]:
            steps.append(f"{len(letters)} put")
            return await put(committer, letters, caps, now)

        monkeypatch.setattr(ThreadCommitter, "put", noted)
        await asyncio.gather(
            *(
                mailbox.put(letter, lambda _outcome: steps.append("announced"))
                for letter in letters_to(recipient, 7)
            )
        )
        assert steps == ["5 put", "2 put", *["announced"] * 7]

    async def test_a_stored_letter_is_announced_though_nobody_waits_any_more(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        announced: list[Outcome] = []
        faulty_store.gate.clear()
        future = mailbox.put(make_letter(recipient, sealed=b"kept"), announced.append)
        await until(lambda: faulty_store.begun.acquire(blocking=False))
        future.cancel()
        faulty_store.gate.set()
        await until(lambda: bool(announced))
        assert announced[0].verdict is Verdict.STORED
        assert await sealed_waiting(mailbox, recipient) == [b"kept"]

    async def test_a_repeat_is_not_announced(self, mailbox: Mailbox, recipient: UUID) -> None:
        letter = make_letter(recipient)
        announced: list[Outcome] = []
        first = await outcome_of(mailbox.put(letter, announced.append))
        repeated = await outcome_of(mailbox.put(letter, announced.append))
        assert repeated == Outcome(Verdict.REPEATED, first.row_id)
        assert announced == [first]


class TestRepeats:
    async def test_repeats_in_one_batch_join_the_first(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        letter, other = make_letter(recipient), make_letter(recipient)
        announced: list[Outcome] = []
        outcomes = await asyncio.gather(
            *(mailbox.put(each, announced.append) for each in (letter, letter, other, letter))
        )
        assert faulty_store.batches == [[letter, other]]
        assert [outcome.verdict.name for outcome in outcomes] == ["STORED", "REPEATED", "STORED", "REPEATED"]
        assert outcomes[1] == outcomes[3] == Outcome(Verdict.REPEATED, outcomes[0].row_id)
        assert len(announced) == 2

    async def test_repeats_of_a_refused_letter_are_refused_alike(self, mailbox: Mailbox) -> None:
        letter = make_letter(uuid4())
        outcomes = await asyncio.gather(mailbox.put(letter, unseen), mailbox.put(letter, unseen))
        assert [outcome.verdict for outcome in outcomes] == [Verdict.UNKNOWN_RECIPIENT] * 2

    async def test_another_body_of_the_same_name_conflicts(self, mailbox: Mailbox, recipient: UUID) -> None:
        name = b"n" * 16
        bodies = [make_letter(recipient, name=name, body=body * 16) for body in (b"1", b"2")]
        outcomes = await asyncio.gather(*(mailbox.put(letter, unseen) for letter in bodies))
        assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED, Verdict.CONFLICTING]

    async def test_a_repeat_keeps_the_letter_of_one_who_gave_up(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        await hold_the_next_commit(mailbox, faulty_store, make_letter(recipient, sealed=b"first"))
        letter = make_letter(recipient, sealed=b"twice")
        given_up = mailbox.put(letter, unseen)
        repeat = mailbox.put(letter, unseen)
        given_up.cancel()
        faulty_store.gate.set()
        assert (await outcome_of(repeat)).verdict is Verdict.REPEATED
        assert await sealed_waiting(mailbox, recipient) == [b"first", b"twice"]


class TestFaults:
    @pytest.mark.parametrize("bad", [{0}, {3}, {1, 2}])
    async def test_a_letter_that_the_database_refuses_fails_alone(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID, bad: set[int]
    ) -> None:
        letters = letters_to(recipient, 5)
        faulty_store.poison = {letters[number].sealed: DataError() for number in bad}
        outcomes = await asyncio.gather(
            *(mailbox.put(letter, unseen) for letter in letters), return_exceptions=True
        )
        for number, outcome in enumerate(outcomes):
            if number in bad:
                assert isinstance(outcome, ConstructError)
                assert outcome.code is ErrorCode.QUEUE_FAILED
            else:
                assert isinstance(outcome, Outcome)
                assert outcome.verdict is Verdict.STORED
        good = [letter.sealed for number, letter in enumerate(letters) if number not in bad]
        assert await sealed_waiting(mailbox, recipient) == good

    @pytest.mark.parametrize("fault", AWAY)
    async def test_while_the_database_is_away_nothing_overtakes(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID, fault: type[Error]
    ) -> None:
        faulty_store.put_faults.extend([fault("away"), fault("away")])
        letters = letters_to(recipient, 8)
        outcomes = await asyncio.gather(*(mailbox.put(letter, unseen) for letter in letters))
        assert faulty_store.batches == [letters[:5]] * 3 + [letters[5:]]
        assert {outcome.verdict for outcome in outcomes} == {Verdict.STORED}
        assert await sealed_waiting(mailbox, recipient) == [letter.sealed for letter in letters]

    async def test_a_letter_given_up_meanwhile_is_not_tried_again(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        faulty_store.put_faults.append(OperationalError("away"))
        letters = letters_to(recipient, 3)
        futures = [mailbox.put(letter, unseen) for letter in letters]
        await until(lambda: not faulty_store.put_faults)
        futures[1].cancel()
        await outcome_of(futures[2])
        assert faulty_store.batches == [letters, [letters[0], letters[2]]]
        assert await sealed_waiting(mailbox, recipient) == [letters[0].sealed, letters[2].sealed]

    async def test_what_everybody_gave_up_ends_the_retries(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        faulty_store.put_faults.append(OperationalError("away"))
        future = mailbox.put(make_letter(recipient), unseen)
        await until(lambda: not faulty_store.put_faults)
        future.cancel()
        later = await outcome_of(mailbox.put(make_letter(recipient, sealed=b"later"), unseen))
        assert later.verdict is Verdict.STORED
        assert await sealed_waiting(mailbox, recipient) == [b"later"]

    async def test_a_fault_that_is_no_database_error_fails_its_letter_alone(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID
    ) -> None:
        letters = letters_to(recipient, 8)
        faulty_store.poison = {letters[2].sealed: ValueError("hidden")}
        with capture_logs() as logs:
            outcomes = await asyncio.gather(
                *(mailbox.put(letter, unseen) for letter in letters), return_exceptions=True
            )
        (failed,) = [outcome for outcome in outcomes if not isinstance(outcome, Outcome)]
        assert failed is outcomes[2]
        assert isinstance(failed, ConstructError)
        assert failed.code is ErrorCode.QUEUE_FAILED
        good = [letter.sealed for letter in letters if letter is not letters[2]]
        assert await sealed_waiting(mailbox, recipient) == good
        assert [(entry["log_level"], entry["error"]) for entry in logs] == [("error", "ValueError")]
        assert "hidden" not in str(logs)

    async def test_a_fault_of_the_announcement_costs_neither_its_ack_nor_the_others(
        self, mailbox: Mailbox, recipient: UUID
    ) -> None:
        def fail(_outcome: Outcome) -> None:
            raise ValueError("hidden")

        announced: list[Outcome] = []
        letters = letters_to(recipient, 7)
        with capture_logs() as logs:
            first = mailbox.put(letters[0], fail)
            others = [mailbox.put(letter, announced.append) for letter in letters[1:]]
            outcomes = await asyncio.gather(first, *others)
        assert {outcome.verdict for outcome in outcomes} == {Verdict.STORED}
        assert announced == outcomes[1:]
        assert await sealed_waiting(mailbox, recipient) == [letter.sealed for letter in letters]
        assert [entry["error"] for entry in logs] == ["ValueError"]
        assert "hidden" not in str(logs)

    @pytest.mark.parametrize(("surroundings", "tries"), READ_ONLY_DATABASE[connection.vendor])
    async def test_a_database_that_takes_no_writes_is_waited_for(
        self,
        mailbox: Mailbox,
        faulty_store: FaultyStore,
        recipient: UUID,
        surroundings: Callable[[], AbstractContextManager[None]],
        tries: int,
    ) -> None:
        letters = letters_to(recipient, 7)
        with surroundings():
            assert isinstance(mailbox._commits, ThreadCommitter)
            await mailbox._commits._thread.run(make_this_session_read_only)
            futures = [mailbox.put(letter, unseen) for letter in letters]
            await until(lambda: len(faulty_store.batches) >= tries)
            assert faulty_store.batches[:tries] == [letters[:5]] * tries
        outcomes = await asyncio.gather(*futures)
        assert {outcome.verdict for outcome in outcomes} == {Verdict.STORED}
        assert await sealed_waiting(mailbox, recipient) == [letter.sealed for letter in letters]


class TestQueue:
    async def test_more_bytes_than_may_wait_are_refused_and_what_waits_is_stored(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mailbox_module, "_QUEUE_BYTES", 10)
        first, *letters = letters_to(recipient, 6, size=5)
        await hold_the_next_commit(mailbox, faulty_store, first)
        futures = [mailbox.put(letter, unseen) for letter in letters]
        with pytest.raises(ConstructError) as refused:
            await futures[3]
        assert refused.value.code is ErrorCode.QUEUE_FAILED
        assert not any(future.done() for future in futures[:3])
        faulty_store.gate.set()
        assert [(await future).verdict for future in futures[:3]] == [Verdict.STORED] * 3
        with pytest.raises(ConstructError):
            await futures[4]
        assert (await outcome_of(mailbox.put(letters[3], unseen))).verdict is Verdict.STORED


class TestConfirm:
    async def test_what_is_confirmed_is_a_stub_when_the_callback_comes(
        self, mailbox: Mailbox, recipient: UUID
    ) -> None:
        letters = letters_to(recipient, 3)
        outcomes = await asyncio.gather(*(mailbox.put(letter, unseen) for letter in letters))
        done: list[int] = []
        mailbox.confirm([outcomes[0].row_id, outcomes[2].row_id], done.append)
        await until(lambda: len(done) == 2)
        assert done == [outcomes[0].row_id, outcomes[2].row_id]
        assert await sealed_waiting(mailbox, recipient) == [letters[1].sealed]
        again = await outcome_of(mailbox.put(letters[0], unseen))
        assert again.verdict is Verdict.CONFIRMED

    @pytest.mark.parametrize("fault", [*AWAY, RuntimeError])
    async def test_a_confirmation_is_tried_until_it_succeeds(
        self, mailbox: Mailbox, faulty_store: FaultyStore, recipient: UUID, fault: type[Exception]
    ) -> None:
        outcome = await outcome_of(mailbox.put(make_letter(recipient), unseen))
        faulty_store.confirm_faults.append(fault("away"))
        done: list[int] = []
        mailbox.confirm([outcome.row_id], done.append)
        await until(lambda: not faulty_store.confirm_faults)
        assert done == []
        await until(lambda: bool(done))
        assert done == [outcome.row_id]
        assert faulty_store.confirmations == [[outcome.row_id]] * 2
        assert await sealed_waiting(mailbox, recipient) == []

    async def test_confirming_nothing_asks_the_database_nothing(
        self, mailbox: Mailbox, faulty_store: FaultyStore
    ) -> None:
        done: list[int] = []
        mailbox.confirm([], done.append)
        await turns()
        assert faulty_store.confirmations == []

    async def test_discarded_rows_are_gone(self, mailbox: Mailbox, recipient: UUID) -> None:
        outcome = await outcome_of(mailbox.put(make_letter(recipient, sealed=bytes(7)), unseen))
        assert (await mailbox.count(recipient))[:2] == (1, 7)
        await mailbox.discard([outcome.row_id])
        assert await mailbox.count(recipient) == (0, 0, None)


class TestClose:
    async def test_no_thread_is_left(self, faulty_store: FaultyStore, caps: Caps, recipient: UUID) -> None:
        mailbox = Mailbox(faulty_store, caps, batch_messages=5, batch_bytes=1000)
        outcome = await outcome_of(mailbox.put(make_letter(recipient), unseen))
        await mailbox.page(recipient, [], 1, 1)
        done: list[int] = []
        mailbox.confirm([outcome.row_id], done.append)
        await until(lambda: bool(done))
        names = {thread.name for thread in threading.enumerate()}
        assert {name for name in names if name.startswith("mailbox-")}
        await mailbox.close()
        names = {thread.name for thread in threading.enumerate()}
        assert not {name for name in names if name.startswith("mailbox-")}

    async def test_what_was_put_is_stored_before_the_end(
        self, faulty_store: FaultyStore, caps: Caps, recipient: UUID
    ) -> None:
        mailbox = Mailbox(faulty_store, caps, batch_messages=2, batch_bytes=1000)
        letters = letters_to(recipient, 4)
        futures = [mailbox.put(letter, unseen) for letter in letters]
        await asyncio.wait_for(mailbox.close(), PATIENCE_S)
        assert [(await future).verdict for future in futures] == [Verdict.STORED] * 4

    async def test_what_was_confirmed_is_removed_before_the_end(
        self, faulty_store: FaultyStore, caps: Caps, recipient: UUID
    ) -> None:
        mailbox = Mailbox(faulty_store, caps, batch_messages=2, batch_bytes=1000)
        outcome = await outcome_of(mailbox.put(make_letter(recipient), unseen))
        mailbox.confirm([outcome.row_id], lambda _row: None)
        await asyncio.wait_for(mailbox.close(), PATIENCE_S)
        page = await run_in_database_thread(faulty_store.page, recipient, [], EVERYTHING, EVERYTHING)
        assert page.rows == []

    async def test_nobody_is_left_waiting_for_a_database_that_stays_away(
        self, faulty_store: FaultyStore, caps: Caps, recipient: UUID
    ) -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        mailbox = Mailbox(faulty_store, caps, batch_messages=2, batch_bytes=1000)
        faulty_store.put_faults.extend([OperationalError()] * 100)
        letters = letters_to(recipient, 4)
        repeated = [*letters[:2], letters[0], *letters[2:], letters[2]]
        futures = [mailbox.put(letter, unseen) for letter in repeated]
        await asyncio.wait_for(mailbox.close(), PATIENCE_S)
        assert all(future.done() for future in futures)
        page = await run_in_database_thread(faulty_store.page, recipient, [], EVERYTHING, EVERYTHING)
        assert page.rows == []
        gc.collect()
        assert faults == []
