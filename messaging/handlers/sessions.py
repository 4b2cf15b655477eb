"""`register`, `login`, `connect`, `logout`: who the socket is. All four are barriers."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from accounts import authentication
from accounts.services import Grant, SessionHasEnded
from construct_site.errors import SessionExpired
from keys.registration import register as register_account
from messaging.connection import Identity
from messaging.protocol import messages
from messaging.session import SocketSession


async def register(socket: SocketSession, payload: messages.Register) -> messages.RegisterSuccess:
    grant = await register_account(
        payload.username,
        payload.password,
        payload.display_name,
        payload.public_key,
        socket.peer,
        invite_code=payload.invite_code,
        work=payload.work,
    )
    return await _enter(socket, grant, payload.receipts, messages.RegisterSuccess)


async def login(socket: SocketSession, payload: messages.Login) -> messages.LoginSuccess:
    grant = await authentication.log_in(payload.username, payload.password, socket.peer)
    return await _enter(socket, grant, payload.receipts, messages.LoginSuccess)


async def connect(
    socket: SocketSession, payload: messages.Connect
) -> messages.ConnectSuccess | messages.SessionExpired:
    try:
        grant = await authentication.resume(payload.session_token, socket.peer)
        await socket.enter(_identity(grant, payload.receipts))
    except (SessionExpired, SessionHasEnded):
        return messages.SessionExpired()
    return messages.ConnectSuccess(
        user_id=str(grant.user_id),
        username=grant.username,
        display_name=grant.display_name,
        expires=int(grant.expires_at.timestamp()),
        receipts=payload.receipts,
    )


async def logout(socket: SocketSession, payload: messages.Logout) -> messages.LogoutSuccess:
    with socket.leaving():
        ended = await authentication.log_out(payload.session_token)
        if ended is not None:
            socket.leave(ended.session_id)
    return messages.LogoutSuccess()


Entered = TypeVar("Entered", messages.RegisterSuccess, messages.LoginSuccess)


async def _enter(socket: SocketSession, grant: Grant, receipts: bool, success: type[Entered]) -> Entered:
    try:
        await socket.enter(_identity(grant, receipts))
    except BaseException:
        # Nobody learnt the token, so the session must not live on.
        await asyncio.shield(authentication.log_out(grant.token))
        raise
    return success(
        user_id=str(grant.user_id),
        username=grant.username,
        display_name=grant.display_name,
        session_token=grant.token,
        expires=int(grant.expires_at.timestamp()),
        receipts=receipts,
    )


def _identity(grant: Grant, receipts: bool) -> Identity:
    return Identity(grant.account, grant.session_id, receipts)
