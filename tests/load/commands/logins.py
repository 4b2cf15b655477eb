"""Many logins at once, and the hash that they cost, alone."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import argon2

from construct_site.env import Config
from tests.load import frames
from tests.load.client import Sockets
from tests.load.commands.crowds import AT_ONCE, Seat, ask, open_all
from tests.load.socket import LoadSocket


@dataclass(frozen=True)
class Hashed:
    """Hashes, or logins, a second."""

    per_s: float
    faults: Mapping[str, int]


@dataclass(frozen=True)
class LoginStorm:
    """Each account on a socket of its own logs in again and again, all of them at once."""

    seats: Sequence[Seat]
    """Without people: they log in here."""
    usernames: Sequence[str]
    password: str
    warm_up_s: float
    measured_s: float

    async def run(self, sockets: Sockets) -> Hashed:
        sockets.crowds["storm"] = opened = await open_all(self.seats, AT_ONCE)
        storm = _Storm(self.password)
        tasks = [
            asyncio.create_task(storm.log_in_again_and_again(socket, username))
            for socket, username in zip(opened, self.usernames, strict=True)
        ]
        await asyncio.sleep(self.warm_up_s)
        begin, before = time.perf_counter(), storm.logins
        await asyncio.sleep(self.measured_s)
        per_s = (storm.logins - before) / (time.perf_counter() - begin)
        storm.is_over = True
        await asyncio.gather(*tasks)
        sockets.close("storm")
        return Hashed(per_s, dict(storm.faults))


class _Storm:
    def __init__(self, password: str) -> None:
        self.logins = 0
        self.is_over = False
        self.faults: Counter[str] = Counter()
        self._password = password

    async def log_in_again_and_again(self, socket: LoadSocket, username: str) -> None:
        frame = frames.login_frame(username, self._password)
        while not self.is_over:
            try:
                await ask(socket, frame, "loginSuccess")
            except (ConnectionError, TimeoutError) as error:
                self.faults[str(error) or "no answer"] += 1
                return
            self.logins += 1


@dataclass(frozen=True)
class HashAlone:
    """The default hash in a loop, on as many threads as a server uses."""

    warm_up_s: float
    measured_s: float

    async def run(self, _sockets: Sockets) -> Hashed:
        config, loop = Config(), asyncio.get_running_loop()
        hashing = _Hashing(config)
        with ThreadPoolExecutor(config.password_hash_threads) as threads:
            work = [
                loop.run_in_executor(threads, hashing.hash_again_and_again, thread)
                for thread in range(config.password_hash_threads)
            ]
            await asyncio.sleep(self.warm_up_s)
            begin, before = time.perf_counter(), hashing.hashes
            await asyncio.sleep(self.measured_s)
            per_s = (hashing.hashes - before) / (time.perf_counter() - begin)
            hashing.is_over = True
            await asyncio.gather(*work)
        return Hashed(per_s, {})


class _Hashing:
    def __init__(self, config: Config) -> None:
        self.is_over = False
        self._config = config
        self._made = [0] * config.password_hash_threads

    @property
    def hashes(self) -> int:
        return sum(self._made)

    def hash_again_and_again(self, thread: int) -> None:
        salt = secrets.token_bytes(argon2.DEFAULT_RANDOM_SALT_LENGTH)
        while not self.is_over:
            argon2.low_level.hash_secret_raw(
                b"a password of some length",
                salt,
                time_cost=self._config.password_hash_passes,
                memory_cost=self._config.password_hash_memory_kib,
                parallelism=1,
                hash_len=argon2.DEFAULT_HASH_LENGTH,
                type=argon2.low_level.Type.ID,
            )
            self._made[thread] += 1
