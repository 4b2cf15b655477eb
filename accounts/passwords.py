"""Password hashing: Argon2id, off the event loop, a few at a time, with a bounded queue.

One hash takes tens of milliseconds of a core and megabytes of memory; unbounded,
a crowd of logins would take the whole machine.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import ParamSpec, TypeVar

import argon2
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, identify_hasher, make_password

from construct_site.errors import ConstructError, ErrorCode

P = ParamSpec("P")
T = TypeVar("T")
_NICE = 15


class OwaspArgon2Hasher(Argon2PasswordHasher):
    """Argon2id with the configured memory and passes and one lane.

    Source: RFC 9106; the defaults are OWASP's (Password Storage Cheat Sheet).
    """

    def params(self) -> argon2.Parameters:
        return argon2.Parameters(
            type=argon2.low_level.Type.ID,
            version=argon2.low_level.ARGON2_VERSION,
            salt_len=argon2.DEFAULT_RANDOM_SALT_LENGTH,
            hash_len=argon2.DEFAULT_HASH_LENGTH,
            time_cost=settings.CONSTRUCT.password_hash_passes,
            memory_cost=settings.CONSTRUCT.password_hash_memory_kib,
            parallelism=1,
        )


class PasswordHashing:
    """At most `threads` hashes at the same time and `queue` waiting. Safe to use from several event loops.

    A waiter that is cancelled gives its place back at once; a hash that has begun
    keeps its place until it ends, whoever still waits for it.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._executor = ThreadPoolExecutor(threads, "password", initializer=_give_way)
        self._places = threading.BoundedSemaphore(threads + queue)

    async def make(self, password: str) -> str:
        """The encoded hash of `password`, with a fresh salt. Raises ``ConstructError(SERVER_BUSY)``."""
        return await self._run(make_password, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether `password` has this hash. None, for an unknown user, costs the same and is False.

        Raises ``ConstructError(SERVER_BUSY)``.
        """
        return await self._run(check_password, password, encoded or unmatchable_hash())

    def close(self) -> None:
        """Wait for the hashes that were begun and end the threads."""
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._places.acquire(blocking=False):
            raise ConstructError(ErrorCode.SERVER_BUSY)
        future = self._executor.submit(function, *args, **kwargs)
        future.add_done_callback(self._give_place_back)
        return await asyncio.wrap_future(future)

    def _give_place_back(self, _future: Future[T]) -> None:
        self._places.release()


def _give_way() -> None:
    """Have the system run this thread after others: a crowd of logins must not hold up messages.

    Linux keeps a priority for each thread; elsewhere it is the process's and stays as it is.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


@cache
def get_password_hashing() -> PasswordHashing:
    """The one of this process, made at the first call from the configuration in force then."""
    config = settings.CONSTRUCT
    return PasswordHashing(config.password_hash_threads, config.password_hash_queue)


def unmatchable_hash() -> str:
    """An encoded hash that no known password has; checking one against it costs what any check does."""
    hasher = OwaspArgon2Hasher()
    params = hasher.params()
    salt, digest = _unpadded(hasher.salt().encode()), _unpadded(secrets.token_bytes(params.hash_len))
    costs = f"m={params.memory_cost},t={params.time_cost},p={params.parallelism}"
    return f"{hasher.algorithm}$argon2id$v={params.version}${costs}${salt}${digest}"


def must_update(encoded: str) -> bool:
    """Whether this hash was made with other parameters than today's."""
    return identify_hasher(encoded).must_update(encoded)


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
