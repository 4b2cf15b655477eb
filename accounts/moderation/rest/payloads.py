"""What the moderation endpoints take and give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.moderation.models import OUTCOMES, REPORTED_MESSAGES, Report
from construct_site.rest.paging import PageAnswer
from construct_site.rest.payloads import Payload, Text, UnixSeconds

UPDATED = "Unix seconds: when the outcome became this; null: it never was another."


class MessageIds(serializers.ListField):
    """A list whose length is judged before its elements: each of a million bad ones would cost a sentence."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > REPORTED_MESSAGES:
            self.fail("max_length", max_length=REPORTED_MESSAGES)
        return super().to_internal_value(data)


class ReportRequest(Payload):
    user_id = Text(help_text="Whom the report is about.")
    category = serializers.ChoiceField(Report.Category.choices)
    text = Text(default="", help_text="What happened, in at most 2000 characters. Not what was written.")
    message_ids = MessageIds(
        child=Text(),
        max_length=REPORTED_MESSAGES,
        default=list,
        help_text="Ids of the messages that it is about, as on the wire: UUIDs of 36 characters.",
    )


class ReportAnswer(Payload):
    id = serializers.UUIDField()


class OutcomeTold(serializers.ChoiceField):
    """The word for what became of a report. Only in answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"choices": Report.Outcome.choices, "source": "state", **options})

    def to_representation(self, value: str) -> str:
        return OUTCOMES[Report.State(value)].value


class OwnReportAnswer(Payload):
    id = serializers.UUIDField()
    user_id = serializers.UUIDField(
        source="reported_id", allow_null=True, help_text="Whom it is about; null: the account is gone."
    )
    category = serializers.ChoiceField(Report.Category.choices)
    created = UnixSeconds(source="created_at", help_text="Unix seconds.")
    outcome = OutcomeTold(
        help_text="`received`; `in_review`: somebody of the staff sees to it; `acted_on`; `no_action`."
    )
    updated = UnixSeconds(source="updated_at", allow_null=True, help_text=UPDATED)


class OwnReportsAnswer(PageAnswer):
    reports = OwnReportAnswer(many=True, help_text="Newest first.")
