"""Relays with their pairs connected, which several scenarios measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd, Person, Seat
from tests.load.commands.relaying import OpenPairs, PairSeats, Relay, Relayed
from tests.load.measuring import Record, Usage, add_up, usage_of
from tests.load.sizes import Sizes
from tests.load.stage import Construct, Node, Stage, strangers


@dataclass
class RelayLoad:
    """Pairs on the given servers, and what their runs gave."""

    stage: Stage
    client: LoadClient
    name: str
    nodes: Sequence[Node]
    pairs: Sequence[PairSeats]
    runs: list[Relayed] = field(default_factory=list)
    """At full speed."""
    usages: list[Usage] = field(default_factory=list)
    """Of those, one for each."""

    def open(self) -> None:
        self.client.call(OpenPairs(self.name, self.pairs))

    def close(self) -> None:
        self.client.call(CloseCrowd(self.name))

    def command(self, sizes: Sizes) -> Relay:
        """A run at full speed."""
        return Relay(self.name, self.pairs, sizes.warm_up_s, sizes.measured_s, in_flight=sizes.in_flight)

    def run(self, sizes: Sizes, **changes: Any) -> Relayed:
        """One measured run at full speed, kept; `changes` are to its command."""
        with usage_of(self.stage, self.nodes, [self.client]) as usage:
            relayed = self.client.call(replace(self.command(sizes), **changes))
        self.runs.append(relayed)
        self.usages.append(usage)
        return relayed

    def run_at(self, rate: float, sizes: Sizes, **changes: Any) -> Relayed:
        """One run at `rate` messages a second, of all senders together; not kept."""
        return self.client.call(replace(self.command(sizes), rate=rate, **changes))

    @property
    def delivered_per_s(self) -> list[float]:
        return [run.delivered_per_s for run in self.runs]

    @property
    def faults(self) -> dict[str, int]:
        return add_up(run.faults for run in self.runs)

    def record(self, record: Record, work: str) -> None:
        """Note what a message costs, and how busy the client was."""
        record.cost(work, self.usages, sum(run.delivered for run in self.runs) or 1)
        record.client(self.name, (run.client_cpu_share for run in self.runs), self.usages)


def pairs_of(people: Sequence[Person], sender_port: int, recipient_port: int) -> list[PairSeats]:
    """The first half writes to the second."""
    half = len(people) // 2
    return [
        PairSeats(Seat(sender_port, sender), Seat(recipient_port, recipient))
        for sender, recipient in zip(people[:half], people[half:], strict=True)
    ]


@contextmanager
def connected(load: RelayLoad) -> Iterator[RelayLoad]:
    """The load with the sockets of its pairs open."""
    load.open()
    try:
        yield load
    finally:
        load.close()


@contextmanager
def bare(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """The bare relay with its pairs connected."""
    with stage.relay("bare") as node:
        pairs = pairs_of(strangers(2 * sizes.pairs), node.port, node.port)
        with connected(RelayLoad(stage, client, "bare relay", [node], pairs)) as load:
            yield load


@contextmanager
def durable(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """Construct in one process with its pairs connected."""
    with stage.construct() as construct, connected(durable_on(construct, client, sizes)) as load:
        yield load


def durable_on(
    construct: Construct, client: LoadClient, sizes: Sizes, name: str = "durable relay"
) -> RelayLoad:
    """Pairs on the first server process of `construct`, not connected yet."""
    node = construct.nodes[0]
    pairs = pairs_of(construct.people(2 * sizes.pairs), node.port, node.port)
    return RelayLoad(construct.stage, client, name, [node], pairs)


@contextmanager
def split(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """Construct in two processes; the two people of each pair are on different ones, half of them each way."""
    with stage.construct(processes=2) as construct:
        here, there = construct.nodes
        people = construct.people(2 * sizes.pairs)
        half = len(people) // 4 * 2
        pairs = pairs_of(people[:half], here.port, there.port)
        pairs += pairs_of(people[half:], there.port, here.port)
        load = RelayLoad(stage, client, "durable relay, two processes", construct.nodes, pairs)
        with connected(load):
            yield load


@contextmanager
def tutorial(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """The tutorial's relay. Nobody is connected: its channel layer ends consumers that are idle for 5 s."""
    with stage.relay("tutorial") as node:
        pairs = pairs_of(strangers(2 * sizes.pairs), node.port, node.port)
        yield RelayLoad(stage, client, "tutorial relay", [node], pairs)
