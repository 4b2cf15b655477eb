"""What the tests of messaging share: configuration, mailboxes on the real database, channel layers on Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from messaging.layer import DoorbellLayer
from messaging.mailbox.letters import Caps
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.sealing import KeyRing
from messaging.mailbox.store import get_store
from messaging.node import Node, get_node
from tests.services import empty_redis_database

Amounts = Callable[..., None]


@pytest.fixture
def amounts(settings: Settings) -> Amounts:
    """Sets fields of the configuration for this test."""

    def configure(**changes: Any) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, **changes)

    return configure


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing([bytes(range(32))])


@pytest.fixture
async def mailbox(transactional_db: None) -> AsyncIterator[Mailbox]:
    """A mailbox on the real database; ten messages fill it."""
    caps = Caps(messages=10, bytes=1_000_000, sender_share=1)
    made = Mailbox(get_store(), caps, batch_messages=200, batch_bytes=1_000_000)
    yield made
    await made.close()


@pytest.fixture
def shared_redis(valkey_url: str) -> Iterator[str]:
    with empty_redis_database(valkey_url) as url:
        yield url


@pytest.fixture
async def layers(shared_redis: str) -> AsyncIterator[tuple[DoorbellLayer, DoorbellLayer]]:
    """The channel layers of two processes on one Valkey."""
    here, there = (DoorbellLayer(hosts=[shared_redis], prefix="construct") for _ in range(2))
    yield here, there
    await here.flush()
    await there.flush()


@pytest.fixture
async def node(transactional_db: None) -> AsyncIterator[Node]:
    """The node of this test's event loop."""
    made = get_node()
    yield made
    await made.close()
