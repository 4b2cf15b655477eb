"""What a user's page in the admin shows of reports. Nobody of the staff sees those about themselves."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.urls import reverse

from accounts.desk.pages import SHOWN, names_of, shown_time
from accounts.desk.registry import Link, Panel, register_panel_for
from accounts.models import User
from accounts.moderation.models import Report


def _reports_about(user_id: UUID, viewer: User) -> Panel:
    return _reports("Reports about this user", "By", "reporter_id", Q(reported=user_id), viewer)


def _reports_by(user_id: UUID, viewer: User) -> Panel:
    return _reports("Reports by this user", "About", "reported_id", Q(reporter=user_id), viewer)


def _reports(title: str, column: str, other: str, wanted: Q, viewer: User) -> Panel:
    """The newest, with the person at the `other` end. Two queries."""
    hidden = Q(reported__isnull=False, reported=viewer.pk)
    found = Report.objects.filter(wanted).exclude(hidden).order_by("-created_at", "-pk")
    newest = found.values("pk", "created_at", "category", "state", other)[:SHOWN]
    people = names_of(each[other] for each in newest)
    rows = [
        (
            Link(
                shown_time(each["created_at"]), reverse("admin:moderation_report_change", args=[each["pk"]])
            ),
            each["category"],
            each["state"],
            people.get(each[other], "-"),
        )
        for each in newest
    ]
    return Panel(title, ("Made", "Category", "State", column), rows)


def register() -> None:
    register_panel_for(24, "moderation.view_report", _reports_about)
    register_panel_for(26, "moderation.view_report", _reports_by)
