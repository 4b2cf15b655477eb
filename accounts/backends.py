"""Signing in to the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class StaffBackend(ModelBackend):
    """Django's, which refuses inactive accounts. An account whose password must be reset is not let in either.

    Nor does a sign-in of before that still count: Django asks on each request.
    """

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and not user.must_reset_password
