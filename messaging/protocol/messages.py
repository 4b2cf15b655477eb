"""The messages of the wire as typed records.

Source: protocol contract, sections 2 (client), 3 (server) and 8 (receipts). One record
is one payload; :data:`CLIENT_MESSAGES` and :data:`SERVER_MESSAGES` name the ``type``
that stands beside it. Attributes are snake_case, wire keys camelCase.

The records state types and what every use of them may rely on; rules that an operator
can set (lengths of names and passwords) belong to the services.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from construct_site.proof_of_work import Challenge

EXTENSIONS = ("receipts",)
"""Of the protocol, for clients that ask for them (section 8)."""
UUID_LENGTH = 36
"""Characters of a UUID on the wire: the hyphenated form, in either case."""
KEY_BYTES = 32
"""An X25519 public key, in bytes."""
CONTENT_LENGTH_MIN = 4
CONTENT_LENGTH_MAX = 98_304
"""Characters of base64 (72 KiB of sealed message)."""
MESSAGE_NUMBER_MAX = 2**32 - 1
REQUEST_ID_LENGTH_MAX = 64
RECEIVED_IDS_MAX = 256
QUERY_LENGTH_MAX = 64

Unsigned = Annotated[int, msgspec.Meta(ge=0, description="a whole number, not negative")]
"""A whole number from 0 to 2**64 - 1: MessagePack itself carries no larger one."""


class Payload(msgspec.Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True):
    """A payload map. Unknown keys are ignored; fields at their default are not sent."""


class MessageIds(msgspec.Struct, frozen=True, array_like=True):
    """The three UUIDs of a message, for comparing and routing: the strings differ in case, these do not."""

    message: UUID
    sender: UUID
    recipient: UUID


class ChatMessage(Payload, frozen=True, dict=True):
    """A sealed message: ``sendMessage`` from its sender, ``message`` to its recipient, the same in both.

    The strings are byte for byte what the sender wrote; :attr:`ids` holds the UUIDs.
    """

    id: str
    """UUID, 36 characters, chosen by the sender."""
    sender: str = msgspec.field(name="from")
    """UUID of the sending user, 36 characters."""
    recipient: str = msgspec.field(name="to")
    """UUID of the receiving user, 36 characters."""
    ephemeral_public_key: bytes
    """32 bytes, not interpreted."""
    message_number: Unsigned
    """0 to 2**32 - 1, not interpreted."""
    content: str
    """4 to 98 304 characters of padded standard base64: nonce, ciphertext and tag."""
    timestamp: Unsigned
    """Unix seconds by the sender's clock, not judged."""

    @cached_property
    def ids(self) -> MessageIds:
        """The UUIDs, parsed once. Raises ``ValueError`` if one is none; in a decoded request all are."""
        if not len(self.id) == len(self.sender) == len(self.recipient) == UUID_LENGTH:
            raise ValueError("a UUID has 36 characters")
        return msgspec.convert((self.id, self.sender, self.recipient), MessageIds)


class Register(Payload, frozen=True):
    """Make an account with its first key bundle, and log in."""

    username: str
    password: str
    public_key: str
    """Base64 of a key bundle (:mod:`keys.bundle`)."""
    display_name: str | None = None
    """``None``: the username."""
    invite_code: str | None = None
    """Where the server asks for one (:mod:`accounts.services.invites`)."""
    work: str | None = None
    """Where the server asks for it (:mod:`construct_site.proof_of_work`)."""
    receipts: bool = False
    """Whether this client confirms with ``received``."""


class Login(Payload, frozen=True):
    """Log in with a password."""

    username: str
    password: str
    receipts: bool = False


class Connect(Payload, frozen=True):
    """Resume a session."""

    session_token: str
    receipts: bool = False


class SearchUsers(Payload, frozen=True):
    """Find users by part of a name."""

    query: Annotated[
        str,
        msgspec.Meta(
            max_length=QUERY_LENGTH_MAX, description=f"text of at most {QUERY_LENGTH_MAX} characters"
        ),
    ]
    """At most 64 characters."""


class GetPublicKey(Payload, frozen=True):
    """Fetch a user's key bundle."""

    user_id: str
    """UUID; whether it is one is the handler's to check (INVALID_USER_ID)."""


class RotatePrekey(Payload, frozen=True):
    """Replace the signed prekey."""

    user_id: str
    """The socket's own user."""
    update: str
    """Base64 of a bundle update (:mod:`keys.bundle`)."""


class Logout(Payload, frozen=True):
    """Revoke a session."""

    session_token: str


class Received(Payload, frozen=True):
    """The application stored these messages. Only after receipts were negotiated; never answered."""

    message_ids: Annotated[
        list[str],
        msgspec.Meta(
            max_length=RECEIVED_IDS_MAX, description=f"an array of at most {RECEIVED_IDS_MAX} texts"
        ),
    ]
    """At most 256 message ids as they were relayed."""


class _LoggedIn(Payload, frozen=True):
    user_id: str
    """Lower-case UUID."""
    username: str
    display_name: str
    session_token: str
    expires: Unsigned
    """Unix seconds."""
    receipts: bool = False
    """Sent only when the client asked and the server agreed."""


class RegisterSuccess(_LoggedIn, frozen=True):
    """The account exists and the socket is logged in."""


class LoginSuccess(_LoggedIn, frozen=True):
    """The socket is logged in."""


class ConnectSuccess(Payload, frozen=True):
    """The session goes on."""

    user_id: str
    username: str
    display_name: str
    expires: Unsigned
    """Unix seconds."""
    receipts: bool = False


class SessionExpired(Payload, frozen=True):
    """The token is unknown, expired or revoked. Clients forget their login."""


class FoundUser(Payload, frozen=True):
    """One search result."""

    id: str
    """Lower-case UUID."""
    username: str
    display_name: str
    avatar_url: str | None
    """Nil, never absent, when unset; so is ``bio``."""
    bio: str | None


class SearchResults(Payload, frozen=True):
    """At most 20 users, best match first."""

    users: list[FoundUser]


class PublicKeyBundle(Payload, frozen=True):
    """A user's public keys, each as padded standard base64."""

    user_id: str
    """Lower-case UUID."""
    username: str
    identity_public: str
    """X25519, 32 bytes."""
    signed_prekey_public: str
    """X25519, 32 bytes."""
    signature: str
    """Ed25519, 64 bytes, over the raw signed prekey."""
    verifying_key: str
    """Ed25519, 32 bytes."""


class Ack(Payload, frozen=True):
    """The message is durably stored."""

    message_id: str
    """As the sender wrote it."""
    status: Literal["delivered", "queued"]
    """Whether a live connection of the recipient was handed it."""
    timestamp: Unsigned
    """Unix seconds by the server's clock."""


class KeyRotationSuccess(Payload, frozen=True):
    """The new prekey is in use."""


class LogoutSuccess(Payload, frozen=True):
    """The session is revoked, or never was."""


class Error(Payload, frozen=True):
    """A request was refused."""

    code: str
    """A value of :class:`construct_site.errors.ErrorCode`."""
    message: str
    """For people to read."""
    request_id: str | None = None
    """At most 64 characters; sent only where known."""
    work: Challenge | None = None
    """Beside WORK_REQUIRED and INVALID_WORK: what to solve for the next ``register``."""


ClientMessage = (
    Register | Login | Connect | SearchUsers | GetPublicKey | ChatMessage | RotatePrekey | Logout | Received
)
ServerMessage = (
    RegisterSuccess
    | LoginSuccess
    | ConnectSuccess
    | SessionExpired
    | SearchResults
    | PublicKeyBundle
    | ChatMessage
    | Ack
    | KeyRotationSuccess
    | LogoutSuccess
    | Error
)

CLIENT_MESSAGES: dict[str, type[ClientMessage]] = {
    "register": Register,
    "login": Login,
    "connect": Connect,
    "searchUsers": SearchUsers,
    "getPublicKey": GetPublicKey,
    "sendMessage": ChatMessage,
    "rotatePrekey": RotatePrekey,
    "logout": Logout,
    "received": Received,
}
SERVER_MESSAGES: dict[str, type[ServerMessage]] = {
    "registerSuccess": RegisterSuccess,
    "loginSuccess": LoginSuccess,
    "connectSuccess": ConnectSuccess,
    "sessionExpired": SessionExpired,
    "searchResults": SearchResults,
    "publicKeyBundle": PublicKeyBundle,
    "message": ChatMessage,
    "ack": Ack,
    "keyRotationSuccess": KeyRotationSuccess,
    "logoutSuccess": LogoutSuccess,
    "error": Error,
}
PAYLOADLESS = frozenset({SessionExpired, KeyRotationSuccess, LogoutSuccess})
"""Server messages that are the one-key map ``{"type": …}``."""
