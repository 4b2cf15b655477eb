"""Scenarios 1, 3 and 4: messages a second, beside a bare relay and one of the Channels tutorial."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from statistics import median

import msgspec

from tests.load.commands.relaying import Relayed
from tests.load.measuring import Record, add_up, alternate, ratios
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import RelayLoad, bare, connected, durable, split, tutorial
from tests.load.sizes import Sizes
from tests.load.stage import Stage

LOSES_SETTLE_S = 1.0
"""How long a relay that loses messages is waited for."""


def run(stage: Stage, sizes: Sizes, record: Record, wanted: set[str]) -> None:
    """Measure what is wanted of 1, 3 and 4, in turn with what they are compared to."""
    with ExitStack() as stack:
        client = stack.enter_context(stage.client())
        loads = {}
        if wanted & {"1", "4"}:
            loads["bare"] = stack.enter_context(bare(stage, client, sizes))
        if wanted & {"1", "3"}:
            loads["durable"] = stack.enter_context(durable(stage, client, sizes))
        if "4" in wanted:
            loads["split"] = stack.enter_context(split(stage, client, sizes))
        runs: dict[str, Callable[[], Relayed]] = {
            name: partial(load.run, sizes) for name, load in loads.items()
        }
        if "3" in wanted:
            loads["tutorial"] = stack.enter_context(tutorial(stage, client, sizes))
            runs["tutorial"] = lambda: _run_tutorial(loads["tutorial"], sizes)
        alternate(sizes.rounds, runs)
        _record(record, loads, wanted)


def _run_tutorial(load: RelayLoad, sizes: Sizes) -> Relayed:
    with connected(load):
        return load.run(sizes, settle_s=LOSES_SETTLE_S)


def _record(record: Record, loads: dict[str, RelayLoad], wanted: set[str]) -> None:
    if "bare" in loads:
        loads["bare"].record(record, "message on the bare relay")
    if "durable" in loads:
        loads["durable"].record(record, "message, one process")
    if "1" in wanted:
        _record_durable(record, loads["durable"], loads["bare"])
    if "3" in wanted:
        _record_tutorial(record, loads["durable"], loads["tutorial"])
    if "4" in wanted:
        loads["split"].record(record, "message, two processes")
        record.row(
            _compared(
                "4",
                "Two processes, every pair split across them ÷ bare relay",
                loads["split"],
                loads["bare"],
                must=0.30,
                aim=0.60,
            )
        )


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
    record.client(reference.name, (run.client_cpu_share for run in reference.runs), reference.usages)
    sent, delivered = sum(run.sent for run in reference.runs), sum(run.delivered for run in reference.runs)
    row = _compared("3", "Durable relay ÷ tutorial relay, delivered", load, reference, must=10, aim=50)
    acked = Figure("tutorial relay, acked", median(run.acked_per_s for run in reference.runs), "/s")
    note = f"The tutorial relay lost {1 - delivered / sent:.0%} of what was sent."
    record.row(msgspec.structs.replace(row, figures=[*row.figures, acked], note=note))


def _compared(
    scenario: str, title: str, load: RelayLoad, reference: RelayLoad, *, must: float, aim: float
) -> Row:
    # One message at least: to a relay that lost all of them nothing could be compared.
    rates = [max(run.delivered_per_s, 1 / run.seconds) for run in reference.runs]
    rounds = ratios(load.delivered_per_s, rates)
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
