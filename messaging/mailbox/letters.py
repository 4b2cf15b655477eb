"""What goes into the mailbox and what comes out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

import msgspec


class Digests(NamedTuple):
    """What a message is recognised by under one dedup key: keyed hashes of 16 bytes."""

    name: bytes
    """Of sender, recipient and id: names the message."""
    body: bytes
    """Of ephemeral key, number and content: tells a repeat from another message of that name."""
    pair: bytes
    """Of sender and recipient."""


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A message on its way into the mailbox. `name`, `body` and `pair` are its digests under the current key."""

    recipient_id: UUID
    sender_id: UUID
    """Decides whether the recipient hears it; not stored."""
    name: bytes
    body: bytes
    pair: bytes
    sealed: bytes
    """The `message` frame, encrypted."""
    further: tuple[Digests, ...] = ()
    """Its digests under the further keys, while the dedup key is rotated."""


class Verdict(Enum):
    """What became of a letter."""

    STORED = auto()
    REPEATED = auto()
    """The same message waits already."""
    CONFIRMED = auto()
    """The same message was stored before and has been confirmed."""
    CONFLICTING = auto()
    """Another message has this name."""
    UNKNOWN_RECIPIENT = auto()
    FULL = auto()


class Outcome(msgspec.Struct, frozen=True, gc=False):
    verdict: Verdict
    row_id: int = 0
    """The row, where the message waits."""
    previous_id: int = 0
    """For a stored letter: the newest row of the same pair that waited when it was stored; 0: none did."""
    is_request: bool = False
    """The row waits until the recipient accepts the sender: no connection is handed it."""
    is_unheard: bool = False
    """For a stored letter: the recipient blocked the sender. Connections are handed it and do not write it."""
    accepts_recipient: bool = False
    """For a stored letter: the sender lets accepted people alone write, and the recipient is not one of them yet."""


def judge_repeat(row_id: int, *, is_same_body: bool, waits: bool, is_request: bool) -> Outcome:
    """What becomes of a letter whose name is stored already."""
    if not is_same_body:
        return Outcome(Verdict.CONFLICTING)
    return Outcome(Verdict.REPEATED, row_id, is_request=is_request) if waits else Outcome(Verdict.CONFIRMED)


class WaitingRow(msgspec.Struct, frozen=True, gc=False):
    """A waiting message, as paged."""

    row_id: int
    name: bytes
    sealed: bytes
    is_unheard: bool = False
    """Its sender is blocked."""


@dataclass(frozen=True, slots=True)
class Page:
    """The oldest waiting rows of a user."""

    rows: list[WaitingRow]
    is_last: bool
    """No further row waited when the page was read."""


@dataclass(frozen=True, slots=True)
class Caps:
    """How much may wait for one user, and how much of that one sender may fill."""

    messages: int
    bytes: int
    sender_share: int
    """One sender fills at most one part in so many."""
    request_share: int = 2
    """So do all together who are not accepted, where that matters."""

    @property
    def sender_messages(self) -> int:
        return self.messages // self.sender_share

    @property
    def sender_bytes(self) -> int:
        return self.bytes // self.sender_share

    @property
    def request_messages(self) -> int:
        return self.messages // self.request_share

    @property
    def request_bytes(self) -> int:
        return self.bytes // self.request_share
