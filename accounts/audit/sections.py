"""What the export of a user's data tells of the audit."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers

from accounts.audit.actions import OF_REPORTS
from accounts.audit.models import AuditDetails, AuditEntry
from accounts.sections import NEWEST
from construct_site.export import Section, Table
from construct_site.rest.payloads import Payload, Text, UnixSeconds

_OF_THE_CHAIN = "what seals the audit against changes"
_OF_OTHERS = "about other people: who of the staff acted, or to whom"


class DetailsExport(Payload):
    """Personal fields of the account, before and after an act."""

    changes = serializers.JSONField(help_text="By the field's name, such as `username`.")


class StaffActExport(Payload):
    """An act of staff."""

    at = UnixSeconds(help_text="Unix seconds.")
    action = Text(help_text="By one word, such as `suspend`.")
    details = DetailsExport(allow_null=True, help_text="Null where it changed no personal field.")


class ActExport(Payload):
    """An act of this account, as one of the staff."""

    at = UnixSeconds(help_text="Unix seconds.")
    action = Text(help_text="By one word, such as `suspend`.")
    reason = Text(help_text="As it was given.")


class AuditExport(Payload):
    """What the audit tells of the account."""

    about_account = StaffActExport(
        many=True, help_text=f"What staff did to it, but for reports about it: the newest {NEWEST}."
    )
    by_account = ActExport(
        many=True, help_text=f"What this account did as one of the staff: the newest {NEWEST}."
    )


def _read_audit(user_id: UUID) -> dict[str, object]:
    newest_first = AuditEntry.objects.order_by("-number")
    return {
        "about_account": newest_first.filter(user_id=user_id)
        .exclude(action__in=OF_REPORTS)
        .select_related("details")[:NEWEST],
        "by_account": newest_first.filter(actor_id=user_id)[:NEWEST],
    }


AUDIT = Section(
    "audit",
    AuditExport,
    _read_audit,
    (
        Table(
            AuditEntry,
            StaffActExport,
            withheld={
                **dict.fromkeys(("actor_kind", "actor_id", "user_id", "target"), _OF_OTHERS),
                "reason": "words of the staff to the staff; to whoever wrote them they are told",
                **dict.fromkeys(("number", "details_digest", "key_id", "mac"), _OF_THE_CHAIN),
            },
        ),
        Table(
            AuditDetails,
            DetailsExport,
            owner="user",
            withheld={"entry": "the act, which is told", "salt": _OF_THE_CHAIN},
        ),
    ),
)
