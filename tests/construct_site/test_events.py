"""Events: told on commit, to the listeners of this process or to the channel layer."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from channels.layers import BaseChannelLayer, get_channel_layer
from django.db import transaction
from pytest_django import Settings

from construct_site.database import run_in_database_thread
from construct_site.events import (
    Event,
    SessionsEnded,
    as_layer_message,
    from_layer_message,
    listen,
    send_on_commit,
    stop_listening,
    user_group,
)
from tests.services import free_port

USER = UUID("0190d3a5-7c1e-7b11-8a34-6f1f0c2d9b77")


class Unwanted(Exception):
    """Rolls a transaction back."""


def in_transaction(event: Event, *, fails: bool = False) -> None:
    with transaction.atomic():
        send_on_commit(event)
        if fails:
            raise Unwanted


@pytest.mark.parametrize("session_ids", [None, (), (uuid4(), uuid4())])
def test_an_event_survives_the_channel_layer(session_ids: tuple[UUID, ...] | None) -> None:
    event = SessionsEnded(USER, session_ids)
    message = as_layer_message(event)
    assert message["type"] == "event"
    assert from_layer_message(message) == event


def test_the_group_of_a_user_is_a_name_that_every_layer_takes() -> None:
    assert user_group(USER) == "user.0190d3a57c1e7b118a346f1f0c2d9b77"
    assert BaseChannelLayer().require_valid_group_name(user_group(USER))


@pytest.mark.django_db(transaction=True)
async def test_a_listener_hears_an_event_once_it_is_committed() -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    listen(heard.put_nowait)
    try:
        await run_in_database_thread(in_transaction, SessionsEnded(USER))
        async with asyncio.timeout(5):
            assert await heard.get() == SessionsEnded(USER)
    finally:
        stop_listening()


@pytest.mark.django_db(transaction=True)
async def test_a_listener_hears_nothing_of_what_was_rolled_back() -> None:
    heard: list[Event] = []
    listen(heard.append)
    try:
        with pytest.raises(Unwanted):
            await run_in_database_thread(in_transaction, SessionsEnded(USER), fails=True)
        await run_in_database_thread(in_transaction, SessionsEnded(USER, ()))
        await asyncio.sleep(0)  # listeners are called by the loop's next round
        assert heard == [SessionsEnded(USER, ())]
    finally:
        stop_listening()


@pytest.mark.django_db(transaction=True)
async def test_nobody_hears_after_stop_listening() -> None:
    heard: list[Event] = []
    listen(heard.append)
    stop_listening()
    await run_in_database_thread(in_transaction, SessionsEnded(USER))
    await asyncio.sleep(0)
    assert heard == []


@pytest.mark.django_db(transaction=True)
async def test_a_process_without_a_listener_tells_the_channel_layer() -> None:
    layer = get_channel_layer()
    user_id = uuid4()
    channel = await layer.new_channel()
    await layer.group_add(user_group(user_id), channel)
    await run_in_database_thread(in_transaction, SessionsEnded(user_id, (USER,)))
    async with asyncio.timeout(5):
        message = await layer.receive(channel)
    assert from_layer_message(message) == SessionsEnded(user_id, (USER,))


@pytest.mark.django_db(transaction=True)
async def test_a_channel_layer_that_is_away_does_not_fail_the_commit(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    nobody_there = f"redis://:hidden@127.0.0.1:{free_port()}"
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [nobody_there]},
        }
    }
    await run_in_database_thread(in_transaction, SessionsEnded(USER))
    assert "event not sent" in caplog.text
    assert "hidden" not in caplog.text
    assert str(USER) not in caplog.text
