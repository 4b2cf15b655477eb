"""The age of a prekey."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from pytest_django import Settings

from keys.models import PrekeyBundle

ROTATED_AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "is_stale"),
    [
        (timedelta(), False),
        (timedelta(days=30) - timedelta(seconds=1), False),
        (timedelta(days=30), True),
        (timedelta(days=300), True),
    ],
)
def test_a_prekey_is_stale_from_its_thirtieth_day(age: timedelta, is_stale: bool) -> None:
    with time_machine.travel(ROTATED_AT + age, tick=False):
        assert PrekeyBundle(rotated_at=ROTATED_AT).is_stale is is_stale


def test_the_age_is_configured(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, prekey_stale_s=60)
    with time_machine.travel(ROTATED_AT + timedelta(seconds=61), tick=False):
        assert PrekeyBundle(rotated_at=ROTATED_AT).is_stale
