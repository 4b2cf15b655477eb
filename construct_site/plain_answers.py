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
    content = json.dumps(body).encode()
    safe = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*safe, *headers]})
    await send({"type": "http.response.body", "body": content})


async def send_error(send: Send, code: ErrorCode, *headers: Header) -> None:
    """The refusal of the error table."""
    row = ERRORS[code]
    await send_json(send, row.http_status, {"code": code.value, "message": row.text}, *headers)
