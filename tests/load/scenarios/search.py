"""Scenario 12: searches, one at a time, among very many accounts."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tests.load import frames
from tests.load.commands.asking import Asked, AskInTurn
from tests.load.commands.crowds import Seat
from tests.load.measuring import Record, add_up, percentile, usage_of
from tests.load.names import Name, names, store
from tests.load.results import Figure, Row
from tests.load.sizes import Sizes
from tests.load.stage import Stage
from tests.load.wording import count

KINDS: Mapping[str, Callable[[random.Random, Name], str]] = {
    "a name's beginning": lambda draw, name: draw.choice(name)[: draw.randint(2, 8)],
    "a last word's beginning": lambda draw, name: re.split("[ _-]", draw.choice(name))[-1][
        : draw.randint(2, 8)
    ],
    "a part": lambda draw, name: _part(draw, draw.choice(name)),
    "a whole name": lambda draw, name: draw.choice(name),
    "nobody's name": lambda draw, _name: "".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 10))),
}


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    draw = random.Random(2)
    with stage.construct() as construct, stage.client() as client:
        (asker,) = construct.people(1)
        store(construct.database_url, names(sizes.searched))
        seat, somebody = Seat(construct.nodes[0].port, asker), _somebody(draw, sizes)
        rounds, usages = [], []
        for number in range(1 + sizes.rounds):
            searches = AskInTurn(seat, _searches(draw, somebody, sizes), "SearchResults", must_be_alike=False)
            with usage_of(stage, construct.nodes, [client]) as usage:
                asked = client.call(searches)
            # The first one warms up.
            if number:
                rounds.append(asked)
                usages.append(usage)
    record.cost("search", usages, len(KINDS) * sizes.searches * sizes.rounds)
    _record(record, rounds, sizes)


def _somebody(draw: random.Random, sizes: Sizes) -> list[Name]:
    """Of all that were stored, those whom chance picked."""
    picked = set(draw.choices(range(sizes.searched), k=sizes.searches * sizes.rounds))
    return [name for number, name in enumerate(names(sizes.searched)) if number in picked]


def _searches(draw: random.Random, somebody: Sequence[Name], sizes: Sizes) -> dict[str, Sequence[bytes]]:
    """As many of each kind."""
    return {
        kind: [frames.search_frame(query(draw, draw.choice(somebody))) for _ in range(sizes.searches)]
        for kind, query in KINDS.items()
    }


def _record(record: Record, rounds: Sequence[Asked], sizes: Sizes) -> None:
    all_ms = [sorted(1000 * each for took_s in asked.took_s.values() for each in took_s) for asked in rounds]
    p95s = [percentile(each, 0.95) for each in all_ms]
    record.row(
        Row(
            scenario="12",
            title=f"Search among {count(sizes.searched)} accounts, p95",
            value=median(p95s),
            unit="ms",
            is_least=False,
            must=10,
            aim=5,
            rounds=p95s,
            figures=[
                Figure("p50", median(percentile(each, 0.5) for each in all_ms), "ms"),
                Figure("p99", median(percentile(each, 0.99) for each in all_ms), "ms"),
                *(Figure(f"p95 of {kind}", _p95_ms(kind, rounds), "ms") for kind in KINDS),
            ],
            faults=add_up(asked.faults for asked in rounds),
        )
    )


def _p95_ms(kind: str, rounds: Sequence[Asked]) -> float:
    return median(1000 * percentile(sorted(asked.took_s[kind]), 0.95) for asked in rounds)


def _part(draw: random.Random, name: str) -> str:
    start = draw.randrange(max(1, len(name) - 2))
    return name[start : start + draw.randint(3, 6)]
