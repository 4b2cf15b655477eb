"""What the export of a user's data tells of moderation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers

from accounts.moderation.models import Report
from accounts.moderation.rest.payloads import UPDATED, OutcomeTold
from construct_site.export import Section, Table
from construct_site.rest.payloads import Payload, Text, UnixSeconds


class ReportExport(Payload):
    """What the user told the moderators about another."""

    id = serializers.UUIDField()
    user_id = serializers.UUIDField(
        source="reported.id", allow_null=True, help_text="Whom it is about; null: the account is gone."
    )
    category = Text()
    text = Text()
    message_ids = serializers.ListField(child=Text())
    created = UnixSeconds(source="created_at", help_text="Unix seconds.")
    outcome = OutcomeTold(help_text="What came of it.")
    updated = UnixSeconds(source="updated_at", allow_null=True, help_text=UPDATED)


class ReportsExport(Payload):
    """Reports that the account made. Those about it are their reporters'."""

    made = ReportExport(many=True, help_text="Oldest first.")

    def to_representation(self, instance: dict[str, QuerySet[Report]]) -> dict[str, Any]:
        """Without those about whoever of the staff reads the export."""
        reader_id = self.context.get("reader_id")
        made = instance["made"].exclude(reported=reader_id) if reader_id else instance["made"]
        return super().to_representation({"made": made})


def _read_reports(user_id: UUID) -> dict[str, object]:
    return {
        "made": Report.objects.filter(reporter=user_id)
        .select_related("reported")
        .order_by("created_at", "pk")
    }


_WITHHELD = {
    "assignee": "about other people: who of the staff sees to it, and what was done to whom",
    "suspension": "about other people: who of the staff sees to it, and what was done to whom",
    "merged_into": "a report that somebody else may have made",
    "note": "words of the staff to the staff",
}
REPORTS = Section(
    "reports",
    ReportsExport,
    _read_reports,
    (Table(Report, ReportExport, owner="reporter", withheld=_WITHHELD),),
)
