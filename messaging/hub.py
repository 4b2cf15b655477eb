"""The hub: one per process, the live connections and the way to them.

It owns one channel of the channel layer and joins the group of each user who
has a connection here, so any number of sockets costs one subscription a user.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
import structlog
from channels.layers import BaseChannelLayer
from django.conf import settings

from accounts import services as accounts
from accounts.policy import Account
from accounts.services import SessionIdentity
from construct_site import events
from construct_site.batching import Batcher
from construct_site.database import run_in_database_thread
from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import (
    AccountApproved,
    AccountLimited,
    AccountSuspended,
    Event,
    MailboxReleased,
    SenderBlocked,
    SessionsEnded,
    user_group,
)
from construct_site.logs import describe_error
from messaging.connection import Connection
from messaging.doorbell import Doorbell
from messaging.layer import as_ring_layer
from messaging.mailbox.letters import Page
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.sealing import KeyRing, Unreadable
from messaging.rung import RungRows
from messaging.subscriptions import Subscriptions

log = structlog.get_logger(__name__)

_PROBE_S = 2.0
_SWEEP_USERS = 500
"""Users of one query of the sweep."""
_NOBODY = UUID(int=0)
"""No user has this id: no process is in its group."""


class Hub:
    """Connections of this process by user; hand-over, doorbell, confirmation."""

    def __init__(self, mailbox: Mailbox, keys: KeyRing, layer: BaseChannelLayer) -> None:
        self._mailbox = mailbox
        self._keys = keys
        self._layer = layer
        self._node = secrets.token_hex(8)
        self._connections: dict[UUID, list[Connection]] = {}
        self._confirming: dict[UUID, set[int]] = {}
        ring_layer = as_ring_layer(layer)
        self._doorbell = Doorbell(ring_layer) if ring_layer else None
        self._subscriptions = (
            Subscriptions(self._subscribe, self._unsubscribe, self._ring_self) if ring_layer else None
        )
        self._ring_layer = ring_layer
        self._rung_rows = RungRows(mailbox.confirm)
        self._has_waiting = Batcher(self._who_has_waiting, most=_SWEEP_USERS)
        self._has_become = Batcher(_what_became, most=_SWEEP_USERS)
        self._channel: str | None = None
        self._channel_opening = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None
        self._joiner: asyncio.Task[None] | None = None
        self._resyncer: asyncio.Task[None] | None = None

    def start(self) -> None:
        events.listen(self._on_local_event)
        if self._ring_layer is not None:
            self._ring_layer.listen(self._on_layer_message, self._on_layer_restored)
        self._sweeper = asyncio.create_task(self._sweep_again_and_again())

    async def close(self) -> None:
        events.stop_listening()
        for task in (self._sweeper, self._joiner, self._resyncer):
            # More than once: redis-py loses a cancellation that meets it while it connects.
            while task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.5)
        if self._subscriptions is not None:
            await self._subscriptions.close()
        if self._doorbell is not None:
            await self._doorbell.close()
            await self._layer.flush()
        self._rung_rows.release_all()

    @property
    def connections(self) -> int:
        """Authenticated sockets of this process."""
        return sum(map(len, self._connections.values()))

    # Coming and going

    async def admit(self, user_id: UUID) -> None:
        """Make sure that the user may have one more connection.

        At the cap all of the user's connections are pinged; those silent for 2 s
        go, unless the server cannot ping. Raises ``ConstructError(TOO_MANY_CONNECTIONS)`` if none did.
        """
        config: Config = settings.CONSTRUCT
        present = self._connections.get(user_id, [])
        if not config.limits_on or len(present) < config.connections_per_user:
            return
        asked_at = asyncio.get_running_loop().time()
        for connection in present:
            connection.probe()
        await asyncio.sleep(_PROBE_S)
        for connection in list(self._connections.get(user_id, [])):
            if connection.is_silent_since(asked_at):
                connection.give_up()
        if len(self._connections.get(user_id, [])) >= config.connections_per_user:
            raise ConstructError(ErrorCode.TOO_MANY_CONNECTIONS)

    async def attach(self, connection: Connection) -> None:
        """Route to this connection from now on, on every process.

        With the channel layer away the connection is attached all the same.
        """
        present = self._connections.setdefault(connection.user_id, [])
        present.append(connection)
        if self._subscriptions is not None:
            await self._subscriptions.join(connection.user_id)

    async def check(self, connection: Connection) -> None:
        """Learn what no event told the connection, since it was committed before :meth:`attach`.

        Raises ``ConstructError``, as :func:`accounts.services.check_sessions` tells it, if the session
        has ended or the account is suspended, and ``django.db.Error``.
        """
        before = connection.account
        _take_account(connection, before, await self._has_become.call(_session_of(connection)))

    def detach(self, connection: Connection) -> None:
        """Route to it no more. What it did not confirm waits for the next connection."""
        connection.detach()
        present = self._connections.get(connection.user_id, [])
        if connection in present:
            present.remove(connection)
            if not present:
                del self._connections[connection.user_id]
                if self._subscriptions is not None:
                    self._subscriptions.leave(connection.user_id)

    # Messages

    def hand_over(
        self, recipient_id: UUID, row_id: int, previous_id: int, frame: bytes, *, is_unheard: bool = False
    ) -> bool:
        """Offer a stored message to the recipient's connections here. Returns whether one took it."""
        # A copy: who cannot keep it closes, and leaves the list.
        offered = [
            connection.offer(row_id, previous_id, frame, is_unheard=is_unheard)
            for connection in tuple(self._connections.get(recipient_id, ()))
        ]
        return any(offered)

    def ring(
        self,
        recipient_id: UUID,
        row_id: int,
        previous_id: int,
        name: bytes,
        sealed: bytes,
        *,
        is_unheard: bool = False,
    ) -> asyncio.Future[int] | None:
        """Ring the other processes. The future gives how many of them have the recipient; ``None``: there are none."""
        ring = {"type": "ring", "row": row_id, "previous": previous_id, "name": name, "frame": sealed}
        heard = self._ring(recipient_id, {**ring, "unheard": is_unheard})
        if heard is not None:
            self._rung_rows.note(row_id, heard, own=int(self.is_here(recipient_id)))
        return heard

    def remind(self, recipient_id: UUID, row_id: int) -> tuple[bool, asyncio.Future[int] | None]:
        """A waiting message was sent again: have every connection look.

        Returns whether one here has it in its window, and the ring as in :meth:`ring`.
        """
        present = self._connections.get(recipient_id, ())
        for connection in present:
            if not connection.has_been_handed(row_id):
                connection.look()
        has_it = any(connection.has_been_handed(row_id) for connection in present)
        return has_it, self._ring(recipient_id, {"type": "look"})

    def ring_nobody(self, sealed: bytes = b"") -> asyncio.Future[int] | None:
        """What :meth:`ring` does for a user who has no connection anywhere, in the same time.

        For a message request, whose ack must be that of somebody offline. Without `sealed` it is as :meth:`remind`.
        """
        return self._ring(_NOBODY, {"type": "look", "frame": sealed})

    def _ring(self, recipient_id: UUID, message: dict[str, Any]) -> asyncio.Future[int] | None:
        if self._doorbell is None:
            return None
        return self._doorbell.ring(
            user_group(recipient_id), {**message, "node": self._node, "user": recipient_id.bytes}
        )

    def is_here(self, user_id: UUID) -> bool:
        """The user has a connection in this process: a ring counts it too."""
        return user_id in self._connections

    # What connections ask for

    async def page(self, connection: Connection, messages: int, size: int) -> Page:
        """The oldest rows that the connection was not handed and did not leave. Raises ``django.db.Error``."""
        # When everybody comes back at once, one query tells for whom nothing waits: for most.
        if not connection.not_to_page and not await self._has_waiting.call(connection.user_id):
            return Page([], is_last=True)
        # What another connection's client has confirmed is on its way to the disk.
        known = {*connection.not_to_page, *self._confirming.get(connection.user_id, ())}
        return await self._mailbox.page(connection.user_id, known, messages, size)

    async def _who_has_waiting(self, users: Sequence[UUID]) -> list[bool | Exception]:
        having = await self._mailbox.having_waiting(users)
        return [user in having for user in users]

    def read(self, user_id: UUID, name: bytes, sealed: bytes) -> bytes | None:
        """The `message` frame; ``None`` if its key is gone."""
        try:
            return self._keys.decrypt(sealed, user_id.bytes, name)
        except Unreadable:
            return None

    async def discard(self, row_ids: list[int]) -> None:
        """Remove rows that cannot be read: they would fill the mailbox for nothing."""
        await self._mailbox.discard(row_ids)
        log.error("unreadable messages removed", rows=len(row_ids))

    def confirm(self, connection: Connection, row_ids: Iterable[int]) -> None:
        rows = list(row_ids)
        self._confirming.setdefault(connection.user_id, set()).update(rows)
        self._rung_rows.confirm(rows, partial(self._on_stub, connection))

    def _on_stub(self, connection: Connection, row_id: int) -> None:
        connection.forget(row_id)
        confirming = self._confirming.get(connection.user_id)
        if confirming is not None:
            confirming.discard(row_id)
            if not confirming:
                del self._confirming[connection.user_id]

    # The channel layer

    async def _subscribe(self, users: Sequence[UUID]) -> None:
        if self._ring_layer is not None:
            await self._ring_layer.join_many([user_group(user) for user in users], await self._own_channel())

    async def _unsubscribe(self, users: Sequence[UUID]) -> None:
        gone = [user_group(user) for user in users if user not in self._connections]
        if self._ring_layer is not None and self._channel is not None and gone:
            await self._ring_layer.leave_many(gone, self._channel)

    def _ring_self(self, user_id: UUID) -> None:
        self._ring(user_id, {"type": "joined"})

    async def _own_channel(self) -> str:
        # One channel, whoever asks first: what groups send to a second one nobody would receive.
        async with self._channel_opening:
            if self._channel is None:
                self._channel = await self._layer.new_channel()
            return self._channel

    def _on_layer_message(self, message: dict[str, Any]) -> None:
        try:
            self._take_ring(message)
        except Exception as error:  # noqa: BLE001 - another version's message must not end the receiving
            log.error("layer message not understood", error=describe_error(error))

    def _take_ring(self, message: dict[str, Any]) -> None:
        if message["type"] == "joined":
            if message["node"] == self._node and self._subscriptions is not None:
                self._subscriptions.echo(UUID(bytes=message["user"]))
            return
        if message.get("node") == self._node:
            return
        if message["type"] == "event":
            self._apply(events.from_layer_message(message))
            return
        user_id = UUID(bytes=message["user"])
        present = self._connections.get(user_id, ())
        if message["type"] == "ring" and present:
            frame = self.read(user_id, message["name"], message["frame"])
            if frame is not None:
                self.hand_over(
                    user_id,
                    message["row"],
                    message["previous"],
                    frame,
                    is_unheard=message.get("unheard", False),
                )
                return
        for connection in present:
            connection.look()

    def _on_layer_restored(self) -> None:
        """Rings were lost while the layer was away."""
        if self._subscriptions is not None and (self._resyncer is None or self._resyncer.done()):
            self._resyncer = asyncio.create_task(self._resync(self._subscriptions))

    async def _resync(self, subscriptions: Subscriptions) -> None:
        """Once rings reach this process again, look for what they missed: at once, not with the next sweep."""
        while user_id := next(iter(self._connections), None):
            if await subscriptions.are_in_force(user_id):
                break
        await self._try_to_sweep()

    # The sweep

    async def _sweep_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(settings.CONSTRUCT.sweep_s)
            await self._try_to_sweep()

    async def _try_to_sweep(self) -> None:
        try:
            await self.sweep()
        except Exception as error:  # noqa: BLE001 - the next sweep comes, whatever failed
            log.warning("sweep failed", error=describe_error(error))

    async def sweep(self) -> None:
        """Make good what rings and events missed: the database is the truth, they are only faster.

        Connections of ended sessions end; accounts that were approved or limited are known as such; connections that
        believe to have everything, and do not, look; groups that could not be joined are joined.
        Raises ``django.db.Error``.
        """
        for users in batched(list(self._connections), _SWEEP_USERS):
            await self._compare_with_sessions(users)
            await self._look_where_more_waits(users)
        if self._subscriptions is not None and (self._joiner is None or self._joiner.done()):
            self._joiner = asyncio.create_task(self._join_all(self._subscriptions))

    async def _join_all(self, subscriptions: Subscriptions) -> None:
        """Join the groups that are not; apart from the sweep, because each try takes 1 s while the layer is away."""
        missing = [user for user in self._connections if not subscriptions.is_joined(user)]
        for users in batched(missing, _SWEEP_USERS):
            await asyncio.gather(*(subscriptions.join(user) for user in users if user in self._connections))

    async def _compare_with_sessions(self, users: Sequence[UUID]) -> None:
        connections = [connection for user in users for connection in self._connections.get(user, ())]
        known = [connection.account for connection in connections]
        found = await _what_became([_session_of(connection) for connection in connections])
        for connection, before, account in zip(connections, known, found, strict=True):
            if not isinstance(account, ConstructError):
                _take_account(connection, before, account)
            elif connection.is_attached and account.code is ErrorCode.ACCOUNT_SUSPENDED:
                connection.suspend(account.text)
            elif connection.is_attached:
                connection.expire()

    async def _look_where_more_waits(self, users: Sequence[UUID]) -> None:
        settled = [user for user in users if any(each.knows_all for each in self._connections.get(user, ()))]
        for user, (messages, newest_id) in (await self._mailbox.waiting(settled)).items():
            for connection in self._connections.get(user, ()):
                connection.compare(messages, newest_id)

    # Events

    def _on_local_event(self, event: Event) -> None:
        self._apply(event)
        if self._doorbell is not None:
            self._doorbell.ring(
                user_group(event.user_id), {**events.as_layer_message(event), "node": self._node}
            )

    def _apply(self, event: Event) -> None:
        match event:
            case SessionsEnded(user_id=user_id, session_ids=session_ids):
                for connection in list(self._connections.get(user_id, ())):
                    if session_ids is None or connection.session_id in session_ids:
                        connection.expire()
            case AccountSuspended(user_id=user_id, text=text):
                for connection in list(self._connections.get(user_id, ())):
                    connection.suspend(text)
            case AccountApproved(user_id=user_id):
                self._change_account(user_id, is_approved=True)
            case AccountLimited(user_id=user_id, messages_per_hour=messages_per_hour):
                self._change_account(user_id, messages_per_hour=messages_per_hour)
            case MailboxReleased(user_id=user_id):
                for connection in self._connections.get(user_id, ()):
                    connection.look()
            case SenderBlocked(user_id=user_id, sender_id=sender_id):
                for connection in self._connections.get(user_id, ()):
                    connection.silence(sender_id)

    def _change_account(self, user_id: UUID, **changes: Any) -> None:
        for connection in self._connections.get(user_id, ()):
            connection.account = msgspec.structs.replace(connection.account, **changes)


async def _what_became(sessions: Sequence[SessionIdentity]) -> list[Account | ConstructError]:
    return await run_in_database_thread(accounts.check_sessions, sessions)


def _session_of(connection: Connection) -> SessionIdentity:
    return SessionIdentity(connection.user_id, connection.session_id)


def _take_account(connection: Connection, before: Account, read: Account) -> None:
    # What an event brought meanwhile is newer than what was read, or the next sweep reads it.
    if read != before and connection.account is before:
        connection.account = read


def batched(users: Sequence[UUID], size: int) -> Iterator[list[UUID]]:
    """`users` in lists of at most `size`."""
    rest = iter(users)
    while batch := list(islice(rest, size)):
        yield batch
