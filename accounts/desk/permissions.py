"""What staff may do, each by one permission, and the roles that hold them.

A migration of this app calls :func:`write_roles`; whoever changes a role adds another that does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class May(StrEnum):
    """Permissions of acts, as ``user.has_perm`` takes them."""

    SUSPEND_USER = "desk.suspend_user"
    """And lift a suspension."""
    REVOKE_SESSIONS = "desk.revoke_sessions"
    REQUIRE_PASSWORD_RESET = "desk.require_password_reset"  # noqa: S105 - a permission, not a password
    CLEAR_MAILBOX = "desk.clear_mailbox"
    RENAME_USER = "desk.rename_user"
    HIDE_USER = "desk.hide_user"
    """From searches, and show it again."""
    APPROVE_USER = "desk.approve_user"
    """Or refuse."""
    SET_LIMITS = "desk.set_limits"
    DELETE_USER = "desk.delete_user"
    ADD_NOTE = "desk.add_note"
    HANDLE_REPORT = "desk.handle_report"
    """Take, assign, resolve, dismiss, reopen and merge reports."""
    MAKE_INVITE = "desk.make_invite"
    END_INVITE = "desk.end_invite"
    VIEW_SETTINGS = "desk.view_settings"
    PURGE = "desk.purge"
    EXPORT_USER = "desk.export_user"
    EXPORT_AUDIT = "desk.export_audit"
    REMOVE_SECOND_FACTOR = "desk.remove_second_factor"
    """Of no role: only superusers act on accounts of the staff."""

    @property
    def codename(self) -> str:
        return self.value.partition(".")[2]

    @property
    def label(self) -> str:
        return f"May {self.codename.replace('_', ' ')}"


MODERATOR = "Moderator"
OPERATOR = "Operator"
_MODERATOR = frozenset(
    {
        "accounts.view_user",
        "accounts.view_session",
        "accounts.view_invite",
        "audit.view_auditentry",
        "keys.view_prekeybundle",
        "moderation.view_report",
        May.SUSPEND_USER,
        May.REVOKE_SESSIONS,
        May.REQUIRE_PASSWORD_RESET,
        May.CLEAR_MAILBOX,
        May.RENAME_USER,
        May.HIDE_USER,
        May.APPROVE_USER,
        May.SET_LIMITS,
        May.DELETE_USER,
        May.ADD_NOTE,
        May.HANDLE_REPORT,
        May.MAKE_INVITE,
        May.END_INVITE,
    }
)
ROLES: dict[str, frozenset[str]] = {
    MODERATOR: _MODERATOR,
    OPERATOR: _MODERATOR | {May.VIEW_SETTINGS, May.PURGE, May.EXPORT_USER, May.EXPORT_AUDIT},
}


def write_roles(apps: Any) -> None:
    """Make the groups, with exactly these permissions. `apps`: the registry, a migration's or today's.

    Permissions are made here where they are missing: Django makes its own only after all migrations.
    """
    group = apps.get_model("auth", "Group")
    for role, names in ROLES.items():
        made, _ = group.objects.get_or_create(name=role)
        made.permissions.set([_permission(apps, name) for name in sorted(names)])


def _permission(apps: Any, name: str) -> Any:
    app, _, codename = name.partition(".")
    # Django names those of a model itself `view_` and the model's name.
    verb, _, model = codename.partition("_")
    is_of_desk = app == "desk"
    label = May(name).label if is_of_desk else f"Can {verb} {model}"
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app, model="desk" if is_of_desk else model
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=codename, defaults={"name": label}
    )
    return permission
