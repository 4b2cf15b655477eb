"""Scenario 14: whether the time of an ack tells the sender that the recipient blocked them, or has them wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

from messaging.protocol import codec
from tests.live.rest import call
from tests.load import frames
from tests.load.client import LoadClient
from tests.load.commands.asking import Asked, AskInTurn
from tests.load.commands.crowds import CloseCrowd, OpenCrowd, Person, Seat
from tests.load.commands.waiting import Wait
from tests.load.measuring import Record, difference, noise, percentile
from tests.load.results import Figure, Row
from tests.load.sizes import Sizes
from tests.load.stage import Construct, Stage

RECIPIENTS = "recipients"
SETTLE_S = 0.5


@dataclass(frozen=True)
class _Question:
    """To whom the sender writes by turns, and what every ack says."""

    title: str
    kinds: Mapping[str, Person]
    status: str
    online: Mapping[int, Sequence[Person]]
    """Who of them is connected, by the number of the process."""


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    with stage.construct(processes=2) as construct, stage.client() as client, stage.client() as theirs:
        sender, *others = construct.people(1 + 10)
        for question in _of_blocks(construct, sender, others[:6]) + _of_requests(construct, others[6:]):
            for number, people in question.online.items():
                seats = [Seat(construct.nodes[number].port, person) for person in people]
                theirs.call(OpenCrowd(RECIPIENTS, seats))
            # Who came just now first reads the mailbox: an ack of that moment says `queued`.
            theirs.call(Wait(SETTLE_S))
            _record(record, question, _ask(client, construct, sender, question, sizes.acks))
            theirs.call(CloseCrowd(RECIPIENTS))


def _of_blocks(construct: Construct, sender: Person, recipients: Sequence[Person]) -> list[_Question]:
    for person in recipients[::2]:
        _change(construct, person, "PUT", f"blocks/{sender.user_id}")
    title = "Message to one who blocked the sender or not"
    offline, online, elsewhere = (
        {"blocked": recipients[first], "free": recipients[first + 1]} for first in (0, 2, 4)
    )
    return [
        _Question(f"{title}, offline", offline, "queued", {}),
        _Question(f"{title}, online", online, "delivered", {0: list(online.values())}),
        _Question(
            f"{title}, online on another process", elsewhere, "delivered", {1: list(elsewhere.values())}
        ),
    ]


def _of_requests(construct: Construct, recipients: Sequence[Person]) -> list[_Question]:
    absent, absent_twin, present, present_twin = recipients
    for person in (absent, present):
        _change(construct, person, "PATCH", "contacts", {"acceptedOnly": True})
    title = "Message that waits as a request or for one who is offline"
    return [
        _Question(f"{title}, the former offline too", {"request": absent, "free": absent_twin}, "queued", {}),
        _Question(
            f"{title}, the former online",
            {"request": present, "free": present_twin},
            "queued",
            {0: [present]},
        ),
    ]


def _change(construct: Construct, person: Person, method: str, path: str, body: object = None) -> None:
    status, answer = call(construct.nodes[0].server, method, path, body, person.token)
    if status not in (200, 204):
        raise RuntimeError(f"{method} {path.partition('/')[0]}: {status} {answer}")


def _ask(client: LoadClient, construct: Construct, sender: Person, question: _Question, count: int) -> Asked:
    kinds = {
        kind: [
            codec.encode_request(frames.message(str(uuid4()), sender.user_id, recipient.user_id))
            for _ in range(count)
        ]
        for kind, recipient in question.kinds.items()
    }
    seat = Seat(construct.nodes[0].port, sender)
    # Ids and seconds differ from ack to ack; that the status is the same is what `expected` says.
    return client.call(AskInTurn(seat, kinds, f"Ack {question.status}", must_be_alike=False))


def _record(record: Record, question: _Question, asked: Asked) -> None:
    took_ms = {kind: [1000 * each for each in took_s] for kind, took_s in asked.took_s.items()}
    record.row(
        Row(
            scenario="14",
            title=f"{question.title}: slower ÷ faster median of the acks",
            value=difference(median, took_ms),
            unit="",
            is_least=False,
            must=1.05,
            aim=1.02,
            figures=[
                *(Figure(kind, median(each), "ms") for kind, each in took_ms.items()),
                Figure("the same asked twice", noise(median, took_ms), ""),
                *(Figure(f"{kind}, p99", _p99(each), "ms") for kind, each in took_ms.items()),
                Figure("slower ÷ faster p99", difference(_p99, took_ms), ""),
                Figure("the same asked twice, p99", noise(_p99, took_ms), ""),
            ],
            faults=dict(asked.faults),
        )
    )


def _p99(took: Sequence[float]) -> float:
    return percentile(sorted(took), 0.99)
