"""Frames written out by hand, byte for byte, and what they mean."""

from __future__ import annotations

from construct_site.proof_of_work import Challenge
from messaging.protocol import messages

ID = "B1D54F2C-0A6E-4C1B-9D0E-7F3A5C2E8D41"
SENDER = "0f8fad5b-d9cb-469f-a165-70867728950e"
RECIPIENT = "7C9E6679-7425-40DE-944B-E07FC1F90AE7"
KEY = bytes(range(32))

ID_FIELD = b"\xa2id\xd9\x24B1D54F2C-0A6E-4C1B-9D0E-7F3A5C2E8D41"
FROM_FIELD = b"\xa4from\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e"
TO_FIELD = b"\xa2to\xd9\x247C9E6679-7425-40DE-944B-E07FC1F90AE7"
KEY_FIELD = (
    b"\xb2ephemeralPublicKey\xc4\x20\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
    b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
)
NUMBER_FIELD = b"\xadmessageNumber\xcd\x01\x2c"
CONTENT_FIELD = b"\xa7content\xa8c2VhbGVk"
TIMESTAMP_FIELD = b"\xa9timestamp\xce\x65\x53\xf1\x00"

CHAT_FIELDS = (ID_FIELD, FROM_FIELD, TO_FIELD, KEY_FIELD, NUMBER_FIELD, CONTENT_FIELD, TIMESTAMP_FIELD)
CHAT_MESSAGE = messages.ChatMessage(
    id=ID,
    sender=SENDER,
    recipient=RECIPIENT,
    ephemeral_public_key=KEY,
    message_number=300,
    content="c2VhbGVk",
    timestamp=1_700_000_000,
)

SEND_MESSAGE = b"\x82\xa4type\xabsendMessage\xa7payload"


def send_message(*fields: bytes) -> bytes:
    """A ``sendMessage`` of these fields, fewer than sixteen, in this order."""
    return SEND_MESSAGE + bytes([0x80 | len(fields)]) + b"".join(fields)


def send_message_with(field: bytes, *, instead_of: bytes) -> bytes:
    """A ``sendMessage`` with one field changed; empty: left out."""
    fields = [field if each == instead_of else each for each in CHAT_FIELDS]
    return send_message(*filter(None, fields))


CLIENT_FRAMES: list[tuple[bytes, messages.ClientMessage]] = [
    (
        (
            b"\x82\xa4type\xa8register\xa7payload\x83"
            b"\xa8username\xa5alice\xa8password\xaflong, winding..\xa9publicKey\xa4hKFp"
        ),
        messages.Register(username="alice", password="long, winding..", public_key="hKFp"),
    ),
    (
        (
            b"\x82\xa4type\xa8register\xa7payload\x85\xa8username\xa5alice\xa8password\xa8password"
            b"\xa9publicKey\xa4hKFp\xabdisplayName\xa6\xc3\x81lice\xa8receipts\xc3"
        ),
        messages.Register(
            username="alice", password="password", public_key="hKFp", display_name="Álice", receipts=True
        ),
    ),
    (
        (
            b"\x82\xa4type\xa8register\xa7payload\x85\xa8username\xa5alice\xa8password\xa8password"
            b"\xa9publicKey\xa4hKFp\xaainviteCode\xa2in\xa4work\xa5QQ:17"
        ),
        messages.Register(
            username="alice", password="password", public_key="hKFp", invite_code="in", work="QQ:17"
        ),
    ),
    (
        b"\x82\xa4type\xa5login\xa7payload\x82\xa8username\xa5alice\xa8password\xa8password",
        messages.Login(username="alice", password="password"),
    ),
    (
        b"\x82\xa4type\xa5login\xa7payload\x83\xa8username\xa5alice\xa8password\xa8password\xa8receipts\xc3",
        messages.Login(username="alice", password="password", receipts=True),
    ),
    (
        b"\x82\xa4type\xa7connect\xa7payload\x81\xacsessionToken\xa5t0k3n",
        messages.Connect(session_token="t0k3n"),
    ),
    (
        b"\x82\xa4type\xa7connect\xa7payload\x82\xacsessionToken\xa5t0k3n\xa8receipts\xc3",
        messages.Connect(session_token="t0k3n", receipts=True),
    ),
    (b"\x82\xa4type\xabsearchUsers\xa7payload\x81\xa5query\xa3ali", messages.SearchUsers(query="ali")),
    (
        b"\x82\xa4type\xacgetPublicKey\xa7payload\x81\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e",
        messages.GetPublicKey(user_id=SENDER),
    ),
    (send_message(*CHAT_FIELDS), CHAT_MESSAGE),
    (
        (
            b"\x82\xa4type\xacrotatePrekey\xa7payload\x82"
            b"\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa6update\xa4gqFu"
        ),
        messages.RotatePrekey(user_id=SENDER, update="gqFu"),
    ),
    (
        b"\x82\xa4type\xa6logout\xa7payload\x81\xacsessionToken\xa5t0k3n",
        messages.Logout(session_token="t0k3n"),
    ),
    (
        (
            b"\x82\xa4type\xa8received\xa7payload\x81\xaamessageIds\x92"
            b"\xd9\x24B1D54F2C-0A6E-4C1B-9D0E-7F3A5C2E8D41\xa1x"
        ),
        messages.Received(message_ids=[ID, "x"]),
    ),
]

SERVER_FRAMES: list[tuple[bytes, messages.ServerMessage]] = [
    (
        (
            b"\x82\xa4type\xafregisterSuccess\xa7payload\x85"
            b"\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa5alice\xabdisplayName\xa5Alice"
            b"\xacsessionToken\xa5t0k3n\xa7expires\xce\x65\x53\xf1\x00"
        ),
        messages.RegisterSuccess(
            user_id=SENDER,
            username="alice",
            display_name="Alice",
            session_token="t0k3n",
            expires=1_700_000_000,
        ),
    ),
    (
        (
            b"\x82\xa4type\xacloginSuccess\xa7payload\x86"
            b"\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa5alice\xabdisplayName\xa5Alice"
            b"\xacsessionToken\xa5t0k3n\xa7expires\xce\x65\x53\xf1\x00\xa8receipts\xc3"
        ),
        messages.LoginSuccess(
            user_id=SENDER,
            username="alice",
            display_name="Alice",
            session_token="t0k3n",
            expires=1_700_000_000,
            receipts=True,
        ),
    ),
    (
        (
            b"\x82\xa4type\xaeconnectSuccess\xa7payload\x84"
            b"\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa5alice\xabdisplayName\xa5Alice"
            b"\xa7expires\xce\x65\x53\xf1\x00"
        ),
        messages.ConnectSuccess(
            user_id=SENDER, username="alice", display_name="Alice", expires=1_700_000_000
        ),
    ),
    (
        (
            b"\x82\xa4type\xaeconnectSuccess\xa7payload\x85"
            b"\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa5alice\xabdisplayName\xa5Alice"
            b"\xa7expires\xce\x65\x53\xf1\x00\xa8receipts\xc3"
        ),
        messages.ConnectSuccess(
            user_id=SENDER, username="alice", display_name="Alice", expires=1_700_000_000, receipts=True
        ),
    ),
    (b"\x81\xa4type\xaesessionExpired", messages.SessionExpired()),
    (b"\x82\xa4type\xadsearchResults\xa7payload\x81\xa5users\x90", messages.SearchResults(users=[])),
    (
        (
            b"\x82\xa4type\xadsearchResults\xa7payload\x81\xa5users\x92"
            b"\x85\xa2id\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa5alice\xabdisplayName\xa5Alice"
            b"\xa9avatarUrl\xc0\xa3bio\xc0"
            b"\x85\xa2id\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa3bob\xabdisplayName\xa3Bob"
            b"\xa9avatarUrl\xb1https://a.example\xa3bio\xa2Hi"
        ),
        messages.SearchResults(
            users=[
                messages.FoundUser(
                    id=SENDER, username="alice", display_name="Alice", avatar_url=None, bio=None
                ),
                messages.FoundUser(
                    id=SENDER, username="bob", display_name="Bob", avatar_url="https://a.example", bio="Hi"
                ),
            ]
        ),
    ),
    (
        (
            b"\x82\xa4type\xafpublicKeyBundle\xa7payload\x86"
            b"\xa6userId\xd9\x240f8fad5b-d9cb-469f-a165-70867728950e\xa8username\xa5alice"
            b"\xaeidentityPublic\xa4aWRw\xb2signedPrekeyPublic\xa4c3Br\xa9signature\xa4c2ln\xacverifyingKey\xa4dmVy"
        ),
        messages.PublicKeyBundle(
            user_id=SENDER,
            username="alice",
            identity_public="aWRw",
            signed_prekey_public="c3Br",
            signature="c2ln",
            verifying_key="dmVy",
        ),
    ),
    (b"\x82\xa4type\xa7message\xa7payload\x87" + b"".join(CHAT_FIELDS), CHAT_MESSAGE),
    (
        (
            b"\x82\xa4type\xa3ack\xa7payload\x83\xa9messageId\xd9\x24B1D54F2C-0A6E-4C1B-9D0E-7F3A5C2E8D41"
            b"\xa6status\xa9delivered\xa9timestamp\xce\x65\x53\xf1\x00"
        ),
        messages.Ack(message_id=ID, status="delivered", timestamp=1_700_000_000),
    ),
    (
        b"\x82\xa4type\xa3ack\xa7payload\x83\xa9messageId\xa1x\xa6status\xa6queued\xa9timestamp\x00",
        messages.Ack(message_id="x", status="queued", timestamp=0),
    ),
    (b"\x81\xa4type\xb2keyRotationSuccess", messages.KeyRotationSuccess()),
    (b"\x81\xa4type\xadlogoutSuccess", messages.LogoutSuccess()),
    (
        b"\x82\xa4type\xa5error\xa7payload\x82\xa4code\xadAUTH_REQUIRED\xa7message\xadLog in first.",
        messages.Error(code="AUTH_REQUIRED", message="Log in first."),
    ),
    (
        (
            b"\x82\xa4type\xa5error\xa7payload\x83\xa4code\xadAUTH_REQUIRED\xa7message\xadLog in first."
            b"\xa9requestId\xa21f"
        ),
        messages.Error(code="AUTH_REQUIRED", message="Log in first.", request_id="1f"),
    ),
    (
        (
            b"\x82\xa4type\xa5error\xa7payload\x83\xa4code\xadWORK_REQUIRED\xa7message\xa5Work."
            b"\xa4work\x83\xa9challenge\xa2QQ\xa4bits\x14\xa7expires\xce\x6a\xb0\x0b\x80"
        ),
        messages.Error(code="WORK_REQUIRED", message="Work.", work=Challenge("QQ", 20, 0x6AB00B80)),
    ),
]
