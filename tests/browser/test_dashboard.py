"""The dashboard and the pages of its figures, on a desktop and on a phone, in light and in dark."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Screenshot
from tests.browser.month import PASSWORD, USERNAME
from tests.browser.visits import Scheme, Visits, Window, hidden_width
from tests.live.nodes import run_in_another_process
from tests.live.server import Backing, Server

NARROW = Window("narrow", 375, 667, is_phone=True)
LISTS = {
    "Open reports": "/admin/moderation/report/",
    "Registrations": "/admin/accounts/user/?registered=24h",
    "Active users": "/admin/accounts/user/?seen=today",
    "Connections": "/admin/accounts/session/?state=live",
    "Failed logins": "/admin/figures/failed_logins/?period=24h",
    "Messages relayed": "/admin/figures/messages_relayed/?period=24h",
    "Messages waiting": "/admin/figures/messages_waiting/?period=24h",
    "Messages expired": "/admin/figures/messages_expired/?period=24h",
    "Delivery time": "/admin/figures/delivery_time/?period=24h",
    "Stale prekeys": "/admin/keys/prekeybundle/?prekey=stale",
}


@pytest.fixture(scope="module", autouse=True)
def month(server: Server, backing: Backing) -> None:
    run_in_another_process(backing, "from tests.browser.month import store; store()")


async def signed_in(page: Page) -> Page:
    await page.goto("/admin/")
    await page.get_by_label("Username").fill(USERNAME)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    return page


async def test_the_dashboard_shows_a_day_and_a_month(
    page: Page, window: Window, scheme: Scheme, screenshot: Screenshot
) -> None:
    await signed_in(page)
    for period in ("24 hours", "30 days"):
        await page.get_by_role("link", name=period, exact=True).click()
        await expect(page.locator("[aria-current=page]", has_text=period)).to_be_visible()
        await expect(page.locator("svg[role=img]")).to_have_count(len(LISTS))
        assert await hidden_width(page) == 0
        await screenshot(page, f"dashboard-{period.replace(' ', '-')}-{window.name}-{scheme}")
    is_dark = await page.evaluate("document.documentElement.classList.contains('dark')")
    assert is_dark == (scheme == "dark")


async def test_the_page_of_a_figure_shows_its_values(
    page: Page, window: Window, scheme: Scheme, screenshot: Screenshot
) -> None:
    await signed_in(page)
    await page.get_by_role("link", name="Delivery time: all values").click()
    await expect(page.get_by_role("row")).to_have_count(1 + 24)
    assert await hidden_width(page) == 0
    await screenshot(page, f"figure-{window.name}-{scheme}")


async def test_a_click_on_each_figure_leads_to_the_list_behind_it(visit: Visits, server: Server) -> None:
    page = await signed_in(await visit(server))
    for title, address in LISTS.items():
        await page.goto("/admin/")
        await page.get_by_role("link", name=f"{title}: ").first.click()
        await expect(page).to_have_url(server.http_url + address)


async def test_everything_fits_a_narrow_phone(visit: Visits, server: Server) -> None:
    page = await signed_in(await visit(server, NARROW))
    for address in ("/admin/", "/admin/?period=30d", "/admin/figures/delivery_time/?period=30d"):
        await page.goto(address)
        assert await hidden_width(page) == 0
