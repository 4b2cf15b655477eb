"""The benchmark: `python -m tests.load.bench [--only 1,4] [--quick] [--stubs N] [--json PATH]`.

Starts everything that it needs and stops it at the end, also on Ctrl-C and SIGTERM. Prints
the table; with `--json` writes what was found, from which `tests.load.report` makes the page.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.load import machine, report, results
from tests.load.measuring import Record
from tests.load.results import Results
from tests.load.scenarios import drains, idle, latency, logins, reconnects, relay, single, stubs
from tests.load.sizes import FULL, QUICK, Sizes
from tests.load.stage import RAISED_LIMITS, Stage, postgresql_settings, stage


@dataclass(frozen=True)
class Group:
    """Scenarios that are measured together. `run` is told which of them are wanted."""

    numbers: frozenset[str]
    run: Callable[[Stage, Sizes, Record, set[str]], None]


def _alone(number: str, run: Callable[[Stage, Sizes, Record], None]) -> Group:
    return Group(frozenset({number}), lambda stage, sizes, record, _wanted: run(stage, sizes, record))


GROUPS = (
    Group(frozenset({"1", "3", "4"}), relay.run),
    _alone("5", single.run),
    _alone("6", latency.run),
    Group(frozenset({"7", "8"}), idle.run),
    _alone("9", drains.run),
    _alone("10", reconnects.run),
    _alone("11", logins.run),
    # Last: it fills the disk's and the database's caches.
    _alone("2", stubs.run),
)
NUMBERS = sorted(set().union(*(group.numbers for group in GROUPS)), key=int)


def bench(sizes: Sizes, wanted: set[str]) -> Results:
    """Run the wanted scenarios."""
    begin, record = time.monotonic(), Record()
    with stage() as services:
        versions = machine.versions(services.database_url, services.redis_url)
        for group in GROUPS:
            if chosen := group.numbers & wanted:
                say(f"scenarios {', '.join(sorted(chosen, key=int))}")
                group.run(services, sizes, record, set(chosen))
    return Results(
        version="0",
        machine=machine.machine(),
        versions=versions,
        settings=postgresql_settings(),
        limits=RAISED_LIMITS,
        sizes=asdict(sizes),
        took_s=time.monotonic() - begin,
        rows=record.rows,
        costs=record.costs,
        clients=record.clients,
    )


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if every scenario ran without faults."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(NUMBERS), help="numbers of scenarios, separated by commas")
    parser.add_argument("--quick", action="store_true", help="small sizes: for trying, not for judging")
    parser.add_argument("--stubs", type=int, help="rows of scenario 2")
    parser.add_argument("--json", type=Path, help="where to write what was found")
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    if options.stubs is not None:
        sizes = replace(sizes, stubs=options.stubs)
    found = bench(sizes, set(options.only.split(",")))
    if options.json is not None:
        options.json.write_bytes(results.write(found))
    print(report.page(found))
    return 1 if any(row.faults for row in found.rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
