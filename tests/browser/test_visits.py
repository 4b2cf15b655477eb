"""A page that does what no page may do is found out, and reaches nobody."""

from __future__ import annotations

import re
import socket

import pytest
from playwright.async_api import Browser, Error, Page

from tests.browser.visits import DESKTOP, PHONE, Visits, Window, hidden_width
from tests.live.server import Server

ELSEWHERE = "http://elsewhere.test/file"


@pytest.fixture
def visits(browser: Browser) -> Visits:
    """Not closed by a fixture: each test here closes it, and reads what it says."""
    return Visits(browser)


async def closing_tells(visits: Visits, fault: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(fault)):
        await visits.close()


@pytest.mark.parametrize(
    "markup",
    [
        f"<img src='{ELSEWHERE}'>",
        f"<link rel='stylesheet' href='{ELSEWHERE}'>",
        f"<iframe src='{ELSEWHERE}'></iframe>",
        f"<script>navigator.sendBeacon('{ELSEWHERE}')</script>",
        f"<script>new Worker('data:text/javascript,fetch(`{ELSEWHERE}`)')</script>",
    ],
)
async def test_a_page_that_asks_another_host_for_something_is_at_fault(
    visits: Visits, server: Server, markup: str
) -> None:
    page = await visits(server)
    async with page.context.expect_event("requestfailed"):
        await page.set_content(markup)
    await closing_tells(visits, f"asked elsewhere: {ELSEWHERE}")


async def test_a_page_that_opens_a_socket_to_another_host_is_at_fault(visits: Visits, server: Server) -> None:
    page = await visits(server)
    async with page.expect_websocket() as opened:
        await page.set_content("<script>new WebSocket('ws://elsewhere.test/')</script>")
    assert (await opened.value).url == "ws://elsewhere.test/"
    await closing_tells(visits, "asked elsewhere: ws://elsewhere.test/")


@pytest.mark.parametrize("host", ["elsewhere.test", "192.0.2.1", "[2001:db8::1]", "localhost"])
async def test_no_other_host_is_reached(visits: Visits, server: Server, host: str) -> None:
    page = await visits(server)
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        await page.goto(f"http://{host}/")
    await closing_tells(visits, f"asked elsewhere: http://{host}/")


async def test_another_port_of_this_host_is_elsewhere_too(visits: Visits, server: Server) -> None:
    page = await visits(server)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"http://127.0.0.1:{other.getsockname()[1]}/"
        async with page.context.expect_event("request"):
            await page.set_content(f"<img src='{address}'>", wait_until="commit")
        await closing_tells(visits, f"asked elsewhere: {address}")


async def test_an_error_on_the_console_is_a_fault(visits: Visits, server: Server) -> None:
    page = await visits(server)
    await page.set_content("<script>console.log('fine'); console.error('broken')</script>")
    await closing_tells(visits, "on the console: broken")
    assert len(visits.faults) == 1


async def test_an_exception_that_nothing_catches_is_a_fault(visits: Visits, server: Server) -> None:
    page = await visits(server)
    async with page.context.expect_event("weberror"):
        await page.set_content("<script>throw new Error('thrown')</script>")
    await closing_tells(visits, "not caught: thrown")


async def test_an_error_that_was_to_be_expected_is_none_once(visits: Visits, server: Server) -> None:
    page = await visits(server)
    visits.expect_error("broken")
    await page.set_content("<script>console.error('it is broken')</script>")
    await visits.close()
    page = await visits(server)
    await page.set_content("<script>console.error('it is broken')</script>")
    await closing_tells(visits, "on the console: it is broken")


async def test_an_expected_error_that_does_not_come_is_a_fault(visits: Visits, server: Server) -> None:
    visits.expect_error("broken")
    await visits(server)
    await closing_tells(visits, "not on the console: broken")


async def test_each_visit_has_cookies_of_its_own(visit: Visits, server: Server) -> None:
    first, second = await visit(server), await visit(server)
    for page in (first, second):
        await page.goto("/")
    await first.evaluate("document.cookie = 'name=value'")
    assert await first.evaluate("document.cookie") == "name=value"
    assert await second.evaluate("document.cookie") == ""


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=lambda window: window.name)
async def test_what_is_wider_than_the_window_is_measured(
    visit: Visits, server: Server, window: Window
) -> None:
    page = await visit(server, window)
    assert await _shown(page, width=window.width) == 0
    assert await _shown(page, width=window.width + 25) == 25


async def _shown(page: Page, *, width: int) -> int:
    await page.set_content(
        "<!doctype html><meta name='viewport' content='width=device-width'>"
        f"<body style='margin: 0'><div style='width: {width}px; height: 1px'></div>"
    )
    return await hidden_width(page)
