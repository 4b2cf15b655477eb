"""What can go wrong between a client and its server: one tree."""

from __future__ import annotations

from construct_site.errors import ERRORS, ErrorCode
from construct_site.proof_of_work import Challenge


class ClientFault(Exception):
    """The root of the tree."""


class ClientClosed(ClientFault):
    """The application closed the client, or never connected it."""


class ConnectionLost(ClientFault):
    """The connection ended before the reply; whether the request was carried out is unknown."""


class SessionEnded(ClientFault):
    """The server said ``sessionExpired``: the session token is worth nothing any more."""


class RequestRefused(ClientFault):
    """The server's ``error``.

    ``code`` is the wire's, also one that this version does not know; ``text`` is for people.
    ``challenge`` stands beside a refusal for want of proof of work.
    """

    def __init__(self, code: str, text: str, challenge: Challenge | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.challenge = challenge

    @property
    def may_retry(self) -> bool:
        """Whether the same request can succeed later."""
        return self.code in ERRORS and ERRORS[ErrorCode(self.code)].may_retry
