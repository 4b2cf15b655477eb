"""Expiry: what is past its life goes, by the running server or by a command."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from accounts import services as accounts
from accounts.audit.chain import read_head
from accounts.moderation.reports import purge_reports
from construct_site.database import run_in_database_thread
from construct_site.env import Config
from construct_site.logs import describe_error
from messaging.mailbox.store import get_store
from messaging.models import Chore

log = structlog.get_logger(__name__)

EXPIRY = "expire_mailbox"
AUDIT_HEAD = "log_audit_head"
AUDIT_HEAD_EVERY = timedelta(hours=1)
_ROWS_A_TRANSACTION = 1000


def claim(chore: str, every: timedelta, now: datetime) -> bool:
    """Whether this process is the one to do the chore now; at most one is told so in each period."""
    due = Chore.objects.filter(name=chore, due_at__lte=now).update(due_at=now + every)
    if due:
        return True
    _, is_new = Chore.objects.get_or_create(name=chore, defaults={"due_at": now + every})
    return is_new


def expire_mailbox(now: datetime) -> int:
    """Delete what is past its life, in bounded transactions. Returns how many rows went."""
    config: Config = settings.CONSTRUCT
    store = get_store()
    gone = 0
    while deleted := store.expire(
        now, timedelta(seconds=config.message_s), timedelta(seconds=config.stub_s), _ROWS_A_TRANSACTION
    ):
        gone += deleted
    return gone


def purge_accounts(now: datetime) -> int:
    """Delete long ended sessions, rested names, expired codes, old challenges and reports. Returns how many went."""
    gone = accounts.free_names(now) + accounts.purge_invites(now) + accounts.purge_reset_codes(now)
    gone += accounts.purge_challenges(now) + purge_reports(now)
    while deleted := accounts.purge_sessions(now, _ROWS_A_TRANSACTION):
        gone += deleted
    return gone


def expire_if_due() -> int:
    now = timezone.now()
    every = timedelta(seconds=settings.CONSTRUCT.housekeeping_s)
    return expire_mailbox(now) + purge_accounts(now) if claim(EXPIRY, every, now) else 0


def log_audit_head_if_due() -> None:
    """Once an hour: whoever keeps the log finds an audit that was cut off (:mod:`accounts.audit.verification`)."""
    if claim(AUDIT_HEAD, AUDIT_HEAD_EVERY, timezone.now()):
        log.info("audit head", head=str(read_head()))


async def keep_house() -> None:
    """Runs as long as the server does: once in each period, on one of all processes."""
    while True:
        try:
            gone = await run_in_database_thread(expire_if_due)
            if gone:
                log.info("expired", rows=gone)
            await run_in_database_thread(log_audit_head_if_due)
        except Exception as error:  # noqa: BLE001 - the next round comes, whatever failed
            log.warning("expiry failed", error=describe_error(error))
        await asyncio.sleep(settings.CONSTRUCT.housekeeping_s)
