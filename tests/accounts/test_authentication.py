"""Logging in: who knows the password gets in, and nobody learns more than that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.hashers import make_password
from pytest_django import Settings

from accounts.authentication import (
    change_password,
    delete_account,
    log_in,
    log_out,
    reset_password,
    resume,
)
from accounts.models import Session, User
from accounts.passwords import get_password_hashing, must_update
from accounts.peers import Peer
from accounts.services import (
    Grant,
    delete_user,
    live_sessions,
    make_reset_code,
    require_password_reset,
)
from construct_site.database import run_in_database_thread
from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode, SessionExpired
from construct_site.metrics.table import Metric
from tests.accounts.conftest import AWAY, HOME, PASSWORD, change_hash_once_looked_up

NEW_PASSWORD = "a brand new passphrase"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]


async def refusal(username: str, password: str) -> ConstructError:
    with pytest.raises(ConstructError) as raised:
        await log_in(username, password, HOME)
    return raised.value


@contextmanager
def busy() -> Iterator[None]:
    """Every place of the hashing is taken, also in its queue."""
    hashing = get_password_hashing()
    config: Config = django_settings.CONSTRUCT
    places = config.password_hash_threads + config.password_hash_queue
    for _ in range(places):
        assert hashing._places.acquire(blocking=False)
    try:
        yield
    finally:
        for _ in range(places):
            hashing._places.release()


async def test_the_right_password_opens_a_session(alice: User) -> None:
    grant = await log_in("aLICE", PASSWORD, HOME)
    assert grant.user_id == alice.pk
    assert grant.username == "Alice"
    assert await run_in_database_thread(live_sessions, [grant.session_id])


async def test_a_session_is_resumed_until_its_logout(alice: User) -> None:
    grant = await log_in("alice", PASSWORD, HOME)
    assert (await resume(grant.token, AWAY)).session_id == grant.session_id
    ended = await log_out(grant.token)
    assert ended is not None
    assert ended.session_id == grant.session_id
    with pytest.raises(SessionExpired):
        await resume(grant.token, HOME)
    assert await log_out("no token at all") is None


async def test_a_wrong_password_an_unknown_name_and_nonsense_cannot_be_told_apart(
    alice: User, hashed: list[int], settings: Settings
) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, limits="off")
    answers = set()
    for username, password in [
        ("alice", "not her password"),
        ("nobody", PASSWORD),
        ("alice", ""),
        ("alice", "x" * 129),
        ("alice", "x" * 100_000),
        ("alice", "lone \ud800 surrogate"),
        ("alice\x00", PASSWORD),
        ("", PASSWORD),
        ("a" * 100_000, PASSWORD),
        ("\ud800", "\x00"),
    ]:
        hashed.clear()
        error = await refusal(username, password)
        answers.add((error.code, error.text))
        assert len(hashed) == 1
        assert hashed[0] <= 128
    assert {code for code, _ in answers} == {ErrorCode.INVALID_CREDENTIALS}
    assert len(answers) == 1
    assert not await run_in_database_thread(Session.objects.exists)


async def test_an_account_without_a_password_cannot_be_logged_into(alice: User, hashed: list[int]) -> None:
    await run_in_database_thread(User.objects.update, password=make_password(None))
    assert (await refusal("alice", PASSWORD)).code is ErrorCode.INVALID_CREDENTIALS
    assert len(hashed) == 1


async def test_only_who_knows_the_password_learns_of_a_suspension(alice: User) -> None:
    await run_in_database_thread(User.objects.update, is_active=False)
    assert (await refusal("alice", "not her password")).code is ErrorCode.INVALID_CREDENTIALS
    assert (await refusal("alice", PASSWORD)).code is ErrorCode.ACCOUNT_SUSPENDED
    assert not await run_in_database_thread(Session.objects.exists)


async def test_only_who_knows_the_password_learns_that_it_must_be_reset(
    alice: User, hashed: list[int]
) -> None:
    await run_in_database_thread(require_password_reset, alice.pk)
    assert (await refusal("alice", "not her password")).code is ErrorCode.INVALID_CREDENTIALS
    assert (await refusal("alice", PASSWORD)).code is ErrorCode.PASSWORD_RESET_REQUIRED
    assert len(hashed) == 2
    assert not await run_in_database_thread(Session.objects.exists)


@pytest.mark.parametrize("username", ["alice", "nobody"])
async def test_the_door_shuts_before_any_hash_whether_the_name_exists_or_not(
    alice: User, hashed: list[int], settings: Settings, username: str
) -> None:
    for _ in range(settings.CONSTRUCT.failed_logins_per_name_address):
        assert (await refusal(username, "not her password")).code is ErrorCode.INVALID_CREDENTIALS
    hashed.clear()
    assert (await refusal(username, PASSWORD)).code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert hashed == []


async def test_a_known_address_gets_in_while_strangers_are_shut_out(alice: User, settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_name=3)
    await log_in("alice", PASSWORD, AWAY)
    for _ in range(3):
        await refusal("alice", "not her password")
    assert (await refusal("alice", PASSWORD)).code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert await log_in("alice", PASSWORD, AWAY)


async def test_a_busy_server_counts_as_no_attempt(alice: User, settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_name_address=1)
    with busy():
        for _ in range(3):
            assert (await refusal("alice", PASSWORD)).code is ErrorCode.SERVER_BUSY
    assert await log_in("alice", PASSWORD, HOME)


async def test_a_login_renews_a_hash_of_old_parameters(alice: User, settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, password_hash_passes=2)
    assert must_update(alice.password)
    await log_in("alice", PASSWORD, HOME)
    renewed = (await run_in_database_thread(User.objects.get)).password
    assert renewed != alice.password
    assert not must_update(renewed)
    assert await log_in("alice", PASSWORD, HOME)
    assert (await run_in_database_thread(User.objects.get)).password == renewed


ASKED_FOR: dict[str, Callable[[Grant], Awaitable[object]]] = {
    "login": lambda _: log_in("alice", PASSWORD, HOME),
    "change": lambda grant: change_password(
        "alice", PASSWORD, "x" + NEW_PASSWORD, HOME, kept=grant.session_id
    ),
    "deletion": lambda grant: delete_account(grant, PASSWORD, HOME),
}
"""What the password is asked for, of who has a session."""


def _state() -> list[object]:
    """The account and its sessions, without the password."""
    return [*User.objects.values_list("id"), *Session.objects.values_list("id", "revoked_at")]


@pytest.mark.parametrize(("current", "is_let_in"), [(PASSWORD, True), (NEW_PASSWORD, False)])
@pytest.mark.parametrize("asked", ASKED_FOR)
async def test_a_hash_that_changes_while_the_password_is_checked_is_checked_again(
    alice: User, monkeypatch: pytest.MonkeyPatch, asked: str, current: str, is_let_in: bool
) -> None:
    """What a login does meanwhile that renews the hash, and what a change of the password does."""
    grant, _ = await log_in("alice", PASSWORD, HOME), await log_in("alice", PASSWORD, HOME)
    before = await run_in_database_thread(_state)
    changed = change_hash_once_looked_up(monkeypatch, current)
    if is_let_in:
        await ASKED_FOR[asked](grant)
        assert await run_in_database_thread(_state) != before
    else:
        with pytest.raises(ConstructError) as raised:
            await ASKED_FOR[asked](grant)
        assert raised.value.code is ErrorCode.INVALID_CREDENTIALS
        assert await run_in_database_thread(_state) == before
        assert (await run_in_database_thread(User.objects.get)).password == changed


async def test_logins_at_once_all_get_a_session_of_their_own(alice: User) -> None:
    grants = await asyncio.gather(*(log_in("alice", PASSWORD, HOME) for _ in range(4)))
    assert len({grant.session_id for grant in grants}) == 4


async def test_a_deleted_account_is_an_unknown_one(alice: User) -> None:
    await run_in_database_thread(delete_user, alice)
    assert (await refusal("alice", PASSWORD)).code is ErrorCode.INVALID_CREDENTIALS


class TestReset:
    async def code_for(self, user: User) -> str:
        return (await run_in_database_thread(make_reset_code, user.pk)).code

    async def refusal(self, code: str, new: str = NEW_PASSWORD, peer: Peer = HOME) -> ErrorCode:
        with pytest.raises(ConstructError) as raised:
            await reset_password(code, new, peer)
        return raised.value.code

    async def test_the_new_password_logs_in_and_the_old_one_does_not(self, alice: User) -> None:
        await reset_password(await self.code_for(alice), NEW_PASSWORD, HOME)
        assert (await refusal("alice", PASSWORD)).code is ErrorCode.INVALID_CREDENTIALS
        assert (await log_in("alice", NEW_PASSWORD, HOME)).user_id == alice.pk

    @pytest.mark.parametrize(
        "weak", ["short", "password1", "x" * 129, "lone \ud800 surrogate", "aLiCe-the-first"]
    )
    async def test_a_weak_password_leaves_the_code_and_counts_as_nothing(
        self, alice: User, hashed: list[int], settings: Settings, weak: str
    ) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_address=1)
        alice.username = "Alice-the-first"
        await run_in_database_thread(alice.save)
        code = await self.code_for(alice)
        for _ in range(3):
            assert await self.refusal(code, weak) is ErrorCode.WEAK_PASSWORD
        assert hashed == []
        await reset_password(code, NEW_PASSWORD, HOME)

    async def test_a_code_that_is_none_costs_no_hash(self, hashed: list[int]) -> None:
        assert await self.refusal("construct_reset_" + "A" * 22) is ErrorCode.INVALID_CREDENTIALS
        assert hashed == []

    async def test_guesses_shut_the_door_of_their_address_before_any_look(
        self, alice: User, settings: Settings
    ) -> None:
        code = await self.code_for(alice)
        for guess in range(settings.CONSTRUCT.failed_logins_per_address):
            assert await self.refusal(f"construct_reset_{guess:022}") is ErrorCode.INVALID_CREDENTIALS
        assert await self.refusal(code) is ErrorCode.RATE_LIMIT_EXCEEDED
        await reset_password(code, NEW_PASSWORD, AWAY)

    async def test_guesses_at_once_do_not_get_past_the_limit(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_address=3)
        guesses = [self.refusal(f"construct_reset_{guess:022}") for guess in range(8)]
        codes = await asyncio.gather(*guesses)
        assert codes.count(ErrorCode.INVALID_CREDENTIALS) == 3
        assert codes.count(ErrorCode.RATE_LIMIT_EXCEEDED) == 5

    async def test_a_success_clears_no_failures_of_the_address(self, alice: User, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_address=2)
        code = await self.code_for(alice)
        await self.refusal("no code")
        await reset_password(code, NEW_PASSWORD, HOME)
        await self.refusal("no code")
        assert await self.refusal("no code") is ErrorCode.RATE_LIMIT_EXCEEDED

    async def test_of_two_at_once_one_sets_its_password(self, alice: User) -> None:
        code = await self.code_for(alice)
        passwords = [NEW_PASSWORD, NEW_PASSWORD + "!"]
        resets = [reset_password(code, password, HOME) for password in passwords]
        results = await asyncio.gather(*resets, return_exceptions=True)
        (refused,) = [each for each in results if isinstance(each, ConstructError)]
        assert refused.code is ErrorCode.INVALID_CREDENTIALS
        await log_in("alice", passwords[results.index(None)], HOME)

    async def test_a_busy_server_leaves_the_code(self, alice: User, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, failed_logins_per_address=1)
        code = await self.code_for(alice)
        with busy():
            assert await self.refusal(code) is ErrorCode.SERVER_BUSY
        await reset_password(code, NEW_PASSWORD, HOME)


async def test_logins_and_wrong_passwords_are_counted_and_refusals_of_a_limit_are_not(
    alice: User, newly_counted: Callable[[], Counter[Metric]]
) -> None:
    await log_in("alice", PASSWORD, HOME)
    assert newly_counted() == {Metric.LOGINS: 1}
    for username, password in (("alice", "wrong"), ("nobody", PASSWORD)):
        await refusal(username, password)
    assert newly_counted() == {Metric.FAILED_LOGINS: 2}
    while (await refusal("alice", "wrong")).code is not ErrorCode.RATE_LIMIT_EXCEEDED:
        newly_counted()
    assert newly_counted() == {}


async def test_a_wrong_reset_code_counts_as_a_failed_login_and_a_resumed_session_as_nothing(
    alice: User, newly_counted: Callable[[], Counter[Metric]]
) -> None:
    grant = await log_in("alice", PASSWORD, HOME)
    newly_counted()
    await resume(grant.token, HOME)
    assert newly_counted() == {}
    with pytest.raises(ConstructError):
        await reset_password("no code at all", NEW_PASSWORD, HOME)
    assert newly_counted() == {Metric.FAILED_LOGINS: 1}
