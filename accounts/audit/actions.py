"""The acts of staff that the audit tells, each by one word."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    SUSPEND = "suspend"
    LIFT_SUSPENSION = "lift_suspension"
    REVOKE_SESSIONS = "revoke_sessions"
    REQUIRE_PASSWORD_RESET = "require_password_reset"  # noqa: S105 - an act, not a password
    MAKE_RESET_CODE = "make_reset_code"
    CHANGE_PASSWORD = "change_password"  # noqa: S105
    CLEAR_MAILBOX = "clear_mailbox"
    RENAME = "rename"
    EDIT_PROFILE = "edit_profile"
    HIDE_FROM_SEARCH = "hide_from_search"
    SHOW_IN_SEARCH = "show_in_search"
    APPROVE = "approve"
    REFUSE = "refuse"
    SET_LIMITS = "set_limits"
    DELETE_USER = "delete_user"
    ADD_NOTE = "add_note"
    TAKE_REPORT = "take_report"
    ASSIGN_REPORT = "assign_report"
    RELEASE_REPORT = "release_report"
    RESOLVE_REPORT = "resolve_report"
    DISMISS_REPORT = "dismiss_report"
    REOPEN_REPORT = "reopen_report"
    MERGE_REPORTS = "merge_reports"
    NOTE_REPORT = "note_report"
    MAKE_INVITE = "make_invite"
    END_INVITE = "end_invite"
    CREATE_STAFF = "create_staff"
    CHANGE_RIGHTS = "change_rights"
    CHANGE_ROLE = "change_role"
    SIGN_IN = "sign_in"
    ENROL_SECOND_FACTOR = "enrol_second_factor"
    RENEW_RECOVERY_CODES = "renew_recovery_codes"
    REMOVE_SECOND_FACTOR = "remove_second_factor"
    EXPORT_USER = "export_user"
    EXPORT_AUDIT = "export_audit"
    PURGE = "purge"
    EXPIRE_MAILBOX = "expire_mailbox"


OF_REPORTS = frozenset(
    {
        Action.TAKE_REPORT,
        Action.ASSIGN_REPORT,
        Action.RELEASE_REPORT,
        Action.RESOLVE_REPORT,
        Action.DISMISS_REPORT,
        Action.REOPEN_REPORT,
        Action.MERGE_REPORTS,
        Action.NOTE_REPORT,
    }
)
"""What is done to a report. The person whom it is about does not learn of it."""
