"""What became of every message of a fault test: the account that has to balance. Pure.

Clients report what they sent, what was acked and what each device was handed;
:meth:`Ledger.verdict` compares. A message is named by its id, which no two
messages of a test share.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Sent:
    """A message as its sender wrote it."""

    sender: str
    recipient: str
    content: str


@dataclass(frozen=True)
class Handed:
    """One hand-over of a message to a device."""

    device: str
    connection: int
    message_id: str
    content: str


@dataclass(frozen=True)
class Verdict:
    """Counts of messages, at the end. Without a fault every count but the first three and `again` is 0."""

    sent: int
    acked: int
    delivered: int
    """Acked, and handed to at least one device of the recipient."""
    again: int
    """Hand-overs to a device that had the message from an earlier connection: not confirmed there, so allowed."""
    unacked: int
    """Sent and never acked, however often it was sent again."""
    lost: int
    """Acked and handed to no device of the recipient."""
    duplicated: int
    """Hand-overs to a device that had the message on the same connection already."""
    disordered: int
    """Hand-overs that came after a message of the same sender that was acked later."""
    altered: int
    """Hand-overs with another content than was sent."""
    misdelivered: int
    """Hand-overs of what nobody sent, or to somebody else."""

    @property
    def faults(self) -> dict[str, int]:
        """The counts that must be 0 and are not."""
        allowed = {"sent", "acked", "delivered", "again"}
        counts = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in allowed}
        return {name: count for name, count in counts.items() if count}

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name)}" for each in fields(self))


@dataclass
class Ledger:
    """Everything that clients sent, were acked and were handed, in the order in which they saw it."""

    sent: dict[str, Sent] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
    """The position of each acked message among all acks."""
    handed: list[Handed] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    """The account of each device."""
    doubted: set[str] = field(default_factory=set)
    """Messages that an error was sent for: when they were stored is unknown, so they are in no order."""
    _missing: dict[str, None] = field(default_factory=dict)

    def add_device(self, device: str, account: str) -> None:
        self.owners[device] = account

    def send(self, message_id: str, sent: Sent) -> None:
        """A client writes a message for the first time. Raises ValueError for an id that was used."""
        if message_id in self.sent:
            raise ValueError("an id names one message")
        self.sent[message_id] = sent
        self._missing[message_id] = None

    def ack(self, message_id: str) -> None:
        """A client read an ack; later ones of the same message change nothing."""
        self.acked.setdefault(message_id, len(self.acked))

    def doubt(self, message_id: str) -> None:
        """A client read an error that leaves the outcome open."""
        self.doubted.add(message_id)

    def hand(self, handed: Handed) -> None:
        """A device read a message."""
        self.handed.append(handed)
        sent = self.sent.get(handed.message_id)
        if sent is not None and sent.recipient == self.owners[handed.device]:
            self._missing.pop(handed.message_id, None)

    @property
    def is_settled(self) -> bool:
        """Everything that was sent is acked and delivered."""
        return len(self.acked) == len(self.sent) and not self._missing

    def missing(self, among: Iterable[str] | None = None) -> set[str]:
        """Acked messages, of all or of some, that no device of their recipient was handed so far."""
        wanted = self._missing if among is None else self._missing.keys() & among
        return {message_id for message_id in wanted if message_id in self.acked}

    def missing_on(self, device: str) -> set[str]:
        """Acked messages for the device's account that this device was not handed so far."""
        account = self.owners[device]
        here = {handed.message_id for handed in self.handed if handed.device == device}
        return {id_ for id_ in self.acked if self.sent[id_].recipient == account and id_ not in here}

    def count(self, device: str) -> int:
        """Hand-overs to a device so far."""
        return sum(handed.device == device for handed in self.handed)

    def verdict(self) -> Verdict:
        lost = self.missing()
        good = [handed for handed in self.handed if self._is_meant_for(handed)]
        on_connections = Counter((handed.device, handed.connection, handed.message_id) for handed in good)
        on_devices = Counter((device, message_id) for device, _, message_id in on_connections)
        return Verdict(
            sent=len(self.sent),
            acked=len(self.acked),
            delivered=len(self.acked) - len(lost),
            again=sum(on_devices.values()) - len(on_devices),
            unacked=len(self.sent) - len(self.acked),
            lost=len(lost),
            duplicated=sum(on_connections.values()) - len(on_connections),
            disordered=sum(map(self._count_disordered, self._sequences(good))),
            altered=sum(self.sent[handed.message_id].content != handed.content for handed in good),
            misdelivered=len(self.handed) - len(good),
        )

    def _is_meant_for(self, handed: Handed) -> bool:
        sent = self.sent.get(handed.message_id)
        return sent is not None and sent.recipient == self.owners[handed.device]

    def _sequences(self, handed: Iterable[Handed]) -> Iterator[list[int]]:
        """For each connection and sender, the positions of the acks of what was handed, in its order."""
        sequences: dict[tuple[str, int, str], list[int]] = defaultdict(list)
        for each in handed:
            if each.message_id in self.acked and each.message_id not in self.doubted:
                sender = self.sent[each.message_id].sender
                sequences[each.device, each.connection, sender].append(self.acked[each.message_id])
        return iter(sequences.values())

    @staticmethod
    def _count_disordered(positions: list[int]) -> int:
        highest, disordered = -1, 0
        for position in positions:
            disordered += position < highest
            highest = max(highest, position)
        return disordered
