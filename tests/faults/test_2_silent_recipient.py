"""A recipient that falls silent after the server has written: what it did not confirm comes again, in order."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from construct_site.env import REPOSITORY
from tests.faults.cluster import Cluster
from tests.faults.crowd import Crowd, fingerprint, until
from tests.faults.ledger import Handed, Ledger, Verdict
from tests.faults.proxy import Proxy
from tests.faults.sizes import Size
from tests.live.dialogue import WAIT_S, Person
from tests.live.nodes import Sockets

Report = Callable[[Verdict], None]

SLOW = 4408
STALL_S = 3.0
SETTINGS = {
    # The defaults, twenty times faster.
    "CONSTRUCT_STALL_S": str(STALL_S),
    "CONSTRUCT_HEARTBEAT_S": "2.25",
    "CONSTRUCT_PONG_S": "1.5",
}
SLACK = 3


async def judge(crowd: Crowd, report: Report) -> None:
    verdict = await crowd.settle()
    report(verdict)
    assert verdict.faults == {}


async def test_one_that_stops_reading(cluster: Cluster, crowd: Crowd, size: Size, report: Report) -> None:
    here, there = cluster.servers
    senders = list(crowd.devices)
    (person,) = await cluster.accounts(1)
    silent = crowd.add(person, lambda _attempt: here.port)
    await crowd.connected()
    async with crowd.talking(size.per_s, senders, [person]):
        await asyncio.sleep(size.calm_s)
        silent.freeze()
        handed = crowd.ledger.count(silent.name)
        await asyncio.sleep(size.calm_s)
        heir = crowd.add(person, lambda _attempt: there.port)
        await asyncio.sleep(size.calm_s)
    await until(lambda: crowd.ledger.missing() == set(), WAIT_S)
    assert crowd.ledger.count(silent.name) == handed
    # It reads what the system took in for it, then that the server gave it up.
    await asyncio.sleep(SLACK * STALL_S)
    silent.thaw()
    await until(lambda: silent.close_codes[SLOW] == 1, WAIT_S)
    await judge(crowd, report)
    assert handed + crowd.ledger.count(heir.name) >= len(crowd.ledger.acked)


@dataclass
class LoneClient:
    """A client in a process of its own."""

    process: subprocess.Popen[str]
    output: Path

    @property
    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def report_to(self, ledger: Ledger, person: Person) -> None:
        """Enter what it was handed."""
        ledger.add_device("lone client", person.user_id)
        for line in self.lines:
            message_id, content = json.loads(line)
            ledger.hand(Handed("lone client", 1, message_id, fingerprint(content)))


@contextmanager
def lone_client(person: Person, port: int, directory: Path) -> Iterator[LoneClient]:
    output = directory / "handed"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lone_client", str(port)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=file,
            text=True,
        )
    with process:
        try:
            assert process.stdin is not None
            process.stdin.write(person.token + "\n")
            process.stdin.flush()
            yield LoneClient(process, output)
        finally:
            process.kill()


async def test_one_whose_process_is_stopped(
    cluster: Cluster, crowd: Crowd, size: Size, report: Report, tmp_path: Path
) -> None:
    here, there = cluster.servers
    senders = list(crowd.devices)
    (person,) = await cluster.accounts(1)
    with lone_client(person, here.port, tmp_path) as silent:
        async with crowd.talking(size.per_s, senders, [person]):
            await until(lambda: len(silent.lines) > size.per_s * size.calm_s, WAIT_S)
            silent.process.send_signal(signal.SIGSTOP)
            before = len(silent.lines)
            await asyncio.sleep(size.calm_s)
            crowd.add(person, lambda _attempt: there.port)
            await asyncio.sleep(size.calm_s)
        assert len(silent.lines) == before
        silent.process.kill()
        silent.process.wait()
        silent.report_to(crowd.ledger, person)
    await judge(crowd, report)


async def test_one_whose_connection_breaks_without_a_word(
    cluster: Cluster, crowd: Crowd, size: Size, report: Report
) -> None:
    here, there = cluster.servers
    senders = list(crowd.devices)
    (person,) = await cluster.accounts(1)
    with Proxy(here.port) as cable:
        silent = crowd.add(person, lambda _attempt: cable.port)
        await crowd.connected()
        async with crowd.talking(size.per_s, senders, [person]):
            await asyncio.sleep(size.calm_s)
            cable.hang()
            await asyncio.sleep(size.calm_s)
            heir = crowd.add(person, lambda _attempt: there.port)
            await asyncio.sleep(size.calm_s)
        await judge(crowd, report)
        assert silent.close_codes == {}, "it heard of nothing"
        assert crowd.ledger.count(heir.name) > 0


async def test_one_that_answers_pings_and_dies_before_it_stored(
    cluster: Cluster, crowd: Crowd, size: Size, report: Report
) -> None:
    """With receipts a pong confirms nothing: everything comes again, from the first message on."""
    here, there = cluster.servers
    senders = list(crowd.devices)
    (person,) = await cluster.accounts(1)
    async with Sockets(here, cluster.factory.private) as sockets:
        silent, transport = await sockets.open_raw(answers_pings=True)
        success = await silent.connect(person, receipts=True)
        assert success["receipts"] is True
        async with crowd.talking(size.per_s, senders, [person]):
            handed = [await silent.message() for _ in range(16)]
            await asyncio.sleep(size.calm_s)
            assert not transport.pings.empty()
            transport.abort()
            heir = crowd.add(person, lambda _attempt: there.port, receipts=True)
            await asyncio.sleep(size.calm_s)
    await judge(crowd, report)
    assert not crowd.ledger.missing_on(heir.name)
    again = {each.message_id for each in crowd.ledger.handed if each.device == heir.name}
    assert {message["id"] for message in handed} <= again
