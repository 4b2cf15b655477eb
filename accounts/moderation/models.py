"""What moderators are told, and what they made of it.

Only :mod:`accounts.moderation.reports` and :mod:`accounts.moderation.acts` write here.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models import Suspension

REPORT_CHARS = 2000
NOTE_CHARS = 2000
REPORTED_MESSAGES = 100
"""Most messages that one report names."""


class Report(models.Model):
    """What a user told about another: never what was written, which the server cannot read.

    It outlives both accounts without naming them, for as long as reports are kept. Reports about the same
    person can be merged into a case: one of them is its head, and the others are its repeats, whose state
    is always the head's.
    """

    class Category(models.TextChoices):
        SPAM = "spam"
        HARASSMENT = "harassment"
        IMPERSONATION = "impersonation"
        ILLEGAL = "illegal"
        OTHER = "other"

    class State(models.TextChoices):
        NEW = "new"
        TAKEN = "taken"
        RESOLVED = "resolved"
        DISMISSED = "dismissed"

    class Outcome(models.TextChoices):
        """What the reporter is told: neither by whom nor which sanction."""

        RECEIVED = "received"
        IN_REVIEW = "in_review"
        ACTED_ON = "acted_on"
        NO_ACTION = "no_action"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    reported = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    category = models.CharField(max_length=16, choices=Category.choices)
    text = models.CharField(max_length=REPORT_CHARS, blank=True)
    message_ids = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    # A process of the version before, during a rolling restart, names none of the columns below.
    state = models.CharField(
        max_length=16, choices=State.choices, default=State.NEW, db_default=State.NEW.value
    )
    updated_at = models.DateTimeField(null=True)
    """When the state changed; None: it never did."""
    note = models.CharField(
        max_length=NOTE_CHARS, blank=True, default="", db_default="", help_text="For the staff alone."
    )
    assignee = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    """Who of the staff takes care of the case; of a head alone."""
    suspension = models.ForeignKey(Suspension, models.SET_NULL, null=True, related_name="+")
    """What was done about it, if it was that; of a head alone."""
    merged_into = models.ForeignKey("self", models.SET_NULL, null=True, related_name="repeats")
    """The head of the case; None: it is the head itself."""

    class Meta:
        indexes = [
            models.Index(
                "created_at",
                name="report_open",
                condition=models.Q(merged_into=None, state__in=["new", "taken"]),
            ),
        ]

    def __str__(self) -> str:
        return f"report {self.pk}"


OPEN = (Report.State.NEW, Report.State.TAKEN)
OUTCOMES = {
    Report.State.NEW: Report.Outcome.RECEIVED,
    Report.State.TAKEN: Report.Outcome.IN_REVIEW,
    Report.State.RESOLVED: Report.Outcome.ACTED_ON,
    Report.State.DISMISSED: Report.Outcome.NO_ACTION,
}
"""What the reporter is told of each state."""
