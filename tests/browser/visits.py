"""Visits to a server's pages in Chromium, and what no page may do in any of them.

A visit has cookies and a cache of its own. A page must not write an error on the console, throw what it does not
catch, nor ask for anything from elsewhere: Chromium reaches no other host (see chromium.py), and the attempt counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, WebError, WebSocket

from tests.live.server import Server

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Window:
    """A window's size in CSS pixels. A phone heeds the page's viewport and has touch instead of a mouse."""

    name: str
    width: int
    height: int
    is_phone: bool = False


DESKTOP = Window("desktop", 1280, 800)
PHONE = Window("phone", 390, 844, is_phone=True)


@dataclass
class Visits:
    """Opens the pages of one test; :meth:`close` says what they did that no page may do."""

    browser: Browser
    faults: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    async def __call__(self, server: Server, window: Window = DESKTOP, scheme: Scheme = "light") -> Page:
        """A new visitor's empty page. Its `goto` takes paths of `server`."""
        context = await self.browser.new_context(
            base_url=server.http_url,
            color_scheme=scheme,
            has_touch=window.is_phone,
            is_mobile=window.is_phone,
            reduced_motion="reduce",
            service_workers="block",
            viewport={"width": window.width, "height": window.height},
        )
        self._contexts.append(context)
        here = urlsplit(server.http_url).netloc
        context.on("console", self._note_message)
        context.on("weberror", self._note_error)
        context.on("request", lambda request: self._note_address(request.url, here))
        context.on("page", lambda page: self._watch(page, here))
        return await context.new_page()

    def expect_error(self, text: str) -> None:
        """One error with this text in it will be on the console: it is no fault, its absence is one."""
        self._expected.append(text)

    async def close(self) -> None:
        """End all visits; then raise AssertionError if there was a fault."""
        for context in self._contexts:
            await context.close()
        self.faults += [f"not on the console: {text}" for text in self._expected]
        assert not self.faults, "\n".join(self.faults)

    def _watch(self, page: Page, here: str) -> None:
        def note_socket(socket: WebSocket) -> None:
            self._note_address(socket.url, here)

        page.on("websocket", note_socket)
        page.on("crash", lambda crashed: self.faults.append(f"crashed: {crashed.url}"))

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        for text in self._expected:
            if text in message.text:
                self._expected.remove(text)
                return
        self.faults.append(f"on the console: {message.text} ({message.location['url']})")

    def _note_error(self, thrown: WebError) -> None:
        self.faults.append(f"not caught: {thrown.error}")

    def _note_address(self, address: str, here: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != here:
            self.faults.append(f"asked elsewhere: {address}")


async def hidden_width(page: Page) -> int:
    """By how many CSS pixels the page is wider than its window: those that need scrolling to the side."""
    hidden: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return hidden
