"""Recipients and letters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from accounts.models import User
from keys.models import PrekeyBundle
from messaging.mailbox.letters import Caps, Letter
from messaging.mailbox.sealing import KeyRing, Names
from messaging.mailbox.store import Store, get_store
from tests.messaging.doubles import PATIENCE_S

MAILBOX_KEYS = KeyRing([bytes(range(32))])
OLD_KEY, NEW_KEY, NEXT_KEY = (bytes([number]) * 32 for number in (1, 2, 3))
SENDER = UUID(int=1)
MakeLetter = Callable[..., Letter]


@pytest.fixture
def store(transactional_db: None) -> Store:
    return get_store()


@pytest.fixture
def caps() -> Caps:
    return Caps(messages=100, bytes=1_000_000, sender_share=4)


@pytest.fixture
def recipient(transactional_db: None) -> UUID:
    return make_recipient("recipient")


def make_recipient(username: str, **fields: bool | date) -> UUID:
    """An account with a bundle; `fields` are the account's."""
    user = User.objects.create(username=username, display_name=username, **fields)
    PrekeyBundle.objects.create(
        user=user,
        identity_public=bytes(32),
        verifying_key=bytes(32),
        signed_prekey_public=bytes(32),
        signature=bytes(64),
    )
    return user.id


def run_at_once(*works: Callable[[], object]) -> None:
    """Run each work in a thread of its own, all from the same moment; returns when all have ended."""
    gate = threading.Barrier(len(works))
    threads = [threading.Thread(target=_with_a_connection, args=[work, gate]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _with_a_connection(work: Callable[[], object], gate: threading.Barrier) -> None:
    try:
        gate.wait()
        work()
    finally:
        connection.close()


def until_someone_waits_for_a_lock() -> None:
    """PostgreSQL tells; on SQLite whoever writes waits for the writer, so there is nothing to wait for."""
    if connection.vendor != "postgresql":
        return
    deadline = time.monotonic() + PATIENCE_S
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
                "WHERE NOT granted AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise TimeoutError


def make_letter(
    recipient: UUID,
    *,
    sender: UUID = SENDER,
    name: bytes = b"",
    body: bytes = b"b" * 16,
    pair: bytes = b"p" * 16,
    sealed: bytes = b"sealed",
) -> Letter:
    return Letter(recipient, sender, name or uuid4().bytes, body, pair, sealed)


def write_letter(
    recipient: UUID, keys: Sequence[bytes], number: int, *, sender: bytes = b"s" * 16, content: str = "AAAA"
) -> Letter:
    """The letter of one message as a process with this ring of dedup keys writes it: really named and encrypted."""
    current, *further = Names(keys).digests(
        sender=sender,
        recipient=recipient.bytes,
        message_id=number.to_bytes(16, "big"),
        ephemeral_public_key=bytes(32),
        message_number=number,
        content=content,
    )
    sealed = MAILBOX_KEYS.encrypt(number.to_bytes(4, "big"), recipient.bytes, current.name)
    return Letter(recipient, UUID(bytes=sender), *current, sealed, tuple(further))


@contextmanager
def every_new_session_read_only() -> Iterator[None]:
    """PostgreSQL: a session that begins within takes no writes, as when an operator or a full disk says so."""
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as session:
        database = sql.Identifier(session.info.dbname)
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(database)
        session.execute(setting)
        # Pooled sessions keep the setting that they began with: none of before for this test, none of now after it.
        connection.close_pool()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            session.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(database))
            connection.close_pool()  # type: ignore[attr-defined]
