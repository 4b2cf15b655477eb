"""Who a socket is, as its handlers see and change it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from accounts.peers import Peer
from construct_site.errors import ConstructError, ErrorCode
from messaging.connection import Connection, Identity, Socket
from messaging.node import Node


class SocketSession:
    """The identity of one socket over time: nobody, a user, another user."""

    def __init__(self, socket: Socket, peer: Peer, node: Node) -> None:
        self.peer = peer
        self.node = node
        self._socket = socket
        self._connection: Connection | None = None

    @property
    def is_authenticated(self) -> bool:
        return self._connection is not None

    @property
    def connection(self) -> Connection:
        """The routed connection. Raises ``ConstructError(AUTH_REQUIRED)``."""
        if self._connection is None:
            raise ConstructError(ErrorCode.AUTH_REQUIRED)
        return self._connection

    @property
    def user_id(self) -> UUID:
        """Raises ``ConstructError(AUTH_REQUIRED)``."""
        return self.connection.user_id

    async def enter(self, identity: Identity) -> None:
        """Become `identity`: the former one leaves all routing, the new one is routed.

        Nothing is delivered before :meth:`begin_delivery`. Raises ``ConstructError``:
        TOO_MANY_CONNECTIONS, and as :meth:`Hub.check`; then nothing has changed.
        """
        is_same_user = self._connection is not None and self._connection.user_id == identity.user_id
        if not is_same_user:
            await self.node.hub.admit(identity.user_id)
        connection = Connection(identity, self._socket, self.node.hub)
        try:
            await self.node.hub.attach(connection)
            await self.node.hub.check(connection)
        except BaseException:
            self.node.hub.detach(connection)
            raise
        self.end()
        self._connection = connection

    def begin_delivery(self) -> None:
        """The success frame was written: messages may follow."""
        if self._connection is not None:
            self._connection.begin()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """While a session of this socket may be ended by its own wish, its end is not news to it."""
        connection = self._connection
        if connection is None:
            yield
            return
        connection.is_leaving = True
        try:
            yield
        finally:
            connection.is_leaving = False
            if connection.has_ended and connection is self._connection:
                connection.expire()

    def leave(self, session_id: UUID) -> None:
        """That session was logged out; if it is this socket's, the socket is nobody's again."""
        if self._connection is not None and self._connection.session_id == session_id:
            self.end()

    def end(self) -> None:
        """Leave all routing."""
        if self._connection is not None:
            self.node.hub.detach(self._connection)
            self._connection = None
