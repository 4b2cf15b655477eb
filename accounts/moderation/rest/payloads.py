"""What the moderation endpoints take and give."""

from __future__ import annotations

from rest_framework import serializers

from accounts.moderation.models import REPORTED_MESSAGES, Report
from construct_site.rest.payloads import Payload, Text


class ReportRequest(Payload):
    user_id = Text(help_text="Whom the report is about.")
    category = serializers.ChoiceField(Report.Category.choices)
    text = Text(default="", help_text="What happened, in at most 2000 characters. Not what was written.")
    message_ids = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=REPORTED_MESSAGES,
        default=list,
        help_text="Ids of the messages that it is about.",
    )


class ReportAnswer(Payload):
    id = serializers.UUIDField()
