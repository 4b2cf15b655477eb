"""Recipients and letters."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from accounts.models import User
from keys.models import PrekeyBundle
from messaging.mailbox.letters import Caps, Letter
from messaging.mailbox.store import Store, get_store

MakeLetter = Callable[..., Letter]


@pytest.fixture
def store(transactional_db: None) -> Store:
    return get_store()


@pytest.fixture
def caps() -> Caps:
    return Caps(messages=100, bytes=1_000_000, sender_share=4)


@pytest.fixture
def recipient(transactional_db: None) -> UUID:
    return make_recipient("recipient")


def make_recipient(username: str) -> UUID:
    user = User.objects.create(username=username, display_name=username)
    PrekeyBundle.objects.create(
        user=user,
        identity_public=bytes(32),
        verifying_key=bytes(32),
        signed_prekey_public=bytes(32),
        signature=bytes(64),
    )
    return user.id


def make_letter(
    recipient: UUID,
    *,
    name: bytes = b"",
    body: bytes = b"b" * 16,
    pair: bytes = b"p" * 16,
    sealed: bytes = b"sealed",
) -> Letter:
    return Letter(recipient, name or uuid4().bytes, body, pair, sealed)
