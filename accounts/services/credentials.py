"""What a login is checked against."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from accounts.folding import fold
from accounts.models import Session, User
from accounts.peers import UNKNOWN
from accounts.services.rules import is_username
from construct_site.derivation import keyed_digest
from construct_site.errors import ConstructError, ErrorCode

NOBODY = ""
"""The folded name of no account: every valid name has three characters."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account as the login sees it."""

    id: UUID
    encoded_password: str = field(repr=False)
    is_active: bool


class OutdatedCredentials(ConstructError):
    """The account is gone, or has another hash than when it was looked up."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INVALID_CREDENTIALS)


def find_credentials(username: str) -> Credentials | None:
    """The account of this name, in whatever case; None if there is none or the text is no name. One query."""
    folded = fold(username) if is_username(username) else NOBODY
    row = User.objects.filter(username_folded=folded).values_list("id", "password", "is_active").first()
    return Credentials(*row) if row else None


def address_is_known(user_id: UUID | None, address: str) -> bool:
    """Whether this user has logged in from this peer address. One query, also for nobody (None).

    Where a session was only resumed from does not count: who has a stolen token would make addresses known,
    each with guesses of its own, and the owner's unknown.
    """
    user_id = user_id or uuid4()
    was_here = Session.objects.filter(
        user_id=user_id, address_digest=address_digest(user_id, address)
    ).exists()
    return was_here and address != UNKNOWN


def replace_hash(user_id: UUID, old: str, new: str) -> None:
    """Store the same password's hash under new parameters, unless the password was changed meanwhile."""
    User.objects.filter(pk=user_id, password=old).update(password=new)


def address_digest(user_id: UUID, address: str) -> bytes:
    """16 bytes, keyed by the server's secret: the same address of two users cannot be told to be the same."""
    return keyed_digest(b"construct.peers", user_id.bytes + address.encode())
