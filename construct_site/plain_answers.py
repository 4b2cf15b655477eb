"""HTTP answers in JSON without Django: from the event loop, when no thread is free or none is needed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from construct_site.errors import ERRORS, ErrorCode

Send = Callable[[Any], Awaitable[None]]
Header = tuple[bytes, bytes]


async def send_json(send: Send, status: int, body: object, *headers: Header) -> None:
    """A whole answer, as ASGI events. To HEAD the server sends it without its body."""
    await _send(send, status, json.dumps(body).encode(), *headers)


async def _send(send: Send, status: int, content: bytes, *headers: Header) -> None:
    safe = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*safe, *headers]})
    await send({"type": "http.response.body", "body": content})


async def send_error(send: Send, code: ErrorCode, *headers: Header) -> None:
    """The refusal of the error table."""
    await _send(send, ERRORS[code].http_status, error_content(code), *headers)


def error_content(code: ErrorCode) -> bytes:
    """The body of that refusal."""
    return json.dumps({"code": code.value, "message": ERRORS[code].text}).encode()
