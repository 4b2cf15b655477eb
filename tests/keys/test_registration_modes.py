"""Who may register, by `CONSTRUCT_REGISTRATION`; invites and approvals."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Invite, User
from accounts.services import (
    approve_account,
    check_work,
    create_account,
    end_invites,
    make_challenge,
    make_invite,
    purge_invites,
    search_users,
)
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError
from construct_site.proof_of_work import search
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
    code = (await run_in_database_thread(make_invite, 1, DAY)).code
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
    code = (await run_in_database_thread(make_invite, 1, DAY)).code
    taken = await Api().post("register", registration("ALICE", inviteCode=code))
    assert taken.refusal == (409, "USERNAME_TAKEN")
    await register("bob", inviteCode=code)


@with_limiter
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"username": "a b"}, "INVALID_USERNAME"),
        ({"password": "password1"}, "WEAK_PASSWORD"),
        ({"publicKey": "hKFp"}, "INVALID_KEY_BUNDLE"),
    ],
)
async def test_a_registration_that_is_refused_at_once_uses_nothing(
    settings: Settings, changes: dict[str, str], code: str
) -> None:
    choose(settings, "invite")
    invite_code = (await run_in_database_thread(make_invite, 1, DAY)).code
    body = registration(inviteCode=invite_code) | changes
    assert (await Api().post("register", body)).refusal == (422, code)
    await register("alice", inviteCode=invite_code)


def register_two_at_once(**brought: Any) -> set[str]:
    """What became of alice and bob, who bring the same: the name of who got in, the code for who did not."""
    barrier = Barrier(2)

    def attempt(username: str) -> str:
        barrier.wait()
        try:
            grant = register_account(username, "argon2$hash", username, KeyOwner().bundle(), HOME, **brought)
        except ConstructError as error:
            return error.code.value
        else:
            return grant.username
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        return set(pool.map(attempt, ["alice", "bob"]))


def test_of_two_at_once_the_last_use_lets_one_in() -> None:
    outcomes = register_two_at_once(invite_code=make_invite(1, DAY).code)
    assert outcomes == {User.objects.get().username, "INVALID_INVITE"}
    assert Invite.objects.get().uses_left == 0


class TestWork:
    BITS = 8

    @pytest.fixture(autouse=True)
    def asked_for(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, registration_work_bits=self.BITS)

    async def work(self) -> str:
        """Work for what the server tells everybody."""
        challenge = (await Api().get("server")).body["registrationWork"]
        assert challenge["bits"] == self.BITS
        found = search(challenge["challenge"], challenge["bits"], range(10**6))
        assert found is not None
        return found

    @with_limiter
    async def test_without_work_the_refusal_tells_what_to_solve(
        self, hashed: list[int], settings: Settings
    ) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, registrations_per_hour=1)
        for body in (registration(), registration(work=None)):
            answer = await Api().post("register", body)
            assert answer.refusal == (403, "WORK_REQUIRED")
        assert hashed == []
        asked = answer.body["work"]
        work = search(asked["challenge"], asked["bits"], range(10**6))
        await register("alice", work=work)

    @with_limiter
    async def test_work_lets_one_in_and_is_then_refused_before_a_hash(self, hashed: list[int]) -> None:
        work = await self.work()
        await register("alice", work=work)
        hashed.clear()
        for spent in (work, "nonsense"):
            answer = await Api().post("register", registration("bob", work=spent))
            assert answer.refusal == (403, "INVALID_WORK")
            assert answer.body["work"]["bits"] == self.BITS
        assert hashed == []
        await register("bob", work=await self.work())

    @with_limiter
    async def test_a_registration_that_fails_leaves_the_work_for_another_name(self) -> None:
        await register("alice", work=await self.work())
        work = await self.work()
        for name, refusal in (("a b", (422, "INVALID_USERNAME")), ("ALICE", (409, "USERNAME_TAKEN"))):
            assert (await Api().post("register", registration(name, work=work))).refusal == refusal
        await register("bob", work=work)

    @with_limiter
    async def test_only_where_everybody_may_register_is_it_asked_for(self, settings: Settings) -> None:
        choose(settings, "approval")
        assert (await Api().get("server")).body["registrationWork"] is None
        await register("alice")

    def test_of_two_at_once_with_the_same_work_one_gets_in(self) -> None:
        challenge = make_challenge()
        assert challenge is not None
        work = check_work(search(challenge.challenge, challenge.bits, range(10**6)))
        assert register_two_at_once(work=work) == {User.objects.get().username, "INVALID_WORK"}


def test_an_invite_that_ended_lets_nobody_in_and_goes() -> None:
    code = make_invite(5, DAY).code
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
    assert not grant.account.is_approved
    assert search_users("alice") == []
    with pytest.raises(ConstructError) as refused:
        fetch_bundle(grant.user_id)
    assert refused.value.code == "USER_NOT_FOUND"
    assert fetch_bundle(grant.user_id, asked_by=grant.user_id).username == "alice"
    assert [approve_account(grant.user_id) for _ in range(2)] == [True, False]
    assert [user.username for user in search_users("alice")] == ["alice"]
    assert fetch_bundle(grant.user_id).username == "alice"
    assert create_account("bob", "argon2$hash", "bob").is_approved
