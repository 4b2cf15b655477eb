"""Expiry: what is past its life goes, by the running server or by a command."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from accounts import services as accounts
from accounts.audit.chain import read_head
from accounts.moderation.reports import count_open_reports, purge_reports
from construct_site.database import run_in_database_thread
from construct_site.env import Config
from construct_site.logs import describe_error
from construct_site.metrics import store as metrics
from construct_site.metrics.table import Metric
from keys import services as keys
from messaging.mailbox.store import get_store
from messaging.models import Chore

log = structlog.get_logger(__name__)

EXPIRY = "expire_mailbox"
READINGS = "read_metrics"
LARGE_READINGS = "read_large_metrics"
LARGE_READINGS_EVERY = timedelta(minutes=10)
"""For what is counted row by row: among a million accounts and as many messages, 0.5 s of PostgreSQL (2026-11)."""
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
    """Delete long ended sessions, expired sign-ins, rested names, expired codes, old challenges and reports.

    Returns how many went.
    """
    gone = accounts.free_names(now) + accounts.purge_invites(now) + accounts.purge_reset_codes(now)
    gone += accounts.purge_challenges(now)
    for purge_some in (accounts.purge_sessions, accounts.purge_sign_ins, purge_reports):
        while deleted := purge_some(now, _ROWS_A_TRANSACTION):
            gone += deleted
    return gone


def purge(now: datetime) -> int:
    """Do now all that the rounds do. Returns how many rows went."""
    return expire_mailbox(now) + purge_accounts(now) + metrics.purge_metrics(now)


def expire_if_due() -> int:
    now = timezone.now()
    every = timedelta(seconds=settings.CONSTRUCT.housekeeping_s)
    return expire_mailbox(now) + purge_accounts(now) if claim(EXPIRY, every, now) else 0


def read_metrics_if_due() -> None:
    """The figures that are read rather than counted, by one process for all."""
    now = timezone.now()
    if claim(READINGS, timedelta(seconds=settings.CONSTRUCT.metrics_flush_s), now):
        few = {Metric.CONNECTIONS: metrics.count_connections(now), Metric.OPEN_REPORTS: count_open_reports()}
        metrics.store_readings(few, now)
    if claim(LARGE_READINGS, LARGE_READINGS_EVERY, now):
        many = {
            Metric.ACTIVE_USERS: accounts.count_seen_on(now.date()),
            Metric.MESSAGES_WAITING: get_store().count_waiting(),
            Metric.STALE_PREKEYS: keys.count_stale(now),
        }
        metrics.store_readings(many, now)
        metrics.purge_metrics(now)


def log_audit_head_if_due() -> None:
    """Once an hour: whoever keeps the log finds an audit that was cut off (:mod:`accounts.audit.verification`)."""
    if claim(AUDIT_HEAD, AUDIT_HEAD_EVERY, timezone.now()):
        log.info("audit head", head=str(read_head()))


def end_suspensions() -> None:
    """Those whose end has come; a login or a resume does not wait for it."""
    if ended := accounts.end_suspensions(timezone.now()):
        log.info("suspensions ended", accounts=len(ended))


async def keep_house() -> None:
    """Runs as long as the server does: once in each period, on one of all processes."""
    while True:
        try:
            gone = await run_in_database_thread(expire_if_due)
            if gone:
                log.info("expired", rows=gone)
        except Exception as error:  # noqa: BLE001 - the next round comes, whatever failed
            log.warning("expiry failed", error=describe_error(error))
        for chore in (end_suspensions, log_audit_head_if_due, read_metrics_if_due):
            try:
                await run_in_database_thread(chore)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("chore failed", chore=chore.__name__, error=describe_error(error))
        await asyncio.sleep(settings.CONSTRUCT.housekeeping_s)
