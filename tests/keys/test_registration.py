"""Registration: account, bundle and session, all or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.authentication import log_in
from accounts.models import Session, User
from accounts.services import Grant, live_sessions
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.metrics.table import Metric
from keys.bundle import encode_bundle
from keys.models import PrekeyBundle
from keys.registration import register, register_account
from keys.services import fetch_bundle
from tests.accounts.conftest import AWAY, HOME, PASSWORD
from tests.keys.owners import KeyOwner

pytestmark = pytest.mark.django_db(transaction=True)
with_limiter = pytest.mark.usefixtures("limiter")


def counts() -> tuple[int, int, int]:
    return User.objects.count(), PrekeyBundle.objects.count(), Session.objects.count()


async def stored() -> tuple[int, int, int]:
    """How many accounts, bundles and sessions there are."""
    return await run_in_database_thread(counts)


async def refusal(
    username: str = "alice",
    password: str = PASSWORD,
    display_name: str | None = None,
    public_key: str | None = None,
) -> ConstructError:
    given = encode_bundle(KeyOwner().bundle()) if public_key is None else public_key
    with pytest.raises(ConstructError) as raised:
        await register(username, password, display_name, given, HOME)
    return raised.value


@with_limiter
async def test_a_registration_makes_account_bundle_and_session(owner: KeyOwner) -> None:
    grant = await register("Alice", PASSWORD, " Alice L. ", encode_bundle(owner.bundle()), HOME)
    assert (grant.username, grant.display_name) == ("Alice", "Alice L.")
    assert await stored() == (1, 1, 1)
    assert await run_in_database_thread(live_sessions, [grant.session_id])
    assert (await run_in_database_thread(fetch_bundle, grant.user_id)).username == "Alice"
    assert (await log_in("alice", PASSWORD, HOME)).user_id == grant.user_id


@with_limiter
async def test_without_a_display_name_it_is_the_username(owner: KeyOwner) -> None:
    grant = await register("Alice", PASSWORD, None, encode_bundle(owner.bundle()), HOME)
    assert grant.display_name == "Alice"


@with_limiter
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"username": "a"}, ErrorCode.INVALID_USERNAME),
        ({"username": "alice\x00"}, ErrorCode.INVALID_USERNAME),
        ({"password": "password"}, ErrorCode.WEAK_PASSWORD),
        ({"display_name": "\x00"}, ErrorCode.INVALID_DISPLAY_NAME),
        ({"display_name": ""}, ErrorCode.INVALID_DISPLAY_NAME),
        ({"public_key": "?"}, ErrorCode.INVALID_KEY),
        ({"public_key": "gA=="}, ErrorCode.INVALID_KEY_BUNDLE),
    ],
)
async def test_what_is_against_the_rules_costs_no_hash_and_no_allowance(
    hashed: list[int], settings: Settings, given: dict[str, str], code: ErrorCode
) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, registrations_per_hour=1)
    for _ in range(2):
        assert (await refusal(**given)).code is code
    assert hashed == []
    assert await stored() == (0, 0, 0)
    assert await register("alice", PASSWORD, None, encode_bundle(KeyOwner().bundle()), HOME)


@with_limiter
async def test_an_address_has_its_allowance_and_over_it_costs_no_hash(
    hashed: list[int], settings: Settings
) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, registrations_per_hour=2)
    for username in ("alice", "bob"):
        await register(username, PASSWORD, None, encode_bundle(KeyOwner().bundle()), HOME)
    hashed.clear()
    assert (await refusal("carol")).code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert hashed == []
    assert await register("carol", PASSWORD, None, encode_bundle(KeyOwner().bundle()), AWAY)


@with_limiter
async def test_a_taken_name_leaves_nothing_behind(owner: KeyOwner) -> None:
    grant = await register("alice", PASSWORD, None, encode_bundle(owner.bundle()), HOME)
    assert (await refusal("ALICE")).code is ErrorCode.USERNAME_TAKEN
    assert await stored() == (1, 1, 1)
    assert await run_in_database_thread(live_sessions, [grant.session_id])


def test_of_two_registrations_of_one_name_at_once_one_wins() -> None:
    barrier = Barrier(2)

    def attempt(username: str) -> Grant | ErrorCode:
        barrier.wait()
        try:
            return register_account(username, "argon2$hash", username, KeyOwner().bundle(), HOME)
        except ConstructError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(attempt, ["alice", "Alice"]))
    (winner,) = (each for each in outcomes if isinstance(each, Grant))
    assert [each for each in outcomes if each is not winner] == [ErrorCode.USERNAME_TAKEN]
    assert counts() == (1, 1, 1)
    assert fetch_bundle(winner.user_id).username == winner.username
    assert live_sessions([winner.session_id])


@with_limiter
async def test_a_database_that_fails_half_way_leaves_nothing(owner: KeyOwner) -> None:
    await run_in_database_thread(rename_session_table, "accounts_session", "elsewhere")
    try:
        assert (await refusal()).code is ErrorCode.REGISTRATION_FAILED
    finally:
        await run_in_database_thread(rename_session_table, "elsewhere", "accounts_session")
    assert await stored() == (0, 0, 0)


def rename_session_table(old: str, new: str) -> None:
    with connection.schema_editor() as editor:
        editor.alter_db_table(Session, old, new)


@with_limiter
async def test_a_registration_is_counted_once_it_is_stored(
    owner: KeyOwner, newly_counted: Callable[[], Counter[Metric]]
) -> None:
    await register("Alice", PASSWORD, None, encode_bundle(owner.bundle()), HOME)
    assert newly_counted() == {Metric.REGISTRATIONS: 1}
    assert (await refusal("alice")).code is ErrorCode.USERNAME_TAKEN
    assert newly_counted() == {}
