"""Scenarios 1, 3 and 4: messages a second, beside a bare relay and one of the Channels tutorial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median

import msgspec

from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd, Person, Seat
from tests.load.commands.relaying import OpenPairs, PairSeats, Relay, Relayed
from tests.load.measuring import Record, Usage, add_up, alternate, ratios, usage_of
from tests.load.results import Figure, Row
from tests.load.sizes import Sizes
from tests.load.stage import Node, Stage, strangers

LOSES_SETTLE_S = 1.0
"""How long a relay that loses messages is waited for."""


@dataclass
class RelayLoad:
    """Pairs on the given servers, and what their runs gave."""

    stage: Stage
    client: LoadClient
    name: str
    nodes: Sequence[Node]
    pairs: Sequence[PairSeats]
    runs: list[Relayed] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    def open(self) -> None:
        self.client.call(OpenPairs(self.name, self.pairs))

    def close(self) -> None:
        self.client.call(CloseCrowd(self.name))

    def run(self, sizes: Sizes, *, rate: float | None = None, settle_s: float = 10.0) -> Relayed:
        """One measured run, kept."""
        command = Relay(
            self.name,
            self.pairs,
            sizes.warm_up_s,
            sizes.measured_s,
            in_flight=sizes.in_flight,
            rate=rate,
            settle_s=settle_s,
        )
        with usage_of(self.stage, self.nodes, [self.client]) as usage:
            relayed = self.client.call(command)
        self.runs.append(relayed)
        self.usages.append(usage)
        return relayed

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
def bare(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """The bare relay with its pairs connected."""
    with stage.relay("bare") as node:
        pairs = pairs_of(strangers(2 * sizes.pairs), node.port, node.port)
        load = RelayLoad(stage, client, "bare relay", [node], pairs)
        load.open()
        try:
            yield load
        finally:
            load.close()


@contextmanager
def durable(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """Construct in one process with its pairs connected."""
    with stage.construct() as construct:
        (node,) = construct.nodes
        pairs = pairs_of(construct.people(2 * sizes.pairs), node.port, node.port)
        load = RelayLoad(stage, client, "durable relay", [node], pairs)
        load.open()
        try:
            yield load
        finally:
            load.close()


@contextmanager
def split(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """Construct in two processes; the two people of each pair are on different ones, half of them each way."""
    with stage.construct(processes=2) as construct:
        here, there = construct.nodes
        people = construct.people(2 * sizes.pairs)
        half = len(people) // 4 * 2
        pairs = pairs_of(people[:half], here.port, there.port) + pairs_of(
            people[half:], there.port, here.port
        )
        load = RelayLoad(stage, client, "durable relay, two processes", construct.nodes, pairs)
        load.open()
        try:
            yield load
        finally:
            load.close()


@contextmanager
def tutorial(stage: Stage, client: LoadClient, sizes: Sizes) -> Iterator[RelayLoad]:
    """The tutorial's relay. Nobody is connected: its channel layer ends consumers that are idle for 5 s."""
    with stage.relay("tutorial") as node:
        pairs = pairs_of(strangers(2 * sizes.pairs), node.port, node.port)
        yield RelayLoad(stage, client, "tutorial relay", [node], pairs)


def run(stage: Stage, sizes: Sizes, record: Record, wanted: set[str]) -> None:
    """Measure what is wanted of 1, 3 and 4, in turn with what they are compared to."""
    with ExitStack() as stack:
        client = stack.enter_context(stage.client())
        loads = {"bare": stack.enter_context(bare(stage, client, sizes))}
        if wanted & {"1", "3"}:
            loads["durable"] = stack.enter_context(durable(stage, client, sizes))
        if "4" in wanted:
            loads["split"] = stack.enter_context(split(stage, client, sizes))
        runs: dict[str, Callable[[], Relayed]] = {
            name: lambda load=load: load.run(sizes)  # type: ignore[misc] # mypy sees no type for the default
            for name, load in loads.items()
        }
        if "3" in wanted:
            loads["tutorial"] = stack.enter_context(tutorial(stage, client, sizes))
            runs["tutorial"] = lambda: _run_tutorial(loads["tutorial"], sizes)
        alternate(sizes.rounds, runs)
        _record(record, loads, wanted)


def _run_tutorial(load: RelayLoad, sizes: Sizes) -> Relayed:
    load.open()
    try:
        return load.run(sizes, settle_s=LOSES_SETTLE_S)
    finally:
        load.close()


def _record(record: Record, loads: dict[str, RelayLoad], wanted: set[str]) -> None:
    reference = loads["bare"]
    reference.record(record, "message on the bare relay")
    if "durable" in loads:
        loads["durable"].record(record, "message, one process")
        record.durable_per_s = median(loads["durable"].delivered_per_s)
    if "1" in wanted:
        _record_durable(record, loads["durable"], reference)
    if "3" in wanted:
        _record_tutorial(record, loads["durable"], loads["tutorial"])
    if "4" in wanted:
        loads["split"].record(record, "message, two processes")
        record.row(
            _compared(
                "4", "Two processes, every pair split across them ÷ bare relay",
                loads["split"], reference, must=0.30, aim=0.60,
            )
        )  # fmt: skip


def _record_durable(record: Record, load: RelayLoad, reference: RelayLoad) -> None:
    record.row(
        _compared("1", "Durable relay, one process ÷ bare relay", load, reference, must=0.40, aim=0.70)
    )
    rates = load.delivered_per_s
    record.row(
        Row(
            scenario="1",
            title="Durable relay, one process",
            value=median(rates),
            unit="/s",
            must=None,
            aim=10_000,
            rounds=rates,
            faults=load.faults,
        )
    )


def _record_tutorial(record: Record, load: RelayLoad, reference: RelayLoad) -> None:
    reference.record(record, "message delivered by the tutorial relay")
    sent, delivered = sum(run.sent for run in reference.runs), sum(run.delivered for run in reference.runs)
    row = _compared("3", "Durable relay ÷ tutorial relay, delivered", load, reference, must=10, aim=50)
    acked = Figure("tutorial relay, acked", median(run.acked_per_s for run in reference.runs), "/s")
    note = f"The tutorial relay lost {1 - delivered / sent:.0%} of what was sent."
    record.row(msgspec.structs.replace(row, figures=[*row.figures, acked], note=note))


def _compared(
    scenario: str, title: str, load: RelayLoad, reference: RelayLoad, *, must: float, aim: float
) -> Row:
    rounds = ratios(load.delivered_per_s, reference.delivered_per_s)
    faults = load.faults if reference.name == "tutorial relay" else add_up([load.faults, reference.faults])
    return Row(
        scenario=scenario,
        title=title,
        value=median(rounds),
        unit="",
        must=must,
        aim=aim,
        rounds=rounds,
        figures=[Figure(each.name, median(each.delivered_per_s), "/s") for each in (load, reference)],
        faults=faults,
    )
