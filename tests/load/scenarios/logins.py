"""Scenario 11: a storm of logins beside a relay of a fixed rate, and the hash alone beside the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.load.client import Command, LoadClient
from tests.load.commands.crowds import Person, Seat
from tests.load.commands.logins import HashAlone, Hashed, LoginStorm
from tests.load.commands.relaying import Relayed
from tests.load.measuring import Record, Usage, add_up, percentile, ratios, usage_of
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import RelayLoad, connected, durable_on
from tests.load.sizes import Sizes
from tests.load.stage import Stage

PASSWORD = "correct horse battery staple"
SOURCE = "127.0.0.2"


@dataclass
class _Rounds:
    hashed: list[Hashed] = field(default_factory=list)
    relayed: list[Relayed] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    @property
    def per_s(self) -> list[float]:
        return [each.per_s for each in self.hashed]

    @property
    def p99s_ms(self) -> list[float]:
        return [1000 * percentile(each.received_s, 0.99) for each in self.relayed]

    @property
    def faults(self) -> list[Mapping[str, int]]:
        return [*(each.faults for each in self.hashed), *(each.faults for each in self.relayed)]

    def run(self, command: Command[Hashed], other: LoadClient, load: RelayLoad, sizes: Sizes) -> None:
        """Relay while the other client hashes."""
        with usage_of(load.stage, load.nodes, [load.client, other]) as usage:
            pending = other.begin(command)
            self.relayed.append(load.run_at(sizes.storm_rate, sizes, measured_s=sizes.storm_s))
            self.hashed.append(pending.result())
        self.usages.append(usage)


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    with stage.construct() as construct, stage.client() as client, stage.client() as other:
        people = construct.people(sizes.storm_sockets, PASSWORD)
        port = construct.nodes[0].port
        storm, alone = _Rounds(), _Rounds()
        with connected(durable_on(construct, client, sizes)) as load:
            for _ in range(sizes.storm_rounds):
                alone.run(HashAlone(sizes.warm_up_s, sizes.storm_s), other, load, sizes)
                storm.run(_storm(port, people, sizes), other, load, sizes)
    record.client(
        "relay beside the login storm", (each.client_cpu_share for each in storm.relayed), storm.usages
    )
    _record(record, storm, alone, sizes)


def _storm(port: int, people: Sequence[Person], sizes: Sizes) -> LoginStorm:
    return LoginStorm(
        [Seat(port, source=SOURCE)] * len(people),
        [person.username for person in people],
        PASSWORD,
        sizes.warm_up_s,
        sizes.storm_s,
    )


def _record(record: Record, storm: _Rounds, alone: _Rounds, sizes: Sizes) -> None:
    rounds = ratios(storm.per_s, alone.per_s)
    faults = add_up([*storm.faults, *alone.faults])
    record.row(
        Row(
            scenario="11",
            title=f"Login storm beside a relay at {sizes.storm_rate:g}/s: hashes ÷ the hash alone beside it",
            value=median(rounds),
            unit="",
            must=0.7,
            aim=0.9,
            rounds=rounds,
            figures=[
                Figure("logins", median(storm.per_s), "/s"),
                Figure("hash alone", median(alone.per_s), "/s"),
            ],
            faults=faults,
        )
    )
    record.row(
        Row(
            scenario="11",
            title="p99 of that relay during the storm",
            value=median(storm.p99s_ms),
            unit="ms",
            is_least=False,
            must=50,
            aim=20,
            rounds=storm.p99s_ms,
            figures=[Figure("beside the hash alone", median(alone.p99s_ms), "ms")],
            faults=faults,
        )
    )
