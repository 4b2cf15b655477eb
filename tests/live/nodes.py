"""Servers that the tests of a module share, and sockets to them that end with their test."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import psycopg
from websockets.asyncio.client import connect

from construct_site.env import REPOSITORY
from tests.live.dialogue import POLL_S, WAIT_S, Dialogue, Person
from tests.live.raw import RawSocket
from tests.live.server import Backing, Server, environment_of

SHARED_SETTINGS: Mapping[str, str] = {
    # All tests come from one address.
    "CONSTRUCT_REGISTRATIONS_PER_HOUR": "100000",
    "CONSTRUCT_CONNECTIONS_PER_ADDRESS": "1000",
    # The cost of a hash is tested where it is chosen.
    "CONSTRUCT_PASSWORD_HASH_MEMORY_KIB": "64",
    "CONSTRUCT_PASSWORD_HASH_PASSES": "1",
}
"""What servers for many tests are started with, beside what a module asks for."""


@dataclass(frozen=True)
class Nodes:
    """Where two people can be: on two processes of a distributed backing, on one of an embedded."""

    backing: Backing
    here: Server
    there: Server
    private: set[str]
    """What no log of theirs may hold."""

    def waiting(self, recipient: Person) -> int:
        """How many messages wait in the person's mailbox, as the database has it."""
        return waiting(self.backing, recipient.user_id)

    async def confirmed(self, recipient: Person, *, left: int = 0) -> None:
        """Wait until no more than `left` messages wait for the recipient."""
        async with asyncio.timeout(WAIT_S):
            while self.waiting(recipient) > left:  # noqa: ASYNC110 - the database tells only who asks
                await asyncio.sleep(POLL_S)


def waiting(backing: Backing, user_id: str) -> int:
    recipient: object = UUID(user_id) if "DATABASE_URL" in backing.environment else UUID(user_id).hex
    rows = query(backing, "SELECT count(*) FROM messaging_mailboxmessage WHERE recipient_id = {}", recipient)
    return int(rows[0][0])


def query(backing: Backing, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement on a backing's database; `{}` in it stands for the next value."""
    if url := backing.environment.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            return connection.execute(statement.replace("{}", "%s").encode(), values).fetchall()
    file = Path(backing.environment["CONSTRUCT_DATA_DIR"]) / "construct.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement.replace("{}", "?"), values).fetchall()


def run_in_another_process(backing: Backing, code: str) -> None:
    """Run Django code in a process that serves nobody. Raises ``subprocess.CalledProcessError``."""
    run_command(backing, "shell", "--verbosity", "0", "--command", code)


def run_command(backing: Backing, *arguments: str, typed: str = "") -> str:
    """What a command of ``manage.py`` writes, in a process of its own, to which `typed` is the input.

    Raises ``subprocess.CalledProcessError``.
    """
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=environment_of(backing, **SHARED_SETTINGS),
        check=True,
        capture_output=True,
        input=typed,
        text=True,
        timeout=60,
    )
    return done.stdout


@dataclass
class Sockets:
    """Opens sockets and closes them all. Where no server is named they go to `server`."""

    server: Server
    private: set[str]
    source: str = "127.0.0.1"
    """The address that they come from, in 127.0.0.0/8."""
    headers: Sequence[tuple[str, str]] = ()
    """Further headers of their handshakes."""
    opened: list[Dialogue] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def open(self, server: Server | None = None) -> Dialogue:
        """A socket that is nobody's yet."""
        transport = await connect(
            (server or self.server).websocket_url,
            compression=None,
            proxy=None,
            ping_interval=None,
            close_timeout=5,
            max_queue=None,
            local_addr=(self.source, 0),
            additional_headers=self.headers,
        )
        return self._keep(Dialogue(transport, self.private))

    async def open_raw(
        self, server: Server | None = None, *, answers_pings: bool = False
    ) -> tuple[Dialogue, RawSocket]:
        """The same with the pongs in the test's hands."""
        transport = await RawSocket.open(
            (server or self.server).port, answers_pings=answers_pings, source=self.source
        )
        return self._keep(Dialogue(transport, self.private)), transport

    async def register(self, server: Server | None = None, **changes: Any) -> tuple[Dialogue, Person]:
        """A socket of a new account."""
        dialogue = await self.open(server)
        return dialogue, await dialogue.register(**changes)

    async def register_absent(self, server: Server | None = None) -> Person:
        """A new account without a socket."""
        dialogue, person = await self.register(server)
        await dialogue.close()
        return person

    async def resume(self, person: Person, server: Server | None = None, **extensions: Any) -> Dialogue:
        """A further socket of an account."""
        dialogue = await self.open(server)
        await dialogue.connect(person, **extensions)
        return dialogue

    async def close(self) -> None:
        for dialogue in self.opened:
            await dialogue.close()

    def _keep(self, dialogue: Dialogue) -> Dialogue:
        self.opened.append(dialogue)
        return dialogue
