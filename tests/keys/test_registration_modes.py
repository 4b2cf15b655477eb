"""Who may register, by `CONSTRUCT_REGISTRATION`; invites and approvals."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Invite, User
from accounts.services import (
    approve_account,
    create_account,
    end_invites,
    make_invite,
    purge_invites,
    search_users,
)
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError
from keys.registration import register_account
from keys.services import fetch_bundle
from tests.accounts.conftest import HOME
from tests.keys.owners import KeyOwner
from tests.rest import Api, register, registration

pytestmark = pytest.mark.django_db(transaction=True)
with_limiter = pytest.mark.usefixtures("limiter")
DAY = timedelta(days=1)


def choose(settings: Settings, mode: str) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, registration=mode)


@with_limiter
async def test_closed_nobody_registers(settings: Settings) -> None:
    choose(settings, "closed")
    assert (await Api().post("register", registration())).refusal == (403, "REGISTRATION_CLOSED")
    assert (await Api().get("server")).body["registration"] == "closed"


@with_limiter
async def test_an_invite_is_asked_for_and_its_one_use_lets_one_in(settings: Settings) -> None:
    choose(settings, "invite")
    code = await run_in_database_thread(make_invite, 1, DAY)
    assert (await Api().post("register", registration())).refusal == (403, "INVITE_REQUIRED")
    wrong = registration(inviteCode=code[:-4] + "----")
    assert (await Api().post("register", wrong)).refusal == (403, "INVALID_INVITE")
    await register("alice", inviteCode=code)
    again = await Api().post("register", registration("bob", inviteCode=code))
    assert again.refusal == (403, "INVALID_INVITE")


@with_limiter
async def test_a_registration_that_fails_later_gives_the_use_back(settings: Settings) -> None:
    await register("alice")
    choose(settings, "invite")
    code = await run_in_database_thread(make_invite, 1, DAY)
    taken = await Api().post("register", registration("ALICE", inviteCode=code))
    assert taken.refusal == (409, "USERNAME_TAKEN")
    await register("bob", inviteCode=code)


def test_of_two_at_once_the_last_use_lets_one_in() -> None:
    code = make_invite(1, DAY)
    barrier = Barrier(2)

    def attempt(username: str) -> str:
        barrier.wait()
        try:
            grant = register_account(username, "argon2$hash", username, KeyOwner().bundle(), HOME, code)
        except ConstructError as error:
            return error.code.value
        else:
            return grant.username
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(attempt, ["alice", "bob"]))
    assert outcomes == {User.objects.get().username, "INVALID_INVITE"}
    assert Invite.objects.get().uses_left == 0


def test_an_invite_that_ended_lets_nobody_in_and_goes() -> None:
    code = make_invite(5, DAY)
    assert end_invites([Invite.objects.get().pk]) == 1
    with pytest.raises(ConstructError) as refused:
        register_account("alice", "argon2$hash", "alice", KeyOwner().bundle(), HOME, code)
    assert refused.value.code == "INVALID_INVITE"
    assert purge_invites(timezone.now()) == 1
    assert not Invite.objects.exists()


def test_the_command_prints_a_code_that_is_stored_nowhere() -> None:
    output = io.StringIO()
    call_command("make_invite", uses=3, days=2, stdout=output)
    code = output.getvalue().strip()
    assert code.startswith("construct_invite_")
    invite = Invite.objects.get()
    assert invite.uses_left == 3
    assert timedelta(hours=47) < invite.expires_at - timezone.now() <= 2 * DAY
    assert code.encode() not in bytes(invite.digest)


def test_an_account_that_waits_for_approval_is_neither_found_nor_served(settings: Settings) -> None:
    choose(settings, "approval")
    grant = register_account("alice", "argon2$hash", "alice", KeyOwner().bundle(), HOME)
    assert not grant.is_approved
    assert search_users("alice") == []
    with pytest.raises(ConstructError) as refused:
        fetch_bundle(grant.user_id)
    assert refused.value.code == "USER_NOT_FOUND"
    assert fetch_bundle(grant.user_id, asked_by=grant.user_id).username == "alice"
    assert [approve_account(grant.user_id) for _ in range(2)] == [True, False]
    assert [user.username for user in search_users("alice")] == ["alice"]
    assert fetch_bundle(grant.user_id).username == "alice"
    assert create_account("bob", "argon2$hash", "bob").is_approved
