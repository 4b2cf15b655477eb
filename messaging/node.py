"""What one server process has of messaging: its mailbox, hub and relay, made together and closed together."""

from __future__ import annotations

import asyncio
import base64
import time

import structlog
from channels.layers import get_channel_layer
from django.conf import settings

from construct_site.env import Config
from construct_site.limits import get_limiter
from construct_site.logs import describe_error
from messaging.housekeeping import keep_house
from messaging.hub import Hub
from messaging.mailbox.letters import Caps
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.sealing import KeyRing, Names
from messaging.mailbox.store import get_store
from messaging.relay import Relay

log = structlog.get_logger(__name__)


class Node:
    """One per event loop. :func:`get_node` makes it; :meth:`close` ends everything it started."""

    def __init__(self) -> None:
        config: Config = settings.CONSTRUCT
        self.limiter = get_limiter()
        keys = KeyRing([base64.b64decode(key) for key in config.mailbox_keys])
        self._mailbox = Mailbox(
            get_store(),
            Caps(config.mailbox_messages, config.mailbox_bytes, config.mailbox_sender_share),
            batch_messages=config.batch_messages,
            batch_bytes=config.batch_bytes,
        )
        self.hub = Hub(self._mailbox, keys, get_channel_layer())
        self.relay = Relay(
            mailbox=self._mailbox,
            hub=self.hub,
            keys=keys,
            names=Names([base64.b64decode(key) for key in (config.dedup_key, *config.further_dedup_keys)]),
            count_message=self.limiter.count_message,
            now=time.time,
            doorbell_s=config.doorbell_s,
        )
        self._housekeeper = asyncio.create_task(keep_house())
        self.hub.start()

    async def close(self) -> None:
        _nodes.pop(asyncio.get_running_loop(), None)
        self._housekeeper.cancel()
        await asyncio.gather(self._housekeeper, return_exceptions=True)
        for part in (self.hub, self._mailbox, self.limiter):
            try:
                await part.close()
            except Exception as error:  # noqa: BLE001 - the others end all the same
                log.error("not closed in order", part=type(part).__name__, error=describe_error(error))


_nodes: dict[asyncio.AbstractEventLoop, Node] = {}


def get_node() -> Node:
    """The node of the running event loop, made on first use: an ASGI server without start-up events will do."""
    loop = asyncio.get_running_loop()
    node = _nodes.get(loop)
    if node is None:
        node = _nodes[loop] = Node()
    return node
