"""The mailbox on SQLite: the write lock makes a few plain statements one atomic batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

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

# Lists travel as one JSON parameter: the statement's text stays the same for any length.
_PAGE = paging_sql("id NOT IN (SELECT value FROM json_each(%s))")
_KNOWN = f"""
    SELECT user_id FROM {BUNDLE_TABLE} WHERE user_id IN (SELECT value FROM json_each(%s)) AND {NOT_PENDING}
"""  # noqa: S608 - table names only
_SHARES = f"""
    SELECT recipient_id, pair, count(*), sum(size), max(id) FROM {TABLE}
    WHERE recipient_id IN (SELECT value FROM json_each(%s)) GROUP BY recipient_id, pair
"""  # noqa: S608 - table names only
_EARLIER = f"SELECT id, body, recipient_id IS NOT NULL, is_request FROM {TABLE} WHERE name = %s"  # noqa: S608
_POLICIES = (
    f"SELECT user_id, accepted_only FROM {POLICY_TABLE} WHERE user_id IN (SELECT value FROM json_each(%s))"  # noqa: S608
)
_CONTACTS = f"""
    SELECT owner_id, peer_id, is_accepted, is_blocked FROM {CONTACT_TABLE}
    WHERE owner_id IN (SELECT value FROM json_each(%s)) AND peer_id IN (SELECT value FROM json_each(%s))
"""  # noqa: S608 - table names only
_REQUESTS = f"""
    SELECT recipient_id, count(*), sum(size) FROM {TABLE}
    WHERE recipient_id IN (SELECT value FROM json_each(%s)) AND is_request GROUP BY recipient_id
"""  # noqa: S608 - table names only
_INSERT = f"""
    INSERT INTO {TABLE} (recipient_id, name, body, pair, frame, size, stored_at, is_request, is_unheard)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""  # noqa: S608 - table names only


class SqliteStore(Store):
    def _store(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        with transaction.atomic(), connection.cursor() as cursor:
            said = _Said(cursor, letters)
            recipients = {letter.recipient_id.hex for letter in letters}
            fill = _Fill(cursor, caps, recipients, recipients & said.accepted_only)
            return [self._put_one(cursor, fill, said, letter, now) for letter in letters]

    def _put_one(self, cursor: Any, fill: _Fill, said: _Said, letter: Letter, now: datetime) -> Outcome:
        recipient, sender = letter.recipient_id.hex, letter.sender_id.hex
        cursor.execute(_EARLIER, (letter.name,))
        if earlier := cursor.fetchone():
            row_id, body, waits, is_request = earlier
            return judge_repeat(
                row_id,
                is_same_body=body == letter.body,
                waits=waits,
                is_request=bool(is_request),
                accepts_recipient=said.must_wait(sender, recipient),
            )
        if recipient not in fill.known:
            return Outcome(Verdict.UNKNOWN_RECIPIENT)
        is_request, is_unheard = said.must_wait(recipient, sender), said.is_blocked(recipient, sender)
        if not fill.has_room(recipient, letter.pair, is_request=is_request):
            return Outcome(Verdict.FULL)
        content = (recipient, letter.name, letter.body, letter.pair, letter.sealed, len(letter.sealed), now)
        cursor.execute(_INSERT, (*content, is_request, is_unheard))
        row_id = cursor.lastrowid
        return Outcome(
            Verdict.STORED,
            row_id,
            fill.replace_newest(letter.pair, row_id),
            is_request,
            is_unheard,
            said.must_wait(sender, recipient),
        )

    def _lock_pairs(self, letters: Sequence[Letter]) -> None:
        """The transaction began with the lock of the one writer."""

    def _fetch_page(
        self, recipient_id: UUID, handed: list[int], messages: int, size: int
    ) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(_PAGE, (recipient_id.hex, json.dumps(handed), messages + 1, messages, size))
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


class _Said:
    """What the recipients and the senders of a batch said about each other."""

    def __init__(self, cursor: Any, letters: Sequence[Letter]) -> None:
        users = {user for letter in letters for user in (letter.recipient_id.hex, letter.sender_id.hex)}
        cursor.execute(_POLICIES, (json.dumps(sorted(users)),))
        policies = dict(cursor.fetchall())
        self.accepted_only = {user for user, accepted_only in policies.items() if accepted_only}
        self._of: dict[tuple[str, str], tuple[bool, bool]] = {}
        if policies:
            cursor.execute(_CONTACTS, (json.dumps(list(policies)), json.dumps(sorted(users))))
            self._of = {
                (owner, peer): (is_accepted, is_blocked)
                for owner, peer, is_accepted, is_blocked in cursor.fetchall()
            }

    def must_wait(self, owner: str, peer: str) -> bool:
        """Only accepted people may write to `owner`, and `peer` is another person and not among them."""
        is_accepted, _ = self._of.get((owner, peer), (False, False))
        return owner in self.accepted_only and owner != peer and not is_accepted

    def is_blocked(self, owner: str, peer: str) -> bool:
        _, is_blocked = self._of.get((owner, peer), (False, False))
        return bool(is_blocked)


class _Fill:
    """How full the mailboxes of a batch's recipients were when the batch began."""

    def __init__(
        self, cursor: Any, caps: Caps, recipients: Iterable[str], with_requests: Iterable[str]
    ) -> None:
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
        self._requests: dict[str, tuple[int, int]] = {}
        # As on PostgreSQL: only where all that waits would be too many requests.
        crowded = {
            recipient
            for recipient, (messages, size) in self._of_recipient.items()
            if messages >= caps.request_messages or size >= caps.request_bytes
        }
        if counted := crowded.intersection(with_requests):
            cursor.execute(_REQUESTS, (json.dumps(sorted(counted)),))
            self._requests = {recipient: (messages, size) for recipient, messages, size in cursor.fetchall()}

    def has_room(self, recipient: str, pair: bytes, *, is_request: bool) -> bool:
        messages, size = self._of_recipient.get(recipient, (0, 0))
        pair_messages, pair_size = self._of_pair.get((recipient, pair), (0, 0))
        requests, request_size = self._requests.get(recipient, (0, 0))
        requests_have_room = (
            requests < self._caps.request_messages and request_size < self._caps.request_bytes
        )
        return (
            messages < self._caps.messages
            and size < self._caps.bytes
            and pair_messages < self._caps.sender_messages
            and pair_size < self._caps.sender_bytes
            and (requests_have_room or not is_request)
        )

    def replace_newest(self, pair: bytes, row_id: int) -> int:
        """Note the newest row of a pair; returns the one before, 0 if there was none."""
        previous_id = self._newest.get(pair, 0)
        self._newest[pair] = row_id
        return previous_id
