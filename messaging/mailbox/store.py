"""The mailbox in SQL: plain synchronous functions on Django's connection.

One :class:`Store` for each database; they differ in how a batch is put and in
how lists are bound. Every method is one transaction.

While the dedup key is rotated (letters that have `further` digests), a batch is
put under locks on its letters' pairs: whichever key comes first on which process,
one message stores one row. That asks of two processes only that each has the
other's first key in its ring.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, Sum

from construct_site.metrics.collector import count
from construct_site.metrics.table import Metric
from keys.models import PrekeyBundle
from messaging.mailbox import rotation
from messaging.mailbox.commits import Committer, ThreadCommitter
from messaging.mailbox.letters import Caps, Letter, Outcome, Page, WaitingRow
from messaging.models import Contact, ContactPolicy, MailboxMessage

TABLE: str = MailboxMessage._meta.db_table  # noqa: SLF001 - Django's documented name for it
BUNDLE_TABLE: str = PrekeyBundle._meta.db_table  # noqa: SLF001
USER_TABLE: str = get_user_model()._meta.db_table  # noqa: SLF001
NOT_PENDING = f"(SELECT TRUE FROM {USER_TABLE} WHERE id = user_id AND NOT is_approved) IS NOT TRUE"  # noqa: S608
"""Of a bundle's row: its user waits for no approval. Asked of the index of those who do, hence of next to nothing;
a join could be planned by reading all of them."""
POLICY_TABLE: str = ContactPolicy._meta.db_table  # noqa: SLF001
CONTACT_TABLE: str = Contact._meta.db_table  # noqa: SLF001
STUB: dict[str, Any] = {"recipient": None, "pair": None, "frame": None, "size": None}
"""What a stub's columns hold, beside the name, the body and the hour."""


class Store(ABC):
    """The statements of one database."""

    def put(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        """Store a batch in one commit; one outcome for each letter, in their order.

        No two letters of a batch have the same name. Raises ``OperationalError`` or
        ``InterfaceError`` while the database is away or takes no writes, and another
        ``django.db.Error`` where it refuses a letter; in either case nothing of the
        batch is stored.
        """
        if not any(letter.further for letter in letters):
            return self._store(letters, caps, now)
        with transaction.atomic():
            self._lock_pairs(letters)
            earlier = rotation.find_earlier(letters)
            rotation.renew_pairs(letters)
            others = [letter for letter in letters if letter.name not in earlier]
            stored = iter(self._store(others, caps, now))
            return [earlier.get(letter.name) or next(stored) for letter in letters]

    def committer(self) -> Committer:
        """Who puts for an event loop."""
        return ThreadCommitter(self)

    @abstractmethod
    def _store(self, letters: Sequence[Letter], caps: Caps, now: datetime) -> list[Outcome]:
        """Store those of the letters whose current name is new; one outcome for each, in their order."""

    @abstractmethod
    def _lock_pairs(self, letters: Sequence[Letter]) -> None:
        """Within a transaction: until its end no other process is within this for one of the letters' pairs."""

    @abstractmethod
    def _fetch_page(
        self, recipient_id: UUID, handed: list[int], messages: int, size: int
    ) -> list[tuple[Any, ...]]:
        """Run :func:`paging_sql`: rows of id, name, frame, is_unheard, found."""

    def page(self, recipient_id: UUID, handed: Iterable[int], messages: int, size: int) -> Page:
        """The oldest waiting rows not in `handed`: at most `messages` of them and `size` bytes, at least one.

        Message requests are not among them.
        """
        rows = self._fetch_page(recipient_id, list(handed), messages, size)
        waiting = [
            WaitingRow(row_id, bytes(name), bytes(frame), bool(is_unheard))
            for row_id, name, frame, is_unheard, _ in rows
        ]
        return Page(waiting, is_last=not rows or rows[0][-1] == len(rows))

    def confirm(self, row_ids: Sequence[int], now: datetime) -> None:
        """Turn rows into stubs. Rows that are stubs or gone already are left as they are."""
        self._make_stubs(row_ids, hour_of(now))

    def _make_stubs(self, row_ids: Sequence[int], hour: datetime) -> None:
        rows = MailboxMessage.objects.filter(id__in=row_ids, recipient__isnull=False)
        rows.update(**STUB, stored_at=hour)

    def discard(self, row_ids: Sequence[int]) -> None:
        """Delete rows that nobody can read any more."""
        MailboxMessage.objects.filter(id__in=row_ids).delete()

    def expire(self, now: datetime, message_life: timedelta, stub_life: timedelta, most: int) -> int:
        """Delete up to `most` waiting messages and `most` stubs whose life is over. Returns how many went."""
        # A stub's time was cut to the hour: one more hour keeps the promised life whole.
        ends = {False: now - message_life, True: now - stub_life - timedelta(hours=1)}
        gone = 0
        for is_stub, before in ends.items():
            old = MailboxMessage.objects.filter(recipient__isnull=is_stub, stored_at__lt=before)
            rows = list(old.order_by("stored_at").values_list("id", flat=True)[:most])
            deleted = MailboxMessage.objects.filter(id__in=rows).delete()[0]
            if not is_stub:
                count(Metric.MESSAGES_EXPIRED, deleted)
            gone += deleted
        return gone

    def waiting(self, users: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
        """How many messages can be handed to each of `users`, and the newest of them; who has none is left out."""
        handable = MailboxMessage.objects.filter(recipient_id__in=users, is_request=False)
        rows = handable.values_list("recipient_id")
        counted = rows.annotate(messages=Count("id"), newest=Max("id"))
        return {user: (messages, newest) for user, messages, newest in counted}

    def having_waiting(self, users: Sequence[UUID]) -> set[UUID]:
        """Those of `users` to whom at least one message can be handed."""
        waiting = MailboxMessage.objects.filter(recipient_id=OuterRef("pk"), is_request=False)
        having = get_user_model().objects.filter(Exists(waiting), pk__in=users)
        return set(having.values_list("pk", flat=True))

    def count_waiting(self) -> int:
        """How many messages wait in all mailboxes together. Walks the index of those that wait."""
        return MailboxMessage.objects.filter(recipient__isnull=False).count()

    def count(self, recipient_id: UUID) -> tuple[int, int, datetime | None]:
        """What waits for a user, requests too: messages, bytes, and since when the oldest."""
        row = MailboxMessage.objects.filter(recipient_id=recipient_id).aggregate(
            messages=Count("id"), size=Sum("size"), oldest=Min("stored_at")
        )
        return row["messages"], row["size"] or 0, row["oldest"]


def hour_of(now: datetime) -> datetime:
    """As much as a stub tells of when its message was confirmed."""
    return now.replace(minute=0, second=0, microsecond=0)


def paging_sql(not_handed: str) -> str:
    """The paging statement. `not_handed` is the database's way to leave out a list of ids.

    Parameters: recipient, handed ids, messages + 1, messages, bytes. `found`
    counts one row more than the page may hold, which tells whether it is the last.
    """
    return f"""
        SELECT id, name, frame, is_unheard, found FROM (
            SELECT id, name, frame, is_unheard, SUM(size) OVER by_age AS running,
                   ROW_NUMBER() OVER by_age AS position, COUNT(*) OVER () AS found
            FROM (
                SELECT id, name, frame, is_unheard, size FROM {TABLE}
                WHERE recipient_id = %s AND NOT is_request AND {not_handed} ORDER BY id LIMIT %s
            ) AS oldest
            WINDOW by_age AS (ORDER BY id)
        ) AS measured
        WHERE position <= %s AND (running <= %s OR position = 1)
        ORDER BY id
    """  # noqa: S608 - table names and fixed fragments only


def get_store() -> Store:
    """The statements for the configured database."""
    if connection.vendor == "postgresql":
        from messaging.mailbox.postgresql import PostgresqlStore

        return PostgresqlStore()
    from messaging.mailbox.sqlite import SqliteStore

    return SqliteStore()
