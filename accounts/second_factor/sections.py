"""What the export of a user's data tells of a second factor."""

from __future__ import annotations

from uuid import UUID

from accounts.second_factor.models import Authenticator
from construct_site.export import Section, Table
from construct_site.rest.payloads import Flag, Payload, UnixSeconds

_OF_THE_LAST_CODE = "of the last code, so that none is taken twice"
_OF_FAILURES = "of the failures in a row since the last code, which lengthen the wait"


class SecondFactorExport(Payload):
    """The second factor with which a member of the staff signs in to the admin."""

    is_confirmed = Flag(source="confirmed")
    since = UnixSeconds(
        source="confirmed_at", allow_null=True, help_text="Unix seconds; null: not confirmed."
    )


def _read_second_factor(user_id: UUID) -> object:
    return Authenticator.objects.filter(user=user_id).first()


SECOND_FACTOR = Section(
    "secondFactor",
    SecondFactorExport,
    _read_second_factor,
    (
        Table(
            Authenticator,
            SecondFactorExport,
            owner="user",
            withheld={
                "secret_sealed": "the secret, which the authenticator app holds",
                **dict.fromkeys(("drift", "last_step"), _OF_THE_LAST_CODE),
                **dict.fromkeys(("throttling_failure_timestamp", "throttling_failure_count"), _OF_FAILURES),
            },
        ),
    ),
    is_optional=True,
)
