"""The own mailbox over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from construct_site.database import run_in_database_thread
from messaging.mailbox.letters import Caps
from messaging.mailbox.store import get_store
from tests.messaging.mailbox.conftest import make_letter
from tests.rest import Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_it_tells_how_much_waits_and_since_when() -> None:
    alice = await register("alice")
    assert (await alice.get("mailbox")).body == {"messages": 0, "sizeBytes": 0, "oldest": None}
    letters = [make_letter(UUID(alice.user_id), sealed=bytes(10)) for _ in range(3)]
    await run_in_database_thread(get_store().put, letters, Caps(10, 10**6, 1), NOON)
    answer = await alice.get("mailbox")
    assert answer.body == {"messages": 3, "sizeBytes": 30, "oldest": int(NOON.timestamp())}


async def test_it_is_for_its_owner() -> None:
    assert (await Api().get("mailbox")).refusal == (401, "AUTH_REQUIRED")
