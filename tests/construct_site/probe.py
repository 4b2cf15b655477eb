"""A program: the real server around an application that does what its client says.

It prints, one word or sentence a line: ``start``, ``listening PORT``, ``raised NAME`` when the server
did not take an event of the application, ``disconnect CODE``, ``end``. Arguments: ``fails-at-start``
lets the application fail when the server starts, ``hangs-at-end`` lets a thread of it never end. Used
by ``test_server_*``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgpack

from construct_site.server import reactor

reactor.install()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "construct_site.settings")

import django  # noqa: E402 - after the reactor

django.setup()

from django.conf import settings  # noqa: E402

from construct_site.server import listening, server  # noqa: E402 - needs settings

SECRET = "hunter2-the-secret"
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def application(scope: Event, receive: Receive, send: Send) -> None:
    await {"websocket": socket, "http": page, "lifespan": lifespan}[scope["type"]](scope, receive, send)


async def socket(scope: Event, receive: Receive, send: Send) -> None:
    """Accept, tell the scope, send the events that the client packs into a frame, tell each pong, close to drain."""
    await receive()
    if scope["path"] == "/refused":
        await send({"type": "websocket.close"})
        return
    if scope["path"] == "/fails":
        raise ValueError(SECRET)
    await send({"type": "websocket.accept"})
    told = {
        "extensions": sorted(scope["extensions"]),
        "root_path": scope["root_path"],
        "client": scope["client"],
    }
    await send({"type": "websocket.send", "bytes": msgpack.packb(told)})
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.pong":
            await send({"type": "websocket.send", "bytes": b"pong " + event["payload"]})
            continue
        if event["type"] == "websocket.drain":
            say("drain")
            if scope["path"] != "/stays":
                await send({"type": "websocket.send", "bytes": b"last"})
                await send({"type": "websocket.close", "code": 1012})
            continue
        for wanted in msgpack.unpackb(event["bytes"]):
            try:
                await send(wanted)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must know
                say("raised", type(error).__name__)
    say("disconnect", event["code"])


async def page(scope: Event, receive: Receive, send: Send) -> None:
    """Answer with the root path and the size of the body."""
    if scope["path"] == "/fails":
        raise ValueError(SECRET)
    size, more = 0, True
    while more:
        event = await receive()
        size, more = size + len(event.get("body", b"")), event.get("more_body", False)
    say("page", size)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"root={scope['root_path']} size={size}".encode()})


async def lifespan(_scope: Event, receive: Receive, send: Send) -> None:
    await receive()
    if "fails-at-start" in sys.argv:
        raise ValueError(SECRET)
    say("start")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("end")
    if "hangs-at-end" in sys.argv:
        await asyncio.to_thread(threading.Event().wait)
    await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    try:
        listen = partial(listening.bind, settings.CONSTRUCT.host, settings.CONSTRUCT.port)
        server.run(application, listen, lambda _host, port: say("listening", port))
    except listening.CannotServe as error:
        sys.exit(f"cannot serve: {error}")


if __name__ == "__main__":
    main()
