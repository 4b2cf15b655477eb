"""Sessions: a token in the client's hands, its digest here, an expiry that slides."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
import time_machine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import Session, User
from accounts.peers import UNKNOWN, Peer
from accounts.services import (
    Grant,
    SessionHasEnded,
    SessionIdentity,
    address_is_known,
    check_sessions,
    count_seen_on,
    end_session,
    list_sessions,
    live_sessions,
    open_session,
    resume_session,
    resume_sessions,
    revoke_sessions,
    suspend_user,
)
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode, SessionExpired
from construct_site.events import Event, SessionsEnded
from tests.accounts.conftest import AWAY, HOME
from tests.messaging.mailbox.conftest import run_at_once

in_one_thread = pytest.mark.django_db
in_threads = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 5, 4, 12, 34, 56, tzinfo=UTC)
LIFE = timedelta(days=30)


@in_one_thread
@time_machine.travel(NOON, tick=False)
def test_a_new_session_is_granted_with_all_that_its_client_needs(alice: User) -> None:
    grant = open_session(alice, HOME)
    assert (grant.user_id, grant.username, grant.display_name) == (alice.pk, "Alice", "Alice Liddell")
    assert grant.expires_at == NOON + LIFE
    assert re.fullmatch(r"construct_[A-Za-z0-9_-]{43}", grant.token)
    session = Session.objects.get()
    assert session.pk == grant.session_id
    assert (session.created_at, session.expires_at) == (NOON, NOON + LIFE)
    assert session.last_used_at == datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert session.client_label == HOME.client_label
    assert User.objects.get().last_seen_on == date(2026, 5, 4)


@in_one_thread
def test_a_token_is_stored_nowhere(alice: User) -> None:
    grant = open_session(alice, HOME)
    row = Session.objects.values().get()
    assert bytes(row["token_digest"]) == hashlib.sha256(grant.token.encode()).digest()
    assert grant.token not in repr(row)
    assert grant.token.removeprefix("construct_") not in repr(row)
    assert grant.token not in repr(grant)
    assert HOME.address not in repr(row)


@in_one_thread
def test_tokens_differ(alice: User) -> None:
    assert len({open_session(alice, HOME).token for _ in range(20)}) == 20


@in_one_thread
def test_a_session_is_not_opened_for_a_suspended_account(alice: User) -> None:
    User.objects.update(is_active=False)
    alice.refresh_from_db()
    with pytest.raises(ConstructError) as refusal:
        open_session(alice, HOME)
    assert refusal.value.code is ErrorCode.ACCOUNT_SUSPENDED
    assert not Session.objects.exists()


@in_one_thread
def test_each_resume_slides_the_expiry(alice: User) -> None:
    with time_machine.travel(NOON, tick=False):
        grant = open_session(alice, HOME)
    later = NOON + LIFE - timedelta(seconds=1)
    with time_machine.travel(later, tick=False):
        resumed = resume_session(grant.token, AWAY)
    assert resumed.expires_at == later + LIFE
    assert (resumed.session_id, resumed.token, resumed.user_id) == (grant.session_id, grant.token, alice.pk)
    session = Session.objects.get()
    assert session.expires_at == later + LIFE
    assert session.last_used_at == later.replace(minute=0, second=0)
    assert session.client_label == AWAY.client_label
    assert User.objects.get().last_seen_on == later.date()


@in_one_thread
def test_a_resume_soon_after_writes_nothing(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with time_machine.travel(NOON, tick=False):
        grant = open_session(alice, HOME)
    soon = NOON + 0.005 * LIFE
    with time_machine.travel(soon, tick=False):
        first = resume_session(grant.token, HOME)
        with django_assert_num_queries(1):
            second = resume_session(grant.token, HOME)
    assert first.expires_at == second.expires_at == Session.objects.get().expires_at
    assert second.expires_at >= NOON + LIFE


@in_one_thread
def test_many_are_resumed_together_and_each_is_answered_for_itself(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    grants = [open_session(alice, HOME) for _ in range(20)]
    revoke_sessions(alice.pk, [grants[3].session_id])
    requests = [(grant.token, HOME) for grant in grants]
    requests += [("no token", HOME), ("construct_" + "A" * 43, HOME), (grants[0].token, HOME)]
    with django_assert_num_queries(1):
        answers = resume_sessions(requests)
    assert [answer.session_id if isinstance(answer, Grant) else type(answer) for answer in answers] == [
        *(grant.session_id for grant in grants[:3]),
        SessionExpired,
        *(grant.session_id for grant in grants[4:]),
        ConstructError,
        SessionExpired,
        grants[0].session_id,
    ]


@in_one_thread
def test_a_resume_makes_no_address_known_and_none_unknown(alice: User) -> None:
    """Who has the token need not have the password."""
    grant = open_session(alice, HOME)
    resume_session(grant.token, AWAY)
    assert not address_is_known(alice.pk, AWAY.address)
    assert address_is_known(alice.pk, HOME.address)
    [shown] = list_sessions(alice.pk)
    assert shown.address == AWAY.address


@in_one_thread
def test_a_resume_from_nowhere_leaves_the_address_that_is_shown(alice: User) -> None:
    grant = open_session(alice, HOME)
    resume_session(grant.token, Peer(UNKNOWN, ""))
    [shown] = list_sessions(alice.pk)
    assert shown.address == HOME.address


@in_one_thread
def test_a_session_ends_with_the_second_of_its_expiry(alice: User) -> None:
    with time_machine.travel(NOON, tick=False):
        grant = open_session(alice, HOME)
        assert live_sessions([grant.session_id])
    with time_machine.travel(NOON + LIFE, tick=False):
        assert not live_sessions([grant.session_id])
        with pytest.raises(SessionExpired):
            resume_session(grant.token, HOME)
    assert Session.objects.get().expires_at == NOON + LIFE


@in_one_thread
def test_a_revoked_session_cannot_be_resumed(alice: User) -> None:
    grant = open_session(alice, HOME)
    revoke_sessions(alice.pk)
    with pytest.raises(SessionExpired):
        resume_session(grant.token, HOME)
    assert not live_sessions([grant.session_id])


@in_one_thread
def test_the_session_of_a_deleted_user_cannot_be_resumed(alice: User) -> None:
    grant = open_session(alice, HOME)
    alice.delete()
    with pytest.raises(SessionExpired):
        resume_session(grant.token, HOME)


@in_one_thread
def test_the_session_of_a_suspended_user_is_refused_as_such(alice: User) -> None:
    grant = open_session(alice, HOME)
    User.objects.update(is_active=False)
    with pytest.raises(ConstructError) as refusal:
        resume_session(grant.token, HOME)
    assert refusal.value.code is ErrorCode.ACCOUNT_SUSPENDED
    assert not live_sessions([grant.session_id])


@in_one_thread
def test_a_token_that_was_never_given_out_has_expired(alice: User) -> None:
    open_session(alice, HOME)
    with pytest.raises(SessionExpired):
        resume_session("construct_" + "A" * 43, HOME)


@in_one_thread
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.text()
    | st.sampled_from(["", "construct_", "A" * 43, "CONSTRUCT_" + "A" * 43])
    | st.sampled_from(["A" * 42, "A" * 44, "A" * 43 + "\n", "A" * 42 + "\x00", "A" * 42 + "="]).map(
        "construct_".__add__
    )
)
def test_text_that_cannot_be_a_token_is_told_so_and_logs_nobody_out(text: str) -> None:
    with pytest.raises(ConstructError) as refusal:
        resume_session(text, HOME)
    assert refusal.value.code is ErrorCode.INVALID_TOKEN
    assert end_session(text) is None


def test_a_lone_surrogate_is_no_token(db: None) -> None:
    assert end_session("\ud800") is None


@in_one_thread
def test_no_session_by_this_id_is_not_live() -> None:
    assert not live_sessions([uuid4()])


@in_threads
async def test_a_logout_ends_that_session_alone(alice: User, heard: asyncio.Queue[Event]) -> None:
    grant = await run_in_database_thread(open_session, alice, HOME)
    other = await run_in_database_thread(open_session, alice, HOME)
    identity = SessionIdentity(alice.pk, grant.session_id)
    assert await run_in_database_thread(end_session, grant.token) == identity
    assert heard.get_nowait() == SessionsEnded(alice.pk, (grant.session_id,))
    assert not await run_in_database_thread(live_sessions, [grant.session_id])
    assert await run_in_database_thread(live_sessions, [other.session_id])


@in_threads
async def test_a_second_logout_is_answered_and_tells_nobody(alice: User, heard: asyncio.Queue[Event]) -> None:
    grant = await run_in_database_thread(open_session, alice, HOME)
    await run_in_database_thread(end_session, grant.token)
    heard.get_nowait()
    revoked_at = (await run_in_database_thread(Session.objects.get)).revoked_at
    assert await run_in_database_thread(end_session, grant.token) is not None
    assert heard.empty()
    assert (await run_in_database_thread(Session.objects.get)).revoked_at == revoked_at


@in_threads
async def test_revoking_named_sessions_leaves_other_users_alone(
    alice: User, heard: asyncio.Queue[Event]
) -> None:
    grant = await run_in_database_thread(open_session, alice, HOME)
    stranger = uuid4()
    assert await run_in_database_thread(revoke_sessions, stranger, [grant.session_id]) == 0
    assert heard.empty()
    assert await run_in_database_thread(live_sessions, [grant.session_id])


@in_threads
async def test_revoking_all_sessions_tells_all_sockets(alice: User, heard: asyncio.Queue[Event]) -> None:
    for _ in range(3):
        await run_in_database_thread(open_session, alice, HOME)
    assert await run_in_database_thread(revoke_sessions, alice.pk) == 3
    assert heard.get_nowait() == SessionsEnded(alice.pk, None)
    assert heard.empty()
    assert await run_in_database_thread(revoke_sessions, alice.pk) == 0


@in_threads
def test_batches_that_name_the_same_people_in_another_order_do_not_wait_for_each_other() -> None:
    users = [User.objects.create_user(f"user{number}") for number in range(10)]
    devices = [[(open_session(user, HOME).token, HOME) for user in users] for _ in range(2)]
    resumed: list[Grant | Exception] = []
    for _ in range(10):
        User.objects.update(last_seen_on=None)
        orders = devices[0], devices[1][::-1]
        run_at_once(*(lambda order=order: resumed.extend(resume_sessions(order)) for order in orders))
    assert len(resumed) == 10 * 2 * 10
    assert all(isinstance(each, Grant) for each in resumed)


@in_one_thread
def test_what_became_of_sessions_is_told_of_all_at_once(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    bob, carol = (User.objects.create_user(name) for name in ("bob", "carol"))
    live, ended, suspended = (open_session(user, HOME) for user in (alice, bob, carol))
    revoke_sessions(bob.pk)
    suspend_user(carol.pk, public_reason="Spam.", internal_reason="", ends_at=None)
    User.objects.filter(pk=alice.pk).update(messages_per_hour=50)
    asked = [SessionIdentity(each.user_id, each.session_id) for each in (live, ended, suspended)]
    with django_assert_num_queries(1):
        assert check_sessions(asked[:1]) == [msgspec.structs.replace(live.account, messages_per_hour=50)]
    with django_assert_num_queries(3):
        _, of_bob, of_carol = check_sessions(asked)
    assert isinstance(of_bob, SessionHasEnded)
    assert isinstance(of_carol, ConstructError)
    assert (of_carol.code, of_carol.text) == (
        ErrorCode.ACCOUNT_SUSPENDED,
        "This account is suspended. Reason: Spam.",
    )


@in_one_thread
def test_a_login_at_the_cap_ends_the_session_that_was_used_longest_ago(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, sessions_per_user=3)
    user, other = User.objects.create_user("alice"), User.objects.create_user("bob")
    kept = open_session(other, HOME)
    with time_machine.travel(NOON, tick=False) as clock:
        opened = []
        for _ in range(3):
            opened.append(open_session(user, HOME))
            clock.shift(timedelta(hours=1))
        resume_session(opened[0].token, HOME)
        opened.append(open_session(user, HOME))
        live = live_sessions([each.session_id for each in (*opened, kept)])
    assert live.keys() == {opened[0].session_id, opened[2].session_id, opened[3].session_id, kept.session_id}


@in_one_thread
def test_who_was_seen_today_is_counted_once_however_often() -> None:
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    User.objects.create_user("never")
    with time_machine.travel(NOON, tick=False) as clock:
        grants = [open_session(user, HOME) for user in (alice, alice, bob)]
        clock.shift(timedelta(days=1))
        resume_session(grants[0].token, HOME)
    today = (NOON + timedelta(days=1)).date()
    assert [count_seen_on(day) for day in (NOON.date(), today, today + timedelta(days=1))] == [1, 1, 0]
