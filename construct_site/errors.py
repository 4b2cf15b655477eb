"""The error table: every code that a client can meet, in one place.

Pure: no Django, no I/O. The socket, REST, the admin and the commands raise
:class:`ConstructError` and map it through this table; nobody else words errors.

Source: protocol contract, sections 1 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from construct_site.proof_of_work import Challenge


class CloseCode(IntEnum):
    """WebSocket close codes that the server sends (RFC 6455 section 7.4; 4000-4999 are ours)."""

    NORMAL = 1000
    TOO_LARGE = 1009
    RESTARTING = 1012
    BAD_FRAMES = 4400
    UNAUTHENTICATED = 4401
    SUSPENDED = 4403
    SLOW = 4408
    TOO_MANY_CONNECTIONS = 4409
    FLOOD = 4429


class ErrorCode(StrEnum):
    """The codes of the wire's ``error`` message and of REST error bodies."""

    INVALID_FORMAT = "INVALID_FORMAT"
    AUTH_REQUIRED = "AUTH_REQUIRED"
    FORBIDDEN = "FORBIDDEN"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 - an error code, not a token
    INVALID_USERNAME = "INVALID_USERNAME"
    WEAK_PASSWORD = "WEAK_PASSWORD"  # noqa: S105 - an error code, not a password
    INVALID_DISPLAY_NAME = "INVALID_DISPLAY_NAME"
    USERNAME_TAKEN = "USERNAME_TAKEN"
    REGISTRATION_CLOSED = "REGISTRATION_CLOSED"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    INVITE_REQUIRED = "INVITE_REQUIRED"
    INVALID_INVITE = "INVALID_INVITE"
    WORK_REQUIRED = "WORK_REQUIRED"
    INVALID_WORK = "INVALID_WORK"
    ACCOUNT_PENDING = "ACCOUNT_PENDING"
    ACCOUNT_SUSPENDED = "ACCOUNT_SUSPENDED"
    PASSWORD_RESET_REQUIRED = "PASSWORD_RESET_REQUIRED"  # noqa: S105 - an error code
    INVALID_KEY = "INVALID_KEY"
    INVALID_KEY_BUNDLE = "INVALID_KEY_BUNDLE"
    INVALID_UPDATE = "INVALID_UPDATE"
    INVALID_USER_ID = "INVALID_USER_ID"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    INVALID_MESSAGE_FORMAT = "INVALID_MESSAGE_FORMAT"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    DUPLICATE_MESSAGE = "DUPLICATE_MESSAGE"
    MAILBOX_FULL = "MAILBOX_FULL"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    RATE_LIMIT_BLOCKED = "RATE_LIMIT_BLOCKED"
    USER_BLOCKED = "USER_BLOCKED"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    SERVER_BUSY = "SERVER_BUSY"
    QUEUE_FAILED = "QUEUE_FAILED"
    SEARCH_FAILED = "SEARCH_FAILED"
    SERVER_ERROR = "SERVER_ERROR"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    STAFF_ONLY = "STAFF_ONLY"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row of the table.

    ``text`` is what people read unless the raiser knows better; ``may_retry``
    tells a client that the same request can succeed later; ``http_status`` is
    REST's; ``close`` is the code of the close that follows when the error ends
    the socket (an error of the same code elsewhere leaves it open).
    """

    text: str
    may_retry: bool
    http_status: int
    close: CloseCode | None = None


ERRORS: dict[ErrorCode, ErrorRow] = {
    ErrorCode.INVALID_FORMAT: ErrorRow("This could not be read.", False, 400, CloseCode.BAD_FRAMES),
    ErrorCode.AUTH_REQUIRED: ErrorRow("Log in first.", False, 401, CloseCode.UNAUTHENTICATED),
    ErrorCode.FORBIDDEN: ErrorRow("This is not yours to do.", False, 403),
    ErrorCode.INVALID_CREDENTIALS: ErrorRow("Unknown user or wrong password.", False, 401),
    ErrorCode.INVALID_TOKEN: ErrorRow("This is not a session token.", False, 401),
    ErrorCode.INVALID_USERNAME: ErrorRow(
        "A username has 3 to 32 characters: letters, digits, '_' and '-'.", False, 422
    ),
    ErrorCode.WEAK_PASSWORD: ErrorRow(
        "A password has 8 to 128 characters and is not a common one.", False, 422
    ),
    ErrorCode.INVALID_DISPLAY_NAME: ErrorRow(
        "A display name has 1 to 64 characters and no control characters.", False, 422
    ),
    ErrorCode.USERNAME_TAKEN: ErrorRow("This username is taken.", False, 409),
    ErrorCode.REGISTRATION_CLOSED: ErrorRow("This server takes no registrations.", False, 403),
    ErrorCode.REGISTRATION_FAILED: ErrorRow("The account could not be created.", True, 500),
    ErrorCode.INVITE_REQUIRED: ErrorRow("This server asks for an invite code.", False, 403),
    ErrorCode.INVALID_INVITE: ErrorRow("This invite code is unknown, used up or expired.", False, 403),
    ErrorCode.WORK_REQUIRED: ErrorRow("This server asks for proof of work.", False, 403),
    ErrorCode.INVALID_WORK: ErrorRow("This proof of work is not valid, used up or expired.", False, 403),
    ErrorCode.ACCOUNT_PENDING: ErrorRow("This account waits for approval.", False, 403),
    ErrorCode.ACCOUNT_SUSPENDED: ErrorRow("This account is suspended.", False, 403, CloseCode.SUSPENDED),
    ErrorCode.PASSWORD_RESET_REQUIRED: ErrorRow("The password must be reset first.", False, 403),
    ErrorCode.INVALID_KEY: ErrorRow("The key bundle is not base64.", False, 422),
    ErrorCode.INVALID_KEY_BUNDLE: ErrorRow("The key bundle is not valid.", False, 422),
    ErrorCode.INVALID_UPDATE: ErrorRow("The prekey update is not valid.", False, 422),
    ErrorCode.INVALID_USER_ID: ErrorRow("This is not a user id.", False, 422),
    ErrorCode.USER_NOT_FOUND: ErrorRow("There is no such user.", False, 404),
    ErrorCode.INVALID_MESSAGE_FORMAT: ErrorRow("The message has a field that is not valid.", False, 422),
    ErrorCode.MESSAGE_TOO_LARGE: ErrorRow("The message is too large.", False, 413, CloseCode.TOO_LARGE),
    ErrorCode.DUPLICATE_MESSAGE: ErrorRow("Another message was sent under this id.", False, 409),
    ErrorCode.MAILBOX_FULL: ErrorRow("The recipient's mailbox is full.", True, 507),
    ErrorCode.RATE_LIMIT_EXCEEDED: ErrorRow("Too many requests; slow down.", True, 429, CloseCode.FLOOD),
    ErrorCode.RATE_LIMIT_BLOCKED: ErrorRow("Too many requests; blocked for a while.", True, 429),
    ErrorCode.USER_BLOCKED: ErrorRow("Still blocked for too many requests.", True, 429),
    ErrorCode.TOO_MANY_CONNECTIONS: ErrorRow(
        "Too many connections.", True, 429, CloseCode.TOO_MANY_CONNECTIONS
    ),
    ErrorCode.SERVER_BUSY: ErrorRow("The server is busy; try again.", True, 503),
    ErrorCode.QUEUE_FAILED: ErrorRow(
        "The message may or may not be stored; send it again with the same id.", True, 503
    ),
    ErrorCode.SEARCH_FAILED: ErrorRow("The search failed; try again.", True, 503),
    ErrorCode.SERVER_ERROR: ErrorRow(
        "Something went wrong here; try again.", True, 500, CloseCode.RESTARTING
    ),
    ErrorCode.NOT_FOUND: ErrorRow("There is nothing here.", False, 404),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorRow("This method is not allowed here.", False, 405),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: ErrorRow("This content type is not understood.", False, 415),
    ErrorCode.VALIDATION_FAILED: ErrorRow("Some fields are not valid.", False, 422),
    ErrorCode.STAFF_ONLY: ErrorRow("This is for staff.", False, 403),
}

if missing := set(ErrorCode) - set(ERRORS):
    raise ImportError(f"error codes without a row: {sorted(missing)}")


class ConstructError(Exception):
    """A refusal that the client is told about.

    ``text`` replaces the table's sentence where the raiser knows more (when to
    retry, which field). It is shown to the client and must carry no secret.
    ``retry_after_s``: seconds after which the same request can succeed, where known.
    ``fields``: of a VALIDATION_FAILED, what is wrong with each field, by its name on the wire.
    ``challenge``: of a refusal for want of proof of work, what to solve for the next attempt.
    """

    def __init__(
        self,
        code: ErrorCode,
        text: str | None = None,
        *,
        retry_after_s: float | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        challenge: Challenge | None = None,
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.text = text or ERRORS[code].text
        self.retry_after_s = retry_after_s
        self.fields = fields
        self.challenge = challenge


class SessionExpired(Exception):
    """The token of a ``connect`` is unknown, expired or revoked: the ``sessionExpired`` frame."""
