"""What can go wrong between a client and its server: one tree."""

from __future__ import annotations

from construct_site.errors import ERRORS, ErrorCode


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
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    @property
    def may_retry(self) -> bool:
        """Whether the same request can succeed later."""
        return self.code in ERRORS and ERRORS[ErrorCode(self.code)].may_retry
