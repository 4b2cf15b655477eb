"""Reports about users: for the moderators. They name messages and hold none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.models import User
from accounts.moderation.models import OPEN, REPORT_CHARS, REPORTED_MESSAGES, Report
from accounts.services.rules import checked_prose, invalid, parse_id
from construct_site.errors import ConstructError, ErrorCode

_PLACE_TIME = "%Y%m%dT%H%M%S.%f"


def report(
    reporter_id: UUID, reported_id: UUID, category: str, text: str, message_ids: Sequence[str]
) -> UUID:
    """Store a report; its id is the receipt. The reported person does not learn of it.

    While one of the same reporter about the same person in the same category is open, none is added: that
    one's id is returned. Its messages become those of both, the first 100 in order, and a text replaces its text.

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
    ids = [str(each) for each in parsed]
    try:
        with transaction.atomic():
            # Of two at once the second sees the first.
            list(User.objects.select_for_update(no_key=True).filter(pk=reporter_id).values_list("pk"))
            if not User.objects.filter(pk=reported_id, is_approved=True).exists():
                raise ConstructError(ErrorCode.USER_NOT_FOUND)
            about = {"reporter_id": reporter_id, "reported_id": reported_id, "category": category}
            earlier = _hold_open(about)
            if earlier is not None:
                _add_to(earlier, prose, ids)
                return earlier.pk
            return Report.objects.create(**about, text=prose, message_ids=ids).pk
    except IntegrityError:
        # One of the two is being deleted.
        raise ConstructError(ErrorCode.USER_NOT_FOUND) from None


def _hold_open(about: dict[str, Any]) -> Report | None:
    found = Report.objects.filter(**about, state__in=OPEN).order_by("created_at", "pk")
    return found.select_for_update(no_key=True).first()


def _add_to(earlier: Report, prose: str, ids: Sequence[str]) -> None:
    """An end of it that an act wrote meanwhile was waited for: it is open."""
    earlier.message_ids = list(dict.fromkeys([*earlier.message_ids, *ids]))[:REPORTED_MESSAGES]
    earlier.text = prose or earlier.text
    earlier.save(update_fields={"text", "message_ids"})


def reports_of(reporter_id: UUID, after: str = "", most: int | None = None) -> list[Report]:
    """What this user reported, newest first: all, or `most` of those whose place comes after `after`.

    Without the texts and the messages. Raises ``ConstructError(VALIDATION_FAILED)`` for what is no
    place (:func:`place_of_report`).
    """
    found = Report.objects.filter(reporter=reporter_id).order_by("-created_at", "-pk")
    if after:
        created_at, report_id = _read_place(after)
        found = found.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=report_id))
    return list(found.defer("text", "message_ids", "note")[:most])


def place_of_report(report: Report) -> str:
    """Where it stands among those of its reporter: when it was made, to the microsecond, and of several then, by id."""
    return f"{report.created_at.astimezone(UTC):{_PLACE_TIME}}.{report.pk}"


def _read_place(place: str) -> tuple[datetime, UUID]:
    time, _, report_id = place.rpartition(".")
    try:
        return datetime.strptime(time, _PLACE_TIME).replace(tzinfo=UTC), UUID(report_id)
    except ValueError:
        raise invalid("after", "This is not the `next` of a page.") from None


def leave_reports(user_id: UUID) -> None:
    """Before an account is deleted, within the transaction: its reports are locked, and those about it name it no more.

    That is done here, at once with the link to its suspension: a row that is written twice in a transaction
    has PostgreSQL look its other people up again, and wait for one who is being deleted too.
    """
    _hold(Q(reporter=user_id) | Q(reported=user_id) | Q(assignee=user_id))
    Report.objects.filter(reported=user_id).update(reported=None, suspension=None)


def count_open_reports() -> int:
    """How many cases are open."""
    return Report.objects.filter(merged_into=None, state__in=OPEN).count()


def purge_reports(now: datetime, most: int) -> int:
    """Delete up to `most` reports that are older than ``CONSTRUCT_REPORT_S``, the oldest first. Returns how many.

    Where the head of a case goes, its repeats stand by themselves, in the state that the case was in.
    """
    old = now - timedelta(seconds=settings.CONSTRUCT.report_s)
    with transaction.atomic():
        found = Report.objects.filter(created_at__lte=old).order_by("created_at")
        going = list(found.values_list("pk", flat=True)[:most])
        if not going:
            return 0
        _hold(Q(pk__in=going) | Q(merged_into__in=going))
        return Report.objects.filter(pk__in=going).delete()[0]


def _hold(concerned: Q) -> None:
    """Lock these reports in ascending order, the one order of all who lock several: none waits for another."""
    found = Report.objects.filter(concerned).order_by("pk")
    list(found.select_for_update(no_key=True, of=("self",)).values_list("pk"))
