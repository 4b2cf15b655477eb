"""Sending: policy → mailbox → hand-over and doorbell → ack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from construct_site.errors import ConstructError, ErrorCode
from messaging.hub import Hub
from messaging.mailbox.letters import Letter, Outcome, Verdict
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.sealing import KeyRing, Names
from messaging.protocol import codec
from messaging.protocol.messages import Ack, ChatMessage

_REFUSALS = {
    Verdict.CONFLICTING: ErrorCode.DUPLICATE_MESSAGE,
    Verdict.UNKNOWN_RECIPIENT: ErrorCode.USER_NOT_FOUND,
    Verdict.FULL: ErrorCode.MAILBOX_FULL,
}


@dataclass(frozen=True, slots=True)
class Relay:
    """Takes messages from authenticated senders. One per process."""

    mailbox: Mailbox
    hub: Hub
    keys: KeyRing
    names: Names
    count_message: Callable[[UUID], None]
    """Counts one message of a user; raises over the limit."""
    now: Callable[[], datetime]
    doorbell_s: float
    """Longest wait for other processes before the ack says `queued`."""

    async def send(self, sender_id: UUID, message: ChatMessage) -> Ack:
        """Store a message and say so.

        The ack means that the message is on disk. Raises ``ConstructError``:
        FORBIDDEN (``from`` is not the sender; before any look-up), the message
        limits, DUPLICATE_MESSAGE, USER_NOT_FOUND, MAILBOX_FULL, QUEUE_FAILED.
        """
        if message.ids.sender != sender_id:
            raise ConstructError(ErrorCode.FORBIDDEN, "A message can only be sent from your own account.")
        self.count_message(sender_id)
        frame = codec.encode(message)
        letter = self._letter(message, frame)
        delivery = _Delivery(self.hub, letter, frame)
        outcome = await self.mailbox.put(letter, delivery.start)
        if refusal := _REFUSALS.get(outcome.verdict):
            raise ConstructError(refusal)
        if outcome.verdict is Verdict.REPEATED:
            delivery.remind(outcome)
        has_arrived = outcome.verdict is Verdict.CONFIRMED or await delivery.is_taken(self.doorbell_s)
        status: Literal["delivered", "queued"] = "delivered" if has_arrived else "queued"
        return Ack(message_id=message.id, status=status, timestamp=int(self.now().timestamp()))

    def _letter(self, message: ChatMessage, frame: bytes) -> Letter:
        ids = message.ids
        sender, recipient = ids.sender.bytes, ids.recipient.bytes
        current, *further = self.names.digests(
            sender=sender,
            recipient=recipient,
            message_id=ids.message.bytes,
            ephemeral_public_key=message.ephemeral_public_key,
            message_number=message.message_number,
            content=message.content,
        )
        return Letter(
            recipient_id=ids.recipient,
            name=current.name,
            body=current.body,
            pair=current.pair,
            sealed=self.keys.encrypt(frame, recipient, current.name),
            further=tuple(further),
        )


class _Delivery:
    """The way of one stored message to its recipient's connections."""

    def __init__(self, hub: Hub, letter: Letter, frame: bytes) -> None:
        self._hub = hub
        self._letter = letter
        self._frame = frame
        self._is_handed_here = False
        self._heard: asyncio.Future[int] | None = None

    def start(self, outcome: Outcome) -> None:
        """Right after the commit, in commit order."""
        recipient_id = self._letter.recipient_id
        self._is_handed_here = self._hub.hand_over(
            recipient_id, outcome.row_id, outcome.previous_id, self._frame
        )
        self._heard = self._hub.ring(
            recipient_id, outcome.row_id, outcome.previous_id, self._letter.name, self._letter.sealed
        )

    def remind(self, outcome: Outcome) -> None:
        """The message waits since an earlier send."""
        self._is_handed_here, self._heard = self._hub.remind(self._letter.recipient_id, outcome.row_id)

    async def is_taken(self, wait_s: float) -> bool:
        """Whether a live connection, here or elsewhere, was handed the message; what is not known in time is no."""
        if self._is_handed_here or self._heard is None:
            return self._is_handed_here
        await asyncio.wait([self._heard], timeout=wait_s)
        own = 1 if self._hub.is_here(self._letter.recipient_id) else 0
        return self._heard.done() and self._heard.result() > own
