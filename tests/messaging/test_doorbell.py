"""The doorbell on a real Valkey: who heard it, in which order, and what a lost connection costs."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any
from uuid import uuid4

import pytest
import redis
from channels.layers import InMemoryChannelLayer
from redis.exceptions import ConnectionError as RedisConnectionError

from messaging import doorbell as doorbell_module
from messaging.doorbell import Doorbell
from messaging.layer import DoorbellLayer, as_ring_layer
from tests.messaging.doubles import PATIENCE_S, turns, until
from tests.services import free_port

Layers = tuple[DoorbellLayer, DoorbellLayer]
Ring = tuple[str, dict[str, Any]]


class FaultyLayer:
    """A shared layer that raises before it rings, and can be held up."""

    def __init__(self, layer: DoorbellLayer, *faults: Exception) -> None:
        self._layer = layer
        self._faults = deque(faults)
        self.gate = asyncio.Event()
        self.gate.set()
        self.rounds: list[int] = []

    async def ring_many(self, rings: list[Ring]) -> list[int]:
        self.rounds.append(len(rings))
        await self.gate.wait()
        if self._faults:
            raise self._faults.popleft()
        return await self._layer.ring_many(rings)


async def joined(layer: DoorbellLayer, group: str) -> str:
    channel: str = await layer.new_channel()
    await layer.group_add(group, channel)
    return channel


async def next_message(layer: DoorbellLayer, channel: str) -> dict[str, Any]:
    message: dict[str, Any] = await asyncio.wait_for(layer.receive(channel), PATIENCE_S)
    return message


@pytest.fixture
def group() -> str:
    # Valkey's channels are the same in all its databases.
    return f"user.{uuid4().hex}"


async def heard(future: asyncio.Future[int]) -> int:
    return await asyncio.wait_for(future, PATIENCE_S)


async def test_the_counts_are_those_of_the_processes_that_heard(layers: Layers, group: str) -> None:
    one, other = layers
    both, alone, nobody = group, f"{group}.alone", f"{group}.nobody"
    for layer in layers:
        await joined(layer, both)
    await joined(other, alone)
    assert await one.ring_many([(both, {"n": 1}), (nobody, {"n": 2}), (alone, {"n": 3})]) == [2, 0, 1]


async def test_ringing_nobody_is_nothing(layers: Layers) -> None:
    assert await layers[0].ring_many([]) == []


async def test_rings_arrive_in_the_order_of_the_calls(layers: Layers, group: str) -> None:
    ringing, listening = layers
    channel = await joined(listening, group)
    doorbell = Doorbell(ringing)
    futures = [doorbell.ring(group, {"n": number, "frame": bytes([number])}) for number in range(200)]
    received = [await next_message(listening, channel) for _ in range(200)]
    assert received == [{"n": number, "frame": bytes([number])} for number in range(200)]
    assert [await heard(future) for future in futures] == [1] * 200


async def test_rings_that_wait_together_go_out_together(
    layers: Layers, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell_module, "_RINGS_A_ROUND", 4)
    layer = FaultyLayer(layers[0])
    doorbell = Doorbell(layer)
    await asyncio.gather(*(doorbell.ring(group, {"n": number}) for number in range(10)))
    assert layer.rounds == [4, 4, 2]


async def test_one_failure_is_tried_again(layers: Layers, group: str) -> None:
    ringing, listening = layers
    channel = await joined(listening, group)
    doorbell = Doorbell(FaultyLayer(ringing, RedisConnectionError("dropped")))
    assert await heard(doorbell.ring(group, {"n": 1})) == 1
    assert await next_message(listening, channel) == {"n": 1}


async def test_a_connection_that_the_server_dropped_costs_nothing(
    layers: Layers, group: str, shared_redis: str
) -> None:
    ringing, listening = layers
    await joined(listening, group)
    doorbell = Doorbell(ringing)
    assert await heard(doorbell.ring(group, {"n": 1})) == 1
    publisher = ringing._get_layer()._shards[0]._redis
    assert publisher is not None
    with redis.Redis.from_url(shared_redis) as admin:
        admin.client_kill_filter(_id=str(await publisher.client_id()))
    assert await heard(doorbell.ring(group, {"n": 2})) == 1


@pytest.mark.parametrize("fault", [RedisConnectionError, OSError])
async def test_a_failed_ring_was_heard_by_nobody_and_a_later_one_works(
    layers: Layers, group: str, caplog: pytest.LogCaptureFixture, fault: type[Exception]
) -> None:
    ringing, listening = layers
    await joined(listening, group)
    doorbell = Doorbell(FaultyLayer(ringing, fault("to user secret"), fault("to user secret")))
    assert await heard(doorbell.ring(group, {"n": 1})) == 0
    assert "doorbell not heard" in caplog.text
    assert "secret" not in caplog.text
    # For a moment nobody waits for a layer that is away.
    assert doorbell.ring(group, {"n": 2}).result() == 0
    doorbell._away_until = 0.0
    assert await heard(doorbell.ring(group, {"n": 3})) == 1


async def test_a_server_that_is_not_there_hears_nothing() -> None:
    layer = DoorbellLayer(hosts=[f"redis://127.0.0.1:{free_port()}"], prefix="construct")
    assert await heard(Doorbell(layer).ring("user.x", {"n": 1})) == 0
    await layer.flush()


async def test_beyond_the_queue_a_ring_is_given_up_at_once(
    layers: Layers, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell_module, "_WAITING_RINGS", 2)
    layer = FaultyLayer(layers[0])
    layer.gate.clear()
    doorbell = Doorbell(layer)
    under_way = doorbell.ring(group, {"n": 0})
    await turns()
    waiting = [doorbell.ring(group, {"n": number}) for number in (1, 2)]
    refused = doorbell.ring(group, {"n": 3})
    assert refused.result() == 0
    assert not any(future.done() for future in (under_way, *waiting))
    layer.gate.set()
    await asyncio.gather(under_way, *waiting)


async def test_bytes_fill_the_queue_too(layers: Layers, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell_module, "_WAITING_BYTES", 100)
    layer = FaultyLayer(layers[0])
    layer.gate.clear()
    doorbell = Doorbell(layer)
    under_way = doorbell.ring(group, {"frame": bytes(60)})
    await turns()
    waiting = doorbell.ring(group, {"frame": bytes(60)})
    assert doorbell.ring(group, {"frame": bytes(60)}).result() == 0
    layer.gate.set()
    await asyncio.gather(under_way, waiting)
    assert await heard(doorbell.ring(group, {"frame": bytes(100)})) == 0, "the group is empty"
    assert layer.rounds == [1, 1, 1]


async def test_a_layer_that_hangs_counts_as_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        layer = DoorbellLayer(hosts=[f"redis://127.0.0.1:{silent.getsockname()[1]}"], prefix="construct")
        assert await heard(Doorbell(layer).ring("user.x", {"n": 1})) == 0
        await layer.flush()


async def test_a_listener_is_given_what_groups_are_sent(layers: Layers, group: str) -> None:
    ringing, listening = layers
    taken: list[dict[str, Any]] = []
    listening.listen(taken.append, lambda: None)
    await joined(listening, group)
    for start in (0, 300):
        rings = [(group, {"n": number}) for number in range(start, start + 300)]
        assert await ringing.ring_many(rings) == [1] * 300
    await until(lambda: len(taken) == 600)
    assert taken == [{"n": number} for number in range(600)]


async def test_a_listener_is_told_when_the_layer_is_back(
    layers: Layers, group: str, shared_redis: str
) -> None:
    ringing, listening = layers
    taken: list[dict[str, Any]] = []
    restored: list[bool] = []
    listening.listen(taken.append, lambda: restored.append(True))
    await joined(listening, group)
    await ringing.ring_many([(group, {"n": 1})])
    await until(lambda: len(taken) == 1)
    with redis.Redis.from_url(shared_redis) as admin:
        admin.client_kill_filter(_type="pubsub")
    await until(lambda: bool(restored))
    await until(lambda: _is_heard(ringing, group))
    assert len(restored) == 1


async def _is_heard(layer: DoorbellLayer, group: str) -> bool:
    return await layer.ring_many([(group, {"n": 2})]) == [1]


async def test_who_stops_waiting_stops_no_ring(layers: Layers, group: str) -> None:
    ringing, listening = layers
    channel = await joined(listening, group)
    doorbell = Doorbell(ringing)
    doorbell.ring(group, {"n": 1}).cancel()
    assert await heard(doorbell.ring(group, {"n": 2})) == 1
    assert [(await next_message(listening, channel))["n"] for _ in range(2)] == [1, 2]


async def test_closing_ends_a_ring_under_way(layers: Layers, group: str) -> None:
    layer = FaultyLayer(layers[0])
    layer.gate.clear()
    doorbell = Doorbell(layer)
    future = doorbell.ring(group, {"n": 1})
    await turns()
    await asyncio.wait_for(doorbell.close(), PATIENCE_S)
    assert doorbell._ringer is None
    assert not future.done()


def test_only_a_layer_that_reaches_other_processes_is_rung() -> None:
    shared = DoorbellLayer(hosts=["redis://127.0.0.1:1"])
    assert as_ring_layer(shared) is shared
    assert as_ring_layer(InMemoryChannelLayer()) is None
