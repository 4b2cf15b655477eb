"""Registration: the account, its first bundle and its first session, all or nothing.

It stands with the keys because an account on the wire always has a bundle, and
``accounts`` knows nothing of keys.
"""

from __future__ import annotations

from django.db import DatabaseError, transaction

from accounts.passwords import get_password_hashing
from accounts.peers import Peer
from accounts.services import Grant, check_registration, create_account, open_session
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import RateLimit, get_limiter
from keys.bundle import Bundle, parse_bundle
from keys.services import store_first_bundle


async def register(
    username: str, password: str, display_name: str | None, public_key: str, peer: Peer
) -> Grant:
    """Make an account and log it in. What is cheap is judged first, the password hashed last.

    Raises ``ConstructError``: INVALID_USERNAME, WEAK_PASSWORD,
    INVALID_DISPLAY_NAME, INVALID_KEY, INVALID_KEY_BUNDLE, RATE_LIMIT_EXCEEDED,
    SERVER_BUSY, USERNAME_TAKEN, REGISTRATION_FAILED. Then nothing was stored.
    """
    shown_name = check_registration(username, password, display_name)
    bundle = parse_bundle(public_key)
    await get_limiter().hit(RateLimit.REGISTRATIONS, peer.address)
    encoded = await get_password_hashing().make(password)
    try:
        return await run_in_database_thread(register_account, username, encoded, shown_name, bundle, peer)
    except DatabaseError as error:
        raise ConstructError(ErrorCode.REGISTRATION_FAILED) from error


def register_account(
    username: str, encoded_password: str, display_name: str, bundle: Bundle, peer: Peer
) -> Grant:
    """Store a judged registration in one transaction. Raises ``ConstructError(USERNAME_TAKEN)``."""
    with transaction.atomic():
        user = create_account(username, encoded_password, display_name)
        store_first_bundle(user, bundle)
        return open_session(user, peer)
