"""Invites end with their time, by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from accounts.models import Invite
from accounts.services import check_invite, make_invite, purge_invites, use_invite
from construct_site.errors import ConstructError, ErrorCode

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)


def is_refused(code: str) -> bool:
    """Whether an attempt to use the code is refused now, and the check before it says the same."""
    answers: set[ErrorCode | None] = set()
    for service in (check_invite, use_invite):
        try:
            service(code)
        except ConstructError as error:
            answers.add(error.code)
        else:
            answers.add(None)
    (answer,) = answers
    return answer is ErrorCode.INVALID_INVITE


def test_an_invite_is_good_until_its_time_is_over() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        code = make_invite(5, DAY).code
        clock.shift(DAY - MOMENT)
        assert not is_refused(code)
        assert Invite.objects.get().uses_left == 4
        clock.shift(MOMENT)
        assert is_refused(code)
        assert Invite.objects.get().uses_left == 4


def test_what_expired_goes_and_the_others_stay_also_when_used_up() -> None:
    with time_machine.travel(NOON, tick=False):
        make_invite(1, DAY, "short")
        use_invite(make_invite(1, 2 * DAY, "used up").code)
    assert purge_invites(NOON + DAY - MOMENT) == 0
    assert purge_invites(NOON + DAY) == 1
    assert Invite.objects.get().note == "used up"
    assert purge_invites(NOON + 2 * DAY) == 1
