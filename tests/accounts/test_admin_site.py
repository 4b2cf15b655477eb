"""The password of a staff member, changed in the admin, by the rules and the limits of a change over REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from django.urls import reverse

from accounts.audit.models import AuditEntry
from accounts.models import Session, User
from accounts.services import find_reset_code, make_reset_code, open_session
from construct_site.errors import ConstructError
from construct_site.events import Event, SessionsEnded
from tests.accounts.conftest import HOME, PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
CHANGE = reverse("admin:password_change")
NEW = "another horse battery"


@pytest.fixture
def staff() -> User:
    return User.objects.create_user("moderator", PASSWORD, is_staff=True)


@pytest.fixture
async def browser(staff: User) -> AsyncIterator[AsyncClient]:
    client = AsyncClient()
    await client.aforce_login(staff)
    yield client
    # Django's test client leaves its thread's connection open.
    await sync_to_async(connections.close_all)()


async def change(browser: AsyncClient, old: str, new: str, again: str | None = None) -> str:
    """The page that follows; empty where the password was changed."""
    form = {"old_password": old, "new_password1": new, "new_password2": again or new}
    answer = await browser.post(CHANGE, form)
    if answer.status_code == 302:
        assert answer.headers["location"] == reverse("admin:password_change_done")
        return ""
    assert answer.status_code == 200
    return answer.content.decode()


async def test_a_change_ends_the_sessions_on_the_wire_and_a_reset_code_and_keeps_the_browser(
    browser: AsyncClient, staff: User, heard: asyncio.Queue[Event]
) -> None:
    grant = await sync_to_async(open_session)(staff, HOME)
    code = (await sync_to_async(make_reset_code)(staff.pk)).code
    assert await change(browser, PASSWORD, NEW) == ""
    assert isinstance(heard.get_nowait(), SessionsEnded)
    assert (await Session.objects.aget(pk=grant.session_id)).revoked_at is not None
    with pytest.raises(ConstructError):
        await sync_to_async(find_reset_code)(code)
    await staff.arefresh_from_db()
    assert await staff.acheck_password(NEW)
    entry = await AuditEntry.objects.aget()
    assert (entry.action, entry.actor_id, entry.user_id) == ("change_password", staff.pk, staff.pk)
    assert (await browser.get(reverse("admin:index"))).status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "again", "told"),
    [
        ("wrong password", NEW, NEW, "password"),
        (PASSWORD, "short", "short", "8"),
        (PASSWORD, "moderator", "moderator", "must not be the username"),
        (PASSWORD, "password123", "password123", "common"),
        (PASSWORD, NEW, NEW + "x", "match"),
        (PASSWORD, "x" * 5000, "x" * 5000, "8"),
        (PASSWORD, "a\0" * 8, "a\0" * 8, "Null characters"),
    ],
)
async def test_a_refusal_is_told_and_changes_nothing(
    browser: AsyncClient, staff: User, old: str, new: str, again: str, told: str
) -> None:
    grant = await sync_to_async(open_session)(staff, HOME)
    assert told in await change(browser, old, new, again)
    await staff.arefresh_from_db()
    assert await staff.acheck_password(PASSWORD)
    assert (await Session.objects.aget(pk=grant.session_id)).revoked_at is None


async def test_guesses_at_the_old_password_are_limited(browser: AsyncClient) -> None:
    for _ in range(5):
        assert "Too many" not in await change(browser, "wrong password", NEW)
    assert "Too many failed logins" in await change(browser, PASSWORD, NEW)


async def test_an_account_that_is_gone_is_asked_to_log_in(browser: AsyncClient, staff: User) -> None:
    await staff.adelete()
    answer = await browser.post(CHANGE, {})
    assert answer.status_code == 302
    assert reverse("admin:login") in answer.headers["location"]


async def test_there_is_no_redirect_to_the_page_of_an_object(browser: AsyncClient, staff: User) -> None:
    staff.is_superuser = True
    await staff.asave()
    for content_type in (1, 10**6):
        assert (await browser.get(f"/admin/r/{content_type}/{staff.pk}/")).status_code == 404
    assert (await browser.get(reverse("admin:accounts_user_change", args=[staff.pk]))).status_code == 200
