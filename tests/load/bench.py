"""The benchmark: `python -m tests.load.bench [--only 1,4] [--quick] [--stubs N] [--json PATH] [--page PATH]`.

Starts everything that it needs and stops it at the end, also on Ctrl-C and SIGTERM. Prints the
page; `--json` keeps what was found and `--page` the page. The exit code is 0 if everything was
measured without faults, whatever the speed.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from construct_site.env import REPOSITORY
from tests.load import machine, report, results
from tests.load.client import CommandFailed
from tests.load.measuring import Record
from tests.load.results import Results
from tests.load.scenarios import (
    blocks,
    drains,
    existence,
    idle,
    latency,
    lists,
    logins,
    reconnects,
    relay,
    search,
    single,
    stubs,
)
from tests.load.sizes import FULL, QUICK, Sizes
from tests.load.stage import RAISED_LIMITS, Stage, postgresql_settings, stage
from tests.load.wording import amount

SPARE_FILES = 1_000
INTERRUPTED = 130
"""The exit code after Ctrl-C or SIGTERM, as shells have it."""


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
    _alone("13", existence.run),
    _alone("14", blocks.run),
    _alone("12", search.run),
    _alone("15", lists.run),
    # Last, like the two before: it fills the caches of the disk and of the database.
    _alone("2", stubs.run),
)
NUMBERS = sorted(set().union(*(group.numbers for group in GROUPS)), key=int)


def bench(services: Stage, sizes: Sizes, wanted: set[str]) -> Results:
    """Run the wanted scenarios, those of a group together."""
    allow_open_files(sizes.idle + SPARE_FILES)
    begin, record = time.monotonic(), Record()
    failures: dict[str, str] = {}
    for group in GROUPS:
        if chosen := group.numbers & wanted:
            names = ", ".join(sorted(chosen, key=int))
            _say(f"Scenarios {names}")
            if failure := _run(group, services, sizes, record, set(chosen)):
                failures[names] = failure
    return Results(
        version=tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"],
        machine=machine.machine(),
        versions=machine.versions(services.database_url, services.redis_url),
        settings=postgresql_settings(),
        limits=RAISED_LIMITS,
        sizes=asdict(sizes),
        took_s=time.monotonic() - begin,
        rows=sorted(record.rows, key=lambda row: int(row.scenario)),
        failures=failures,
        costs=record.costs,
        clients=record.clients,
    )


def allow_open_files(count: int) -> None:
    """Let this process and those it starts open so many. Raises RuntimeError where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise RuntimeError(f"{count} open files are needed, the system allows {hard}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _run(group: Group, services: Stage, sizes: Sizes, record: Record, chosen: set[str]) -> str | None:
    """Run a group and say what it found; why it failed, if it did: the others still run."""
    known = len(record.rows)
    failure = None
    try:
        group.run(services, sizes, record, chosen)
    except (CommandFailed, AssertionError, EOFError, RuntimeError) as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
        _say(f"  failed: {failure}")
    for row in record.rows[known:]:
        _say(
            f"  {row.title}: {amount(row.value, row.unit)}" + (f", faults {row.faults}" if row.faults else "")
        )
    return failure


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description="Measures Construct against its musts and aims.")
    parser.add_argument("--only", default=",".join(NUMBERS), help="numbers of scenarios, separated by commas")
    parser.add_argument("--quick", action="store_true", help="small sizes: for trying, not for judging")
    parser.add_argument("--stubs", type=int, help="rows of scenario 2")
    parser.add_argument("--json", type=Path, help="where to keep what was found")
    parser.add_argument("--page", type=Path, help="where to keep the page")
    options = parser.parse_args(arguments)
    if unknown := set(options.only.split(",")) - set(NUMBERS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    sizes = QUICK if options.quick else FULL
    if options.stubs is not None:
        sizes = replace(sizes, stubs=options.stubs)
    with stage() as services:
        found = bench(services, sizes, set(options.only.split(",")))
    page = report.page(found)
    if options.json is not None:
        options.json.write_bytes(results.write(found))
    if options.page is not None:
        options.page.write_text(page)
    print(page)
    return 0 if found.is_faultless else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
