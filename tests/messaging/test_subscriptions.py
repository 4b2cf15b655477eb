from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import pytest
from redis.exceptions import RedisError

from messaging import subscriptions as subscriptions_module
from messaging.subscriptions import Subscriptions
from tests.messaging.doubles import turns, until


class Layer:
    """What is asked of the channel layer; its echoes come when the test says so."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.subscribed: list[list[UUID]] = []
        self.rings: list[UUID] = []
        self.fault: Exception | None = None

    async def subscribe(self, users: Sequence[UUID]) -> None:
        self.steps.append("subscribe")
        self.subscribed.append(list(users))
        if self.fault:
            raise self.fault

    async def unsubscribe(self, _users: Sequence[UUID]) -> None:
        self.steps.append("unsubscribe")
        if self.fault:
            raise self.fault

    def ring_self(self, user_id: UUID) -> None:
        self.rings.append(user_id)


@pytest.fixture
def layer() -> Layer:
    return Layer()


@pytest.fixture
async def subscriptions(layer: Layer) -> AsyncIterator[Subscriptions]:
    made = Subscriptions(layer.subscribe, layer.unsubscribe, layer.ring_self)
    yield made
    await made.close()


async def test_a_join_ends_when_its_own_ring_comes_back(subscriptions: Subscriptions, layer: Layer) -> None:
    user_id = uuid4()
    joining = asyncio.create_task(subscriptions.join(user_id))
    await until(lambda: bool(layer.rings))
    assert not joining.done()
    subscriptions.echo(user_id)
    await joining
    assert subscriptions.is_joined(user_id)
    assert layer.rings == [user_id]


async def test_a_ring_that_is_lost_is_rung_again(
    subscriptions: Subscriptions, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions_module, "_ECHO_S", 0.001)
    user_id = uuid4()
    joining = asyncio.create_task(subscriptions.join(user_id))
    await until(lambda: len(layer.rings) > 2)
    subscriptions.echo(user_id)
    await joining
    assert subscriptions.is_joined(user_id)


async def test_all_who_join_at_once_wait_for_the_same_join(
    subscriptions: Subscriptions, layer: Layer
) -> None:
    user_id = uuid4()
    joins = [asyncio.create_task(subscriptions.join(user_id)) for _ in range(3)]
    await until(lambda: bool(layer.rings))
    assert not any(join.done() for join in joins)
    subscriptions.echo(user_id)
    await asyncio.gather(*joins)
    await subscriptions.join(user_id)
    assert layer.steps == ["subscribe"]


async def test_without_an_echo_the_join_ends_all_the_same(
    subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions_module, "_JOIN_S", 0.01)
    user_id = uuid4()
    await subscriptions.join(user_id)
    assert not subscriptions.is_joined(user_id)


@pytest.mark.parametrize("fault", [RedisError(), ConnectionError()])
async def test_with_the_layer_away_nothing_is_raised(
    subscriptions: Subscriptions, layer: Layer, fault: Exception
) -> None:
    layer.fault = fault
    user_id = uuid4()
    await subscriptions.join(user_id)
    assert not subscriptions.is_joined(user_id)
    subscriptions.leave(user_id)
    await turns()
    assert layer.steps == ["subscribe", "unsubscribe"]


async def test_who_leaves_during_the_join_and_comes_back_stays(
    subscriptions: Subscriptions, layer: Layer
) -> None:
    user_id = uuid4()
    first = asyncio.create_task(subscriptions.join(user_id))
    await until(lambda: bool(layer.rings))
    subscriptions.leave(user_id)
    second = asyncio.create_task(subscriptions.join(user_id))
    await turns()
    subscriptions.echo(user_id)
    await asyncio.gather(first, second)
    await turns()
    assert subscriptions.is_joined(user_id)
    assert layer.steps == ["subscribe"]


async def test_who_leaves_during_the_join_is_not_joined(subscriptions: Subscriptions, layer: Layer) -> None:
    user_id = uuid4()
    joining = asyncio.create_task(subscriptions.join(user_id))
    await until(lambda: bool(layer.rings))
    subscriptions.leave(user_id)
    subscriptions.echo(user_id)
    await joining
    await until(lambda: layer.steps == ["subscribe", "unsubscribe"])
    assert not subscriptions.is_joined(user_id)


async def test_those_who_come_during_a_join_join_together(subscriptions: Subscriptions, layer: Layer) -> None:
    first, *others = users = [uuid4() for _ in range(50)]
    joins = [asyncio.create_task(subscriptions.join(first))]
    await until(lambda: bool(layer.rings))
    joins += [asyncio.create_task(subscriptions.join(user_id)) for user_id in others]
    await turns()
    subscriptions.echo(first)
    await until(lambda: layer.rings[-1] == others[-1])
    subscriptions.echo(others[-1])
    await asyncio.gather(*joins)
    assert layer.subscribed == [[first], others]
    assert all(map(subscriptions.is_joined, users))


async def test_a_join_waits_no_longer_than_a_second_for_those_before_it(
    subscriptions: Subscriptions, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions_module, "_JOIN_S", 0.1)
    loop = asyncio.get_running_loop()
    stuck = asyncio.create_task(subscriptions.join(uuid4()))
    await until(lambda: bool(layer.rings))
    begun_at = loop.time()
    await subscriptions.join(uuid4())
    # Its own attempt alone would begin after the first one's 0.1 s and take as long.
    assert loop.time() - begun_at < 0.18
    await stuck


async def test_an_echo_that_nobody_waits_for_is_no_fault(subscriptions: Subscriptions) -> None:
    user_id = uuid4()
    subscriptions.echo(user_id)
    assert not subscriptions.is_joined(user_id)
