"""The pages of the server itself, on a desktop and on a phone, in light and in dark."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Screenshot
from tests.browser.visits import Scheme, Visits, Window, hidden_width
from tests.live.server import Server

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture
def name_suffix(window: Window, scheme: Scheme) -> str:
    return f"{window.name}-{scheme}"


async def test_the_start_page_names_the_socket_and_leads_to_the_administration(
    page: Page, server: Server, scheme: Scheme, name_suffix: str, screenshot: Screenshot
) -> None:
    await page.goto("/")
    await expect(page.get_by_role("heading", name="Construct")).to_be_visible()
    await expect(page.get_by_text(f"ws://127.0.0.1:{server.port}/")).to_be_visible()
    assert await hidden_width(page) == 0
    assert await _is_dark(page) == (scheme == "dark")
    await screenshot(page, f"index-{name_suffix}")
    await page.get_by_role("link", name="Administration").click()
    await expect(page.get_by_label("Password")).to_be_visible()


async def test_an_unknown_address_shows_a_page_that_leads_back(
    page: Page, visit: Visits, scheme: Scheme, name_suffix: str, screenshot: Screenshot
) -> None:
    visit.expect_error("404 (Not Found)")
    response = await page.goto("/nothing/here/")
    assert response is not None
    assert response.status == 404
    await expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    assert await hidden_width(page) == 0
    assert await _is_dark(page) == (scheme == "dark")
    await screenshot(page, f"not-found-{name_suffix}")
    await page.get_by_role("link", name="To the start page").click()
    await expect(page.get_by_role("heading", name="Construct")).to_be_visible()


# Swagger UI knows no dark.
@pytest.mark.parametrize("scheme", ["light"])
async def test_the_documentation_of_rest_shows_every_operation_without_another_network(
    page: Page, server: Server, name_suffix: str, screenshot: Screenshot
) -> None:
    _, schema = server.get("/api/schema/")
    operations = {
        (method.upper(), path)
        for path, item in json.loads(schema)["paths"].items()
        for method in METHODS & item.keys()
    }
    await page.goto("/api/docs/")
    summaries = page.locator(".opblock-summary")
    await expect(summaries).to_have_count(len(operations))
    shown = await summaries.evaluate_all(
        "all => all.map(one => [one.querySelector('.opblock-summary-method').textContent,"
        " one.querySelector('[data-path]').dataset.path])"
    )
    assert {tuple(operation) for operation in shown} == operations
    assert await hidden_width(page) == 0
    await screenshot(page, f"api-docs-{name_suffix}")


async def test_staff_sign_in_on_a_page_that_fits(
    page: Page, name_suffix: str, screenshot: Screenshot
) -> None:
    await page.goto("/admin/")
    await expect(page.get_by_label("Username")).to_be_visible()
    await expect(page.get_by_label("Password")).to_be_visible()
    assert await hidden_width(page) == 0
    await screenshot(page, f"sign-in-{name_suffix}")


async def _is_dark(page: Page) -> bool:
    colour: str = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) < 3 * 128
