"""Reports about users: for the moderators. They name messages and hold none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.models import User
from accounts.moderation.models import REPORT_CHARS, REPORTED_MESSAGES, Report
from accounts.services.rules import checked_prose, invalid, parse_id
from construct_site.errors import ConstructError, ErrorCode


def report(
    reporter_id: UUID, reported_id: UUID, category: str, text: str, message_ids: Sequence[str]
) -> UUID:
    """Store a report; its id is the receipt. The reported person does not learn of it.

    `category` is one of ``Report.Category``; `message_ids` are kept in lower case. Raises
    ``ConstructError``: INVALID_USER_ID for oneself, VALIDATION_FAILED for a text of over 2000
    characters or with control characters, for more than 100 messages and for what is no id of
    one; USER_NOT_FOUND.
    """
    if reporter_id == reported_id:
        raise ConstructError(ErrorCode.INVALID_USER_ID, "This is you.")
    prose = checked_prose("text", text, REPORT_CHARS)
    if len(message_ids) > REPORTED_MESSAGES:
        raise invalid("messageIds", f"At most {REPORTED_MESSAGES} messages.")
    parsed = [parse_id(each) for each in message_ids]
    if None in parsed:
        raise invalid("messageIds", "The id of a message is a UUID of 36 characters.")
    try:
        with transaction.atomic():
            if not User.objects.filter(pk=reported_id, is_approved=True).exists():
                raise ConstructError(ErrorCode.USER_NOT_FOUND)
            stored = Report.objects.create(
                reporter_id=reporter_id,
                reported_id=reported_id,
                category=category,
                text=prose,
                message_ids=[str(each) for each in parsed],
            )
    except IntegrityError:
        # One of the two is being deleted.
        raise ConstructError(ErrorCode.USER_NOT_FOUND) from None
    return stored.pk


def hold_reports(user_id: UUID) -> None:
    """Within a transaction: lock the reports by and about this user, in ascending order."""
    concerned = Report.objects.filter(Q(reporter=user_id) | Q(reported=user_id)).order_by("pk")
    list(concerned.select_for_update(no_key=True).values_list("pk"))


def count_open_reports() -> int:
    """How many reports wait for a moderator."""
    return Report.objects.count()


def purge_reports(now: datetime) -> int:
    """Delete the reports that are older than ``CONSTRUCT_REPORT_S``. Returns how many."""
    kept = timedelta(seconds=settings.CONSTRUCT.report_s)
    return Report.objects.filter(created_at__lte=now - kept).delete()[0]
