"""Accounts come, change and go; live sockets hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Barrier, Thread
from uuid import UUID, uuid4

import pytest
from django.db import Error, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from accounts.models import FormerName, Session, User
from accounts.services import (
    Credentials,
    SessionHasEnded,
    create_account,
    delete_user,
    delete_user_of,
    end_other_sessions_of,
    find_credentials,
    live_sessions,
    open_session,
    read_profile,
    rename_user,
    replace_password,
    revoke_other_sessions,
    revoke_sessions,
    set_hidden,
    update_account,
    update_profile,
)
from accounts.services.lifecycle import change_access
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import Event, SessionsEnded
from tests.accounts.conftest import AWAY, HOME
from tests.messaging.doubles import PATIENCE_S
from tests.messaging.mailbox.conftest import run_at_once

in_one_thread = pytest.mark.django_db
in_threads = pytest.mark.django_db(transaction=True)
BY_A_SESSION: dict[str, Callable[[Credentials, UUID], object]] = {
    "deletion": lambda alice, session_id: delete_user_of(alice, asked_by=session_id),
    "another password": lambda alice, session_id: replace_password(alice, "argon2$other", kept=session_id),
    "the end of the others": lambda alice, session_id: revoke_other_sessions(alice.id, session_id),
    "the end of the others, held": lambda alice, session_id: end_other_sessions_of(alice, kept=session_id),
}


@in_one_thread
def test_an_account_is_stored_as_given() -> None:
    user = create_account("Alice", "argon2$hash", "Alice L.")
    user.refresh_from_db()
    assert (user.username, user.password, user.display_name) == ("Alice", "argon2$hash", "Alice L.")
    assert user.is_active
    assert not user.is_staff


@in_one_thread
@pytest.mark.parametrize("username", ["Alice", "ALICE"])
def test_a_taken_name_is_refused_and_the_transaction_goes_on(alice: User, username: str) -> None:
    with transaction.atomic():
        with pytest.raises(ConstructError) as refusal:
            create_account(username, "argon2$hash", "Another")
        assert refusal.value.code is ErrorCode.USERNAME_TAKEN
        assert User.objects.get() == alice


@in_threads
def test_of_several_who_take_one_name_at_once_one_gets_it() -> None:
    names = ["alice", "Alice", "ALICE", "aLICE"]
    barrier = Barrier(len(names))

    def take(name: str) -> str:
        barrier.wait()
        try:
            return create_account(name, "argon2$hash", name).username
        except ConstructError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(take, names))
    winner = User.objects.get().username
    assert sorted(results) == sorted([winner, *[ErrorCode.USERNAME_TAKEN] * 3])


@in_threads
async def test_deleting_an_account_takes_its_sessions_and_ends_its_sockets(
    alice: User, heard: asyncio.Queue[Event]
) -> None:
    await run_in_database_thread(open_session, alice, HOME)
    alice_id = alice.pk
    await run_in_database_thread(delete_user, alice)
    assert heard.get_nowait() == SessionsEnded(alice_id)
    assert not await run_in_database_thread(Session.objects.exists)
    assert not await run_in_database_thread(User.objects.exists)


@in_threads
async def test_another_change_of_an_account_leaves_its_sessions_alone(
    alice: User, heard: asyncio.Queue[Event]
) -> None:
    grant = await run_in_database_thread(open_session, alice, HOME)
    alice.display_name, alice.bio = "Queen Alice", "unsaved"
    await run_in_database_thread(update_account, alice, ["display_name"])
    assert heard.empty()
    assert await run_in_database_thread(live_sessions, [grant.session_id])
    stored = await run_in_database_thread(User.objects.get)
    assert (stored.display_name_folded, stored.bio) == ("queen alice", "")


@in_one_thread
class TestRenaming:
    def test_the_new_name_logs_in_and_the_former_one_rests(self, alice: User) -> None:
        assert rename_user(alice.pk, "Carol") == "Alice"
        assert find_credentials("carol") is not None
        assert find_credentials("alice") is None
        with pytest.raises(ConstructError) as refusal:
            create_account("ALICE", "", "Alice")
        assert refusal.value.code is ErrorCode.USERNAME_TAKEN

    def test_the_account_itself_has_its_former_name_back_once_that_has_rested(self, alice: User) -> None:
        rename_user(alice.pk, "Carol")
        with pytest.raises(ConstructError) as refusal:
            rename_user(alice.pk, "Alice")
        assert refusal.value.code is ErrorCode.USERNAME_TAKEN
        assert User.objects.get().username == "Carol"
        FormerName.objects.update(free_at=timezone.now())
        assert rename_user(alice.pk, "Alice") == "Carol"

    def test_another_case_of_the_same_name_is_free(self, alice: User) -> None:
        assert rename_user(alice.pk, "ALICE") == "Alice"
        alice.refresh_from_db()
        assert (alice.username, alice.username_folded) == ("ALICE", "alice")
        assert not FormerName.objects.exists()

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("bob", ErrorCode.USERNAME_TAKEN),
            ("resting", ErrorCode.USERNAME_TAKEN),
            ("a b", ErrorCode.INVALID_USERNAME),
            ("", ErrorCode.INVALID_USERNAME),
        ],
    )
    def test_a_name_that_cannot_be_changes_nothing(self, alice: User, name: str, code: ErrorCode) -> None:
        User.objects.create_user("Bob")
        delete_user(User.objects.create_user("Resting"))
        before = list(User.objects.order_by("pk").values())
        with pytest.raises(ConstructError) as refusal:
            rename_user(alice.pk, name)
        assert refusal.value.code is code
        assert list(User.objects.order_by("pk").values()) == before

    def test_nobody_is_not_renamed(self) -> None:
        with pytest.raises(ConstructError) as refusal:
            rename_user(uuid4(), "carol")
        assert refusal.value.code is ErrorCode.USER_NOT_FOUND


@in_one_thread
class TestHiding:
    def test_who_is_hidden_cannot_show_themselves(self, alice: User) -> None:
        set_hidden(alice.pk, is_hidden=True)
        assert not read_profile(alice.pk).discoverable
        with pytest.raises(ConstructError) as refusal:
            update_profile(alice.pk, {"discoverable": True, "bio": "new"})
        assert refusal.value.code is ErrorCode.FORBIDDEN
        assert read_profile(alice.pk).bio == ""
        update_profile(alice.pk, {"discoverable": False, "bio": "new"})
        assert read_profile(alice.pk).bio == "new"

    def test_who_is_shown_again_decides_themselves(self, alice: User) -> None:
        set_hidden(alice.pk, is_hidden=True)
        set_hidden(alice.pk, is_hidden=False)
        assert not read_profile(alice.pk).discoverable
        assert update_profile(alice.pk, {"discoverable": True}).discoverable

    def test_nobody_is_not_hidden(self) -> None:
        with pytest.raises(ConstructError):
            set_hidden(uuid4(), is_hidden=True)


@pytest.mark.parametrize("name", BY_A_SESSION)
def test_a_session_that_ended_meanwhile_does_nothing_any_more(alice: User, name: str) -> None:
    ended, other = (open_session(alice, peer).session_id for peer in (HOME, AWAY))
    credentials = find_credentials("alice")
    assert credentials
    revoke_sessions(alice.pk, [ended])
    with pytest.raises(SessionHasEnded) as refusal:
        BY_A_SESSION[name](credentials, ended)
    assert refusal.value.code is ErrorCode.AUTH_REQUIRED
    assert find_credentials("alice") == credentials
    assert live_sessions([ended, other]).keys() == {other}
    BY_A_SESSION[name](credentials, other)


@in_threads
def test_of_sessions_that_end_all_others_at_once_one_stays(alice: User) -> None:
    sessions = [open_session(alice, HOME).session_id for _ in range(4)]

    winners: list[UUID] = []

    def end_the_others(session_id: UUID) -> None:
        with suppress(SessionHasEnded):
            revoke_other_sessions(alice.pk, session_id)
            winners.append(session_id)

    run_at_once(*(partial(end_the_others, each) for each in sessions))
    assert len(winners) == 1
    assert live_sessions(sessions).keys() == set(winners)


@in_threads
def test_a_login_at_the_cap_does_not_wait_for_who_ends_the_sessions(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, sessions_per_user=1)
    alice = User.objects.create_user("alice")
    ended = open_session(alice, HOME).session_id
    refusals: list[Exception] = []

    def log_in() -> None:
        try:
            with transaction.atomic():
                open_session(User.objects.select_for_update(no_key=True).get(pk=alice.pk), HOME)
        except Error as error:
            refusals.append(error)
        finally:
            connection.close()

    login = Thread(target=log_in)

    def hold_the_account_after_the_login() -> None:
        login.start()
        if connection.vendor == "postgresql":
            login.join(PATIENCE_S)
            assert not login.is_alive()
        User.objects.filter(pk=alice.pk).update(password="argon2$other")

    change_access(alice.pk, hold_the_account_after_the_login)
    login.join()
    assert refusals == []
    assert live_sessions([ended]) == {}
