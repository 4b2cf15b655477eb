"""What moderators are told. Only :mod:`accounts.moderation.reports` writes here."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

REPORT_CHARS = 2000
REPORTED_MESSAGES = 100
"""Most messages that one report names."""


class Report(models.Model):
    """What a user told about another: never what was written, which the server cannot read.

    It outlives both accounts without naming them, for as long as reports are kept.
    """

    class Category(models.TextChoices):
        SPAM = "spam"
        HARASSMENT = "harassment"
        IMPERSONATION = "impersonation"
        ILLEGAL = "illegal"
        OTHER = "other"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    reported = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    category = models.CharField(max_length=16, choices=Category.choices)
    text = models.CharField(max_length=REPORT_CHARS, blank=True)
    message_ids = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"report {self.pk}"
