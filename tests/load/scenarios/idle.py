"""Scenarios 7 and 8: what idle connections cost in memory, in processor time, and those who are not idle."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.load import processes
from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd, OpenCrowd, Person, Seat
from tests.load.commands.waiting import Wait
from tests.load.measuring import Record, ratios, usage_of, wait_until_quiet
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import connected, durable_on
from tests.load.sizes import Sizes
from tests.load.stage import Construct, Node, Stage
from tests.load.wording import count

KIB = 1024
SOCKETS_PER_ADDRESS = 1_000
HOUR_S = 3600


def seats(port: int, people: Sequence[Person | None]) -> list[Seat]:
    """Sockets from as many loopback addresses as it takes."""
    return [
        Seat(port, person, f"127.0.{1 + number // SOCKETS_PER_ADDRESS}.1")
        for number, person in enumerate(people)
    ]


def run(stage: Stage, sizes: Sizes, record: Record, wanted: set[str]) -> None:
    with stage.construct() as construct, stage.client() as client:
        people = construct.people(sizes.idle)
        idlers = seats(construct.nodes[0].port, people)
        if "7" in wanted:
            _measure_idle(stage, construct, client, idlers, sizes, record)
        if "8" in wanted:
            _measure_bystanders(construct, client, idlers, sizes, record)


def _measure_idle(
    stage: Stage,
    construct: Construct,
    client: LoadClient,
    idlers: Sequence[Seat],
    sizes: Sizes,
    record: Record,
) -> None:
    (node,) = construct.nodes
    with stage.relay("bare") as bare, stage.client() as bare_client:
        strangers = seats(bare.port, [None] * len(idlers))
        ours = _grown_bytes(node, client, idlers)
        theirs = _grown_bytes(bare, bare_client, strangers)
        with usage_of(stage, [node], []) as usage, usage_of(stage, [bare], []) as bare_usage:
            client.call(Wait(sizes.idle_s))
        closed = client.call(CloseCrowd("idle")) + bare_client.call(CloseCrowd("idle"))
    hours = len(idlers) * usage.seconds / HOUR_S
    record.cost("idle connection-hour", [usage], hours)
    bare_usage.database_s = bare_usage.valkey_s = 0.0
    record.cost("idle connection-hour on the bare relay", [bare_usage], hours)
    record.row(
        Row(
            scenario="7",
            title=f"Idle connection, {count(len(idlers))} of them: memory ÷ bare relay",
            value=ours / theirs,
            unit="",
            is_least=False,
            must=1.6,
            aim=1.2,
            figures=[
                Figure("logged-in connection", ours / len(idlers) / KIB, "KiB"),
                Figure("bare connection", theirs / len(idlers) / KIB, "KiB"),
            ],
            faults={"sockets closed": closed} if closed else {},
        )
    )


def _grown_bytes(node: Node, client: LoadClient, sockets: Sequence[Seat]) -> int:
    """How much memory the server took for these. A few are opened before: the first ones load what all need."""
    client.call(OpenCrowd("first", sockets[:2]))
    client.call(CloseCrowd("first"))
    wait_until_quiet([node])
    before = processes.resident_bytes(node.pid)
    client.call(OpenCrowd("idle", sockets))
    wait_until_quiet([node])
    return processes.resident_bytes(node.pid) - before


def _measure_bystanders(
    construct: Construct, client: LoadClient, idlers: Sequence[Seat], sizes: Sizes, record: Record
) -> None:
    """One server: the same relay, in turn with few and with many idle connections beside it."""
    few, others = idlers[: sizes.few_idle], idlers[sizes.few_idle :]
    closed = 0
    with construct.stage.client() as relay_client:
        load = durable_on(construct, relay_client, sizes)
        with connected(load):
            client.call(OpenCrowd("few", few))
            for _ in range(sizes.bystander_rounds):
                wait_until_quiet(construct.nodes)
                load.run(sizes)
                client.call(OpenCrowd("many", others))
                wait_until_quiet(construct.nodes)
                load.run(sizes)
                closed += client.call(CloseCrowd("many"))
            closed += client.call(CloseCrowd("few"))
    rates = load.delivered_per_s
    with_few, with_many = rates[0::2], rates[1::2]
    rounds = ratios(with_many, with_few)
    record.row(
        Row(
            scenario="8",
            title=f"Relay rate with {count(len(idlers))} idle bystanders ÷ with {len(few)}",
            value=median(rounds),
            unit="",
            must=0.85,
            aim=0.97,
            rounds=rounds,
            figures=[
                Figure("with many", median(with_many), "/s"),
                Figure("with few", median(with_few), "/s"),
            ],
            faults=load.faults | ({"sockets closed": closed} if closed else {}),
        )
    )
