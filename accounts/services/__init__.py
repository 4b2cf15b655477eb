"""What accounts can do. Plain synchronous functions: an async caller runs them in a database thread.

Nothing else writes accounts or sessions. A function that ends sessions says so to
their live sockets once its transaction commits.
"""

from __future__ import annotations

from accounts.services.credentials import (
    Credentials,
    OutdatedCredentials,
    address_is_known,
    find_credentials,
    replace_hash,
)
from accounts.services.invites import check_invite, end_invites, make_invite, purge_invites, use_invite
from accounts.services.lifecycle import (
    approve_account,
    create_account,
    delete_user,
    delete_user_of,
    end_other_sessions_of,
    free_names,
    rename_user,
    replace_password,
    set_hidden,
    set_limits,
    update_account,
)
from accounts.services.matching import FoundUser
from accounts.services.notes import add_note
from accounts.services.profile import Profile, read_profile, update_profile
from accounts.services.reset_codes import (
    FoundResetCode,
    NewResetCode,
    find_reset_code,
    make_reset_code,
    purge_reset_codes,
    redeem_reset_code,
    require_password_reset,
)
from accounts.services.rules import check_new_password, check_registration, parse_user_id
from accounts.services.search import search_users
from accounts.services.sessions import (
    Grant,
    SessionFacts,
    SessionHasEnded,
    SessionIdentity,
    check_sessions,
    count_seen_on,
    end_session,
    list_sessions,
    live_sessions,
    open_session,
    purge_sessions,
    require_live,
    resume_session,
    resume_sessions,
    revoke_other_sessions,
    revoke_sessions,
)
from accounts.services.sign_ins import purge_sign_ins
from accounts.services.suspensions import (
    end_suspensions,
    lift_suspension,
    replaced_by,
    suspend_user,
    suspended_users,
)
from accounts.services.work import Work, check_unused, check_work, make_challenge, purge_challenges, use_work

__all__ = [
    "Credentials",
    "FoundResetCode",
    "FoundUser",
    "Grant",
    "NewResetCode",
    "OutdatedCredentials",
    "Profile",
    "SessionFacts",
    "SessionHasEnded",
    "SessionIdentity",
    "Work",
    "add_note",
    "address_is_known",
    "approve_account",
    "check_invite",
    "check_new_password",
    "check_registration",
    "check_sessions",
    "check_unused",
    "check_work",
    "count_seen_on",
    "create_account",
    "delete_user",
    "delete_user_of",
    "end_invites",
    "end_other_sessions_of",
    "end_session",
    "end_suspensions",
    "find_credentials",
    "find_reset_code",
    "free_names",
    "lift_suspension",
    "list_sessions",
    "live_sessions",
    "make_challenge",
    "make_invite",
    "make_reset_code",
    "open_session",
    "parse_user_id",
    "purge_challenges",
    "purge_invites",
    "purge_reset_codes",
    "purge_sessions",
    "purge_sign_ins",
    "read_profile",
    "redeem_reset_code",
    "rename_user",
    "replace_hash",
    "replace_password",
    "replaced_by",
    "require_live",
    "require_password_reset",
    "resume_session",
    "resume_sessions",
    "revoke_other_sessions",
    "revoke_sessions",
    "search_users",
    "set_hidden",
    "set_limits",
    "suspend_user",
    "suspended_users",
    "update_account",
    "update_profile",
    "use_invite",
    "use_work",
]
