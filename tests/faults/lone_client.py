"""A client that is a process of its own, to be stopped and killed: `python -m tests.faults.lone_client PORT`.

Reads a session's token from standard input and writes each message that it is
handed as one line, a JSON list of id and content, before it answers the ping after it.
"""

from __future__ import annotations

import asyncio
import json
import sys

import msgpack

from tests.live.dialogue import packed
from tests.load.socket import LoadSocket


def write(data: bytes) -> None:
    frame = msgpack.unpackb(data)
    if frame["type"] == "message":
        line = json.dumps([frame["payload"]["id"], frame["payload"]["content"]])
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


async def main(port: int, token: str) -> None:
    socket = await LoadSocket.open("127.0.0.1", port, write)
    socket.send(packed("connect", {"sessionToken": token}))
    await socket.closed


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.stdin.readline().strip()))
