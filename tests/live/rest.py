"""Requests to the REST endpoints of a running server."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPConnection
from typing import Any

from tests.live.server import Server


def call(
    server: Server,
    method: str,
    path: str,
    body: object = None,
    token: str | None = None,
    **more_headers: str,
) -> tuple[int, Any]:
    """The status and the decoded body of an answer. `more_headers` in Python's spelling: ``x_forwarded_for``."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    headers |= {name.replace("_", "-"): text for name, text in more_headers.items()}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path if path.startswith("/") else f"/api/v1/{path}", data, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    is_json = response.headers.get("Content-Type") == "application/json"
    return response.status, json.loads(content) if content and is_json else content.decode()


async def ask(
    server: Server,
    method: str,
    path: str,
    body: object = None,
    token: str | None = None,
    **more_headers: str,
) -> tuple[int, Any]:
    return await asyncio.to_thread(call, server, method, path, body, token, **more_headers)
