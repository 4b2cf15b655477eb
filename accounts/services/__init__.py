"""What accounts can do. Plain synchronous functions: an async caller runs them in a database thread.

Nothing else writes accounts or sessions. A function that ends sessions says so to
their live sockets once its transaction commits.
"""

from __future__ import annotations

from accounts.services.credentials import Credentials, address_is_known, find_credentials, replace_hash
from accounts.services.lifecycle import create_account, delete_user, update_account
from accounts.services.rules import check_registration
from accounts.services.search import FoundUser, search_users
from accounts.services.sessions import (
    Grant,
    SessionIdentity,
    end_session,
    live_sessions,
    open_session,
    resume_session,
    resume_sessions,
    revoke_sessions,
)

__all__ = [
    "Credentials",
    "FoundUser",
    "Grant",
    "SessionIdentity",
    "address_is_known",
    "check_registration",
    "create_account",
    "delete_user",
    "end_session",
    "find_credentials",
    "live_sessions",
    "open_session",
    "replace_hash",
    "resume_session",
    "resume_sessions",
    "revoke_sessions",
    "search_users",
    "update_account",
]
