"""What one server process has of messaging: its mailbox, hub and relay, made together and closed together."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from django.conf import settings

from construct_site.database import run_in_database_thread
from construct_site.env import Config
from construct_site.errors import ConstructError
from construct_site.limits import get_limiter
from construct_site.logs import describe_error
from construct_site.metrics.flusher import Flusher
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
        self._accepting: dict[tuple[UUID, UUID], asyncio.Task[None]] = {}
        self._housekeeper = asyncio.create_task(keep_house())
        self._flusher = Flusher(lambda: self.hub.connections)
        self._flusher.start()
        self.hub.start()

    def _accept_contact(self, user_id: UUID, peer_id: UUID) -> None:
        people = (user_id, peer_id)
        if people not in self._accepting:
            task = self._accepting[people] = asyncio.create_task(_accept(user_id, peer_id))
            task.add_done_callback(lambda _task: self._accepting.pop(people))

    async def close(self) -> None:
        _nodes.pop(asyncio.get_running_loop(), None)
        self._housekeeper.cancel()
        await asyncio.gather(self._housekeeper, return_exceptions=True)
        for part in (self.hub, self._mailbox, self.limiter):
            try:
                await part.close()
            except Exception as error:  # noqa: BLE001 - the others end all the same
                log.error("not closed in order", part=type(part).__name__, error=describe_error(error))
        # The mailbox announces no more.
        await asyncio.gather(*self._accepting.values())
        # The others count until they end.
        await self._flusher.close()


async def _accept(user_id: UUID, peer_id: UUID) -> None:
    try:
        await run_in_database_thread(contacts.accept, user_id, peer_id)
    except ConstructError:
        # Either is gone, or the user has accepted as many as can be.
        return
    except Exception as error:  # noqa: BLE001 - the next message to that person, or the same again, tries again
        log.warning("contact not accepted", error=describe_error(error))


_nodes: dict[asyncio.AbstractEventLoop, Node] = {}


def get_node() -> Node:
    """The node of the running event loop, made on first use: an ASGI server without start-up events will do."""
    loop = asyncio.get_running_loop()
    node = _nodes.get(loop)
    if node is None:
        node = _nodes[loop] = Node()
    return node
