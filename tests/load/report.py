"""The page for people, from what a benchmark found. Pure, but for :func:`main`.

`python -m tests.load.report RESULTS.json PAGE.md` writes a page anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.load.results import ClientShare, Cost, Results, Row, read
from tests.load.wording import amount, count, duration

QUIET_SHARE = 0.1
"""Of the machine: what others may take before the page warns."""

METHOD = """\
- Everything runs on the one machine named above: the servers, PostgreSQL (every commit synced to disk), Valkey
  and the load clients. Each load client is a process of its own.
- Every check is on: validation, encryption, stubs, rate limits, connection caps. Only the numbers of the limits
  are raised (below).
- **Bare relay**: decodes MessagePack, hands to the local peer, acks; nothing is stored, nothing is checked.
  Daphne as it comes, on the same event loop. **Tutorial relay**: a consumer a socket and a group a user, as the
  Channels tutorial teaches, on the stock Redis channel layer. Both get the same frames from the same client.
- What is compared is measured in turn, round after round; a ratio is the median of the rounds' ratios, an
  absolute figure the median of the rounds' figures. Each run warms up before it counts.
- A message counts once, where it is received. One that is lost, not acked, delivered twice or out of order, and
  every frame that was not due, is a fault, and a fault fails its scenario. (The tutorial relay's losses are told,
  not judged.)
- Times are taken by the load client. At a fixed rate they begin when a message was due to be sent, whether or
  not the client was late.
- The flooding client has always 1 000 messages unacked, more than the server reads ahead. Drains count from the
  first `connect` to the last message. Idle connections of Construct are logged in; those of the bare relay are
  only open. Memory is what no other process shares.
- Searches go one at a time over a socket, as many for the beginning of a name, for that of its last word, for any
  part, for a whole name and for nobody's; 15 % of the accounts hide.
- Whether the time of an answer tells that somebody exists is asked one request at a time, by turns about somebody and
  about nobody, logins from an address that is new to the account. Medians are compared; beside them, two halves
  of the requests of one kind ("the same asked twice"): a difference below that one is noise.
- Whether the time of an ack tells of a block or of a request is asked in the same way: one sender writes by turns to
  one who blocked them and to one who said nothing of them. The recipients' sockets are another client's.
- Pages of the admin are asked for one at a time over one connection, by a superuser who signed in, and come whole. Each
  account has a session and a key bundle; of 100, one is in each of the states that the list of users filters by.
  Deep pages are the last of those that a list goes through (it counts to 10 000)."""


def page(results: Results) -> str:
    """The whole page, in Markdown."""
    parts = [
        "# Benchmarks",
        "Written by `make bench` from `benchmarks.json`, which stands beside it.",
        f"Construct {results.version} on " + ", ".join(results.machine.values()) + ".",
        table(results.rows),
        *failures(results.failures),
        *noise(results.clients),
        "## Processor time\n\nOf all processes of each part.\n\n" + costs(results.costs),
        "## The load clients\n\nA client is one thread: at 100 % of a core it would hold up what it measures. Others'"
        " work is what this machine did meanwhile for nobody named here.\n\n" + clients(results.clients),
        "## How it is measured\n\n" + METHOD,
        "## Versions and settings\n\n" + settings(results),
    ]
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """A line for each row: what was found, what must and should be, and the figures behind it."""
    return _table(
        ["", "scenario", "found", "must", "aim", "absolute"],
        (
            [
                row.scenario,
                row.title,
                f"**{amount(row.value, row.unit)}**",
                _bound(row, row.must),
                _bound(row, row.aim),
                _behind(row),
            ]
            for row in rows
        ),
    )


def failures(found: Mapping[str, str]) -> list[str]:
    """What could not be measured; no part at all if everything was."""
    if not found:
        return []
    return [
        "**Not measured:** " + "; ".join(f"scenarios {which}: {why}" for which, why in found.items()) + "."
    ]


def noise(found: Sequence[ClientShare]) -> list[str]:
    """A warning where others had a say in the figures; no part at all on a quiet machine."""
    most = max((each.elsewhere for each in found), default=0.0)
    if most <= QUIET_SHARE:
        return []
    warning = f"""\
**The machine was not quiet:** others took up to {most:.0%} of it while this was measured. Rates are lower and
times longer than they would be; the table of the load clients says beside which load."""
    return [warning]


def costs(found: Sequence[Cost]) -> str:
    return _table(
        ["", "server", "database", "Valkey"],
        (
            [cost.work, duration(cost.server), duration(cost.database), duration(cost.valkey)]
            for cost in found
        ),
    )


def clients(found: Sequence[ClientShare]) -> str:
    return _table(
        ["load", "client's share of a core", "others' share of the machine"],
        ([each.load, f"{each.share:.0%}", f"{each.elsewhere:.0%}"] for each in found),
    )


def settings(results: Results) -> str:
    parts = [
        ", ".join(f"{name} {version}" for name, version in results.versions.items()) + ".",
        "PostgreSQL: " + ", ".join(f"`{name}={value}`" for name, value in results.settings.items()) + ".",
        "Raised limits: " + ", ".join(f"`{name}={value}`" for name, value in results.limits.items()) + ".",
        "Sizes: " + ", ".join(f"{name} {value:g}" for name, value in results.sizes.items()) + "."
        f" The run took {count(results.took_s / 60)} minutes.",
    ]
    return "\n\n".join(parts)


def _bound(row: Row, bound: float | None) -> str:
    if bound is None:
        return ""
    sign = "≥" if row.is_least else "≤"
    digits = f"{bound:g}" if bound < 1000 else count(bound)
    unit = row.unit if row.unit.startswith("/") or not row.unit else f" {row.unit}"
    return f"{sign} {digits}{unit}: {'met' if row.meets(bound) else '**not met**'}"


def _behind(row: Row) -> str:
    parts = [f"{figure.name} {amount(figure.value, figure.unit)}" for figure in row.figures]
    if len(row.rounds) > 1:
        parts.append(f"rounds {amount(min(row.rounds), row.unit)} to {amount(max(row.rounds), row.unit)}")
    if row.faults:
        parts.append("**faults: " + ", ".join(f"{name} {times}" for name, times in row.faults.items()) + "**")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(results: Path, target: Path) -> None:
    """Write the page of a results file. Raises ``msgspec.ValidationError``."""
    target.write_text(page(read(results.read_bytes())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
