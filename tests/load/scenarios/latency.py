"""Scenario 6: how long a message takes at half of the maximum rate, alone and beside a client that floods."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from tests.load.commands.relaying import Relay, Relayed
from tests.load.measuring import Record, Usage, add_up, percentile, usage_of
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import RelayLoad, connected, durable_on, pairs_of
from tests.load.sizes import Sizes
from tests.load.stage import Stage

FLOOD_IN_FLIGHT = 1_000
"""Unacked messages of the flooding client: far more than the server reads ahead, so its socket is always full."""
FLOOD_AHEAD_S = 0.5
"""The flood ends so much later than what is measured beside it."""


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    """Each round: the maximum, then half of it, then half of it beside the flood."""
    with stage.construct() as construct, stage.client() as client, stage.client() as flooder:
        (node,) = construct.nodes
        flood_pairs = pairs_of(construct.people(2), node.port, node.port)
        flood = RelayLoad(stage, flooder, "flood", [node], flood_pairs)
        calm: list[Relayed] = []
        beside: list[Relayed] = []
        floods: list[Relayed] = []
        usages: list[Usage] = []
        with connected(durable_on(construct, client, sizes)) as load, connected(flood):
            for _ in range(sizes.rounds):
                half = load.run(sizes).delivered_per_s / 2
                with usage_of(stage, [node], [client]) as usage:
                    calm.append(load.run_at(half, sizes))
                usages.append(usage)
                pending = flooder.begin(_flood(flood, sizes))
                beside.append(load.run_at(half, sizes))
                floods.append(pending.result())
    maximum = Figure("maximum rate", median(load.delivered_per_s), "/s")
    rates = Figure("flooding client, acked", median(each.acked_per_s for each in floods), "/s")
    faults = load.faults
    record.row(_row("p99 at half of the maximum rate, send → received", calm, 25, 10, [maximum], faults))
    faults = add_up(each.faults for each in floods)
    record.row(_row("p99 of others while one client floods", beside, 50, 20, [rates], faults))
    record.client("half of the maximum rate", (each.client_cpu_share for each in calm), usages)


def _flood(load: RelayLoad, sizes: Sizes) -> Relay:
    measured_s = sizes.measured_s + FLOOD_AHEAD_S
    return replace(load.command(sizes), in_flight=FLOOD_IN_FLIGHT, measured_s=measured_s, settle_s=60.0)


def _row(
    title: str,
    runs: list[Relayed],
    must_ms: float,
    aim_ms: float,
    figures: list[Figure],
    faults: dict[str, int],
) -> Row:
    p99s = [1000 * percentile(run.received_s, 0.99) for run in runs]
    p50 = median(1000 * percentile(run.received_s, 0.50) for run in runs)
    ack = median(1000 * percentile(run.acked_s, 0.99) for run in runs)
    sent = median(run.delivered_per_s for run in runs)
    return Row(
        scenario="6",
        title=title,
        value=median(p99s),
        unit="ms",
        is_least=False,
        must=must_ms,
        aim=aim_ms,
        rounds=p99s,
        figures=[
            Figure("delivered", sent, "/s"),
            Figure("p50", p50, "ms"),
            Figure("p99 of the ack", ack, "ms"),
            *figures,
        ],
        faults=add_up([faults, *(run.faults for run in runs)]),
    )
