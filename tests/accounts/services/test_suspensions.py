"""Suspensions: when an account may not be used, what its owner is told, and how it ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from time_machine import TimeMachineFixture

from accounts.models import Session, Suspension, User
from accounts.services import (
    Grant,
    delete_user,
    end_suspensions,
    lift_suspension,
    live_sessions,
    open_session,
    resume_session,
    resume_sessions,
    suspend_user,
    suspended_users,
)
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import AccountSuspended, Event
from tests.accounts.conftest import HOME

in_one_thread = pytest.mark.django_db
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def suspend(user_id: UUID, **changes: Any) -> Suspension:
    return suspend_user(
        user_id, **{"public_reason": "Spam.", "internal_reason": "ticket 7", "ends_at": None, **changes}
    )


def refusal(user: User, token: str = "") -> ConstructError:
    user = User.objects.get(pk=user.pk)
    with pytest.raises(ConstructError) as refused:
        resume_session(token, HOME) if token else open_session(user, HOME)
    return refused.value


@in_one_thread
class TestWhileItIsInForce:
    def test_neither_a_login_nor_a_session_opens_anything(self, alice: User) -> None:
        grant = open_session(alice, HOME)
        suspend(alice.pk)
        for told in (refusal(alice), refusal(alice, grant.token)):
            assert told.code is ErrorCode.ACCOUNT_SUSPENDED
            assert told.text == "This account is suspended. Reason: Spam."
        assert not live_sessions([grant.session_id])
        assert Session.objects.get().revoked_at is None

    def test_its_owner_is_told_reason_and_end_and_nothing_internal(
        self, alice: User, time_machine: TimeMachineFixture
    ) -> None:
        time_machine.move_to(NOON, tick=False)
        suspend(alice.pk, ends_at=NOON + HOUR)
        told = refusal(alice)
        assert told.text == "This account is suspended until 2026-11-26 13:00 UTC. Reason: Spam."
        assert told.retry_after_s == HOUR.total_seconds()
        suspend(alice.pk, public_reason="")
        assert refusal(alice).text == "This account is suspended."

    def test_another_one_takes_its_place(self, alice: User) -> None:
        first = suspend(alice.pk)
        second = suspend(alice.pk, public_reason="Threats.")
        assert Suspension.objects.get(pk=first.pk).ended_at is not None
        assert Suspension.objects.get(ended_at=None).pk == second.pk
        assert "Threats." in refusal(alice).text

    def test_the_database_takes_no_two_at_once(self, alice: User) -> None:
        suspend(alice.pk)
        with pytest.raises(IntegrityError), transaction.atomic():
            Suspension.objects.create(user=alice, internal_reason="second")

    def test_who_is_suspended_is_told_of_all_at_once(self, alice: User) -> None:
        bob, carol = (User.objects.create_user(name) for name in ("bob", "carol"))
        suspend(alice.pk)
        User.objects.filter(pk=bob.pk).update(is_active=False)
        assert suspended_users([alice.pk, bob.pk, carol.pk, uuid4()]) == {
            alice.pk: "This account is suspended. Reason: Spam.",
            bob.pk: "This account is suspended.",
        }


@in_one_thread
class TestItsEnd:
    def test_it_is_over_at_the_second(self, alice: User, time_machine: TimeMachineFixture) -> None:
        time_machine.move_to(NOON, tick=False)
        grant = open_session(alice, HOME)
        suspend(alice.pk, ends_at=NOON + HOUR)
        time_machine.shift(HOUR - timedelta(seconds=1))
        assert refusal(alice, grant.token).code is ErrorCode.ACCOUNT_SUSPENDED
        time_machine.shift(1)
        assert resume_session(grant.token, HOME).session_id == grant.session_id
        assert open_session(User.objects.get(pk=alice.pk), HOME)
        assert live_sessions([grant.session_id])
        assert Suspension.objects.get().ended_at == NOON + HOUR

    def test_it_is_over_for_every_device_of_the_same_moment(
        self, alice: User, time_machine: TimeMachineFixture
    ) -> None:
        time_machine.move_to(NOON, tick=False)
        grants = [open_session(alice, HOME) for _ in range(3)]
        suspend(alice.pk, ends_at=NOON + HOUR)
        time_machine.shift(HOUR)
        answers = resume_sessions([(grant.token, HOME) for grant in grants])
        assert [type(each) for each in answers] == [Grant] * 3

    def test_who_was_read_before_it_was_lifted_is_let_in(self, alice: User) -> None:
        suspend(alice.pk)
        read = User.objects.get(pk=alice.pk)
        lift_suspension(alice.pk)
        assert open_session(read, HOME)

    def test_housekeeping_ends_those_whose_end_has_come(
        self, alice: User, time_machine: TimeMachineFixture
    ) -> None:
        bob, carol = (User.objects.create_user(name) for name in ("bob", "carol"))
        time_machine.move_to(NOON, tick=False)
        suspend(alice.pk, ends_at=NOON + HOUR)
        suspend(bob.pk, ends_at=NOON + 2 * HOUR)
        suspend(carol.pk)
        assert end_suspensions(NOON + HOUR) == [alice.pk]
        assert end_suspensions(NOON + HOUR) == []
        assert set(User.objects.filter(is_active=False)) == {bob, carol}

    def test_it_is_lifted(self, alice: User) -> None:
        grant = open_session(alice, HOME)
        suspend(alice.pk)
        assert lift_suspension(alice.pk)
        assert resume_session(grant.token, HOME).session_id == grant.session_id
        assert not lift_suspension(alice.pk)
        assert not lift_suspension(uuid4())

    def test_an_account_that_was_switched_off_without_one_is_switched_on(self, alice: User) -> None:
        User.objects.update(is_active=False)
        assert lift_suspension(alice.pk)
        assert open_session(User.objects.get(), HOME)

    def test_it_goes_with_the_account(self, alice: User) -> None:
        suspend(alice.pk)
        delete_user(alice)
        assert not Suspension.objects.exists()


@in_one_thread
class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"public_reason": "x" * 201}, "publicReason"),
            ({"public_reason": "a\0b"}, "publicReason"),
            ({"internal_reason": "x" * 501}, "internalReason"),
            ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "endsAt"),
        ],
    )
    def test_it_is_refused_and_nothing_changes(
        self, alice: User, changes: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(ConstructError) as refused:
            suspend(alice.pk, **changes)
        assert list(refused.value.fields or {}) == [field]
        assert User.objects.get().is_active
        assert not Suspension.objects.exists()

    def test_nobody_is_not_suspended(self) -> None:
        with pytest.raises(ConstructError) as refused:
            suspend(uuid4())
        assert refused.value.code is ErrorCode.USER_NOT_FOUND


@pytest.mark.django_db(transaction=True)
async def test_live_sockets_hear_of_it(alice: User, heard: asyncio.Queue[Event]) -> None:
    await run_in_database_thread(partial(suspend, alice.pk))
    assert heard.get_nowait() == AccountSuspended(alice.pk, "This account is suspended. Reason: Spam.")
    assert heard.empty()
