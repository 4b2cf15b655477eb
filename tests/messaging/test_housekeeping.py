"""Expiry: what goes and when, once across processes, in bounded transactions."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
import time_machine
from django.contrib.sessions.models import Session as BrowserSession
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.audit.actions import Action
from accounts.audit.chain import SYSTEM, append, read_head
from accounts.models import Invite, UsedChallenge
from accounts.moderation.models import Report
from accounts.moderation.reports import report
from accounts.services import make_invite
from construct_site.database import run_in_database_thread
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.store import Batch, store_batch, store_readings
from construct_site.metrics.table import Metric
from keys.models import PrekeyBundle
from messaging import housekeeping
from messaging.housekeeping import (
    EXPIRY,
    claim,
    expire_if_due,
    expire_mailbox,
    keep_house,
    log_audit_head_if_due,
    purge_accounts,
    read_metrics_if_due,
)
from messaging.mailbox.letters import Caps, Letter
from messaging.mailbox.store import get_store
from messaging.models import Chore, MailboxMessage
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import until
from tests.messaging.mailbox.conftest import make_letter, make_recipient

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def recipient(transactional_db: None) -> UUID:
    return make_recipient("recipient")


def store(letters: list[Letter], at: datetime) -> list[int]:
    caps = Caps(messages=100, bytes=10**6, sender_share=1)
    return [outcome.row_id for outcome in get_store().put(letters, caps, at)]


@pytest.mark.usefixtures("transactional_db")
class TestClaim:
    def test_the_first_to_ask_is_the_one(self) -> None:
        assert claim("sweep", MINUTE, NOW)
        assert not claim("sweep", MINUTE, NOW)
        assert not claim("sweep", MINUTE, NOW + MINUTE - timedelta(microseconds=1))

    def test_in_the_next_period_somebody_is_again(self) -> None:
        claim("sweep", MINUTE, NOW)
        assert claim("sweep", MINUTE, NOW + MINUTE)
        assert not claim("sweep", MINUTE, NOW + MINUTE)

    def test_chores_are_claimed_apart(self) -> None:
        assert claim("sweep", MINUTE, NOW)
        assert claim("count", MINUTE, NOW)

    @pytest.mark.parametrize("is_known", [False, True])
    def test_of_many_who_ask_at_once_one_is_told_to(self, is_known: bool) -> None:
        if is_known:
            claim("sweep", MINUTE, NOW - MINUTE)
        answers: list[bool] = []
        gate = threading.Barrier(4)

        def ask() -> None:
            gate.wait()
            try:
                answers.append(claim("sweep", MINUTE, NOW))
            finally:
                connection.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False, False, False, True]


class TestExpire:
    def test_messages_and_stubs_go_at_the_end_of_their_lives(self, recipient: UUID, amounts: Amounts) -> None:
        amounts(message_s=3600, stub_s=60)
        old, confirmed = store([make_letter(recipient), make_letter(recipient)], NOW - timedelta(hours=3))
        (fresh,) = store([make_letter(recipient)], NOW - timedelta(minutes=59))
        get_store().confirm([confirmed], NOW - timedelta(hours=3))
        assert expire_mailbox(NOW) == 2
        assert list(MailboxMessage.objects.values_list("id", flat=True)) == [fresh]
        assert old not in {confirmed, fresh}

    def test_however_many_there_are_a_transaction_stays_small(
        self, recipient: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(housekeeping, "_ROWS_A_TRANSACTION", 3)
        store([make_letter(recipient) for _ in range(7)], NOW - timedelta(days=31))
        with CaptureQueriesContext(connection) as queries:
            assert expire_mailbox(NOW) == 7
        deletions = [each["sql"] for each in queries.captured_queries if each["sql"].startswith("DELETE")]
        assert len(deletions) == 3
        assert not MailboxMessage.objects.exists()

    def test_the_command_says_how_many_went(self, recipient: UUID) -> None:
        store([make_letter(recipient) for _ in range(2)], timezone.now() - timedelta(days=31))
        store([make_letter(recipient)], timezone.now())
        output = StringIO()
        call_command("expire_mailbox", stdout=output)
        assert output.getvalue() == "2 rows deleted.\n"
        output.truncate(0)
        output.seek(0)
        call_command("expire_mailbox", stdout=output)
        assert output.getvalue() == "0 rows deleted.\n"


@pytest.mark.usefixtures("transactional_db")
class TestFigures:
    def test_expired_messages_are_counted_and_stubs_are_not(
        self, recipient: UUID, newly_counted: Callable[[], Counter[Metric]]
    ) -> None:
        rows = store([make_letter(recipient) for _ in range(3)], NOW - timedelta(days=31))
        get_store().confirm(rows[:1], NOW - timedelta(days=31))
        assert expire_mailbox(NOW) == 3
        assert newly_counted() == {Metric.MESSAGES_EXPIRED: 2}

    @pytest.mark.parametrize("command", ["expire_mailbox", "purge"])
    def test_a_command_stores_what_it_counted(
        self, recipient: UUID, newly_counted: Callable[[], Counter[Metric]], command: str
    ) -> None:
        store([make_letter(recipient) for _ in range(2)], timezone.now() - timedelta(days=31))
        for _ in range(2):
            call_command(command, stdout=StringIO())
        assert [(row.metric, row.value) for row in HourlyMetric.objects.all()] == [("messages_expired", 2)]
        assert newly_counted() == {}

    def test_a_purge_deletes_old_figures(self) -> None:
        store_readings({Metric.OPEN_REPORTS: 1}, timezone.now() - timedelta(days=401))
        output = StringIO()
        call_command("purge", stdout=output)
        assert output.getvalue() == "1 rows deleted.\n"

    def test_what_is_read_is_of_this_moment(self, recipient: UUID) -> None:
        other = make_recipient("other", last_seen_on=NOW.date())
        make_recipient("yesterday", last_seen_on=NOW.date() - timedelta(days=1))
        PrekeyBundle.objects.filter(pk=other).update(rotated_at=NOW - timedelta(days=31))
        rows = store([make_letter(recipient) for _ in range(3)], NOW)
        get_store().confirm(rows[:1], NOW)
        report(recipient, other, "spam", "", [])
        for name, connections in (("one", 5), ("two", 7)):
            store_batch(name, Batch(1, {}), connections, NOW)
        with time_machine.travel(NOW, tick=False):
            read_metrics_if_due()
        assert readings() == {
            Metric.ACTIVE_USERS: 1,
            Metric.CONNECTIONS: 12,
            Metric.MESSAGES_WAITING: 2,
            Metric.OPEN_REPORTS: 1,
            Metric.STALE_PREKEYS: 1,
        }

    def test_what_is_counted_row_by_row_is_read_every_ten_minutes_and_the_rest_every_minute(
        self, recipient: UUID
    ) -> None:
        with time_machine.travel(NOW.replace(minute=0), tick=False) as clock:
            read_metrics_if_due()
            store([make_letter(recipient)], NOW)
            report(recipient, make_recipient("other"), "spam", "", [])
            clock.shift(timedelta(minutes=9))
            read_metrics_if_due()
            assert (readings()[Metric.MESSAGES_WAITING], readings()[Metric.OPEN_REPORTS]) == (0, 1)
            clock.shift(MINUTE)
            read_metrics_if_due()
            assert readings()[Metric.MESSAGES_WAITING] == 1

    def test_of_several_processes_one_reads(self) -> None:
        with time_machine.travel(NOW, tick=False):
            read_metrics_if_due()
            with CaptureQueriesContext(connection) as queries:
                read_metrics_if_due()
        assert not [each["sql"] for each in queries if "COUNT" in each["sql"]]

    def test_old_figures_go_in_the_same_round(self) -> None:
        store_readings({Metric.OPEN_REPORTS: 1}, NOW - timedelta(days=401))
        with time_machine.travel(NOW, tick=False):
            read_metrics_if_due()
        assert not HourlyMetric.objects.filter(hour__lt=NOW - timedelta(days=1)).exists()

    async def test_the_running_server_reads_them_also_while_it_cannot_expire(
        self, amounts: Amounts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> int:
            raise OperationalError

        monkeypatch.setattr(housekeeping, "expire_if_due", fail)
        amounts(housekeeping_s=0.01)
        housekeeper = asyncio.create_task(keep_house())
        try:
            await until(lambda: run_in_database_thread(HourlyMetric.objects.exists))
        finally:
            housekeeper.cancel()
            await asyncio.gather(housekeeper, return_exceptions=True)


def readings() -> dict[str, int]:
    return dict(HourlyMetric.objects.values_list("metric", "value"))


class TestKeepHouse:
    def test_once_in_a_period_it_is_done(self, recipient: UUID) -> None:
        with time_machine.travel(NOW, tick=False) as clock:
            store([make_letter(recipient)], NOW - timedelta(days=31))
            assert expire_if_due() == 1
            store([make_letter(recipient)], NOW - timedelta(days=31))
            assert expire_if_due() == 0
            clock.shift(MINUTE)
            assert expire_if_due() == 1
        assert Chore.objects.get().name == EXPIRY

    @pytest.mark.usefixtures("transactional_db")
    def test_expired_invites_and_used_challenges_go_in_the_same_round(self) -> None:
        with time_machine.travel(NOW, tick=False) as clock:
            make_invite(1, timedelta(hours=1))
            make_invite(1, timedelta(hours=3))
            UsedChallenge.objects.create(digest=bytes(16), expires_at=NOW + timedelta(hours=1))
            assert expire_if_due() == 0
            clock.shift(timedelta(hours=2))
            assert expire_if_due() == 2
        assert Invite.objects.count() == 1
        assert not UsedChallenge.objects.exists()

    @pytest.mark.usefixtures("transactional_db")
    def test_expired_sign_ins_to_the_admin_go_in_bounded_transactions(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(housekeeping, "_ROWS_A_TRANSACTION", 3)
        BrowserSession.objects.bulk_create(
            [BrowserSession(session_key=str(number), expire_date=NOW) for number in range(7)]
        )
        BrowserSession.objects.create(session_key="live", expire_date=NOW + MINUTE)
        with time_machine.travel(NOW, tick=False), CaptureQueriesContext(connection) as queries:
            assert expire_if_due() == 7
        assert [row.session_key for row in BrowserSession.objects.all()] == ["live"]
        statements = [each["sql"] for each in queries]
        assert len([each for each in statements if each.startswith('DELETE FROM "django_session"')]) == 3

    def test_old_reports_go_in_bounded_transactions(
        self, recipient: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(housekeeping, "_ROWS_A_TRANSACTION", 3)
        old = {"reporter_id": recipient, "category": "spam", "created_at": NOW - timedelta(days=366)}
        Report.objects.bulk_create([Report(**old) for _ in range(7)])
        fresh = Report.objects.create(**{**old, "created_at": NOW - timedelta(days=364)})
        with CaptureQueriesContext(connection) as queries:
            assert purge_accounts(NOW) == 7
        assert list(Report.objects.values_list("pk", flat=True)) == [fresh.pk]
        statements = [each["sql"] for each in queries]
        assert len([each for each in statements if each.startswith('DELETE FROM "moderation_report"')]) == 3

    @pytest.mark.usefixtures("transactional_db")
    def test_where_the_audit_ends_is_logged_once_an_hour(self) -> None:
        with time_machine.travel(NOW, tick=False) as clock, capture_logs() as logged:
            with transaction.atomic():
                append(SYSTEM, Action.PURGE)
            for _ in range(3):
                log_audit_head_if_due()
                clock.shift(timedelta(minutes=29))
        assert [entry["head"] for entry in logged] == [str(read_head())]
        assert read_head().number == 1

    async def test_the_running_server_expires(
        self, recipient: UUID, amounts: Amounts, caplog: pytest.LogCaptureFixture
    ) -> None:
        amounts(housekeeping_s=0.01)
        await asyncio.to_thread(_store_and_close, recipient)
        caplog.set_level("INFO")
        housekeeper = asyncio.create_task(keep_house())
        try:
            await until(lambda: "expired" in caplog.text)
        finally:
            housekeeper.cancel()
            await asyncio.gather(housekeeper, return_exceptions=True)
        assert "'rows': 1" in caplog.text or "rows=1" in caplog.text

    @pytest.mark.usefixtures("transactional_db")
    @pytest.mark.parametrize("fault", [OperationalError, InterfaceError, RuntimeError])
    async def test_no_fault_ends_it(
        self,
        amounts: Amounts,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        fault: type[Exception],
    ) -> None:
        amounts(housekeeping_s=0.001)
        rounds: list[int] = []

        def fail() -> int:
            rounds.append(1)
            raise fault("private words")

        monkeypatch.setattr(housekeeping, "expire_if_due", fail)
        housekeeper = asyncio.create_task(keep_house())
        try:
            await until(lambda: len(rounds) > 2)
        finally:
            housekeeper.cancel()
            await asyncio.gather(housekeeper, return_exceptions=True)
        assert "expiry failed" in caplog.text
        assert "private words" not in caplog.text


def _store_and_close(recipient: UUID) -> None:
    try:
        store([make_letter(recipient)], timezone.now() - timedelta(days=31))
    finally:
        connection.close()
