"""What an authenticator app does."""

from __future__ import annotations

import time

import time_machine
from django_otp.oath import TOTP

from accounts.models import User
from accounts.second_factor import services
from accounts.second_factor.models import Authenticator

STEP_S = 30


def code_of(authenticator: Authenticator, offset: int = 0) -> str:
    """The six digits that an app shows, `offset` steps from now."""
    code = TOTP(authenticator.secret() or b"")
    code.time = time.time() + STEP_S * offset
    return f"{code.token():06}"


def enrol(user: User) -> list[str]:
    """Set up a second factor, a step ago: today's code is not used up by that. The recovery codes."""
    with time_machine.travel(time.time() - STEP_S, tick=False):
        return services.confirm(user, code_of(services.begin(user)))
