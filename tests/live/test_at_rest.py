"""What a stolen database or log tells: nothing of what was said, and not who said it."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.live.dialogue import POLL_S, WAIT_S, Person, chat_message, chat_messages
from tests.live.nodes import SHARED_SETTINGS, Sockets, query, waiting
from tests.live.server import Backing, ServerFactory

SOURCE = "127.77.0.77"


def stored(backing: Backing) -> bytes:
    """Everything a backing's database holds, in small letters: SQLite's files, or each row of PostgreSQL."""
    url = backing.environment.get("DATABASE_URL")
    if url is None:
        files = Path(backing.environment["CONSTRUCT_DATA_DIR"]).glob("construct.sqlite3*")
        return b"".join(file.read_bytes() for file in files).lower()
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))).fetchall()
            for (table,) in tables
        ]
    return "\n".join(row for table in rows for (row,) in table).lower().encode()


def forms_of(secret: str) -> list[bytes]:
    """How a text can stand in a dump, in small letters: as it is, or as the hexadecimal digits of bytes."""
    forms = [secret.encode().lower(), secret.encode().hex().encode()]
    try:
        raw = base64.b64decode(secret, validate=True)
    except ValueError:
        return forms
    return [*forms, raw.lower(), raw.hex().encode()]


def mailbox(backing: Backing) -> bytes:
    rows = query(backing, "SELECT * FROM messaging_mailboxmessage")
    return b"\n".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        for row in rows
        for value in row
    ).lower()


def id_forms(person: Person) -> list[bytes]:
    user_id = UUID(person.user_id)
    return [str(user_id).encode(), user_id.hex.encode(), user_id.bytes, user_id.bytes.lower()]


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_neither_database_nor_log_tells_what_was_said_or_by_whom(
    level: str, server_process: ServerFactory
) -> None:
    backing = server_process.backing
    server = server_process(**SHARED_SETTINGS, CONSTRUCT_LOG_LEVEL=level)
    async with Sockets(server, server_process.private, source=SOURCE) as sockets:
        server_process.private.add(SOURCE)
        alice, a = await sockets.register()
        b = await sockets.register_absent()
        sent = chat_messages(a, b, 3)
        for message in sent:
            await alice.send_to_absent(message)
            server_process.private |= {message["id"], message["content"]}
        assert waiting(backing, b.user_id) == 3
        dump, letters = stored(backing), mailbox(backing)
        assert b.username.encode() in dump, "the dump is one"
        secrets = [a.token, a.token.removeprefix("construct_"), a.password, b.token, b.password]
        secrets += [message["content"] for message in sent] + [message["id"] for message in sent]
        for secret in secrets:
            assert not [form for form in forms_of(secret) if form in dump], "a secret is in the database"
        assert any(form in letters for form in id_forms(b)), "the recipient stands in the row"
        assert not [form for form in id_forms(a) if form in letters], "the sender stands in the row"
        assert not [m for m in sent if UUID(m["id"]).bytes.lower() in letters]
        assert SOURCE.encode() not in dump
        await alice.refusal("sendMessage", chat_message(b, a))
        await alice.refusal("getPublicKey", {"userId": a.token})
        await alice.refusal("login", {"username": b.username, "password": a.password})


async def test_a_confirmed_message_leaves_a_stub_that_names_nobody(server_process: ServerFactory) -> None:
    backing = server_process.backing
    async with Sockets(server_process(**SHARED_SETTINGS), server_process.private) as sockets:
        alice, a = await sockets.register()
        bob, b = await sockets.register()
        await alice.send(chat_message(a, b))
        await bob.message()
        await bob.finish()
        await bob.close()
        async with asyncio.timeout(WAIT_S):
            while waiting(backing, b.user_id):  # noqa: ASYNC110 - the database tells only who asks
                await asyncio.sleep(POLL_S)
        [row] = query(backing, "SELECT recipient_id, pair, frame, size FROM messaging_mailboxmessage")
        assert row == (None, None, None, None)
        letters = mailbox(backing)
        assert not [form for person in (a, b) for form in id_forms(person) if form in letters]
