"""The mailbox on PostgreSQL: a batch is one statement, hence one round trip and one commit."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from django.db import InternalError, OperationalError, connection

from messaging.mailbox.arrays import ByteaArray, Int8Array, UuidArray, teach
from messaging.mailbox.commits import Committer, ThreadCommitter
from messaging.mailbox.letters import Caps, Letter, Outcome, Verdict, judge_repeat
from messaging.mailbox.store import (
    BUNDLE_TABLE,
    CONTACT_TABLE,
    NOT_PENDING,
    POLICY_TABLE,
    TABLE,
    Store,
    paging_sql,
)

_PAGE = paging_sql("id <> ALL(%b::bigint[])")
_MAKE_STUBS = f"""
UPDATE {TABLE} SET recipient_id = NULL, pair = NULL, frame = NULL, size = NULL, stored_at = %s
WHERE id = ANY(%b::bigint[]) AND recipient_id IS NOT NULL
"""  # noqa: S608 - table names only

_LOCK_BUNDLES = f"""
SELECT locked.user_id, locked.xmin = seen.xmin AS is_current
FROM {BUNDLE_TABLE} locked
CROSS JOIN LATERAL (SELECT xmin FROM {BUNDLE_TABLE} WHERE user_id = locked.user_id LIMIT 1) seen
WHERE locked.user_id = ANY(%(recipient_id)b::uuid[]) AND {NOT_PENDING} FOR KEY SHARE OF locked
"""  # noqa: S608 - table names only


# The lock on a recipient's bundle is what the mailbox has instead of a foreign key, whose check of each single
# row was half of the statement's cost: while a batch is under way no recipient of it is deleted, and whoever
# deletes one waits, then has the rows deleted that came meanwhile (the trigger of migration 0002).
# The lateral joins have each recipient's rows, and each name's, found by the index, whatever the planner believes
# of the table; LIMIT keeps it from reading all rows into a hash, cheap on the empty table that it may have planned for.
# Requests are counted only where all that waits would be too many requests: else an ack to somebody who lets accepted
# people alone write would come later, by what it takes to read their mailbox once more.
# `earlier` and the mailbox's fill are read from the statement's snapshot. A row
# that another process commits meanwhile is met by ON CONFLICT instead: such a
# letter comes back with neither a row nor an earlier one, and is asked for again.
# So is one whose recipient's bundle got a new version after the snapshot: the locked row is the newest, `seen` is
# the snapshot's. Who changes who may write makes such a version, under the bundle's lock: the change finds every
# message that was stored before, or the message finds the change.
_PUT = f"""
WITH letter AS (
    SELECT * FROM unnest(
        %(recipient_id)b::uuid[], %(sender_id)b::uuid[],
        %(name)b::bytea[], %(body)b::bytea[], %(pair)b::bytea[], %(frame)b::bytea[]
    ) WITH ORDINALITY AS t (recipient_id, sender_id, name, body, pair, frame, ordinal)
), bundle AS MATERIALIZED (
    {_LOCK_BUNDLES}
), policy AS MATERIALIZED (
    SELECT user_id, accepted_only FROM {POLICY_TABLE} WHERE user_id = ANY(%(recipient_id)b::uuid[])
), share AS MATERIALIZED (
    SELECT recipient.recipient_id, waiting.*
    FROM (SELECT DISTINCT recipient_id FROM letter) recipient
    CROSS JOIN LATERAL (
        SELECT pair, count(*) AS messages, sum(size) AS bytes, max(id) AS newest_id
        FROM {TABLE} WHERE recipient_id = recipient.recipient_id GROUP BY pair
    ) waiting
), fill AS (
    SELECT recipient_id, sum(messages)::int8 AS messages, sum(bytes) AS bytes FROM share GROUP BY recipient_id
), request_fill AS MATERIALIZED (
    SELECT policy.user_id, waiting.*
    FROM policy
    JOIN fill ON fill.recipient_id = policy.user_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS messages, coalesce(sum(size), 0) AS bytes
        FROM {TABLE} WHERE recipient_id = policy.user_id AND is_request
    ) waiting
    WHERE policy.accepted_only AND (fill.messages >= %(request_messages)s OR fill.bytes >= %(request_bytes)s)
), judged AS MATERIALIZED (
    SELECT
        letter.*,
        bundle.user_id IS NOT NULL AS is_known,
        earlier.id AS earlier_id,
        earlier.body AS earlier_body,
        earlier.recipient_id IS NOT NULL AS earlier_waits,
        earlier.is_request AS earlier_is_request,
        bundle.is_current,
        coalesce(said.is_blocked, false) AS is_unheard,
        coalesce(policy.accepted_only, false) AND NOT coalesce(said.is_accepted, false)
            AND letter.sender_id <> letter.recipient_id AS is_request,
        own.user_id IS NOT NULL AND NOT coalesce(own_word.is_accepted, false)
            AND letter.sender_id <> letter.recipient_id AS accepts_recipient,
        coalesce(share.newest_id, 0) AS previous_id,
        coalesce(fill.messages, 0) < %(cap_messages)s AND coalesce(fill.bytes, 0) < %(cap_bytes)s
            AND coalesce(share.messages, 0) < %(share_messages)s AND coalesce(share.bytes, 0) < %(share_bytes)s
            AS has_room,
        coalesce(request_fill.messages, 0) < %(request_messages)s
            AND coalesce(request_fill.bytes, 0) < %(request_bytes)s AS requests_have_room
    FROM letter
    LEFT JOIN bundle ON bundle.user_id = letter.recipient_id
    LEFT JOIN LATERAL (
        SELECT id, body, recipient_id, is_request FROM {TABLE} WHERE name = letter.name LIMIT 1
    ) earlier ON TRUE
    LEFT JOIN fill ON fill.recipient_id = letter.recipient_id
    LEFT JOIN share ON share.recipient_id = letter.recipient_id AND share.pair = letter.pair
    LEFT JOIN policy ON policy.user_id = letter.recipient_id
    LEFT JOIN request_fill ON request_fill.user_id = policy.user_id
    LEFT JOIN LATERAL (
        SELECT is_accepted, is_blocked FROM {CONTACT_TABLE}
        WHERE owner_id = policy.user_id AND peer_id = letter.sender_id LIMIT 1
    ) said ON TRUE
    LEFT JOIN LATERAL (
        SELECT user_id FROM {POLICY_TABLE} WHERE user_id = letter.sender_id AND accepted_only LIMIT 1
    ) own ON TRUE
    LEFT JOIN LATERAL (
        SELECT is_accepted FROM {CONTACT_TABLE}
        WHERE owner_id = own.user_id AND peer_id = letter.recipient_id LIMIT 1
    ) own_word ON TRUE
), stored AS (
    INSERT INTO {TABLE} (recipient_id, name, body, pair, frame, size, stored_at, is_request, is_unheard)
    SELECT recipient_id, name, body, pair, frame, octet_length(frame), %(now)s, is_request, is_unheard
    FROM judged
    WHERE is_known AND has_room AND (requests_have_room OR NOT is_request) AND is_current AND earlier_id IS NULL
    ORDER BY ordinal
    ON CONFLICT (name) DO NOTHING
    RETURNING id, name
)
SELECT name, stored.id, previous_id, is_known, is_current, has_room AND (requests_have_room OR NOT is_request),
       earlier_id, earlier_body, earlier_waits, earlier_is_request, is_request, is_unheard, accepts_recipient
FROM judged LEFT JOIN stored USING (name)
"""  # noqa: S608 - table names only

_CONNECT_S = 5
_PAIR_LOCKS = 0x70616972  # "pair": the class of these advisory locks
_PAIR_LOCKS_MAX = 4096
"""Different locks: what one batch takes at most of the server's table of locks, which has room for 6 400 by default."""
_LOCK = "SELECT pg_advisory_xact_lock(%s, number) FROM unnest(%s::int4[]) AS number"


class PostgresqlStore(Store):
    def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        with _read_only_is_an_outage():
            return super().put(letters, caps, now)

    def _lock_pairs(self, letters: Sequence[Letter]) -> None:
        with connection.cursor() as cursor:
            # What follows must see what was committed before the locks were had: a snapshot a statement.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(_LOCK, [_PAIR_LOCKS, _pair_locks(letters)])
        # Before any row: a deletion that has a bundle waits for rows, in its trigger, and would never get these.
        _run(_LOCK_BUNDLES, {"recipient_id": UuidArray(letter.recipient_id for letter in letters)})

    def _store(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        storing = _storing(letters, caps, now)
        try:
            parameters = next(storing)
            while True:
                parameters = storing.send(_run(_PUT, parameters))
        except StopIteration as stored:
            outcomes: list[Outcome] = stored.value
            return outcomes

    def committer(self) -> Committer:
        return _LoopCommitter(self)

    def _fetch_page(
        self, recipient_id: UUID, handed: list[int], messages: int, size: int
    ) -> list[tuple[Any, ...]]:
        return _run(_PAGE, (recipient_id, Int8Array(handed), messages + 1, messages, size))

    def _make_stubs(self, row_ids: Sequence[int], hour: datetime) -> None:
        _run(_MAKE_STUBS, (hour, Int8Array(row_ids)))


class _LoopCommitter(ThreadCommitter):
    """Commits from the event loop, on a session of its own: a thread would wait for the loop's interpreter lock.

    While the dedup key is rotated, batches take the store's longer way, in the thread.
    """

    def __init__(self, store: PostgresqlStore) -> None:
        super().__init__(store)
        self._session: psycopg.AsyncConnection[Any] | None = None

    async def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        if any(letter.further for letter in letters):
            return await super().put(letters, caps, now)
        with _read_only_is_an_outage():
            return await self._put(letters, caps, now)

    async def close(self) -> None:
        await self._end_session()
        await super().close()

    async def _put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        try:
            with connection.wrap_database_errors:
                session = self._session or await self._begin_session()
                storing = _storing(letters, caps, now)
                parameters = next(storing)
                while True:
                    cursor = psycopg.AsyncCursor(session)
                    await cursor.execute(_PUT, parameters, prepare=True, binary=True)
                    parameters = storing.send(await cursor.fetchall())
        except StopIteration as stored:
            outcomes: list[Outcome] = stored.value
            return outcomes
        except BaseException:
            # As in a thread: the next batch begins on a fresh session.
            await self._end_session()
            raise

    async def _begin_session(self) -> psycopg.AsyncConnection[Any]:
        options = {"connect_timeout": _CONNECT_S} | connection.get_connection_params()
        options |= {"cursor_factory": psycopg.AsyncCursor, "autocommit": True}
        self._session = session = await psycopg.AsyncConnection.connect(**options)
        teach(session)
        for setting in _SESSION:
            await session.execute(setting)
        session.prepare_threshold = 0
        return session

    async def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


@contextmanager
def _read_only_is_an_outage() -> Iterator[None]:
    """To Django a refusal of writes is an ``InternalError``; to the mailbox it is no fault of a letter."""
    try:
        yield
    except InternalError as error:
        if isinstance(error.__cause__, psycopg.errors.ReadOnlySqlTransaction):
            raise OperationalError("the database is read-only") from error
        raise


def _storing(
    letters: Sequence[Letter], caps: Caps, now: datetime
) -> Generator[dict[str, Any], list[tuple[Any, ...]], list[Outcome]]:
    """The steps of storing a batch: gives the parameters of the statement, takes its rows, returns the outcomes."""
    outcomes: dict[bytes, Outcome] = {}
    missing = list(letters)
    while missing:
        rows = yield {
            "recipient_id": UuidArray(letter.recipient_id for letter in missing),
            "sender_id": UuidArray(letter.sender_id for letter in missing),
            "name": ByteaArray([letter.name for letter in missing]),
            "body": ByteaArray([letter.body for letter in missing]),
            "pair": ByteaArray([letter.pair for letter in missing]),
            "frame": ByteaArray([letter.sealed for letter in missing]),
            "cap_messages": caps.messages,
            "cap_bytes": caps.bytes,
            "share_messages": caps.sender_messages,
            "share_bytes": caps.sender_bytes,
            "request_messages": caps.request_messages,
            "request_bytes": caps.request_bytes,
            "now": now,
        }
        outcomes.update(_judge(missing, rows))
        missing = [letter for letter in missing if letter.name not in outcomes]
    return _with_predecessors(letters, [outcomes[letter.name] for letter in letters])


def _judge(letters: Sequence[Letter], rows: Sequence[tuple[Any, ...]]) -> dict[bytes, Outcome]:
    """Outcomes by name; a letter that is to be asked for again is left out."""
    answers = {row[0]: row[1:] for row in rows}
    outcomes: dict[bytes, Outcome] = {}
    for letter in letters:
        row_id, previous_id, is_known, is_current, has_room, *others = answers[letter.name]
        earlier_id, earlier_body, earlier_waits, earlier_is_request, *hearing = others
        is_request, is_unheard, accepts_recipient = hearing
        if row_id is not None:
            outcome = Outcome(Verdict.STORED, row_id, previous_id, is_request, is_unheard, accepts_recipient)
        elif earlier_id is not None:
            outcome = judge_repeat(
                earlier_id,
                is_same_body=earlier_body == letter.body,
                waits=earlier_waits,
                is_request=earlier_is_request,
                accepts_recipient=accepts_recipient,
            )
        elif not is_known:
            outcome = Outcome(Verdict.UNKNOWN_RECIPIENT)
        elif is_current and not has_room:
            outcome = Outcome(Verdict.FULL)
        else:
            continue
        outcomes[letter.name] = outcome
    return outcomes


def _with_predecessors(letters: Sequence[Letter], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes with the rows of this batch as predecessors, where they are newer than what the snapshot showed.

    A repeat counts too: another process may have committed its row after the snapshot
    was taken, and what follows it here must not overtake it.
    """
    newest: dict[bytes, int] = {}
    chained = []
    for letter, outcome in zip(letters, outcomes, strict=True):
        before = newest.get(letter.pair, 0)
        if outcome.verdict is Verdict.STORED and outcome.previous_id < before:
            outcome = msgspec.structs.replace(outcome, previous_id=before)
        newest[letter.pair] = max(before, outcome.row_id)
        chained.append(outcome)
    return chained


def _pair_locks(letters: Sequence[Letter]) -> list[int]:
    """The numbers of the locks, of each pair under each key; in ascending order, so that no two batches deadlock."""
    pairs = {letter.pair for letter in letters}
    pairs.update(digests.pair for letter in letters for digests in letter.further)
    return sorted({int.from_bytes(pair[:4], "big") % _PAIR_LOCKS_MAX for pair in pairs})


_SESSION = (
    # To parse and plan the batch's statement each time took 1 ms (2026-11).
    "SET plan_cache_mode = force_generic_plan",
    # Planned once, maybe on an empty table: what is indexed is found by the index, however large it grows.
    "SET enable_seqscan = off",
    # Only a plain index scan remembers in the index which rows are dead: each message leaves one.
    "SET enable_bitmapscan = off",
)


def _make_ready(session: psycopg.Connection[Any]) -> None:
    """Have a new session prepare statements, which Django forbids by default, and plan for the mailbox."""
    teach(session)
    for setting in _SESSION:
        session.execute(setting)
    session.prepare_threshold = 0


def _run(statement: str, parameters: dict[str, Any] | tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Run one statement, prepared, with server-side parameters and binary results.

    Django's own cursor writes parameters into the statement's text, which
    doubles every frame as hexadecimal digits and prevents prepared statements.
    (A connection pooler between, if any, must pool sessions, not transactions.)
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        if connection.connection.prepare_threshold is None:
            _make_ready(connection.connection)
        with psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(statement, parameters, prepare=True, binary=True)
            return cursor.fetchall() if cursor.description else []
