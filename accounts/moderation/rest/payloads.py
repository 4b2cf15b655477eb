"""What the moderation endpoints take and give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.moderation.models import REPORTED_MESSAGES, Report
from construct_site.rest.payloads import Payload, Text


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
