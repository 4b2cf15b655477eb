"""Scenario 10: everybody comes back at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd, OpenCrowd, Seat
from tests.load.measuring import Record, Usage, alternate, ratios, usage_of, wait_until_quiet
from tests.load.results import Figure, Row
from tests.load.scenarios.idle import seats
from tests.load.sizes import Sizes
from tests.load.stage import Node, Stage
from tests.load.wording import count


@dataclass
class _Crowd:
    """Sockets of one server, opened and cut again and again."""

    stage: Stage
    client: LoadClient
    node: Node
    seats: Sequence[Seat]
    per_s: list[float] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    def come_back(self) -> None:
        with usage_of(self.stage, [self.node], [self.client]) as usage:
            took_s = self.client.call(OpenCrowd("all", self.seats))
        self.client.call(CloseCrowd("all"))
        wait_until_quiet([self.node])
        self.per_s.append(len(self.seats) / took_s)
        self.usages.append(usage)

    def forget(self) -> None:
        """The next time is the first that counts."""
        self.per_s.clear()
        self.usages.clear()

    def record(self, record: Record, work: str, load: str) -> None:
        record.cost(work, self.usages, len(self.seats) * len(self.usages))
        record.client(load, (usage.clients_s / usage.seconds for usage in self.usages), self.usages)


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    """Open, cut, and open again: what is measured are second times."""
    with stage.construct() as construct, stage.relay("bare") as bare, stage.client() as client:
        people = construct.people(sizes.reconnects)
        ours = _Crowd(stage, client, construct.nodes[0], seats(construct.nodes[0].port, people))
        theirs = _Crowd(stage, client, bare, seats(bare.port, [None] * sizes.reconnects))
        for crowd in (ours, theirs):
            crowd.come_back()
            crowd.forget()
        alternate(sizes.reconnect_rounds, {"bare": theirs.come_back, "construct": ours.come_back})
    ours.record(record, "reconnect", "reconnects")
    theirs.record(record, "handshake on the bare relay", "bare handshakes")
    rounds = ratios(ours.per_s, theirs.per_s)
    record.row(
        Row(
            scenario="10",
            title=f"{count(sizes.reconnects)} reconnects with `connect` ÷ bare handshakes",
            value=median(rounds),
            unit="",
            must=0.5,
            aim=0.8,
            rounds=rounds,
            figures=[
                Figure("reconnects", median(ours.per_s), "/s"),
                Figure("bare handshakes", median(theirs.per_s), "/s"),
            ],
        )
    )
