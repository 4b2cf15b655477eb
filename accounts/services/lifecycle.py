"""Accounts come, change and go."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.services.sessions import revoke_sessions
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import SessionsEnded, send_on_commit


def create_account(username: str, encoded_password: str, display_name: str) -> User:
    """Store a new account. The values were judged by :func:`~accounts.services.check_registration`.

    Inside the caller's transaction, which stays usable when this raises
    ``ConstructError(USERNAME_TAKEN)``: of several at once, the first wins.
    """
    user = User(username=username, password=encoded_password, display_name=display_name)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        # The winner has committed, else the database would have made this insert wait.
        if User.objects.filter(username_folded=user.username_folded).exists():
            raise ConstructError(ErrorCode.USERNAME_TAKEN) from None
        raise
    return user


def update_account(user: User, fields: Iterable[str]) -> None:
    """Store these changed fields of an account. One that is switched off loses its sessions."""
    changed = set(fields)
    with transaction.atomic():
        # Sessions before their user, the order of a resume: in another, the two could wait for each other.
        if "is_active" in changed and not user.is_active:
            revoke_sessions(user.pk)
        user.save(update_fields=changed)


def delete_user(user: User) -> None:
    """Remove an account with everything it owns: sessions, keys, waiting messages."""
    with transaction.atomic():
        send_on_commit(SessionsEnded(user.pk))
        user.delete()
