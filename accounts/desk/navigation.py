"""The sidebar of the admin: what the staff member may open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accounts.desk.permissions import May


@dataclass(frozen=True, slots=True)
class Page:
    """A link: its title, its symbol among Material's, the page's name, and the permission that it takes."""

    title: str
    icon: str
    name: str
    permission: str | None = None

    def is_open_to(self, request: HttpRequest) -> bool:
        return self.permission is None or request.user.has_perm(self.permission)


GROUPS: tuple[tuple[str, tuple[Page, ...]], ...] = (
    ("", (Page("Dashboard", "dashboard", "admin:index"),)),
    (
        "People",
        (
            Page("Users", "group", "admin:accounts_user_changelist", "accounts.view_user"),
            Page("Sessions", "devices", "admin:accounts_session_changelist", "accounts.view_session"),
            Page("Invites", "mail", "admin:accounts_invite_changelist", "accounts.view_invite"),
        ),
    ),
    (
        "Moderation",
        (Page("Reports", "flag", "admin:moderation_report_changelist", "moderation.view_report"),),
    ),
    (
        "Keys",
        (Page("Prekey bundles", "key", "admin:keys_prekeybundle_changelist", "keys.view_prekeybundle"),),
    ),
    (
        "Server",
        (
            Page("Audit", "history", "admin:audit_auditentry_changelist", "audit.view_auditentry"),
            Page("Settings", "tune", "admin:settings", May.VIEW_SETTINGS),
            Page("Roles", "shield_person", "admin:auth_group_changelist", "auth.view_group"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """As the sidebar takes it. A group without an open page is left out."""
    groups = []
    for title, pages in GROUPS:
        items = [
            {"title": page.title, "icon": page.icon, "link": reverse(page.name)}
            for page in pages
            if page.is_open_to(request)
        ]
        if items:
            groups.append({"title": title, "separator": bool(title), "items": items})
    return groups


def account_links(_request: HttpRequest) -> list[dict[str, str]]:
    """Of the menu at one's own name."""
    links = (("Change password", "admin:password_change"), ("Second factor", "admin:second_factor"))
    return [{"title": title, "link": reverse(name)} for title, name in links]
