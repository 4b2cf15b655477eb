"""Committing from an event loop, on the real database: sessions that are lost, refused or left in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from construct_site.database import run_in_database_thread
from messaging.mailbox.commits import Committer
from messaging.mailbox.letters import Caps, Letter, Verdict
from messaging.mailbox.store import Store
from tests.messaging.doubles import turns
from tests.messaging.mailbox.conftest import every_new_session_read_only, make_letter

EVERYTHING = 10**9


@pytest.fixture
async def committer(store: Store) -> AsyncIterator[Committer]:
    made = store.committer()
    yield made
    await made.close()


async def stored(store: Store, recipient: UUID) -> list[bytes]:
    page = await run_in_database_thread(store.page, recipient, [], EVERYTHING, EVERYTHING)
    return [row.sealed for row in page.rows]


async def put(committer: Committer, caps: Caps, *letters: Letter) -> list[Verdict]:
    return [outcome.verdict for outcome in await committer.put(letters, caps, timezone.now())]


def end_committing_sessions() -> None:
    """As when the database is restarted. SQLite has no sessions."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%%WITH letter AS%%'"
            )


def fails_on_postgresql() -> AbstractContextManager[Any]:
    return pytest.raises(OperationalError) if connection.vendor == "postgresql" else nullcontext()


async def test_batches_go_down_one_after_another(
    committer: Committer, store: Store, caps: Caps, recipient: UUID
) -> None:
    letters = [make_letter(recipient, sealed=bytes([number])) for number in range(9)]
    for start in (0, 3, 6):
        assert await put(committer, caps, *letters[start : start + 3]) == [Verdict.STORED] * 3
    assert await stored(store, recipient) == [letter.sealed for letter in letters]


async def test_a_lost_session_is_an_outage_and_the_next_batch_has_another(
    committer: Committer, caps: Caps, recipient: UUID
) -> None:
    first, second, third = (make_letter(recipient) for _ in range(3))
    await put(committer, caps, first)
    await run_in_database_thread(end_committing_sessions)
    with fails_on_postgresql():
        await put(committer, caps, second)
    assert await put(committer, caps, third, first) == [Verdict.STORED, Verdict.REPEATED]


async def test_a_session_that_takes_no_writes_is_an_outage_and_is_not_used_again(
    committer: Committer, caps: Caps, recipient: UUID
) -> None:
    letter = make_letter(recipient)
    forbidding = every_new_session_read_only() if connection.vendor == "postgresql" else nullcontext()
    with forbidding, fails_on_postgresql():
        await put(committer, caps, letter)
    is_stored_already = connection.vendor != "postgresql"
    expected = Verdict.REPEATED if is_stored_already else Verdict.STORED
    assert await put(committer, caps, letter) == [expected]


async def test_who_stops_waiting_leaves_a_committer_that_works(
    committer: Committer, store: Store, caps: Caps, recipient: UUID
) -> None:
    left, other = make_letter(recipient), make_letter(recipient)
    await put(committer, caps, make_letter(recipient))
    putting = asyncio.create_task(put(committer, caps, left))
    await turns(2)
    putting.cancel()
    await asyncio.wait([putting])
    assert await put(committer, caps, other) == [Verdict.STORED]
    assert (await put(committer, caps, left))[0] in (Verdict.STORED, Verdict.REPEATED)
    assert len(await stored(store, recipient)) == 3
