"""Registration: the account, its first bundle and its first session, all or nothing.

It stands with the keys because an account on the wire always has a bundle, and
``accounts`` knows nothing of keys.
"""

from __future__ import annotations

import time
from functools import partial

from django.conf import settings
from django.db import DatabaseError, transaction

from accounts.judgement import get_policy, judge
from accounts.passwords import get_password_hashing
from accounts.peers import Peer
from accounts.policy import RegistrationFacts
from accounts.services import (
    Grant,
    Work,
    check_invite,
    check_registration,
    check_unused,
    check_work,
    create_account,
    open_session,
    use_invite,
    use_work,
)
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import RateLimit, get_limiter
from construct_site.metrics.collector import count
from construct_site.metrics.table import Metric
from keys.bundle import Bundle, parse_bundle
from keys.services import store_first_bundle


async def register(
    username: str,
    password: str,
    display_name: str | None,
    public_key: str,
    peer: Peer,
    *,
    invite_code: str | None = None,
    work: str | None = None,
) -> Grant:
    """Make an account and log it in. What is cheap is judged first, the password hashed last.

    Whether anybody may is for the policy to say, by ``CONSTRUCT_REGISTRATION``; where that asks
    for no invite, a code is neither looked at nor used, and the same of work.

    Raises ``ConstructError``: what the policy refuses with (REGISTRATION_CLOSED, INVITE_REQUIRED),
    INVALID_INVITE, INVALID_USERNAME, WEAK_PASSWORD,
    INVALID_DISPLAY_NAME, INVALID_KEY, INVALID_KEY_BUNDLE, WORK_REQUIRED, INVALID_WORK,
    RATE_LIMIT_EXCEEDED, SERVER_BUSY, USERNAME_TAKEN, REGISTRATION_FAILED. Then nothing
    was stored or used.
    """
    mode = settings.CONSTRUCT.registration
    facts = RegistrationFacts(
        at=time.time(),
        mode=mode,
        username=username,
        address=peer.address,
        has_invite=bool(invite_code),
    )
    per_hour = judge(get_policy().may_register, facts)
    invite_code = (invite_code or None) if mode == "invite" else None
    shown_name = check_registration(username, password, display_name)
    bundle = parse_bundle(public_key)
    proved = check_work(work)
    await get_limiter().hit(RateLimit.REGISTRATIONS, peer.address, per_hour=per_hour)
    try:
        if invite_code is not None:
            await run_in_database_thread(check_invite, invite_code)
        if proved is not None:
            await run_in_database_thread(check_unused, proved)
        encoded = await get_password_hashing().make(password)
        return await run_in_database_thread(
            register_account, username, encoded, shown_name, bundle, peer, invite_code, proved
        )
    except DatabaseError as error:
        raise ConstructError(ErrorCode.REGISTRATION_FAILED) from error


def register_account(
    username: str,
    encoded_password: str,
    display_name: str,
    bundle: Bundle,
    peer: Peer,
    invite_code: str | None = None,
    work: Work | None = None,
) -> Grant:
    """Store a judged registration in one transaction, the use of its invite or work included.

    Raises ``ConstructError``: USERNAME_TAKEN, INVALID_INVITE, INVALID_WORK.
    """
    with transaction.atomic():
        if invite_code is not None:
            use_invite(invite_code)
        if work is not None:
            use_work(work)
        user = create_account(
            username,
            encoded_password,
            display_name,
            is_approved=settings.CONSTRUCT.registration != "approval",
        )
        store_first_bundle(user, bundle)
        transaction.on_commit(partial(count, Metric.REGISTRATIONS))
        return open_session(user, peer)
