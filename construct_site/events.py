"""Events: what a service tells live sockets, on commit.

The database is the truth and the event only faster: a process that misses one
learns the same from its next look at the database.

A service calls :func:`send_on_commit`. A server process registers its hub with
:func:`listen`; the hub acts on its own sockets and passes the event on to the
other processes through the channel layer. A process without a hub (a command)
sends straight to the channel layer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

log = structlog.get_logger(__name__)


class SessionsEnded(msgspec.Struct, frozen=True, tag="sessions_ended", tag_field="type"):
    """Sessions were revoked: their sockets get ``sessionExpired`` and close 4401. ``None``: all of the user's."""

    user_id: UUID
    session_ids: tuple[UUID, ...] | None = None


class AccountSuspended(msgspec.Struct, frozen=True, tag="account_suspended", tag_field="type"):
    """The account may not be used: its sockets get an ``error`` with this text and close 4403."""

    user_id: UUID
    text: str


class AccountApproved(msgspec.Struct, frozen=True, tag="account_approved", tag_field="type"):
    """A moderator approved the account: its sockets may send from now on."""

    user_id: UUID


class AccountLimited(msgspec.Struct, frozen=True, tag="account_limited", tag_field="type"):
    """The account has another limit: it holds for its sockets from now on. None: the server's."""

    user_id: UUID
    messages_per_hour: int | None


class MailboxReleased(msgspec.Struct, frozen=True, tag="mailbox_released", tag_field="type"):
    """Message requests of the user may be handed over: connections look at the mailbox."""

    user_id: UUID


class SenderBlocked(msgspec.Struct, frozen=True, tag="sender_blocked", tag_field="type"):
    """The user blocked somebody: what connections keep of them is not written any more."""

    user_id: UUID
    sender_id: UUID


Event = SessionsEnded | AccountSuspended | AccountApproved | AccountLimited | MailboxReleased | SenderBlocked
Listener = Callable[[Event], None]

_listeners: dict[asyncio.AbstractEventLoop, Listener] = {}


def user_group(user_id: UUID) -> str:
    """The channel-layer group of the processes that hold a socket of this user."""
    return f"user.{user_id.hex}"


def listen(listener: Listener) -> None:
    """Have `listener` called in the running event loop for every event sent in this process."""
    _listeners[asyncio.get_running_loop()] = listener


def stop_listening() -> None:
    _listeners.pop(asyncio.get_running_loop(), None)


def send_on_commit(event: Event) -> None:
    """Send once the current transaction commits (at once without one). Never raises into the caller's commit."""
    transaction.on_commit(partial(_send, event), robust=True)


def as_layer_message(event: Event) -> dict[str, Any]:
    return {"type": "event", "event": msgspec.to_builtins(event)}


def from_layer_message(message: dict[str, Any]) -> Event:
    event: Event = msgspec.convert(message["event"], Event)
    return event


def _send(event: Event) -> None:
    if _listeners:
        for loop, listener in list(_listeners.items()):
            loop.call_soon_threadsafe(listener, event)
        return
    layer = get_channel_layer()
    try:
        async_to_sync(layer.group_send)(user_group(event.user_id), as_layer_message(event))
    except Exception as error:  # noqa: BLE001 - whatever the layer raises, the change is committed
        log.warning("event not sent", error=type(error).__name__)
