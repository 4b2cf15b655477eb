"""The mailbox on SQLite: the write lock makes a few plain statements one atomic batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from messaging.mailbox.letters import Caps, Letter, Outcome, Verdict, judge_repeat
from messaging.mailbox.store import BUNDLE_TABLE, NOT_PENDING, TABLE, Store, paging_sql

# Lists travel as one JSON parameter: the statement's text stays the same for any length.
_PAGE = paging_sql("id NOT IN (SELECT value FROM json_each(%s))")
_KNOWN = f"""
    SELECT user_id FROM {BUNDLE_TABLE} WHERE user_id IN (SELECT value FROM json_each(%s)) AND {NOT_PENDING}
"""  # noqa: S608 - table names only
_SHARES = f"""
    SELECT recipient_id, pair, count(*), sum(size), max(id) FROM {TABLE}
    WHERE recipient_id IN (SELECT value FROM json_each(%s)) GROUP BY recipient_id, pair
"""  # noqa: S608 - table names only
_EARLIER = f"SELECT id, body, recipient_id IS NOT NULL FROM {TABLE} WHERE name = %s"  # noqa: S608
_INSERT = f"""
    INSERT INTO {TABLE} (recipient_id, name, body, pair, frame, size, stored_at) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""  # noqa: S608 - table names only


class SqliteStore(Store):
    def _store(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        with transaction.atomic(), connection.cursor() as cursor:
            fill = _Fill(cursor, caps, {letter.recipient_id.hex for letter in letters})
            return [self._put_one(cursor, fill, letter, now) for letter in letters]

    def _put_one(self, cursor: Any, fill: _Fill, letter: Letter, now: datetime) -> Outcome:
        recipient = letter.recipient_id.hex
        cursor.execute(_EARLIER, (letter.name,))
        if earlier := cursor.fetchone():
            row_id, body, waits = earlier
            return judge_repeat(row_id, is_same_body=body == letter.body, waits=waits)
        if recipient not in fill.known:
            return Outcome(Verdict.UNKNOWN_RECIPIENT)
        if not fill.has_room(recipient, letter.pair):
            return Outcome(Verdict.FULL)
        cursor.execute(
            _INSERT,
            (recipient, letter.name, letter.body, letter.pair, letter.sealed, len(letter.sealed), now),
        )
        return Outcome(Verdict.STORED, cursor.lastrowid, fill.replace_newest(letter.pair, cursor.lastrowid))

    def _lock_pairs(self, letters: Sequence[Letter]) -> None:
        """The transaction began with the lock of the one writer."""

    def _fetch_page(
        self, recipient_id: UUID, handed: list[int], messages: int, size: int
    ) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(_PAGE, (recipient_id.hex, json.dumps(handed), messages + 1, messages, size))
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


class _Fill:
    """How full the mailboxes of a batch's recipients were when the batch began."""

    def __init__(self, cursor: Any, caps: Caps, recipients: Iterable[str]) -> None:
        wanted = json.dumps(sorted(recipients))
        cursor.execute(_KNOWN, (wanted,))
        self.known = {user_id for (user_id,) in cursor.fetchall()}
        self._caps = caps
        self._of_pair: dict[tuple[str, bytes], tuple[int, int]] = {}
        self._of_recipient: dict[str, tuple[int, int]] = {}
        self._newest: dict[bytes, int] = {}
        cursor.execute(_SHARES, (wanted,))
        for recipient, pair, messages, size, newest_id in cursor.fetchall():
            self._newest[pair] = newest_id
            self._of_pair[recipient, pair] = (messages, size)
            all_messages, all_bytes = self._of_recipient.get(recipient, (0, 0))
            self._of_recipient[recipient] = (all_messages + messages, all_bytes + size)

    def has_room(self, recipient: str, pair: bytes) -> bool:
        messages, size = self._of_recipient.get(recipient, (0, 0))
        pair_messages, pair_size = self._of_pair.get((recipient, pair), (0, 0))
        return (
            messages < self._caps.messages
            and size < self._caps.bytes
            and pair_messages < self._caps.sender_messages
            and pair_size < self._caps.sender_bytes
        )

    def replace_newest(self, pair: bytes, row_id: int) -> int:
        """Note the newest row of a pair; returns the one before, 0 if there was none."""
        previous_id = self._newest.get(pair, 0)
        self._newest[pair] = row_id
        return previous_id
