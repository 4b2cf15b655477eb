"""Sending what the policy allowed: limits → mailbox → hand-over and doorbell → ack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from construct_site.errors import ConstructError, ErrorCode
from construct_site.metrics.collector import count
from construct_site.metrics.table import Metric
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
    count_message: Callable[[UUID, int | None], None]
    """Counts one message of a user; raises over the hourly limit: the given one, or without one the server's."""
    now: Callable[[], float]
    """Unix seconds."""
    accept_contact: Callable[[UUID, UUID], None]
    """Lets the second user write to the first, soon; never raises."""
    doorbell_s: float
    """Longest wait for other processes before the ack says `queued`."""
    tells_presence: bool
    """Whether an ack may say `delivered`."""

    def send(self, sender_id: UUID, message: ChatMessage, per_hour: int | None = None) -> asyncio.Future[Ack]:
        """Store a message and say so. Nothing waits for a task of its own: this is the hot path.

        `per_hour`: the policy's limit for this sender, in the place of the server's.
        The ack means that the message is on disk. Raises ``ConstructError`` at once:
        FORBIDDEN (``from`` is not the sender; before any look-up), the message limits.
        The future raises DUPLICATE_MESSAGE, USER_NOT_FOUND, MAILBOX_FULL, QUEUE_FAILED;
        who cancels it gives up the message, unless its commit is under way.
        """
        if message.ids.sender != sender_id:
            raise ConstructError(ErrorCode.FORBIDDEN, "A message can only be sent from your own account.")
        self.count_message(sender_id, per_hour)
        frame = codec.encode(message)
        delivery = _Delivery(self, self._letter(message, frame), message.id, frame)
        put = self.mailbox.put(delivery.letter, delivery.announce)
        put.add_done_callback(delivery.finish)
        delivery.ack.add_done_callback(partial(_give_up, put))
        return delivery.ack

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
            sender_id=ids.sender,
            name=current.name,
            body=current.body,
            pair=current.pair,
            sealed=self.keys.encrypt(frame, recipient, current.name),
            further=tuple(further),
        )


class _Delivery:
    """The way of one message: to the disk, to its recipient's connections, and back to its sender."""

    __slots__ = ("_frame", "_has_arrived", "_heard", "_message_id", "_relay", "ack", "letter")

    def __init__(self, relay: Relay, letter: Letter, message_id: str, frame: bytes) -> None:
        self.letter = letter
        self.ack: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._relay = relay
        self._message_id = message_id
        self._frame = frame
        self._has_arrived = False
        self._heard: asyncio.Future[int] | None = None

    def announce(self, outcome: Outcome) -> None:
        """Right after the commit, in commit order, whether anybody waits for the ack or not."""
        count(Metric.MESSAGES_RELAYED)
        letter, hub = self.letter, self._relay.hub
        self._accept(outcome)
        if outcome.is_request:
            self._heard = hub.ring_nobody(letter.sealed)
            return
        recipient_id, row_id, previous_id = letter.recipient_id, outcome.row_id, outcome.previous_id
        is_unheard = outcome.is_unheard
        self._has_arrived = hub.hand_over(
            recipient_id, row_id, previous_id, self._frame, is_unheard=is_unheard
        )
        self._heard = hub.ring(
            recipient_id, row_id, previous_id, letter.name, letter.sealed, is_unheard=is_unheard
        )

    def _accept(self, outcome: Outcome) -> None:
        if outcome.accepts_recipient:
            self._relay.accept_contact(self.letter.sender_id, self.letter.recipient_id)

    def finish(self, put: asyncio.Future[Outcome]) -> None:
        """The outcome is known: refuse, or ack as soon as it is known whether a live connection has the message."""
        if self.ack.done():
            return
        if put.cancelled():
            self.ack.cancel()
        elif (error := put.exception()) is not None:
            self.ack.set_exception(error)
        elif refusal := _REFUSALS.get(put.result().verdict):
            self.ack.set_exception(ConstructError(refusal))
        else:
            self._acknowledge(put.result())

    def _acknowledge(self, outcome: Outcome) -> None:
        if outcome.verdict is not Verdict.STORED:
            # The process may have ended between the commit and the acceptance.
            self._accept(outcome)
        if outcome.verdict is Verdict.REPEATED:
            # It waits since an earlier send.
            if outcome.is_request:
                self._heard = self._relay.hub.ring_nobody()
            else:
                self._has_arrived, self._heard = self._relay.hub.remind(
                    self.letter.recipient_id, outcome.row_id
                )
        elif outcome.verdict is Verdict.CONFIRMED:
            self._has_arrived = True
        heard = self._heard if self._relay.tells_presence else None
        if self._has_arrived or heard is None or heard.done():
            self._set_ack()
            return
        timer = self.ack.get_loop().call_later(self._relay.doorbell_s, self._set_ack)
        heard.add_done_callback(lambda _heard: self._set_ack())
        self.ack.add_done_callback(lambda _ack: timer.cancel())

    def _set_ack(self) -> None:
        if self.ack.done():
            return
        is_delivered = self._relay.tells_presence and (self._has_arrived or self._is_heard())
        self.ack.set_result(
            Ack(
                message_id=self._message_id,
                status="delivered" if is_delivered else "queued",
                timestamp=int(self._relay.now()),
            )
        )

    def _is_heard(self) -> bool:
        """Whether another process has a live connection of the recipient; what is not known by now is no."""
        own = 1 if self._relay.hub.is_here(self.letter.recipient_id) else 0
        return self._heard is not None and self._heard.done() and self._heard.result() > own


def _give_up(put: asyncio.Future[Outcome], ack: asyncio.Future[Ack]) -> None:
    if ack.cancelled():
        put.cancel()
