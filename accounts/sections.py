"""What the export of a user's data tells of the account, its sessions and the admin's history."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db.models import Manager, QuerySet
from rest_framework import serializers

from accounts.models import ResetCode, Session, StaffNote, Suspension, User
from accounts.rest.payloads import ProfileAnswer
from accounts.services import addresses
from construct_site.errors import ConstructError, ErrorCode
from construct_site.export import Section, Table
from construct_site.rest.payloads import Flag, Payload, Text, UnixSeconds

NEWEST = 10_000
"""Most rows of a list that has no bound of its own."""
_ACTIONS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}
_ABOUT_OTHERS = "about other people: whom staff edited, or who of the staff edited this account"
_FOLDED = "a name that is told, in the form that searches compare"


class OwnersAddress(Text):
    """The address of a session for its owner; null for anybody else, and where it cannot be read."""

    def get_attribute(self, instance: Session) -> Any:
        return instance

    def to_representation(self, value: Session) -> str | None:  # type: ignore[override] # only in answers
        if not self.context.get("is_for_owner"):
            return None
        return addresses.unseal(value.pk, value.address_sealed)


class AdminAction(Text):
    def to_representation(self, value: int) -> str:  # type: ignore[override] # only in answers
        return _ACTIONS[value]


class Names(serializers.ListField):
    """What a relation to many leads to, as the admin calls it."""

    child = Text()

    def to_representation(self, value: Manager[Any]) -> list[str]:  # type: ignore[override] # only in answers
        return [str(each) for each in value.all()]


class AccountExport(ProfileAnswer):
    """The account itself."""

    user_id = serializers.UUIDField(source="id")
    last_seen = serializers.DateField(
        source="last_seen_on", allow_null=True, help_text="The day of the last login or resumed session."
    )
    is_active = Flag()
    is_approved = Flag()
    must_reset_password = Flag(help_text="Logins are refused until a reset code was redeemed.")
    is_hidden = Flag(help_text="The staff hid it from searches.")
    messages_per_hour = serializers.IntegerField(
        allow_null=True, help_text="A limit of this account alone; null: as everybody's."
    )
    is_staff = Flag(help_text="May log into the admin.")
    is_superuser = Flag(help_text="May do everything there.")
    groups = Names()
    permissions = Names(source="user_permissions", help_text="Beside those of the groups.")


class SessionExport(Payload):
    """A login on one client."""

    id = serializers.UUIDField()
    # Named so because the base class has a `label` of its own.
    label_ = Text(source="client_label", help_text="What the client called itself.")
    address = OwnersAddress(source="address_sealed", allow_null=True, help_text="To its owner alone.")
    created = UnixSeconds(source="created_at", help_text="Unix seconds.")
    last_used = UnixSeconds(source="last_used_at", help_text="Unix seconds, to the hour.")
    expires = UnixSeconds(source="expires_at", help_text="Unix seconds.")
    revoked = UnixSeconds(source="revoked_at", allow_null=True, help_text="Unix seconds; null: it was not.")


class SessionsExport(Payload):
    """The account's logins."""

    count = serializers.IntegerField(help_text="Live ones, and ended ones that are still kept.")
    newest = SessionExport(many=True, help_text=f"The newest {NEWEST} of them.")


class SuspensionExport(Payload):
    """A time in which the account could not be used."""

    begun = UnixSeconds(source="begun_at", help_text="Unix seconds.")
    ends = UnixSeconds(source="ends_at", allow_null=True, help_text="Unix seconds; null: not by itself.")
    ended = UnixSeconds(source="ended_at", allow_null=True, help_text="Unix seconds; null: it is in force.")
    reason = Text(source="public_reason", help_text="As it was told.")


class SuspensionsExport(Payload):
    """The account's suspensions."""

    newest = SuspensionExport(many=True, help_text=f"The newest {NEWEST} of them.")


class StaffNoteExport(Payload):
    """That one of the staff wrote something down about the account."""

    written = UnixSeconds(source="written_at", help_text="Unix seconds.")


class StaffNotesExport(Payload):
    """Notes of the staff, which are theirs."""

    newest = StaffNoteExport(many=True, help_text=f"The newest {NEWEST} of them.")


class ResetCodeExport(Payload):
    """A code with which another password can be set; null: there is none."""

    made = UnixSeconds(source="made_at", help_text="Unix seconds.")
    expires = UnixSeconds(source="expires_at", help_text="Unix seconds.")


class AdminEntryExport(Payload):
    """Something that was done in the admin."""

    at = UnixSeconds(source="action_time", help_text="Unix seconds.")
    action = AdminAction(source="action_flag", help_text="`added`, `changed` or `deleted`.")
    kind = Text(source="content_type.model", allow_null=True, help_text="What was edited.")
    changes = Text(source="change_message", help_text="As the admin wrote it: the fields.")


class AdminHistoryExport(Payload):
    """What the admin noted."""

    about_account = AdminEntryExport(many=True, help_text=f"The newest {NEWEST}.")
    by_account = AdminEntryExport(many=True, help_text=f"What this account did there: the newest {NEWEST}.")


def _read_account(user_id: UUID) -> User:
    rights = ("groups", "user_permissions__content_type")
    user = User.objects.prefetch_related(*rights).filter(pk=user_id).first()
    if user is None:
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    return user


def _read_sessions(user_id: UUID) -> dict[str, object]:
    kept = Session.objects.filter(user=user_id)
    return {"count": kept.count(), "newest": kept.order_by("-created_at", "pk")[:NEWEST]}


def _read_suspensions(user_id: UUID) -> dict[str, object]:
    return {"newest": Suspension.objects.filter(user=user_id).order_by("-begun_at", "pk")[:NEWEST]}


def _read_staff_notes(user_id: UUID) -> dict[str, object]:
    return {"newest": StaffNote.objects.filter(user=user_id).order_by("-written_at", "-pk")[:NEWEST]}


def _read_reset_code(user_id: UUID) -> ResetCode | None:
    return ResetCode.objects.filter(user=user_id).first()


def _read_admin_history(user_id: UUID) -> dict[str, QuerySet[LogEntry]]:
    entries = LogEntry.objects.select_related("content_type").order_by("-action_time", "-pk")
    return {
        "about_account": entries.filter(object_id=str(user_id))[:NEWEST],
        "by_account": entries.filter(user=user_id)[:NEWEST],
    }


ACCOUNT = Section(
    "account",
    AccountExport,
    _read_account,
    (
        Table(
            User,
            AccountExport,
            withheld={
                "password": "a hash of the password: who has it can try passwords without asking the server",
                "username_folded": _FOLDED,
                "display_name_folded": _FOLDED,
            },
        ),
    ),
)
SESSIONS = Section(
    "sessions",
    SessionsExport,
    _read_sessions,
    (
        Table(
            Session,
            SessionExport,
            owner="user",
            withheld={
                "token_digest": "a hash of the token, which the client holds",
                "address_digest": "a keyed hash of the address of the login",
            },
        ),
    ),
)
STAFF_NOTES = Section(
    "staffNotes",
    StaffNotesExport,
    _read_staff_notes,
    (
        Table(
            StaffNote,
            StaffNoteExport,
            owner="user",
            withheld={"author_id": _ABOUT_OTHERS, "text": "words of the staff to the staff"},
        ),
    ),
)
SUSPENSIONS = Section(
    "suspensions",
    SuspensionsExport,
    _read_suspensions,
    (
        Table(
            Suspension,
            SuspensionExport,
            owner="user",
            withheld={"id": "a number of its own", "internal_reason": "words of the staff to the staff"},
        ),
    ),
)
RESET_CODE = Section(
    "resetCode",
    ResetCodeExport,
    _read_reset_code,
    (
        Table(
            ResetCode,
            ResetCodeExport,
            owner="user",
            withheld={"digest": "a keyed hash of the code, which was handed to the account's owner"},
        ),
    ),
    is_optional=True,
)
ADMIN_HISTORY = Section(
    "adminHistory",
    AdminHistoryExport,
    _read_admin_history,
    (
        Table(
            LogEntry,
            AdminEntryExport,
            withheld=dict.fromkeys(("user", "object_id", "object_repr"), _ABOUT_OTHERS),
        ),
    ),
)
