"""One Chromium for all tests of pages, servers for it, and pictures of what it shows.

Everything here and in the tests runs on the event loop of the session, where the browser was started.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser import chromium
from tests.browser.visits import DESKTOP, PHONE, Scheme, Visits, Window
from tests.live.nodes import SHARED_SETTINGS
from tests.live.server import Backing, BackingName, Server, ServerFactory, Templates, backing_of, templates_on

Screenshot = Callable[[Page, str], Awaitable[Path]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in item.path.as_posix() and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The one process of the session; it ends with the driver also when this process is killed."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium.path(),
            chromium_sandbox=chromium.has_sandbox(),
            args=chromium.SWITCHES,
            # Ctrl-C ends the test, and the test ends the browser.
            handle_sigint=False,
        )
        try:
            yield started
        finally:
            await started.close()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, postgresql_url: str) -> Iterator[Templates]:
    """What the data of a backing is copied from."""
    with templates_on(postgresql_url, tmp_path_factory.mktemp("template")) as made:
        yield made


@pytest.fixture(scope="module")
def backing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, templates: Templates
) -> Iterator[Backing]:
    """What the module's servers keep their data in, empty: `embedded`, or what `parametrize` names (`indirect`)."""
    name: BackingName = getattr(request, "param", "embedded")
    redis_url = request.getfixturevalue("valkey_url") if name == "distributed" else ""
    with backing_of(name, tmp_path_factory.mktemp("data"), templates, redis_url) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def server_process(backing: Backing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Starts servers for the tests of a module; ends them and reads their logs afterwards."""
    factory = ServerFactory(backing, tmp_path_factory.mktemp("servers"))
    try:
        yield factory
    finally:
        factory.close()


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, server_process: ServerFactory) -> Server:
    """One server for the tests of a module, with the module's SETTINGS."""
    return server_process(**SHARED_SETTINGS, **getattr(request.module, "SETTINGS", {}))


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visits]:
    """Opens pages, each with cookies of its own; the test fails if one did what no page may do."""
    visits = Visits(browser)
    try:
        yield visits
    finally:
        await visits.close()


@pytest.fixture(params=[DESKTOP, PHONE], ids=lambda window: window.name)
def window(request: pytest.FixtureRequest) -> Window:
    chosen: Window = request.param
    return chosen


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Scheme:
    chosen: Scheme = request.param
    return chosen


@pytest_asyncio.fixture(loop_scope="session")
async def page(visit: Visits, server: Server, window: Window, scheme: Scheme) -> Page:
    """A visitor's page in every window and colour scheme in turn."""
    return await visit(server, window, scheme)


@pytest.fixture
def screenshot(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Screenshot:
    """Writes `name`.png: all that the page shows, with what lies below the window."""
    directory = Path(pytestconfig.getoption("screenshots") or tmp_path_factory.getbasetemp() / "screenshots")

    async def write(page: Page, name: str) -> Path:
        file = directory / f"{name}.png"
        window = page.viewport_size
        assert window is not None
        # What keeps to the window's edge would stand in the midst of a longer picture.
        height: int = await page.evaluate("document.documentElement.scrollHeight")
        await page.set_viewport_size({"width": window["width"], "height": height})
        # Makes the directory.
        await page.screenshot(path=file, full_page=True, animations="disabled")
        await page.set_viewport_size(window)
        return file

    return write
