"""Scenario 13: whether the time of an answer tells that somebody exists of whom the answer does not tell."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from statistics import median
from typing import LiteralString
from uuid import uuid4

import psycopg

from messaging.protocol import codec
from tests.load import frames
from tests.load.commands.asking import Asked, AskInTurn
from tests.load.commands.crowds import HOST, Person, Seat
from tests.load.measuring import Record, difference, noise
from tests.load.results import Figure, Row
from tests.load.scenarios.logins import PASSWORD
from tests.load.sizes import Sizes
from tests.load.stage import Construct, Stage

STRANGER = "127.0.0.3"
"""Nobody has a session from this address: there, each name has the same allowance of failed logins."""
WRONG_PASSWORD = "a wrong " + PASSWORD
OF_A_KIND = 20
"""So many hidden, deleted and pending accounts are asked about, again and again."""
HIDE: LiteralString = "UPDATE accounts_user SET discoverable = false WHERE id = ANY(%s)"
HOLD_BACK: LiteralString = "UPDATE accounts_user SET is_approved = false WHERE id = ANY(%s)"
DELETE: Sequence[LiteralString] = (
    "DELETE FROM accounts_session WHERE user_id = ANY(%s)",
    "DELETE FROM keys_prekeybundle WHERE user_id = ANY(%s)",
    "DELETE FROM accounts_user WHERE id = ANY(%s)",
)


@dataclass(frozen=True)
class _Question:
    """What is asked about somebody and about nobody, in requests that differ in nothing else."""

    title: str
    kinds: Mapping[str, Sequence[bytes]]
    expected: str
    is_rest: bool


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    with stage.construct() as construct, stage.client() as client:
        asker, *others = construct.people(1 + sizes.names_tried + 3 * OF_A_KIND, PASSWORD)
        known, hidden, deleted, pending = _parted(others, sizes.names_tried, OF_A_KIND, OF_A_KIND, OF_A_KIND)
        _prepare(construct, hidden, deleted, pending)
        seat = Seat(construct.nodes[0].port, asker, STRANGER)
        about_ids = {
            "unknown": [str(uuid4()) for _ in range(sizes.ids_tried)],
            "deleted": _again([person.user_id for person in deleted], sizes.ids_tried),
            "pending": _again([person.user_id for person in pending], sizes.ids_tried),
        }
        about_names = {
            "unknown": list(islice(_nobodys_names(), sizes.ids_tried)),
            "hidden": _again([person.username for person in hidden], sizes.ids_tried),
        }
        logins = {
            "unknown": list(islice(_nobodys_names(), sizes.names_tried)),
            "known": [person.username for person in known],
        }
        for question in chain(
            _of_logins(logins), _of_searches(about_names, asker), _of_ids(about_ids, asker)
        ):
            ask = AskInTurn(seat, question.kinds, question.expected, question.is_rest)
            _record(record, question, client.call(ask))


def _parted(people: Sequence[Person], *counts: int) -> Iterator[Sequence[Person]]:
    rest = iter(people)
    return (list(islice(rest, count)) for count in counts)


def _again(values: Sequence[str], count: int) -> list[str]:
    return list(islice(cycle(values), count))


def _nobodys_names() -> Iterator[str]:
    """Of the form that those of the accounts have."""
    run = secrets.token_hex(4)
    return (f"load-{run}-{number}" for number in range(10**9))


def _prepare(
    construct: Construct, hidden: Iterable[Person], deleted: Iterable[Person], pending: Iterable[Person]
) -> None:
    with psycopg.connect(construct.database_url, autocommit=True) as connection:
        for statement, people in (
            (HIDE, hidden),
            (HOLD_BACK, pending),
            *((each, deleted) for each in DELETE),
        ):
            connection.execute(statement, ([person.user_id for person in people],))
        connection.execute("VACUUM (ANALYZE) accounts_user")


def _of_logins(names: Mapping[str, Sequence[str]]) -> Iterator[_Question]:
    title = "Login with a wrong password: known or unknown name"
    body = {"password": WRONG_PASSWORD}
    yield _Question(
        f"{title}, over REST",
        _each(names, lambda name: _http("POST", "/login", body={"username": name, **body})),
        "401 INVALID_CREDENTIALS",
        is_rest=True,
    )
    yield _Question(
        f"{title}, over the socket",
        _each(names, lambda name: frames.login_frame(name, WRONG_PASSWORD)),
        "Error INVALID_CREDENTIALS",
        is_rest=False,
    )


def _of_searches(names: Mapping[str, Sequence[str]], asker: Person) -> Iterator[_Question]:
    title = "Search for a whole name: hidden or unknown"
    yield _Question(
        f"{title}, over REST",
        _each(names, lambda name: _http("GET", f"/users?query={name}", asker)),
        "200",
        is_rest=True,
    )
    yield _Question(
        f"{title}, over the socket", _each(names, frames.search_frame), "SearchResults", is_rest=False
    )


def _of_ids(user_ids: Mapping[str, Sequence[str]], asker: Person) -> Iterator[_Question]:
    title = "Keys of an id: unknown, deleted or pending"
    yield _Question(
        f"{title}, over REST",
        _each(user_ids, lambda user_id: _http("GET", f"/users/{user_id}/bundle", asker)),
        "404 USER_NOT_FOUND",
        is_rest=True,
    )
    yield _Question(
        f"{title}, over the socket",
        _each(user_ids, frames.bundle_frame),
        "Error USER_NOT_FOUND",
        is_rest=False,
    )
    for what, make, expected in (
        ("Block", lambda user_id: _http("PUT", f"/blocks/{user_id}", asker), "404 USER_NOT_FOUND"),
        ("Acceptance", lambda user_id: _http("PUT", f"/contacts/{user_id}", asker), "404 USER_NOT_FOUND"),
        ("Decline of requests", lambda user_id: _http("DELETE", f"/requests/{user_id}", asker), "200"),
        ("Report", lambda user_id: _http("POST", "/reports", asker, _report(user_id)), "404 USER_NOT_FOUND"),
    ):
        yield _Question(
            f"{what} of an id: unknown, deleted or pending, over REST",
            _each(user_ids, make),
            expected,
            is_rest=True,
        )
    yield _Question(
        "Message to an id: unknown, deleted or pending",
        dict(zip(user_ids, zip(*_messages(asker, user_ids), strict=True), strict=True)),
        "Error USER_NOT_FOUND",
        is_rest=False,
    )


def _report(user_id: str) -> dict[str, str]:
    return {"userId": user_id, "category": "spam"}


def _messages(asker: Person, user_ids: Mapping[str, Sequence[str]]) -> Iterator[list[bytes]]:
    """Those of one turn have one id, which the answer repeats."""
    for recipients in zip(*user_ids.values(), strict=True):
        message_id = str(uuid4())
        yield [
            codec.encode_request(frames.message(message_id, asker.user_id, recipient))
            for recipient in recipients
        ]


def _each(about: Mapping[str, Sequence[str]], make: Callable[[str], bytes]) -> dict[str, Sequence[bytes]]:
    return {kind: [make(each) for each in all_of_them] for kind, all_of_them in about.items()}


def _http(method: str, path: str, asker: Person | None = None, body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} /api/v1{path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(content)}"]
    lines += ["Content-Type: application/json"] if content else []
    lines += [f"Authorization: Bearer {asker.token}"] if asker else []
    return "\r\n".join([*lines, "", ""]).encode() + content


def _record(record: Record, question: _Question, asked: Asked) -> None:
    took_ms = {kind: [1000 * each for each in took_s] for kind, took_s in asked.took_s.items()}
    record.row(
        Row(
            scenario="13",
            title=f"{question.title}: slower ÷ faster median",
            value=difference(median, took_ms),
            unit="",
            is_least=False,
            must=1.05,
            aim=1.02,
            figures=[
                *(Figure(kind, median(each), "ms") for kind, each in took_ms.items()),
                Figure("the same asked twice", noise(median, took_ms), ""),
            ],
            faults=dict(asked.faults),
        )
    )
