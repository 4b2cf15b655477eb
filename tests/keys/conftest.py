"""Cheap hashes, limiters and people with keys."""

from __future__ import annotations

import pytest

from tests.accounts.conftest import cheap_hashes, hashed, limiter
from tests.keys.owners import KeyOwner

__all__ = ["cheap_hashes", "hashed", "limiter", "owner"]


@pytest.fixture
def owner() -> KeyOwner:
    return KeyOwner()
