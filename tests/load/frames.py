"""The frames of a load, encoded once. Pure.

A message's id is a UUID whose last 12 hexadecimal digits are its number, so the
client that made it finds its record by slicing the frame. The layout is the
codec's: `type` first, and the id first in the payload.
"""

from __future__ import annotations

import base64
import secrets
import time
from typing import Literal
from uuid import UUID

from messaging.protocol import codec
from messaging.protocol.messages import Ack, ChatMessage, Connect, GetPublicKey, Login, SearchUsers

CONTENT_CHARACTERS = 320
"""Base64 of a short sealed text: 240 bytes."""
_DIGITS = 12
_SAMPLE_ID = "01234567-89ab-4cde-8f01-" + "f" * _DIGITS


def message(message_id: str, sender: str, recipient: str) -> ChatMessage:
    """A short sealed text."""
    return ChatMessage(
        id=message_id,
        sender=sender,
        recipient=recipient,
        ephemeral_public_key=secrets.token_bytes(32),
        message_number=1,
        content=base64.b64encode(secrets.token_bytes(CONTENT_CHARACTERS // 4 * 3)).decode(),
        timestamp=int(time.time()),
    )


def _layout(frame: bytes) -> tuple[bytes, slice]:
    """What every frame of this type begins with, and where its number stands."""
    start = frame.index(_SAMPLE_ID.encode())
    return frame[:start], slice(start + len(_SAMPLE_ID) - _DIGITS, start + len(_SAMPLE_ID))


_NOBODY = str(UUID(int=0))
MESSAGE_PREFIX, MESSAGE_NUMBER = _layout(codec.encode(message(_SAMPLE_ID, _NOBODY, _NOBODY)))
ACK_PREFIX, ACK_NUMBER = _layout(codec.encode(Ack(message_id=_SAMPLE_ID, status="queued", timestamp=0)))


class MessageTemplate:
    """Numbered `sendMessage` frames of one sender to one recipient; only the id differs."""

    def __init__(self, sender_id: str, recipient_id: str) -> None:
        frame = codec.encode_request(message(_SAMPLE_ID, sender_id, recipient_id))
        _, number = _layout(frame)
        # Ids of two senders never meet: 22 random digits stand before the number.
        fresh = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-4{secrets.token_hex(2)[1:]}-8f01-".encode()
        self._head = frame[: number.start - len(fresh)] + fresh
        self._tail = frame[number.stop :]

    def frame(self, number: int) -> bytes:
        return b"%s%012x%s" % (self._head, number, self._tail)


def connect_frame(token: str) -> bytes:
    return codec.encode_request(Connect(session_token=token))


def login_frame(username: str, password: str) -> bytes:
    return codec.encode_request(Login(username=username, password=password))


def search_frame(query: str) -> bytes:
    return codec.encode_request(SearchUsers(query=query))


def bundle_frame(user_id: str) -> bytes:
    return codec.encode_request(GetPublicKey(user_id=user_id))


Kind = Literal["connectSuccess", "loginSuccess"]


def is_reply(frame: bytes, kind: Kind) -> bool:
    return frame.startswith(b"\x82\xa4type" + bytes((0xA0 | len(kind),)) + kind.encode())


def describe(frame: bytes) -> str:
    """The type of a frame, and an error's code or an ack's status: never its contents."""
    try:
        reply = codec.decode_reply(frame)
    except codec.InvalidFrame:
        return "unreadable frame"
    name = type(reply).__name__
    said = getattr(reply, "code", None) or getattr(reply, "status", None)
    return f"{name} {said}" if said else name
