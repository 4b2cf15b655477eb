"""What the export of a user's data tells of messages: what the server knows of them, which is not what they say."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers

from construct_site.export import Section, Table
from construct_site.rest.payloads import Payload, UnixSeconds
from messaging.mailbox.store import get_store
from messaging.models import MailboxMessage
from messaging.rest.payloads import MailboxAnswer

_KEYED_HASH = "a keyed hash, by which the server recognises a repeated message and its sender's share"


class WaitingMessageExport(Payload):
    """A message that waits. What it says, only its clients can read."""

    received = UnixSeconds(source="stored_at", help_text="Unix seconds.")
    size_bytes = serializers.IntegerField(source="size")


class MailboxExport(MailboxAnswer):
    """What waits for the account."""

    waiting = WaitingMessageExport(many=True, help_text="Oldest first.")


def _read_mailbox(user_id: UUID) -> dict[str, object]:
    messages, size, oldest = get_store().count(user_id)
    # Without the frames: they are most of the mailbox's bytes.
    waiting = MailboxMessage.objects.filter(recipient=user_id).order_by("id").values("stored_at", "size")
    return {"messages": messages, "size_bytes": size, "oldest": oldest, "waiting": waiting}


MAILBOX = Section(
    "mailbox",
    MailboxExport,
    _read_mailbox,
    (
        Table(
            MailboxMessage,
            WaitingMessageExport,
            owner="recipient",
            withheld={
                "frame": "the message, which its clients encrypted and the server encrypted again: "
                "a client fetches it over the socket",
                **dict.fromkeys(("name", "body", "pair"), _KEYED_HASH),
            },
        ),
    ),
)
