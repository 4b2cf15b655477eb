"""What is kept for a time after its end, and then goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.sessions.models import Session as BrowserSession
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.models import FormerName, Invite, ResetCode, Session, UsedChallenge, User
from accounts.moderation.models import Report
from accounts.moderation.reports import purge_reports
from construct_site.errors import ConstructError
from tests.accounts.conftest import HOME
from tests.plans import plans_of

DAY = timedelta(days=1)
KEPT = 5_000
PURGES: list[tuple[Callable[[datetime], int], type[Model], str]] = [
    (partial(services.purge_sessions, most=1000), Session, "session_expires session_revoked"),
    (partial(services.purge_sign_ins, most=1000), BrowserSession, "django_session_expire_date"),
    (services.free_names, FormerName, "accounts_formername_free_at"),
    (services.purge_invites, Invite, "accounts_invite_expires_at"),
    (services.purge_challenges, UsedChallenge, "accounts_usedchallenge_expires_at"),
    (services.purge_reset_codes, ResetCode, "accounts_resetcode_expires_at"),
    (partial(purge_reports, most=1000), Report, "moderation_report_created_at"),
]
"""What is purged from which table, and the indexes that find it."""


class TestSessions:
    @pytest.fixture
    def sessions(self, alice: User) -> list[Session]:
        grants = [services.open_session(alice, HOME) for _ in range(4)]
        return [Session.objects.get(pk=grant.session_id) for grant in grants]

    def test_what_ended_long_ago_goes_and_the_rest_stays(self, sessions: list[Session]) -> None:
        now = timezone.now()
        live, expired, revoked, fresh = sessions
        Session.objects.filter(pk=expired.pk).update(expires_at=now - 31 * DAY)
        Session.objects.filter(pk=revoked.pk).update(revoked_at=now - 31 * DAY)
        Session.objects.filter(pk=fresh.pk).update(revoked_at=now - 29 * DAY)
        assert services.purge_sessions(now, most=10) == 2
        assert set(Session.objects.values_list("pk", flat=True)) == {live.pk, fresh.pk}
        assert services.purge_sessions(now, most=10) == 0

    @pytest.mark.usefixtures("sessions")
    def test_a_round_is_bounded(self) -> None:
        now = timezone.now()
        Session.objects.update(revoked_at=now - 31 * DAY)
        assert [services.purge_sessions(now, most=3) for _ in range(2)] == [3, 1]


class TestNames:
    def test_a_name_is_forgotten_once_it_has_rested(self, alice: User) -> None:
        services.delete_user(alice)
        now = timezone.now()
        assert services.free_names(now + 89 * DAY) == 0
        assert FormerName.objects.exists()
        assert services.free_names(now + 91 * DAY) == 1

    def test_a_resting_name_is_taken_in_any_case_and_its_transaction_stays_usable(self, alice: User) -> None:
        services.delete_user(alice)
        with pytest.raises(ConstructError) as refused:
            services.create_account("aLiCe", "argon2$hash", "Alice")
        assert refused.value.code == "USERNAME_TAKEN"
        assert not User.objects.exists()
        services.create_account("alice2", "argon2$hash", "Alice")

    def test_a_name_that_is_deleted_twice_rests_anew(self, alice: User) -> None:
        services.delete_user(alice)
        FormerName.objects.update(free_at=timezone.now())
        services.delete_user(services.create_account("Alice", "argon2$hash", "Alice"))
        assert FormerName.objects.get().free_at > timezone.now() + 89 * DAY


def rows_that_stay(model: type[Model], now: datetime) -> list[Model]:
    """Many of a table. Of the sessions every second was revoked, not long ago."""
    users = [User(username=f"user-{number}", username_folded=f"user-{number}") for number in range(KEPT)]
    later = now + DAY

    def made(number: int, user: User) -> dict[str, Any]:
        digest = number.to_bytes(16, "big")
        if model is Session:
            return {
                "user": user,
                "token_digest": digest,
                "address_digest": digest,
                "expires_at": later,
                "last_used_at": now,
                "revoked_at": now if number % 2 else None,
            }
        if model is BrowserSession:
            return {"session_key": str(number), "expire_date": later}
        if model is Report:
            return {"reporter": user, "reported": user, "category": "spam", "created_at": now}
        if model is FormerName:
            return {"digest": digest, "free_at": later}
        told: dict[str, Any] = {"digest": digest, "expires_at": later}
        if model is ResetCode:
            told |= {"user": user, "made_at": now}
        if model is Invite:
            told |= {"uses_left": 1}
        return told

    if model in (Session, Report, ResetCode):
        User.objects.bulk_create(users, batch_size=2_000)
    return [model(**made(number, user)) for number, user in enumerate(users)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("purge", "model", "indexes"), PURGES)
def test_what_is_kept_is_not_read_to_find_what_goes(
    purge: Callable[[datetime], int], model: type[Model], indexes: str
) -> None:
    now = timezone.now()
    model._default_manager.bulk_create(rows_that_stay(model, now), batch_size=2_000)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM ANALYZE {model._meta.db_table}")
    with CaptureQueriesContext(connection) as captured:
        assert purge(now) == 0
    assert model._default_manager.count() == KEPT
    if connection.vendor == "postgresql":
        looked = [each for each in captured if each["sql"].startswith(("SELECT", "DELETE"))]
        plans = "\n".join(plans_of(looked))
        assert "Seq Scan" not in plans
        assert all(index in plans for index in indexes.split()), plans
