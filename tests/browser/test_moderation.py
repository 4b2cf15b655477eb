"""A moderator at the desk, in Chromium: from the first sign-in to a report that has ended.

The pictures of docs/moderation.md are taken here.
"""

from __future__ import annotations

import re
import secrets
import time
from base64 import b32decode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from django_otp.oath import hotp
from playwright.async_api import Page, expect

from accounts.desk.permissions import MODERATOR
from accounts.second_factor.models import DIGITS, STEP_S
from tests.browser.conftest import Screenshot
from tests.browser.visits import PHONE, Visits, hidden_width
from tests.live.dialogue import Dialogue, Frame, Person, chat_message
from tests.live.nodes import Sockets, run_command, run_in_another_process
from tests.live.rest import ask
from tests.live.server import Backing, Server, ServerFactory

SETTINGS = {"CONSTRUCT_STAFF_SECOND_FACTOR": "required"}
TOLD = "Advertising to strangers."
REASON = "The same advertisement to forty people in an hour."
SUSPENDED = rf"This account is suspended until [-\d]{{10}} [:\d]{{5}} UTC\. Reason: {re.escape(TOLD)}"


@dataclass
class Moderator:
    """One of the staff, with an authenticator app that holds the secret once it was shown."""

    username: str
    password: str
    secret: bytes = b""
    last_step: int = 0

    def code(self) -> str:
        """The app's code of now, or the following one if that was given already: each is taken once."""
        self.last_step = max(int(time.time()) // STEP_S, self.last_step + 1)
        number: int = hotp(self.secret, self.last_step, DIGITS)
        return f"{number:0{DIGITS}}"


@dataclass(frozen=True)
class Case:
    """One person, on a socket, who was reported by another."""

    reported: Person
    socket: Dialogue
    reporter: Person
    report_id: str


NewModerator = Callable[[str], Moderator]


@pytest.fixture
def new_moderator(backing: Backing, server_process: ServerFactory) -> NewModerator:
    """Makes an account of the staff and gives it the role."""

    def make(username: str) -> Moderator:
        moderator = Moderator(username, secrets.token_urlsafe(16))
        server_process.private.add(moderator.password)
        run_command(backing, "create_staff", username, typed=moderator.password)
        imports = "from django.contrib.auth.models import Group; from accounts.models import User"
        given = f"User.objects.get(username={username!r}).groups.add(Group.objects.get(name={MODERATOR!r}))"
        run_in_another_process(backing, f"{imports}; {given}")
        return moderator

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def sockets(server: Server, server_process: ServerFactory) -> AsyncIterator[Sockets]:
    async with Sockets(server, server_process.private) as opened:
        yield opened


async def test_a_moderator_suspends_and_lifts_and_ends_a_report(
    visit: Visits,
    backing: Backing,
    server: Server,
    sockets: Sockets,
    new_moderator: NewModerator,
    screenshot: Screenshot,
) -> None:
    moderator = new_moderator("maria")
    case = await _report(sockets, "cheap-watches-24", "lena-k")
    page = await visit(server)

    await _enrol(page, moderator)
    await _sign_out(page, moderator)
    await _sign_in(page, moderator)
    await page.get_by_label("Code").fill(moderator.code())
    await page.get_by_role("button", name="Continue").click()

    await _find(page, "cheap-w", case.reported.username)
    await screenshot(page, "desk-users")
    await page.get_by_role("link", name=case.reported.username).click()
    await page.get_by_role("link", name="Suspend", exact=True).click()
    await page.get_by_label("For").select_option("7 days")
    await page.get_by_label("Public reason").fill(TOLD)
    await page.get_by_label("Reason*", exact=True).fill(REASON)
    await screenshot(page, "desk-suspend")
    await page.get_by_role("button", name="Suspend").click()
    await expect(page.get_by_text("Suspend: done for 1 of 1.")).to_be_visible()

    frames, code = await case.socket.ending()
    assert code == 4403
    (error,) = frames
    _assert_tells_the_suspension(error)
    stranger = await sockets.open()
    _assert_tells_the_suspension(await stranger.ask("connect", {"sessionToken": case.reported.token}))

    suspension = page.get_by_role("row").filter(has_text=TOLD)
    await expect(suspension).to_contain_text(REASON)
    await screenshot(page, "desk-user")
    await _open(page, "Audit")
    entry = page.get_by_role("row").filter(has_text=case.reported.username)
    await expect(entry).to_have_count(1)
    await expect(entry).to_contain_text(re.compile(rf"suspend.*{re.escape(REASON)}", re.DOTALL))
    await screenshot(page, "desk-audit")

    await _find(page, "cheap-w", case.reported.username)
    await page.get_by_role("link", name=case.reported.username).click()
    await page.get_by_role("link", name="Lift the suspension").click()
    await page.get_by_label("Reason").fill("They wrote that it was a mistake.")
    await page.get_by_role("button", name="Lift the suspension").click()
    await expect(page.get_by_text("Lift the suspension: done for 1 of 1.")).to_be_visible()
    await sockets.resume(case.reported)

    await _open(page, "Reports")
    waiting = page.get_by_role("row").filter(has_text=case.reported.username)
    await waiting.get_by_role("link").click()
    await page.get_by_role("link", name="Take", exact=True).click()
    await page.get_by_label("Reason").fill("Mine.")
    await page.get_by_role("button", name="Take").click()
    await expect(page.get_by_text("Take: done.")).to_be_visible()
    assert await _outcome(server, case) == "in_review"
    await page.get_by_role("link", name="Resolve").click()
    await page.get_by_label("Suspension").select_option(index=1)
    await page.get_by_label("Reason").fill("Suspended, and heard.")
    await page.get_by_role("button", name="Resolve").click()
    await expect(page.get_by_text("Resolve: done.")).to_be_visible()
    await screenshot(page, "desk-report")
    assert await _outcome(server, case) == "acted_on"

    run_in_another_process(backing, "from tests.browser.month import store_figures; store_figures()")
    await _open(page, "Dashboard")
    await page.wait_for_url("**/admin/")
    await expect(page.get_by_role("heading", name="Messages relayed")).to_be_visible()
    await screenshot(page, "desk-start")


async def test_the_desk_fits_a_phone(
    visit: Visits, server: Server, sockets: Sockets, new_moderator: NewModerator, screenshot: Screenshot
) -> None:
    case = await _report(sockets, "win-a-voyage-now", "yusuf-b")
    page = await visit(server, PHONE, "dark")
    await _enrol(page, new_moderator("piet"))
    user_id, report = case.reported.user_id, f"moderation/report/{case.report_id}"
    for address in (
        "",
        "accounts/user/",
        f"accounts/user/{user_id}/change/",
        "moderation/report/",
        f"{report}/change/",
        f"{report}/resolve/",
        "audit/auditentry/",
        f"accounts/user/act/suspend/?ids={user_id}",
    ):
        response = await page.goto(f"/admin/{address}")
        assert response is not None
        assert response.status == 200, address
        assert await hidden_width(page) == 0, address
    await page.get_by_label("For").select_option("7 days")
    await page.get_by_label("Public reason").fill(TOLD)
    await page.get_by_label("Reason*", exact=True).fill(REASON)
    await screenshot(page, "desk-phone")
    await page.get_by_label("Or until").fill("2099-01-31T18:00")
    await page.get_by_role("button", name="Suspend").click()
    await expect(page.get_by_role("row").filter(has_text=TOLD)).to_contain_text("2099-01-31 18:00")


async def test_long_texts_leave_every_page_as_wide_as_its_window(
    visit: Visits, server: Server, sockets: Sockets, backing: Backing, new_moderator: NewModerator
) -> None:
    superuser = new_moderator("olga")
    raised = "User.objects.filter(username='olga').update(is_superuser=True)"
    run_in_another_process(backing, f"from accounts.models import User; {raised}")
    _, person = await sockets.register(username="w-of-64", displayName="W" * 64)
    page = await visit(server)
    await _enrol(page, superuser)
    suspend = f"accounts/user/act/suspend/?ids={person.user_id}"
    await page.goto(f"/admin/{suspend}")
    await page.get_by_label("Reason*", exact=True).fill(f"One line.\nAnother. {'r' * 480}")
    await page.get_by_role("button", name="Suspend").click()
    reason = page.get_by_role("cell", name="One line.").first
    await expect(reason).to_have_text(re.compile(r"One line\.\nAnother\. r+"), use_inner_text=True)

    phone = await page.context.new_page()
    await phone.set_viewport_size({"width": PHONE.width, "height": PHONE.height})
    for each in (page, phone):
        for address in (
            f"accounts/user/{person.user_id}/change/",
            "accounts/user/",
            "audit/auditentry/",
            "auth/group/add/",
            "settings/",
            suspend,
        ):
            response = await each.goto(f"/admin/{address}")
            assert response is not None
            assert response.status == 200, address
            assert await hidden_width(each) == 0, address
            for tables in (".simplebar-content-wrapper:has(#result_list)", "div:has(> .panel)", ".settings"):
                for table in await each.locator(tables).all():
                    assert await table.evaluate("it => it.scrollWidth - it.clientWidth") == 0, address
    await phone.goto("/admin/settings/")
    value = phone.get_by_role("row").filter(has_text="CONSTRUCT_ENVIRONMENT").get_by_role("cell").first
    await expect(value).to_be_in_viewport(ratio=1)
    await expect(phone.locator(".settings")).not_to_contain_text("`")


async def test_who_may_not_see_a_page_is_told_so_by_one_that_leads_back(
    visit: Visits, server: Server, new_moderator: NewModerator
) -> None:
    page = await visit(server)
    await _enrol(page, new_moderator("pia"))
    visit.expect_error("403 (Forbidden)")
    await page.goto("/admin/settings/")
    await expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    await page.get_by_role("link", name="To the administration").click()
    await expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


async def _report(sockets: Sockets, reported: str, reporter: str) -> Case:
    """One writes to another, who reports them over REST."""
    here, sender = await sockets.register(username=reported)
    _, recipient = await sockets.register(username=reporter)
    message = chat_message(sender, recipient)
    await here.send(message)
    told = {
        "userId": sender.user_id,
        "category": "spam",
        "text": "I do not know them, and they want to sell me something.",
        "messageIds": [message["id"]],
    }
    status, body = await ask(sockets.server, "POST", "reports", told, token=recipient.token)
    assert status == 201
    return Case(sender, here, recipient, body["id"])


async def _outcome(server: Server, case: Case) -> str:
    """What the reporter is told."""
    status, body = await ask(server, "GET", "reports", token=case.reporter.token)
    assert status == 200
    (report,) = body["reports"]
    assert report["id"] == case.report_id
    outcome: str = report["outcome"]
    return outcome


async def _sign_in(page: Page, moderator: Moderator) -> None:
    await page.goto("/admin/")
    await page.get_by_label("Username").fill(moderator.username)
    await page.get_by_label("Password").fill(moderator.password)
    await page.get_by_role("button", name="Log in").click()


async def _enrol(page: Page, moderator: Moderator) -> None:
    """The first sign-in, up to the start page."""
    await _sign_in(page, moderator)
    secret = await page.locator("#secret").inner_text()
    moderator.secret = b32decode(secret.replace(" ", ""))
    await page.get_by_label("Code").fill(moderator.code())
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#codes li")).to_have_count(10)
    await page.get_by_role("link", name="continue").click()
    await page.wait_for_url("**/admin/")


async def _sign_out(page: Page, moderator: Moderator) -> None:
    await page.get_by_text(moderator.username).click()
    await page.get_by_role("button", name="Log out").click()
    await page.goto("/admin/")
    await expect(page.get_by_label("Password")).to_be_visible()


async def _open(page: Page, title: str) -> None:
    """By the sidebar."""
    await page.get_by_role("link", name=title).first.click()


async def _find(page: Page, beginning: str, username: str) -> None:
    """In the list of users, alone."""
    await _open(page, "Users")
    await page.locator("#searchbar").fill(beginning)
    await page.locator("#searchbar").press("Enter")
    await expect(page.locator("#result_list").get_by_role("link", name=username)).to_have_count(1)


def _assert_tells_the_suspension(error: Frame) -> None:
    assert error["type"] == "error"
    assert error["payload"]["code"] == "ACCOUNT_SUSPENDED"
    assert re.fullmatch(SUSPENDED, error["payload"]["message"])
