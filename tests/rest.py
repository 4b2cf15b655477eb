"""A client of the REST endpoints, in the event loop of the test: requests take the way of the ASGI application."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler

from keys.bundle import encode_bundle
from tests.keys.owners import KeyOwner

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    """The decoded JSON; None if there is no body."""
    headers: dict[str, str]

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of an error."""
        return self.status, self.body["code"]


@dataclass
class Api:
    """Speaks for one session, or for nobody."""

    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    user_id: str = ""

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
        **headers: str,
    ) -> Answer:
        """`path` is that below ``/api/v1/``, or absolute. `headers` in Python's spelling: ``user_agent``."""
        sent = {"host": "localhost", "content-type": content_type}
        sent |= {name.replace("_", "-"): value for name, value in (self.headers | headers).items()}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        data = b"" if body is None else json.dumps(body).encode()
        return await _exchange(
            method, path if path.startswith("/") else f"/api/v1/{path}", sent, data if raw is None else raw
        )

    async def get(self, path: str) -> Answer:
        return await self.call("GET", path)

    async def post(self, path: str, body: object = None) -> Answer:
        return await self.call("POST", path, body)

    async def put(self, path: str, body: object = None) -> Answer:
        return await self.call("PUT", path, body)

    async def patch(self, path: str, body: object = None) -> Answer:
        return await self.call("PATCH", path, body)

    async def delete(self, path: str, body: object = None) -> Answer:
        return await self.call("DELETE", path, body)

    async def log_in(self, username: str, **headers: str) -> Api:
        """A further session of this account."""
        nobody = Api(headers=headers)
        answer = await nobody.post("login", {"username": username, "password": PASSWORD})
        assert answer.status == 200, answer
        return Api(answer.body["sessionToken"], headers, answer.body["userId"])


@cache
def _application() -> ASGIHandler:
    """One for all tests: as it is made, it looks through every static file, for 0.1 s."""
    return get_asgi_application()


async def _exchange(method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
    """One request to the ASGI application, which gives its thread's database connection back at the end."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode("latin-1"))
            for name, value in {**headers, "content-length": str(len(body))}.items()
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 3000),
    }
    events = iter([{"type": "http.request", "body": body}])
    sent: list[dict[str, Any]] = []
    stays = asyncio.Event()

    async def receive() -> dict[str, Any]:
        for event in events:
            return event
        await stays.wait()
        raise AssertionError("nobody disconnects")

    async def send(event: Any) -> None:
        sent.append(event)

    await _application()(scope, receive, send)
    start, *parts = sent
    content = b"".join(part.get("body", b"") for part in parts)
    answer_headers = {name.decode().title(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], json.loads(content) if content else None, answer_headers)


def registration(
    username: str = "alice", owner: KeyOwner | None = None, **changes: object
) -> dict[str, object]:
    """The body of a registration; `changes` by their names on the wire."""
    public_key = encode_bundle((owner or KeyOwner()).bundle())
    return {"username": username, "password": PASSWORD, "publicKey": public_key, **changes}


async def register(username: str = "alice", owner: KeyOwner | None = None, **changes: object) -> Api:
    """A fresh account's session."""
    answer = await Api().post("register", registration(username, owner, **changes))
    assert answer.status == 201, answer
    return Api(answer.body["sessionToken"], user_id=answer.body["userId"])
