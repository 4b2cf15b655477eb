"""What is kept for a time after its end, and then goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import services
from accounts.models import FormerName, Session, User
from construct_site.errors import ConstructError
from tests.accounts.conftest import HOME

DAY = timedelta(days=1)


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
