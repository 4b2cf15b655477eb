"""Signing in to the admin: the password through the services, and how long a sign-in lasts."""

from __future__ import annotations

import time
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.http import HttpRequest
from django_otp import DEVICE_ID_SESSION_KEY
from unfold.forms import AuthenticationForm

from accounts.authentication import check_password
from accounts.backends import StaffBackend
from accounts.models import User
from accounts.peers import Peer
from accounts.services.suspensions import find_suspension
from construct_site.errors import ConstructError, ErrorCode

BEGAN, USED = "construct_began", "construct_used"
"""Keys of the session: when the password was given and when a page was last asked for, in Unix seconds."""
_USED_RESOLUTION_S = 60


def peer_of(request: HttpRequest) -> Peer:
    """A request that comes another way than by ASGI (Django's test client's) tells nothing of its peer."""
    return Peer.from_scope(getattr(request, "scope", {}))


class StaffSignInForm(AuthenticationForm):  # type: ignore[misc] # unfold carries no types
    """Asks for the password at the same door as every login, with the same limits.

    One text for an unknown name, a wrong password, and an account that may not sign in here.
    """

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        username, password = cleaned.get("username"), cleaned.get("password")
        if username and password:
            self.user_cache = self._check(username, password)
        return cleaned

    def _check(self, username: str, password: str) -> User:
        try:
            credentials = async_to_sync(check_password)(username, password, peer_of(self.request))
        except ConstructError as error:
            if error.code is ErrorCode.INVALID_CREDENTIALS:
                raise self.get_invalid_login_error() from None
            raise ValidationError(error.text) from None
        # Its hash may be another by now: then the password is no longer the one that was checked.
        user = User.objects.filter(pk=credentials.id, password=credentials.encoded_password).first()
        if user is None or not user.is_staff or find_suspension(user):
            raise self.get_invalid_login_error()
        if not StaffBackend().user_can_authenticate(user):
            raise self.get_invalid_login_error()
        return user


@receiver(user_logged_in)
def _begin(request: HttpRequest, **_signal: Any) -> None:
    """The password alone began it: a second factor given before, in the same browser, is asked for anew."""
    now = int(time.time())
    request.session.update({BEGAN: now, USED: now})
    request.session.pop(DEVICE_ID_SESSION_KEY, None)


def is_current(request: HttpRequest) -> bool:
    """Whether the sign-in is younger than CONSTRUCT_STAFF_SESSION_S, and in use within CONSTRUCT_STAFF_IDLE_S.

    It ends here if not. The time of use is stored to the minute.
    """
    config, session, now = settings.CONSTRUCT, request.session, int(time.time())
    began, used = session.get(BEGAN, 0), session.get(USED, 0)
    if now - began >= config.staff_session_s or now - used >= config.staff_idle_s:
        session.flush()
        return False
    if now - used >= min(_USED_RESOLUTION_S, config.staff_idle_s / 2):
        session[USED] = now
    return True
