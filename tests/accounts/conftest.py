"""Cheap hashes, and what the tests of accounts observe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from django.contrib.auth.hashers import make_password
from pytest_django import Settings

from accounts.models import User
from accounts.peers import Peer
from accounts.services import Credentials, find_credentials
from construct_site.events import Event, listen, stop_listening
from construct_site.limits import Limiter, get_limiter
from tests.accounts.hashers import CountingHasher

PASSWORD = "correct horse battery"
HOME = Peer("192.0.2.7", "Construct/2.0")
AWAY = Peer("198.51.100.9", "Construct/2.1")


@pytest.fixture(autouse=True)
def cheap_hashes(settings: Settings) -> None:
    """One pass over 64 KiB: tests of accounts make many hashes and try none for strength."""
    settings.CONSTRUCT = replace(settings.CONSTRUCT, password_hash_memory_kib=64, password_hash_passes=1)


@pytest.fixture
def hashed(settings: Settings) -> Iterator[list[int]]:
    """The lengths of the passwords that were hashed since the test began, or since it cleared the list."""
    settings.PASSWORD_HASHERS = [f"{CountingHasher.__module__}.{CountingHasher.__name__}"]
    CountingHasher.hashed.clear()
    yield CountingHasher.hashed
    CountingHasher.hashed.clear()


@pytest.fixture
async def limiter() -> AsyncIterator[Limiter]:
    """The limiter of this test's event loop, closed with it."""
    made = get_limiter()
    yield made
    await made.close()


@pytest.fixture
async def heard() -> AsyncIterator[asyncio.Queue[Event]]:
    """The events of this process. One is here before the service call that sent it returns to the loop."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    listen(events.put_nowait)
    yield events
    stop_listening()


@pytest.fixture
def alice(request: pytest.FixtureRequest) -> User:
    request.getfixturevalue("db" if _is_in_one_thread(request) else "transactional_db")
    return User.objects.create_user("Alice", PASSWORD, display_name="Alice Liddell")


def change_hash_once_looked_up(monkeypatch: pytest.MonkeyPatch, password: str) -> str:
    """Have every account get one hash of `password`, which is returned, as soon as one was looked up."""
    changed = make_password(password)

    def look_up_and_change(username: str) -> Credentials | None:
        found = find_credentials(username)
        User.objects.update(password=changed)
        return found

    monkeypatch.setattr("accounts.authentication.find_credentials", look_up_and_change)
    return changed


def _is_in_one_thread(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("django_db")
    return not (marker and marker.kwargs.get("transaction"))
