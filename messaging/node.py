"""What one server process has of messaging: its mailbox, hub and relay, made together and closed together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from django.conf import settings

from construct_site.database import run_in_database_thread
from construct_site.env import Config
from construct_site.limits import get_limiter
from construct_site.logs import describe_error
from messaging import contacts
from messaging.housekeeping import keep_house
from messaging.hub import Hub
from messaging.mailbox.keyrings import key_ring, names
from messaging.mailbox.letters import Caps
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.store import get_store
from messaging.relay import Relay

log = structlog.get_logger(__name__)


class Node:
    """One per event loop. :func:`get_node` makes it; :meth:`close` ends everything it started."""

    def __init__(self) -> None:
        config: Config = settings.CONSTRUCT
        self.limiter = get_limiter()
        keys = key_ring(config)
        self._mailbox = Mailbox(
            get_store(),
            Caps(
                config.mailbox_messages,
                config.mailbox_bytes,
                config.mailbox_sender_share,
                config.mailbox_request_share,
            ),
            batch_messages=config.batch_messages,
            batch_bytes=config.batch_bytes,
        )
        self.hub = Hub(self._mailbox, keys, get_channel_layer())
        self.relay = Relay(
            mailbox=self._mailbox,
            hub=self.hub,
            keys=keys,
            names=names(config),
            count_message=self.limiter.count_message,
            now=time.time,
            accept_contact=self._accept_contact,
            doorbell_s=config.doorbell_s,
            tells_presence=config.tells_presence,
        )
        self._at_work: set[asyncio.Task[None]] = set()
        self._housekeeper = asyncio.create_task(keep_house())
        self.hub.start()

    def _accept_contact(self, user_id: UUID, peer_id: UUID) -> None:
        task = asyncio.create_task(_logged(run_in_database_thread(contacts.accept, user_id, peer_id)))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def close(self) -> None:
        _nodes.pop(asyncio.get_running_loop(), None)
        self._housekeeper.cancel()
        await asyncio.gather(self._housekeeper, *self._at_work, return_exceptions=True)
        for part in (self.hub, self._mailbox, self.limiter):
            try:
                await part.close()
            except Exception as error:  # noqa: BLE001 - the others end all the same
                log.error("not closed in order", part=type(part).__name__, error=describe_error(error))


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the next message to that person tries again
        log.warning("contact not accepted", error=describe_error(error))


_nodes: dict[asyncio.AbstractEventLoop, Node] = {}


def get_node() -> Node:
    """The node of the running event loop, made on first use: an ASGI server without start-up events will do."""
    loop = asyncio.get_running_loop()
    node = _nodes.get(loop)
    if node is None:
        node = _nodes[loop] = Node()
    return node
