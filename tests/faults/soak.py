"""Everything is restarted at random for a while, under load: `python -m tests.faults.soak MINUTES`.

Two servers, a PostgreSQL, a Valkey and a crowd of its own. One server is left
alone, to see whether its memory is flat; the other is killed or ended again and
again. Prints one table; the exit code is 1 if anything was lost, came twice or
out of order, or grew.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.cluster import FAULT_SETTINGS, Cluster
from tests.faults.crowd import Crowd, Device
from tests.faults.ledger import Verdict
from tests.live.server import Backing, ServerFactory, migrate
from tests.load.processes import resident_bytes
from tests.services import PostgresqlServer, RedisServer, fresh_database, postgresql_server, valkey_server

ACCOUNTS = 24
PER_S = 100.0
CHURN_S = 0.25
CALM_S = 10.0
"""Between two faults of a kind, on average."""
AWAY_S = 3.0
"""How long a service is away, at most."""
DRAIN_S = 4.0
REPLY_S = 10.0
SLACK = 3
WARM_SHARE = 0.25
"""Of the time, before memory is looked at first."""
FLAT_BYTES = 16 * 1024 * 1024
"""Growth from then on that is still called flat."""
MEBIBYTE = 1024 * 1024
EXPECTED_ERRORS = {"QUEUE_FAILED", "SERVER_ERROR", "SERVER_BUSY"}
"""While the database is away."""
SETTINGS = {**FAULT_SETTINGS, "CONSTRUCT_DRAIN_S": str(DRAIN_S)}


@dataclass
class Soak:
    """The parts, and what happened to them."""

    cluster: Cluster
    crowd: Crowd
    postgresql: PostgresqlServer
    valkey: RedisServer
    events: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _is_over: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def misfortune(self) -> AsyncIterator[None]:
        """Within the context everything happens at random, each kind of thing by itself."""
        kinds = [
            self._again_and_again(CALM_S, self._restart_server),
            self._again_and_again(CALM_S, self._restart_valkey),
            self._again_and_again(2 * CALM_S, self._restart_postgresql),
            self._again_and_again(CHURN_S, self._churn),
        ]
        tasks = [asyncio.create_task(kind) for kind in kinds]
        has_ended = asyncio.gather(*tasks)
        try:
            yield
        finally:
            # A restart that is under way is finished: what comes after needs everything.
            self._is_over.set()
            await has_ended

    async def _again_and_again(self, pause_s: float, happen: Callable[[], Awaitable[None]]) -> None:
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), random.expovariate(1 / pause_s))
                return
            await happen()

    async def _churn(self) -> None:
        random.choice([Device.drop, Device.log_out])(random.choice(self.crowd.devices))

    async def _restart_server(self) -> None:
        """End the younger server, by force or in order; another takes its place."""
        victim = self.cluster.servers[-1]
        if random.random() < 0.5:
            self.events["servers killed"] += 1
            await self.cluster.kill(victim)
        else:
            self.events["servers ended"] += 1
            code = await self.cluster.terminate(victim, SLACK * DRAIN_S)
            if code != 0:
                self.faults.append(f"a server ended with exit code {code}")
        await asyncio.sleep(random.uniform(0, AWAY_S))
        while len(self.cluster.servers) < 2:
            # It does not start while the database is away.
            with suppress(RuntimeError):
                await self.cluster.start()

    async def _restart_valkey(self) -> None:
        self.events["Valkey killed"] += 1
        await asyncio.to_thread(self.valkey.kill)
        await asyncio.sleep(random.uniform(0, AWAY_S))
        await asyncio.to_thread(self.valkey.start)

    async def _restart_postgresql(self) -> None:
        self.events["PostgreSQL restarted"] += 1
        await asyncio.to_thread(random.choice([self.postgresql.crash, self.postgresql.stop]))
        await asyncio.sleep(random.uniform(0, AWAY_S))
        await asyncio.to_thread(self.postgresql.start)

    def judge(self, verdict: Verdict) -> None:
        """Note what must not be."""
        self.faults += [f"{count} {name}" for name, count in verdict.faults.items()]
        self.faults += [f"error {code}" for code in self.crowd.errors.keys() - EXPECTED_ERRORS]
        if self.crowd.slowest_reply_s > SLACK * REPLY_S:
            self.faults.append(f"a reply took {self.crowd.slowest_reply_s:.0f} s")


@contextmanager
def services() -> Iterator[tuple[ServerFactory, PostgresqlServer, RedisServer]]:
    """What the servers need, and what starts them. At the end their logs are read."""
    with (
        TemporaryDirectory(prefix="construct-soak-") as directory,
        postgresql_server() as postgresql,
        valkey_server() as valkey,
        fresh_database(postgresql.url) as database_url,
    ):
        environment = {"CONSTRUCT_DATA_DIR": directory, "DATABASE_URL": database_url, "REDIS_URL": valkey.url}
        backing = Backing("distributed", environment)
        migrate(backing)
        factory = ServerFactory(backing, Path(directory))
        try:
            yield factory, postgresql, valkey
        finally:
            factory.close()


async def soak(
    seconds: float, factory: ServerFactory, postgresql: PostgresqlServer, valkey: RedisServer
) -> int:
    cluster, crowd = Cluster(factory, SETTINGS), Crowd()
    run = Soak(cluster, crowd, postgresql, valkey)
    try:
        keeper = await cluster.start()
        await cluster.start()
        for turn, person in enumerate(await cluster.accounts(ACCOUNTS)):
            habits = {"receipts": bool(turn % 2)}
            crowd.add(person, lambda attempt, turn=turn: cluster.port(turn + attempt), **habits)  # type: ignore[misc]
        await crowd.connected()
        async with crowd.talking(PER_S), run.misfortune():
            await asyncio.sleep(seconds * WARM_SHARE)
            warm_bytes = resident_bytes(keeper.process.pid)
            await asyncio.sleep(seconds * (1 - WARM_SHARE))
        verdict = await crowd.settle()
        run.judge(verdict)
        end_bytes = resident_bytes(keeper.process.pid)
        if end_bytes - warm_bytes > FLAT_BYTES:
            run.faults.append("memory is not flat")
        print(table(run, verdict, warm_bytes, end_bytes))
        return 1 if run.faults else 0
    finally:
        await crowd.close()


def table(run: Soak, verdict: Verdict, warm_bytes: int, end_bytes: int) -> str:
    rows = [(name, str(count)) for name, count in vars(verdict).items()]
    rows += [(name, str(count)) for name, count in sorted(run.events.items())]
    rows += [(f"errors {code}", str(count)) for code, count in sorted(run.crowd.errors.items())]
    codes = sorted(run.crowd.close_codes.items(), key=str)
    rows += [(f"connections ended {code or 'without a close'}", str(count)) for code, count in codes]
    rows.append(("slowest reply", f"{run.crowd.slowest_reply_s:.1f} s"))
    rows.append(("memory of the server that was left alone, warm", f"{warm_bytes / MEBIBYTE:.1f} MiB"))
    rows.append(("the same at the end", f"{end_bytes / MEBIBYTE:.1f} MiB"))
    rows.append(("faults", "; ".join(run.faults) or "none"))
    return "\n".join(["| what | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main(minutes: float) -> int:
    # SIGTERM ends it like Ctrl-C: by an exception, through every `finally`.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    with services() as (factory, postgresql, valkey):
        code = asyncio.run(soak(60 * minutes, factory, postgresql, valkey))
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes with starting and stopping")
    return code


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
