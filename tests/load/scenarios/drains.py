"""Scenario 9: how fast people get what waited for them, beside the durable relay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

import psycopg

from tests.load.client import LoadClient
from tests.load.commands.crowds import CloseCrowd, OpenCrowd, Person, Seat
from tests.load.commands.draining import Drain, Drained, Fill, Share
from tests.load.measuring import Record, Usage, add_up, ratios, usage_of
from tests.load.results import Figure, Row
from tests.load.scenarios.loads import RelayLoad, connected, durable_on
from tests.load.sizes import Sizes
from tests.load.stage import Construct, Stage
from tests.load.wording import count

CONFIRM_S = 30.0
POLL_S = 0.05


@dataclass
class _Drains:
    """Drains of one kind: to so many people, from each of the senders the same share."""

    construct: Construct
    client: LoadClient
    senders: Sequence[Person]
    people: Sequence[Person]
    shares: Sequence[Share]
    found: list[Drained] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    faults: list[dict[str, int]] = field(default_factory=list)

    @property
    def messages(self) -> int:
        return sum(share.count for share in self.shares)

    @property
    def per_s(self) -> list[float]:
        return [self.messages / each.seconds for each in self.found]

    def run(self) -> None:
        port = self.construct.nodes[0].port
        self.client.call(OpenCrowd("senders", [Seat(port, sender) for sender in self.senders]))
        stored = self.client.call(Fill("senders", self.shares))
        self.client.call(CloseCrowd("senders"))
        with usage_of(self.construct.stage, self.construct.nodes, [self.client]) as usage:
            drained = self.client.call(Drain(port, self.people, stored.numbers, self.shares[0].count))
        self.usages.append(usage)
        unconfirmed = _unconfirmed(self.construct.database_url, self.people)
        self.client.call(CloseCrowd("drain"))
        self.found.append(drained)
        self.faults += [dict(stored.errors), dict(drained.faults)]
        if unconfirmed:
            self.faults.append({"not confirmed": unconfirmed})


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    """Each round: the durable relay, then both drains."""
    with stage.construct() as construct, stage.client() as client, stage.client() as drainer:
        senders = construct.people(sizes.pairs)
        one, many = construct.people(1), construct.people(sizes.recipients)
        to_one = _Drains(construct, drainer, senders, one, _to_one(senders, one[0], sizes.drained_by_one))
        to_many = _Drains(construct, drainer, senders, many, _to_many(senders, many, sizes.drained_by_each))
        with connected(durable_on(construct, client, sizes)) as load:
            for _ in range(sizes.drain_rounds):
                load.run(sizes)
                to_one.run()
                to_many.run()
    title = f"Draining {count(to_one.messages)} messages to one recipient ÷ durable relay"
    record.row(_row(title, to_one, load))
    title = f"Draining {count(sizes.drained_by_each)} messages each to {count(len(many))} recipients ÷ durable relay"
    record.row(_row(title, to_many, load))
    for name, drains in (("drain to one", to_one), ("drain to many", to_many)):
        record.client(name, (each.client_cpu_share for each in drains.found), drains.usages)
        record.cost(f"message of the {name}", drains.usages, drains.messages * sizes.drain_rounds)


def _to_one(senders: Sequence[Person], recipient: Person, messages: int) -> list[Share]:
    each = messages // len(senders)
    return [Share(number, sender.user_id, recipient.user_id, each) for number, sender in enumerate(senders)]


def _to_many(senders: Sequence[Person], recipients: Sequence[Person], messages: int) -> list[Share]:
    count = len(senders)
    return [
        Share(number % count, senders[number % count].user_id, recipient.user_id, messages)
        for number, recipient in enumerate(recipients)
    ]


def _unconfirmed(database_url: str, people: Sequence[Person]) -> int:
    """Messages that still wait for these people some time after they were received."""
    ids = [UUID(person.user_id) for person in people]
    deadline = time.monotonic() + CONFIRM_S
    with psycopg.connect(database_url, autocommit=True) as connection:
        while True:
            row = connection.execute(
                "SELECT count(*) FROM messaging_mailboxmessage WHERE recipient_id = ANY(%s)",
                (ids,),
            ).fetchone()
            assert row is not None
            if not row[0] or time.monotonic() > deadline:
                return int(row[0])
            time.sleep(POLL_S)


def _row(title: str, drains: _Drains, load: RelayLoad) -> Row:
    rounds = ratios(drains.per_s, load.delivered_per_s)
    return Row(
        scenario="9",
        title=title,
        value=median(rounds),
        unit="",
        must=1.0,
        aim=2.0,
        rounds=rounds,
        figures=[
            Figure("drained", median(drains.per_s), "/s"),
            Figure("durable relay", median(load.delivered_per_s), "/s"),
        ],
        faults=add_up([load.faults, *drains.faults]),
    )
