"""Signing in to the admin: the password at the login's door, a second factor, and how long it lasts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.conf import settings as project_settings
from django.contrib.sessions.models import Session as BrowserSession
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.audit.chain import OPERATOR
from accounts.audit.models import AuditEntry
from accounts.desk.acts import remove_second_factor
from accounts.models import Suspension, User
from accounts.second_factor import services
from accounts.second_factor.models import RECOVERY, Authenticator, RecoveryCode
from accounts.services import require_password_reset, suspend_user
from construct_site.metrics.table import Metric
from tests.accounts.authenticators import code_of, enrol
from tests.accounts.conftest import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
INDEX, LOGIN = reverse("admin:index"), reverse("admin:login")
ENROL, VERIFY = reverse("admin:second_factor_enrol"), reverse("admin:second_factor_verify")
STATUS = reverse("admin:second_factor")
COOKIE = project_settings.SESSION_COOKIE_NAME


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("moderator", PASSWORD, is_staff=True)


@pytest.fixture
async def browser() -> AsyncIterator[AsyncClient]:
    yield AsyncClient()
    # Django's test client leaves its thread's connection open.
    await sync_to_async(connections.close_all)()


@pytest.fixture
def required(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, staff_second_factor="required")


async def sign_in(browser: AsyncClient, name: str, password: str, following: str = INDEX) -> Any:
    return await browser.post(LOGIN, {"username": name, "password": password, "next": following})


async def refusal(browser: AsyncClient, name: str, password: str) -> str:
    answer = await sign_in(browser, name, password)
    assert answer.status_code == 200
    assert COOKIE not in browser.cookies
    text = re.sub(r"<[^>]*>|\s+", " ", answer.content.decode())
    found = re.search(r"(Please enter the correct [^.]*|Too many [^.]*)\.", text)
    assert found
    return found[1]


async def is_in(browser: AsyncClient) -> bool:
    return bool((await browser.get(INDEX)).status_code == 200)


def acts(action: str) -> int:
    return AuditEntry.objects.filter(action=action).count()


class TestPassword:
    async def test_staff_sign_in_in_whatever_case_and_the_audit_tells(
        self, browser: AsyncClient, staff: User
    ) -> None:
        answer = await sign_in(browser, "MODERATOR", PASSWORD, STATUS)
        assert (answer.status_code, answer.headers["location"]) == (302, STATUS)
        assert await is_in(browser)
        entry = await AuditEntry.objects.aget()
        assert (entry.action, entry.actor_id, entry.user_id) == ("sign_in", staff.pk, staff.pk)

    async def test_who_was_suspended_is_let_in_from_the_end_on(
        self, browser: AsyncClient, staff: User
    ) -> None:
        now = timezone.now()
        suspend = sync_to_async(suspend_user)
        await suspend(staff.pk, public_reason="", internal_reason="x", ends_at=now + timedelta(minutes=5))
        with time_machine.travel(now + timedelta(minutes=5, seconds=-1), tick=False):
            await refusal(browser, "moderator", PASSWORD)
        with time_machine.travel(now + timedelta(minutes=5), tick=False):
            assert (await sign_in(browser, "moderator", PASSWORD)).status_code == 302
            assert await is_in(browser)
        assert (await Suspension.objects.aget()).ended_at == now + timedelta(minutes=5)

    @pytest.mark.usefixtures("staff")
    async def test_every_refusal_has_one_text(self, browser: AsyncClient) -> None:
        make = sync_to_async(User.objects.create_user)
        await make("visitor", PASSWORD)
        await make("suspended", PASSWORD, is_staff=True, is_active=False)
        resetting = await make("resetting", PASSWORD, is_staff=True)
        await sync_to_async(require_password_reset)(resetting.pk)
        told = {
            await refusal(browser, name, password)
            for name, password in [
                ("moderator", "wrong password"),
                ("nobody", PASSWORD),
                ("no such name, and too long for one at that", PASSWORD),
                ("visitor", PASSWORD),
                ("suspended", PASSWORD),
                ("resetting", PASSWORD),
            ]
        }
        assert len(told) == 1
        assert not await AuditEntry.objects.aexists()

    @pytest.mark.usefixtures("staff")
    async def test_guesses_count_at_the_login_s_door(self, browser: AsyncClient) -> None:
        for _ in range(5):
            assert "Please enter" in await refusal(browser, "moderator", "wrong password")
        assert "Too many failed logins" in await refusal(browser, "moderator", PASSWORD)

    @pytest.mark.usefixtures("staff")
    async def test_no_page_leads_to_another_site(self, browser: AsyncClient) -> None:
        answer = await sign_in(browser, "moderator", PASSWORD, "https://evil.example/")
        assert answer.headers["location"] == reverse("admin:index")


class TestHowLong:
    @pytest.mark.usefixtures("staff")
    async def test_the_cookie_is_for_the_admin_alone(self, browser: AsyncClient) -> None:
        await sign_in(browser, "moderator", PASSWORD)
        cookie = browser.cookies[COOKIE]
        assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/admin/", "Strict", True)
        assert int(cookie["max-age"]) == 8 * 3600

    @pytest.mark.usefixtures("staff")
    async def test_it_ends_after_an_hour_without_a_page(self, browser: AsyncClient) -> None:
        with time_machine.travel(timezone.now(), tick=False) as clock:
            await sign_in(browser, "moderator", PASSWORD)
            clock.shift(timedelta(minutes=59))
            assert await is_in(browser)
            clock.shift(timedelta(minutes=59))
            assert await is_in(browser)
            clock.shift(timedelta(minutes=61))
            assert not await is_in(browser)
            assert not await BrowserSession.objects.aexists()

    @pytest.mark.usefixtures("staff")
    async def test_it_ends_after_eight_hours_whatever_is_done(self, browser: AsyncClient) -> None:
        with time_machine.travel(timezone.now(), tick=False) as clock:
            await sign_in(browser, "moderator", PASSWORD)
            for _ in range(15):
                clock.shift(timedelta(minutes=31))
                assert await is_in(browser)
            clock.shift(timedelta(minutes=31))
            assert not await is_in(browser)

    @pytest.mark.parametrize("change", ["password", "reset", "suspension", "rights"])
    async def test_it_ends_with_what_it_rests_on(
        self, browser: AsyncClient, staff: User, change: str
    ) -> None:
        await sign_in(browser, "moderator", PASSWORD)
        assert await is_in(browser)
        if change == "reset":
            await sync_to_async(require_password_reset)(staff.pk)
        else:
            staff.set_password("another horse battery") if change == "password" else None
            staff.is_active = change != "suspension"
            staff.is_staff = change != "rights"
            await staff.asave()
        assert not await is_in(browser)
        assert not await BrowserSession.objects.aexists()


@pytest.mark.usefixtures("required")
class TestWhereOneIsRequired:
    @pytest.mark.usefixtures("staff")
    async def test_who_has_none_sets_one_up_before_anything_else(self, browser: AsyncClient) -> None:
        await sign_in(browser, "moderator", PASSWORD)
        for page in (INDEX, reverse("admin:password_change"), reverse("admin:jsi18n")):
            answer = await browser.get(page)
            assert answer.headers["location"].startswith(LOGIN)
            answer = await browser.get(answer.headers["location"])
            assert answer.headers["location"].startswith(ENROL)
        page = (await browser.get(ENROL)).content.decode()
        authenticator = await Authenticator.objects.select_related("user").aget()
        secret = re.search(r'id="secret">([A-Z2-7 ]+)<', page)
        assert secret
        assert secret[1].replace(" ", "") == authenticator.secret_text()
        assert 'src="data:image/svg+xml' in page
        assert not await sync_to_async(acts)("sign_in")

        answer = await browser.post(ENROL, {"code": "000000"})
        assert "no valid code" in answer.content.decode()
        with time_machine.travel(timezone.now() + timedelta(seconds=5)):
            answer = await browser.post(ENROL, {"code": code_of(authenticator)})
        codes = re.findall(r"<li>(construct_recovery_[\w-]+)</li>", answer.content.decode())
        assert len(set(codes)) == 10
        assert await is_in(browser)
        assert await sync_to_async(acts)("enrol_second_factor") == 1
        assert await sync_to_async(acts)("sign_in") == 1
        digests = {bytes(each.digest) async for each in RecoveryCode.objects.all()}
        assert digests == {RECOVERY.digest(code) for code in codes}

    async def test_nobody_without_the_password_sees_these_pages(self, browser: AsyncClient) -> None:
        for page in (ENROL, VERIFY, STATUS):
            for answer in (await browser.get(page), await browser.post(page, {"code": "000000"})):
                assert answer.headers["location"] == LOGIN
        assert not await Authenticator.objects.aexists()


class TestVerification:
    async def test_who_has_one_is_asked_for_it_also_where_it_is_optional(
        self, browser: AsyncClient, staff: User
    ) -> None:
        await sync_to_async(enrol)(staff)
        await sign_in(browser, "moderator", PASSWORD, STATUS)
        assert not await is_in(browser)
        assert (await browser.get(STATUS)).headers["location"] == VERIFY
        answer = await browser.get(f"{LOGIN}?next={STATUS}")
        assert answer.headers["location"] == f"{VERIFY}?next=%2Fadmin%2Fsecond-factor%2F"
        code = code_of(await Authenticator.objects.aget())
        before = browser.cookies[COOKIE].value
        answer = await browser.post(VERIFY, {"code": f"{code[:3]} {code[3:]}", "next": STATUS})
        assert answer.headers["location"] == STATUS
        assert browser.cookies[COOKIE].value != before
        assert await is_in(browser)
        assert await sync_to_async(acts)("sign_in") == 1

    async def test_a_code_is_taken_once(self, browser: AsyncClient, staff: User) -> None:
        await sync_to_async(enrol)(staff)
        code = code_of(await Authenticator.objects.aget())
        await sign_in(browser, "moderator", PASSWORD)
        assert (await browser.post(VERIFY, {"code": code})).status_code == 302
        other = AsyncClient()
        await sign_in(other, "moderator", PASSWORD)
        assert (await other.post(VERIFY, {"code": code})).status_code == 200
        assert not await is_in(other)

    async def test_guesses_make_the_wait_longer_and_the_right_code_is_not_looked_at(
        self, browser: AsyncClient, staff: User
    ) -> None:
        await sync_to_async(enrol)(staff)
        authenticator = await Authenticator.objects.aget()
        with time_machine.travel(timezone.now(), tick=False) as clock:
            await sign_in(browser, "moderator", PASSWORD)
            for wait_s in (1, 2, 4, 8):
                await browser.post(VERIFY, {"code": "abcdef"})
                answer = await browser.post(VERIFY, {"code": code_of(authenticator)})
                assert answer.status_code == 200
                clock.shift(timedelta(seconds=wait_s))
            assert (await browser.post(VERIFY, {"code": code_of(authenticator)})).status_code == 302

    async def test_wrong_codes_that_are_looked_at_count_as_failed_logins(
        self, browser: AsyncClient, staff: User, newly_counted: Callable[[], Counter[Metric]]
    ) -> None:
        await sign_in(browser, "moderator", PASSWORD)
        await browser.post(ENROL, {"code": "abcdef"})
        assert newly_counted() == {}, "who sets one up has none to guess"
        codes = await sync_to_async(enrol)(staff)
        await browser.post(VERIFY, {"code": "abcdef"})
        assert newly_counted() == {Metric.FAILED_LOGINS: 1}
        await browser.post(VERIFY, {"code": "abcdef"})
        await browser.post(VERIFY, {"code": codes[0]})
        assert newly_counted() == {}, "it is shut after a failure"

    async def test_the_wait_has_an_end(self, browser: AsyncClient, staff: User) -> None:
        await sync_to_async(enrol)(staff)
        await Authenticator.objects.aupdate(
            throttling_failure_count=12, throttling_failure_timestamp=timezone.now()
        )
        await sign_in(browser, "moderator", PASSWORD)
        with time_machine.travel(timezone.now() + timedelta(minutes=35)):
            await browser.post(VERIFY, {"code": "abcdef"})
        assert (await Authenticator.objects.aget()).throttling_failure_count == 12
        with time_machine.travel(timezone.now() + timedelta(minutes=71)):
            await sign_in(browser, "moderator", PASSWORD)
            code = code_of(await Authenticator.objects.aget())
            assert (await browser.post(VERIFY, {"code": code})).status_code == 302

    async def test_a_recovery_code_is_taken_once(self, browser: AsyncClient, staff: User) -> None:
        codes = await sync_to_async(enrol)(staff)
        await sign_in(browser, "moderator", PASSWORD)
        assert (await browser.post(VERIFY, {"code": codes[3]})).status_code == 302
        assert "left: 9" in (await browser.get(STATUS)).content.decode()
        other = AsyncClient()
        await sign_in(other, "moderator", PASSWORD)
        assert (await other.post(VERIFY, {"code": codes[3]})).status_code == 200

    async def test_fresh_recovery_codes_end_the_former_ones(self, browser: AsyncClient, staff: User) -> None:
        former = await sync_to_async(enrol)(staff)
        await sign_in(browser, "moderator", PASSWORD)
        await browser.post(VERIFY, {"code": former[0]})
        answer = await browser.post(STATUS, {"code": former[1]})
        codes = re.findall(r"<li>(construct_recovery_[\w-]+)</li>", answer.content.decode())
        assert len(codes) == 10
        assert await RecoveryCode.objects.acount() == 10
        entry = await AuditEntry.objects.alatest("number")
        assert (entry.action, entry.actor_id, entry.user_id) == (
            "renew_recovery_codes",
            staff.pk,
            staff.pk,
        )
        assert (await browser.post(STATUS, {"code": "abcdef"})).status_code == 200
        assert await sync_to_async(acts)("renew_recovery_codes") == 1
        with pytest.raises(services.WrongCode):
            await sync_to_async(services.check)(staff, former[2])

    async def test_the_password_given_again_asks_for_the_second_factor_again(
        self, browser: AsyncClient, staff: User
    ) -> None:
        codes = await sync_to_async(enrol)(staff)
        await sign_in(browser, "moderator", PASSWORD)
        await browser.post(VERIFY, {"code": codes[0]})
        assert await is_in(browser)
        await sign_in(browser, "moderator", PASSWORD)
        assert not await is_in(browser)

    async def test_a_second_one_is_not_set_up_beside_the_first(
        self, browser: AsyncClient, staff: User
    ) -> None:
        await sync_to_async(enrol)(staff)
        before = await Authenticator.objects.values().aget()
        await sign_in(browser, "moderator", PASSWORD)
        for answer in (await browser.get(ENROL), await browser.post(ENROL, {"code": "000000"})):
            assert answer.headers["location"] == STATUS
        assert await Authenticator.objects.values().aget() == before


class TestAtRest:
    def test_the_secret_is_encrypted_for_its_user(self, staff: User) -> None:
        authenticator = services.begin(staff)
        secret = authenticator.secret()
        assert secret
        assert secret not in bytes(Authenticator.objects.get().secret_sealed)
        other = User.objects.create_user("other", PASSWORD, is_staff=True)
        authenticator.user = other
        assert authenticator.secret() is None

    def test_under_another_key_of_the_server_it_is_begun_anew(self, staff: User, settings: Settings) -> None:
        before = services.begin(staff).secret()
        assert services.begin(staff).secret() == before
        settings.SECRET_KEY = "another" * 10
        assert services.begin(staff).secret() not in (before, None)


def test_of_one_code_that_comes_twice_at_once_one_is_taken(staff: User) -> None:
    enrol(staff)
    code = code_of(Authenticator.objects.get())

    def check() -> bool:
        try:
            services.check(staff, code)
        except services.WrongCode:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor() as threads:
        taken = [each.result() for each in [threads.submit(check) for _ in range(4)]]
    assert sorted(taken) == [False, False, False, True]


def test_the_command_removes_it(staff: User) -> None:
    with pytest.raises(CommandError, match="has no second factor"):
        call_command("reset_second_factor", "Moderator")
    enrol(staff)
    call_command("reset_second_factor", "Moderator", "--reason", "lost", stdout=StringIO())
    assert not Authenticator.objects.exists()
    entry = AuditEntry.objects.get(action="remove_second_factor")
    assert (entry.actor_kind, entry.actor_id, entry.reason) == ("operator", None, "lost")


def test_removing_it_is_audited_and_ends_the_codes(staff: User) -> None:
    enrol(staff)
    for is_removed in (True, False):
        assert remove_second_factor(OPERATOR, staff.pk, reason="lost the phone") is is_removed
    entry = AuditEntry.objects.get(action="remove_second_factor")
    assert (entry.user_id, entry.reason) == (staff.pk, "lost the phone")
    assert not RecoveryCode.objects.exists()
