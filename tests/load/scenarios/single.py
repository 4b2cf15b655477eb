"""Scenario 5: one message at a time, less what one commit takes on this disk."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from statistics import median

import psycopg

from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd
from tests.load.commands.relaying import OpenPairs, PairSeats, Relay, Relayed
from tests.load.measuring import Record, add_up, percentile, usage_of
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import pairs_of
from tests.load.sizes import Sizes
from tests.load.stage import Stage, strangers

ROW_BYTES = 600
"""What a message of this load takes in the mailbox, about."""


def commit_p50_s(database_url: str, count: int) -> float:
    """Seconds that a one-row INSERT takes with its commit, synced to disk."""
    took_s = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_commit (id bigserial PRIMARY KEY, row bytea)")
        for _ in range(count):
            begin = time.perf_counter()
            connection.execute(
                "INSERT INTO bench_commit (row) VALUES (%s)", (secrets.token_bytes(ROW_BYTES),), prepare=True
            )
            took_s.append(time.perf_counter() - begin)
    return median(took_s)


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    with stage.relay("bare") as bare, stage.construct() as construct, stage.client() as client:
        port = construct.nodes[0].port
        ours = pairs_of(construct.people(2), port, port)
        theirs = pairs_of(strangers(2), bare.port, bare.port)
        client.call(OpenPairs("construct", ours))
        client.call(OpenPairs("bare", theirs))
        rounds, commits, durable_runs, bare_runs = [], [], [], []
        usages = []
        for _ in range(sizes.rounds):
            bare_runs.append(_one_by_one(client, "bare", theirs, sizes))
            commits.append(commit_p50_s(construct.database_url, sizes.commits))
            with usage_of(stage, construct.nodes, [client]) as usage:
                durable_runs.append(_one_by_one(client, "construct", ours, sizes))
            usages.append(usage)
            less_commit_s = _p50_s(durable_runs[-1]) - commits[-1]
            rounds.append(less_commit_s / _p50_s(bare_runs[-1]))
        for crowd in ("construct", "bare"):
            client.call(CloseCrowd(crowd))
    record.client("one message at a time", (each.client_cpu_share for each in durable_runs), usages)
    record.row(
        Row(
            scenario="5",
            title="One message at a time, send → received, p50 less one commit ÷ bare relay",
            value=median(rounds),
            unit="",
            is_least=False,
            must=4,
            aim=2,
            rounds=rounds,
            figures=[
                Figure("durable relay", _ms(map(_p50_s, durable_runs)), "ms"),
                Figure("one commit", _ms(commits), "ms"),
                Figure("bare relay", _ms(map(_p50_s, bare_runs)), "ms"),
            ],
            faults=add_up(each.faults for each in [*durable_runs, *bare_runs]),
        )
    )


def _one_by_one(client: LoadClient, crowd: str, pairs: Sequence[PairSeats], sizes: Sizes) -> Relayed:
    return client.call(
        Relay(crowd, pairs, sizes.warm_up_s / 4, sizes.singles_s, in_flight=1, awaits_delivery=True)
    )


def _p50_s(relayed: Relayed) -> float:
    return percentile(relayed.received_s, 0.5)


def _ms(seconds: Iterable[float]) -> float:
    return 1000 * median(seconds)
