"""Proof of work for registrations, while ``CONSTRUCT_REGISTRATION_WORK_BITS`` asks for it and everybody may register.

A challenge is URL-safe base64 of its end, its bits, random bytes and a keyed digest of
these: every process knows its own again, and none is stored. What is stored until it
would have expired anyway is that a challenge was used, in the transaction of the
registration: on whatever process, it lets one account in, and one that fails uses nothing.

Work is not bound to a name. Nobody but its finder knows it, and who learns that a name
is taken can try another with it.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import UsedChallenge
from construct_site.derivation import DIGEST_BYTES, keyed_digest
from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode
from construct_site.proof_of_work import NONCE_DIGITS_MAX, Challenge, proves

_FACTS = struct.Struct(">QB14s")
"""Unix seconds of the end, bits, random: 23 bytes, which with the digest fill 52 characters."""
_CHALLENGE_CHARS = (_FACTS.size + DIGEST_BYTES) * 4 // 3
_WORK = re.compile(rf"([A-Za-z0-9_-]{{{_CHALLENGE_CHARS}}}):[0-9]{{1,{NONCE_DIGITS_MAX}}}")
_CLOCKS_DIFFER = timedelta(minutes=5)
"""A process whose clock is so far behind still takes what has expired for others."""


@dataclass(frozen=True, slots=True)
class Work:
    """Work that proves what its challenge asked for."""

    digest: bytes
    """The challenge's keyed digest, 16 bytes: its name in the database."""
    expires_at: datetime


def make_challenge() -> Challenge | None:
    """A fresh challenge; None where no work is asked for."""
    config: Config = settings.CONSTRUCT
    if not _is_asked_for():
        return None
    expires = int(timezone.now().timestamp()) + config.registration_work_s
    facts = _FACTS.pack(expires, config.registration_work_bits, secrets.token_bytes(14))
    text = base64.urlsafe_b64encode(facts + _digest(facts)).decode()
    return Challenge(text, config.registration_work_bits, expires)


def check_work(work: str | None) -> Work | None:
    """What was proved; None where no work is asked for. Takes microseconds and reads nothing.

    Raises ``ConstructError`` with a fresh challenge: WORK_REQUIRED without work,
    INVALID_WORK for what is none, for too few bits and for a challenge that has
    expired or is not of this server.
    """
    if not _is_asked_for():
        return None
    if not work:
        raise _refusal(ErrorCode.WORK_REQUIRED)
    form = _WORK.fullmatch(work)
    if form is None:
        raise _refusal(ErrorCode.INVALID_WORK)
    signed = base64.urlsafe_b64decode(form[1])
    facts, digest = signed[: _FACTS.size], signed[_FACTS.size :]
    expires, bits, _ = _FACTS.unpack(facts)
    is_own = hmac.compare_digest(digest, _digest(facts))
    if not (is_own and timezone.now().timestamp() < expires and proves(work, bits)):
        raise _refusal(ErrorCode.INVALID_WORK)
    return Work(digest, datetime.fromtimestamp(expires, UTC))


def check_unused(work: Work) -> None:
    """Raise ``ConstructError(INVALID_WORK)`` if an account was made with this challenge. Uses nothing."""
    if UsedChallenge.objects.filter(digest=work.digest).exists():
        raise _refusal(ErrorCode.INVALID_WORK)


def use_work(work: Work) -> None:
    """Use the challenge up, within the caller's transaction: if that fails, it is unused again.

    Of two at once the second waits for the first one's transaction. Raises
    ``ConstructError(INVALID_WORK)`` if it was used.
    """
    try:
        with transaction.atomic():
            UsedChallenge.objects.create(digest=work.digest, expires_at=work.expires_at)
    except IntegrityError:
        raise _refusal(ErrorCode.INVALID_WORK) from None


def purge_challenges(now: datetime) -> int:
    """Forget the used challenges that have expired on every process. Returns how many."""
    return UsedChallenge.objects.filter(expires_at__lte=now - _CLOCKS_DIFFER).delete()[0]


def _is_asked_for() -> bool:
    config: Config = settings.CONSTRUCT
    return config.registration == "open" and config.registration_work_bits > 0


def _refusal(code: ErrorCode) -> ConstructError:
    return ConstructError(code, challenge=make_challenge())


def _digest(facts: bytes) -> bytes:
    return keyed_digest(b"construct.work", facts)
