"""What goes into the mailbox and what comes out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way into the mailbox."""

    recipient_id: UUID
    name: bytes
    body: bytes
    pair: bytes
    sealed: bytes
    """The `message` frame, encrypted."""


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


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: Verdict
    row_id: int = 0
    """The row, where the message waits."""
    previous_id: int = 0
    """For a stored letter: the newest row of the same pair that waited when it was stored; 0: none did."""


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A waiting message, as paged."""

    row_id: int
    name: bytes
    sealed: bytes


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

    @property
    def sender_messages(self) -> int:
        return self.messages // self.sender_share

    @property
    def sender_bytes(self) -> int:
        return self.bytes // self.sender_share
