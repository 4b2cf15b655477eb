"""A user of one Construct server, as code: requests as methods, received messages as an iterator.

Promises: every ``send`` ends with the server's ack or an exception, and is sent again
under the same id when the connection broke in between; sends leave in the order of the
calls. Every message comes out of :meth:`ConstructClient.receive` once. With receipts (the
default) the server keeps a message until the application has called
:meth:`ConstructClient.stored`.

Source: protocol contract, sections 1, 7 and 8.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from itertools import count
from types import TracebackType
from typing import Self, TypeVar

from msgspec import structs

from messaging.client.backoff import delay_s
from messaging.client.connection import Connection
from messaging.client.faults import ClientClosed, ClientFault, ConnectionLost, RequestRefused, SessionEnded
from messaging.client.inbox import Inbox
from messaging.client.work import solve
from messaging.protocol.messages import (
    Ack,
    ChatMessage,
    ClientMessage,
    Connect,
    ConnectSuccess,
    FoundUser,
    GetPublicKey,
    KeyRotationSuccess,
    Login,
    LoginSuccess,
    Logout,
    LogoutSuccess,
    Payload,
    PublicKeyBundle,
    Register,
    RegisterSuccess,
    RotatePrekey,
    SearchResults,
    SearchUsers,
)

GOING_AWAY = 1001
"""The one close code after which clients stay away (protocol contract, section 1)."""
REQUEST_S = 15.0
UNACKED_MAX = 64
"""The server works on as many requests of a socket at once."""
WAITING_MAX = 1024
WORK_BITS_MAX = 24
"""17 million hashes on average: half a minute."""
REMEMBERED_MAX = 10_000

R = TypeVar("R", bound=Payload)


class ConstructClient:
    """A client of the server at `url` (``ws://`` or ``wss://``).

    Use it as ``async with ConstructClient(url) as client``. When the connection is lost
    it connects again after a growing random delay and resumes its session; requests
    other than ``send`` that were on their way raise :class:`ConnectionLost`. Close 1001, an
    ended session, or a session that the server refuses for good end the client: from
    then on every method raises the reason.

    At most `unacked_max` sends are on their way at once, further ones wait. At most
    `waiting_max` received messages wait for the application; then reading pauses, also
    of replies. `chance` gives evenly distributed numbers from 0 to 1.
    """

    def __init__(
        self,
        url: str,
        *,
        receipts: bool = True,
        request_s: float = REQUEST_S,
        unacked_max: int = UNACKED_MAX,
        waiting_max: int = WAITING_MAX,
        work_bits_max: int = WORK_BITS_MAX,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.user_id: str | None = None
        self.session_token: str | None = None
        self._url = url
        self._receipts = receipts
        self._request_s = request_s
        self._work_bits_max = work_bits_max
        self._chance = chance
        self._inbox = Inbox(waiting_max, REMEMBERED_MAX)
        self._room = asyncio.Semaphore(unacked_max)
        self._unacked: dict[asyncio.Future[Ack], ChatMessage] = {}
        self._numbers = count(1)
        self._attempts = 0
        self._connection: Connection | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._fault: ClientFault | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Open the socket, without logging in. Raises :class:`ConnectionLost` if the first attempt fails."""
        self._connection = await self._open()
        self._ready.set()
        self._supervisor = asyncio.create_task(self._supervise(self._connection))

    async def close(self) -> None:
        """Send what is still to be sent, then close. Unacknowledged sends raise :class:`ClientClosed`."""
        await self._end(ClientClosed("the client was closed"))
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._connection:
            await self._connection.close()

    async def register(
        self,
        username: str,
        password: str,
        public_key: str,
        display_name: str | None = None,
        *,
        invite_code: str | None = None,
    ) -> RegisterSuccess:
        """Make an account and log in. `public_key` is an encoded bundle (:mod:`keys.bundle`).

        `invite_code`: where the server asks for one. Proof of work, where it asks for that,
        is found and brought, unless it would be of more than `work_bits_max` bits.
        """
        payload = Register(
            username=username,
            password=password,
            public_key=public_key,
            display_name=display_name,
            invite_code=invite_code,
            receipts=self._receipts,
        )
        try:
            success = await self._request(payload, RegisterSuccess)
        except RequestRefused as refused:
            if refused.challenge is None or refused.challenge.bits > self._work_bits_max:
                raise
            work = await solve(refused.challenge)
            success = await self._request(structs.replace(payload, work=work), RegisterSuccess)
        self._remember(success.user_id, success.session_token)
        return success

    async def login(self, username: str, password: str) -> LoginSuccess:
        payload = Login(username=username, password=password, receipts=self._receipts)
        success = await self._request(payload, LoginSuccess)
        self._remember(success.user_id, success.session_token)
        return success

    async def resume(self, session_token: str) -> ConnectSuccess:
        """Take up a session. Raises :class:`SessionEnded` if it is over; then one can still log in."""
        payload = Connect(session_token=session_token, receipts=self._receipts)
        success = await self._request(payload, ConnectSuccess)
        self._remember(success.user_id, session_token)
        return success

    async def logout(self) -> None:
        """Revoke the session. The connection stays."""
        await self._request(Logout(session_token=self.session_token or ""), LogoutSuccess)
        self.user_id = self.session_token = None

    async def search(self, query: str) -> list[FoundUser]:
        return (await self._request(SearchUsers(query=query), SearchResults)).users

    async def fetch_bundle(self, user_id: str) -> PublicKeyBundle:
        """The bundle as the server tells it: verify it before use."""
        return await self._request(GetPublicKey(user_id=user_id), PublicKeyBundle)

    async def rotate_prekey(self, update: str) -> None:
        """`update` is an encoded bundle update (:mod:`keys.bundle`)."""
        await self._request(RotatePrekey(user_id=self.user_id or "", update=update), KeyRotationSuccess)

    async def send(self, message: ChatMessage) -> Ack:
        """Send until the server has stored the message or refused it."""
        async with self._room:
            connection = self._latest_connection()
            reply: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
            self._unacked[reply] = message
            try:
                if self._ready.is_set():
                    connection.request(message, Ack, message.id, reply, is_resent=True)
                return await reply
            finally:
                del self._unacked[reply]

    async def receive(self) -> ChatMessage:
        """The next message. Call :meth:`stored` once it is safe."""
        return await self._inbox.take()

    def stored(self, message: ChatMessage) -> None:
        """The application has the message for good: the server may forget it."""
        self._inbox.mark_stored(message)
        if self._connection:
            self._connection.confirm(message.id)

    async def messages(self) -> AsyncIterator[ChatMessage]:
        """Every message in turn; asking for the next says that the last is stored. Ends with `close`."""
        while True:
            try:
                message = await self.receive()
            except ClientClosed:
                return
            yield message
            self.stored(message)

    def _remember(self, user_id: str, session_token: str) -> None:
        self.user_id, self.session_token = user_id, session_token
        self._attempts = 0

    def _latest_connection(self) -> Connection:
        if self._fault:
            raise self._fault
        if self._connection is None:
            raise ClientClosed("the client is not connected")
        return self._connection

    async def _request(self, payload: ClientMessage, expects: type[R]) -> R:
        self._latest_connection()
        await self._ready.wait()
        return await self._request_on(self._latest_connection(), payload, expects)

    async def _request_on(self, connection: Connection, payload: ClientMessage, expects: type[R]) -> R:
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        connection.request(payload, expects, str(next(self._numbers)), reply)
        return await reply

    async def _open(self) -> Connection:
        return await Connection.open(self._url, self._inbox.put, self._request_s)

    async def _supervise(self, connection: Connection) -> None:
        """Keep a connection until the client is closed or there is no point in another one."""
        try:
            while True:
                code = await connection.ended()
                self._ready.clear()
                if connection.is_session_over:
                    raise SessionEnded("the server ended the session")
                if code == GOING_AWAY:
                    raise ConnectionLost("the server is going away")
                connection = await self._reconnect()
        except ClientFault as fault:
            await self._end(fault)

    async def _reconnect(self) -> Connection:
        """A connection that is logged in again, if it was. Raises what makes a further attempt pointless."""
        while True:
            await asyncio.sleep(delay_s(self._attempts, self._chance()))
            self._attempts += 1
            try:
                # Kept before it is of use, so that closing the client closes it.
                self._connection = await self._open()
                await self._resume_on(self._connection)
            except ConnectionLost:
                continue
            return self._connection

    async def _resume_on(self, connection: Connection) -> None:
        if self.session_token is not None:
            try:
                await self._request_on(
                    connection,
                    Connect(session_token=self.session_token, receipts=self._receipts),
                    ConnectSuccess,
                )
            except (RequestRefused, SessionEnded) as fault:
                await connection.close()
                if isinstance(fault, RequestRefused) and fault.may_retry:
                    raise ConnectionLost(fault.text) from fault
                raise
            self._attempts = 0
        # Without a pause up to here: no newer send may come before these.
        for reply, message in self._unacked.items():
            connection.request(message, Ack, message.id, reply, is_resent=True)
        self._ready.set()

    async def _end(self, fault: ClientFault) -> None:
        self._fault = self._fault or fault
        self._ready.set()
        for reply in list(self._unacked):
            if not reply.done():
                reply.set_exception(self._fault)
        await self._inbox.end(self._fault)
