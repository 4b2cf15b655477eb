"""The second factor of staff. Only :mod:`accounts.second_factor.services` writes here, and no admin page shows it."""

from __future__ import annotations

import time
from base64 import b32encode
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import models
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from accounts.services.codes import CodeKind
from construct_site.derivation import derived_key
from construct_site.metrics.collector import count
from construct_site.metrics.table import Metric

SECRET_BYTES = 20
"""RFC 4226 section 4, R6."""
DIGITS = 6
STEP_S = 30
TOLERANCE_STEPS = 1
DOUBLINGS_MAX = 12
"""Failures in a row that lengthen the wait: 1 s, 2 s, 4 s … up to 34 minutes."""
RECOVERY = CodeKind("construct_recovery_", b"construct.recov")


class Authenticator(ThrottlingMixin, Device):  # type: ignore[misc] # django_otp carries no types
    """A staff member's TOTP secret (RFC 6238: SHA-1, six digits, 30 s). At most one each; it counts once confirmed.

    `Device` is what django-otp's session knows. Its own TOTP model keeps secrets as they are;
    here they are encrypted under a key that follows from the server's.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="authenticator")
    name = None
    confirmed = models.BooleanField(default=False)
    secret_sealed = models.BinaryField(max_length=128)
    """XChaCha20-Poly1305, bound to the user."""
    drift = models.SmallIntegerField(default=0)
    """Steps by which the device's clock was off at the last code."""
    last_step = models.BigIntegerField(default=-1)
    """The step of the last code: none of it or before is taken again."""
    confirmed_at = models.DateTimeField(null=True)

    throttling_failure_count: int

    def __str__(self) -> str:
        return f"second factor {self.pk}"

    def put_secret(self, secret: bytes) -> None:
        self.secret_sealed = bytes(_cipher().encrypt(secret, self.user_id.bytes))

    def secret(self) -> bytes | None:
        """None where it was encrypted under another of the server's keys."""
        try:
            return _cipher().decrypt(bytes(self.secret_sealed), self.user_id.bytes)
        except CryptoError:
            return None

    def get_throttle_factor(self) -> int:
        return 1

    def verify_token(self, token: str) -> bool:
        """Whether this is a code of now, not used before, or a recovery code, which is used up by that.

        To be called with the row locked. While it is shut after failures every code is wrong,
        and counts as no failure.
        """
        is_open, _ = self.verify_is_allowed()
        if not is_open:
            return False
        if not (self._take_code(token) or self._take_recovery_code(token)):
            self.throttle_increment(commit=False)
            self.throttling_failure_count = min(self.throttling_failure_count, DOUBLINGS_MAX)
            self.save()
            if self.confirmed:
                count(Metric.FAILED_LOGINS)
            return False
        self.throttle_reset()
        return True

    def _take_code(self, token: str) -> bool:
        secret = self.secret()
        if secret is None or len(token) != DIGITS or not (token.isascii() and token.isdecimal()):
            return False
        code = TOTP(secret, STEP_S, digits=DIGITS, drift=self.drift)
        code.time = time.time()
        if not code.verify(int(token), tolerance=TOLERANCE_STEPS, min_t=self.last_step + 1):
            return False
        self.last_step, self.drift = code.t(), code.drift
        return True

    def _take_recovery_code(self, token: str) -> bool:
        taken, _ = RecoveryCode.objects.filter(authenticator=self, digest=RECOVERY.digest(token)).delete()
        return bool(taken)

    def address(self) -> str:
        """What the QR picture holds: the ``otpauth`` address, as authenticator apps read it."""
        issuer, name = settings.CONSTRUCT.name.replace(":", ""), self.user.username
        query = urlencode(
            {"secret": self.secret_text(), "issuer": issuer, "digits": DIGITS, "period": STEP_S},
            quote_via=quote,
        )
        return f"otpauth://totp/{quote(issuer)}:{quote(name)}?{query}"

    def secret_text(self) -> str:
        return b32encode(self.secret() or b"").decode()


class RecoveryCode(models.Model):
    """A code in place of the device's, once. It is itself stored nowhere."""

    authenticator = models.ForeignKey(Authenticator, models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(max_length=16, unique=True)
    """Keyed hash of the code."""

    def __str__(self) -> str:
        return f"recovery code {self.pk}"


def _cipher() -> Aead:
    return Aead(derived_key(b"construct.totp"))
