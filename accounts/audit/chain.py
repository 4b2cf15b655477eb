"""The audit's chain: entries are appended, one writer at a time, each sealed together with all before it.

An entry's `mac` is HMAC-SHA-256 (RFC 2104) of the `mac` before it and of its own
fields, under a key that the database does not hold. Who can write to the database alone
cannot change, take out or put in an entry unseen (:mod:`accounts.audit.verification`); they
can cut the chain off at its end, which who kept a later head finds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgpack
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.models import MAC_BYTES, REASON_CHARS, SALT_BYTES, AuditDetails, AuditEntry, AuditHead
from construct_site.derivation import derived_key
from construct_site.errors import ConstructError, ErrorCode

BEGINNING = bytes(MAC_BYTES)
"""What stands for the `mac` before the first entry."""
KEY_ID_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `id` is that of a person of the staff, else None."""

    kind: AuditEntry.ActorKind
    id: UUID | None = None

    @classmethod
    def staff(cls, user_id: UUID) -> Actor:
        return cls(AuditEntry.ActorKind.STAFF, user_id)


OPERATOR = Actor(AuditEntry.ActorKind.OPERATOR)
SYSTEM = Actor(AuditEntry.ActorKind.SYSTEM)

Changes = Mapping[str, tuple[object, object]]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: how many entries there are, and the last one's `mac`."""

    number: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.mac.hex()}"

    @classmethod
    def read(cls, text: str) -> Head:
        """Of its text, ``12:5e0f…``. Raises ValueError."""
        number, _, digits = text.partition(":")
        head = cls(int(number), bytes.fromhex(digits))
        if head.number < 0 or len(head.mac) != MAC_BYTES:
            raise ValueError("A head is a number, a colon and 64 hexadecimal digits.")
        return head


def append(
    actor: Actor,
    action: Action,
    *,
    user_id: UUID | None = None,
    target: str = "",
    reason: str = "",
    changes: Changes | None = None,
) -> AuditEntry:
    """Add one entry, within the transaction of the act that it tells: both are stored or neither is.

    To be called after everything else that the act locks, the user's row before all. From then
    on until the transaction ends, nobody else appends. `changes`: before and after of personal fields of
    the user, as JSON has them; they are left out where the act removes the user.

    Raises ``ConstructError(VALIDATION_FAILED)`` for a reason of more than 500 characters.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "An audit entry belongs into the transaction of its act."
        )
    if len(reason) > REASON_CHARS:
        raise ConstructError(
            ErrorCode.VALIDATION_FAILED, fields={"reason": [f"At most {REASON_CHARS} characters."]}
        )
    head = _hold_head()
    details = None
    if changes and user_id is not None:
        content = {name: list(pair) for name, pair in changes.items()}
        details = AuditDetails(user_id=user_id, salt=secrets.token_bytes(SALT_BYTES), changes=content)
    key = writing_key()
    entry = AuditEntry(
        number=head.number + 1,
        at=timezone.now(),
        actor_kind=actor.kind,
        actor_id=actor.id,
        action=action.value,
        user_id=user_id,
        target=target,
        reason=reason,
        details_digest=digest_of(details) if details else None,
        key_id=key_id(key),
    )
    entry.mac = mac_of(entry, bytes(head.mac), key)
    entry.save(force_insert=True)
    if details:
        details.entry = entry
        details.save(force_insert=True)
    AuditHead.objects.filter(pk=head.pk).update(number=entry.number, mac=entry.mac)
    return entry


def read_head() -> Head:
    """Where the chain ends, by its own word."""
    row = AuditHead.objects.filter(pk=AuditHead.ONLY).first()
    return Head(row.number, bytes(row.mac)) if row else Head(0, BEGINNING)


def mac_of(entry: AuditEntry, before: bytes, key: bytes) -> bytes:
    """The `mac` that the entry must have when `before` is that of the entry before it."""
    fields = [
        entry.number,
        _microseconds(entry.at),
        str(entry.actor_kind),
        _bytes_of(entry.actor_id),
        entry.action,
        _bytes_of(entry.user_id),
        entry.target,
        entry.reason,
        None if entry.details_digest is None else bytes(entry.details_digest),
    ]
    # MessagePack gives every value its length: no two rows have the same bytes.
    packed: bytes = msgpack.packb(fields)
    return hmac.digest(key, before + packed, hashlib.sha256)


def digest_of(details: AuditDetails) -> bytes:
    """Salted: what it was of cannot be tried once salt and content are gone."""
    content = json.dumps(details.changes, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(bytes(details.salt) + details.user_id.bytes + content).digest()


def writing_key() -> bytes:
    return next(iter(keys().values()))


def keys() -> dict[bytes, bytes]:
    """The keys by their ids, the one that writes first; without any of its own, one that follows from the secret."""
    given = [base64.b64decode(key) for key in settings.CONSTRUCT.audit_keys]
    return {key_id(key): key for key in given or [derived_key(b"construct.audit")]}


def key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:KEY_ID_BYTES]


def _hold_head() -> AuditHead:
    AuditHead.objects.bulk_create([AuditHead(number=0, mac=BEGINNING)], ignore_conflicts=True)
    return AuditHead.objects.select_for_update().get(pk=AuditHead.ONLY)


def _microseconds(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def _bytes_of(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes
