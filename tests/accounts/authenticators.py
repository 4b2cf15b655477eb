"""What an authenticator app does."""

from __future__ import annotations

import time

from django_otp.oath import TOTP

from accounts.models import User
from accounts.second_factor import services
from accounts.second_factor.models import Authenticator


def code_of(authenticator: Authenticator, offset: int = 0) -> str:
    """The six digits that an app shows, `offset` steps from now."""
    code = TOTP(authenticator.secret() or b"")
    code.time = time.time() + 30 * offset
    return f"{code.token():06}"


def enrol(user: User) -> list[str]:
    """Set up a second factor with the code of the step before; the recovery codes."""
    return services.confirm(user, code_of(services.begin(user), -1))
