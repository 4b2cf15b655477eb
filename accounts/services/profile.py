"""What people tell about themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from accounts.services.lifecycle import update_account
from accounts.services.rules import checked_avatar_url, checked_bio, checked_display_name
from construct_site.errors import ConstructError, ErrorCode

_RULES: dict[str, Callable[[Any], Any]] = {
    "display_name": checked_display_name,
    "bio": checked_bio,
    "avatar_url": checked_avatar_url,
    "discoverable": bool,
}


@dataclass(frozen=True, slots=True)
class Profile:
    """An account as its owner sees it. `bio` and `avatar_url` are empty where nothing was told."""

    user_id: UUID
    username: str
    display_name: str
    bio: str
    avatar_url: str
    discoverable: bool
    created_at: datetime


def read_profile(user_id: UUID) -> Profile:
    """Raises ``ConstructError(AUTH_REQUIRED)`` if the account is gone: so are its sessions."""
    return _profile(_find(User.objects.all(), user_id))


def update_profile(user_id: UUID, changes: Mapping[str, Any]) -> Profile:
    """Change these fields; the others stay. Either all are stored or, when one breaks its rule, none.

    Raises ``ConstructError``: INVALID_DISPLAY_NAME, VALIDATION_FAILED, AUTH_REQUIRED as :func:`read_profile`,
    FORBIDDEN for wanting to be found after the staff hid the account.
    """
    checked = {name: _RULES[name](value) for name, value in changes.items()}
    with transaction.atomic():
        # Held: a deletion waits for the end, or was waited for and is seen here.
        user = _find(User.objects.select_for_update(no_key=True), user_id)
        if user.is_hidden and checked.get("discoverable"):
            raise ConstructError(ErrorCode.FORBIDDEN, "The staff hid this account from searches.")
        for name, value in checked.items():
            setattr(user, name, value)
        if checked:
            update_account(user, checked)
    return _profile(user)


def _find(users: QuerySet[User], user_id: UUID) -> User:
    user = users.filter(pk=user_id).first()
    if user is None:
        raise ConstructError(ErrorCode.AUTH_REQUIRED)
    return user


def _profile(user: User) -> Profile:
    return Profile(
        user_id=user.pk,
        username=user.username,
        display_name=user.display_name,
        bio=user.bio,
        avatar_url=user.avatar_url,
        discoverable=user.discoverable,
        created_at=user.created_at,
    )
