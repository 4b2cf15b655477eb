"""Scenario 10: everybody comes back at once."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd, OpenCrowd, Seat
from tests.load.measuring import Record, alternate, ratios, usage_of, wait_until_quiet
from tests.load.results import Figure, Row
from tests.load.scenarios.idle import seats
from tests.load.sizes import Sizes
from tests.load.stage import Node, Stage
from tests.load.wording import count


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    """Open, cut, and open again: what is measured are second times."""
    with stage.construct() as construct, stage.relay("bare") as bare, stage.client() as client:
        (node,) = construct.nodes
        ours = seats(node.port, construct.people(sizes.reconnects))
        theirs = seats(bare.port, [None] * sizes.reconnects)
        _per_s(client, node, ours)
        _per_s(client, bare, theirs[: len(theirs) // 10])
        with usage_of(stage, [node], [client]) as usage:
            found = alternate(
                sizes.reconnect_rounds,
                {
                    "bare": lambda: _per_s(client, bare, theirs),
                    "construct": lambda: _per_s(client, node, ours),
                },
            )
    record.cost("reconnect", [usage], sizes.reconnects * sizes.reconnect_rounds)
    record.client("reconnects", [usage.clients_s / usage.seconds], [usage])
    rounds = ratios(found["construct"], found["bare"])
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
                Figure("reconnects", median(found["construct"]), "/s"),
                Figure("bare handshakes", median(found["bare"]), "/s"),
            ],
        )
    )


def _per_s(client: LoadClient, node: Node, sockets: Sequence[Seat]) -> float:
    took_s = client.call(OpenCrowd("all", sockets))
    client.call(CloseCrowd("all"))
    wait_until_quiet([node])
    return len(sockets) / took_s
