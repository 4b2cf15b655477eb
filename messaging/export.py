"""The export of a user's data: everything that the database holds about one account, in one JSON object.

It stands with the messages because it joins the sections of all apps, as
:mod:`messaging.housekeeping` joins their chores. A new section is a line of
:data:`SECTIONS`; a model that is in none has its reason in :data:`NOT_TOLD`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Model
from django.utils import timezone
from rest_framework import serializers

from accounts.audit.models import AuditHead
from accounts.audit.sections import AUDIT
from accounts.authentication import check_password
from accounts.desk.models import Desk
from accounts.models import FormerName, Invite, UsedChallenge
from accounts.moderation.sections import REPORTS
from accounts.peers import Peer
from accounts.second_factor.models import RecoveryCode
from accounts.second_factor.sections import SECOND_FACTOR
from accounts.sections import ACCOUNT, ADMIN_HISTORY, RESET_CODE, SESSIONS, STAFF_NOTES, SUSPENSIONS
from accounts.services import Grant
from construct_site.database import one_snapshot, run_in_database_thread
from construct_site.export import Section
from construct_site.limits import RateLimit, get_limiter
from construct_site.metrics.models import HourlyMetric, ProcessFigures
from construct_site.rest.payloads import Payload, Text, UnixSeconds
from keys.sections import KEYS
from messaging.models import Chore
from messaging.sections import CONTACTS, MAILBOX

FORMAT = "construct-export/1"
"""The number changes when something that is told goes or changes its meaning; what is added leaves it."""
SECTIONS: tuple[Section, ...] = (
    ACCOUNT,
    SESSIONS,
    RESET_CODE,
    SUSPENSIONS,
    STAFF_NOTES,
    KEYS,
    CONTACTS,
    MAILBOX,
    REPORTS,
    ADMIN_HISTORY,
    AUDIT,
    SECOND_FACTOR,
)
NOT_TOLD: Mapping[type[Model], str] = {
    Invite: "codes; who registered with which one is not stored",
    UsedChallenge: "challenges that were solved for a registration; by whom is not stored",
    FormerName: "keyed hashes of the names of deleted accounts",
    Chore: "the server's own chores",
    AuditHead: "where the audit ends",
    Desk: "no rows of its own: it holds the permissions of staff",
    RecoveryCode: "keyed hashes of codes that staff were handed, ten each",
    HourlyMetric: "sums over all accounts, by the hour",
    ProcessFigures: "how many connections each server process has",
}
"""Models without a section, with the reason; ``docs/operating.md`` gives both."""


class ExportAnswer(Payload):
    """What is stored about one account."""

    format = Text(help_text=f"`{FORMAT}`.")
    exported_at = UnixSeconds(help_text="Unix seconds.")
    server = Text(help_text="The name of the server.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            **super().get_fields(),
            **{section.name: section.form(allow_null=section.is_optional) for section in SECTIONS},
        }


def export_user(user_id: UUID, *, is_for_owner: bool, reader_id: UUID | None = None) -> dict[str, Any]:
    """Everything that is stored about a user at one moment, in the form of :class:`ExportAnswer`.

    Addresses of sessions are for their owner alone: for anybody else they are None. Of the staff who read it
    (`reader_id`) nobody sees the reports about themselves.
    Outside a transaction. Raises ``ConstructError(USER_NOT_FOUND)``.
    """
    with one_snapshot():
        told: dict[str, object] = {section.name: section.read(user_id) for section in SECTIONS}
        told |= {"format": FORMAT, "exported_at": timezone.now(), "server": settings.CONSTRUCT.name}
        # Within the snapshot: sections hold queries that are run only now.
        context = {"is_for_owner": is_for_owner, "reader_id": reader_id}
        return dict(ExportAnswer(told, context=context).data)


async def export_account(grant: Grant, password: str, peer: Peer) -> dict[str, Any]:
    """The export for the owner, who knows the password; what is refused uses up nothing of the limit.

    Raises as :func:`~accounts.authentication.check_password`, also RATE_LIMIT_EXCEEDED for the
    exports of a day, and USER_NOT_FOUND for an account that was deleted meanwhile.
    """
    credentials = await check_password(grant.username, password, peer)
    await get_limiter().hit(RateLimit.EXPORTS, credentials.id)
    return await run_in_database_thread(export_user, credentials.id, is_for_owner=True)
