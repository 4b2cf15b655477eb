"""What a recipient decides about rows that wait.

Each function is a step of a transaction that holds the recipient's policy or bundle: no message
is stored for the recipient meanwhile. Rows are locked in ascending order, as the confirmations
lock them: in another, the two could wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from messaging.mailbox.letters import WaitingRow
from messaging.mailbox.store import STUB, hour_of
from messaging.models import MailboxMessage

_ROWS_AT_ONCE = 500


def release(recipient_id: UUID, pairs: Sequence[bytes] | None = None) -> int:
    """Have requests be handed from now on: those of these pairs, or all. Returns how many."""
    return _change(_requests(recipient_id, pairs), is_request=False)


def decline(recipient_id: UUID, now: datetime, pairs: Sequence[bytes] | None = None) -> int:
    """Turn requests into stubs, those of these pairs, or all: their repeats are confirmed. Returns how many."""
    return _change(_requests(recipient_id, pairs), **STUB, stored_at=hour_of(now))


def drop(recipient_id: UUID, now: datetime) -> int:
    """Turn everything that waits into stubs: repeats are confirmed. Returns how many messages that were."""
    return _change(MailboxMessage.objects.filter(recipient_id=recipient_id), **STUB, stored_at=hour_of(now))


def silence(recipient_id: UUID, pairs: Sequence[bytes]) -> int:
    """Have what waits of these pairs not be heard. Returns how many messages that are."""
    rows = MailboxMessage.objects.filter(recipient_id=recipient_id, pair__in=pairs, is_unheard=False)
    return _change(rows, is_unheard=True)


def requests_of(recipient_id: UUID) -> Iterator[tuple[WaitingRow, datetime]]:
    """Every request of people who are not blocked and when it was taken, oldest first, a few at a time."""
    rows = MailboxMessage.objects.filter(recipient_id=recipient_id, is_request=True, is_unheard=False)
    columns = rows.order_by("id").values_list("id", "name", "frame", "stored_at")
    for row_id, name, frame, stored_at in columns.iterator(_ROWS_AT_ONCE):
        yield WaitingRow(row_id, bytes(name), bytes(frame or b"")), stored_at


def _requests(recipient_id: UUID, pairs: Sequence[bytes] | None) -> QuerySet[MailboxMessage]:
    rows = MailboxMessage.objects.filter(recipient_id=recipient_id, is_request=True)
    return rows if pairs is None else rows.filter(pair__in=pairs)


def _change(rows: QuerySet[MailboxMessage], **values: object) -> int:
    with transaction.atomic():
        locked = list(rows.select_for_update(no_key=True).order_by("id").values_list("id", flat=True))
        for first in range(0, len(locked), _ROWS_AT_ONCE):
            MailboxMessage.objects.filter(id__in=locked[first : first + _ROWS_AT_ONCE]).update(**values)
    return len(locked)
