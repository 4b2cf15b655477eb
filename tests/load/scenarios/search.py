"""Scenario 12: searches, one at a time, among very many accounts."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping, Sequence

from tests.load import frames
from tests.load.commands.asking import AskInTurn
from tests.load.commands.crowds import Seat
from tests.load.measuring import Record, percentile, usage_of
from tests.load.names import Name, names, store
from tests.load.results import Figure, Row
from tests.load.sizes import Sizes
from tests.load.stage import Stage

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
    with stage.construct() as construct, stage.client() as client:
        (asker,) = construct.people(1)
        store(construct.database_url, names(sizes.searched))
        searches = AskInTurn(
            Seat(construct.nodes[0].port, asker), _searches(sizes), "SearchResults", must_be_alike=False
        )
        with usage_of(stage, construct.nodes, [client]) as usage:
            asked = client.call(searches)
    took_ms = {kind: sorted(1000 * each for each in took_s) for kind, took_s in asked.took_s.items()}
    all_ms = sorted(each for of_a_kind in took_ms.values() for each in of_a_kind)
    record.cost("search", [usage], len(all_ms))
    record.row(
        Row(
            scenario="12",
            title=f"Search among {sizes.searched / 1e6:g} million accounts, p95",
            value=percentile(all_ms, 0.95),
            unit="ms",
            is_least=False,
            must=10,
            aim=5,
            figures=[
                *(
                    Figure(f"p{share:.0%}".rstrip("%"), percentile(all_ms, share), "ms")
                    for share in (0.5, 0.99)
                ),
                *(Figure(f"p95 of {kind}", percentile(each, 0.95), "ms") for kind, each in took_ms.items()),
            ],
            faults=dict(asked.faults),
        )
    )


def _searches(sizes: Sizes) -> dict[str, Sequence[bytes]]:
    """As many of each kind, each about somebody whom chance picked."""
    draw = random.Random(2)
    picked = set(draw.choices(range(sizes.searched), k=sizes.searches))
    somebody = [name for number, name in enumerate(names(sizes.searched)) if number in picked]
    return {
        kind: [frames.search_frame(query(draw, draw.choice(somebody))) for _ in range(sizes.searches)]
        for kind, query in KINDS.items()
    }


def _part(draw: random.Random, name: str) -> str:
    start = draw.randrange(max(1, len(name) - 2))
    return name[start : start + draw.randint(3, 6)]
