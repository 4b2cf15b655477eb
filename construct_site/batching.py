"""Many calls in one: for work whose cost is the journey, not the load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Batcher(Generic[A, R]):
    """Calls that are made while one is under way go together in the next. One per event loop."""

    def __init__(
        self, run: Callable[[Sequence[A]], Awaitable[Sequence[R | Exception]]], *, most: int
    ) -> None:
        """`run` answers up to `most` calls, in their order; an exception in the place of an answer is raised there.

        What `run` itself raises, all calls of that batch raise.
        """
        self._run = run
        self._most = most
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def call(self, argument: A) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer([(argument, future) for argument, future in batch if not future.done()])
        finally:
            self._worker = None

    async def _answer(self, batch: Sequence[tuple[A, asyncio.Future[R]]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = await self._run([argument for argument, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller handles it as its own
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
