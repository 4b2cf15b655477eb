"""What the export of a user's data tells of messages: what the server knows of them, which is not what they say."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers

from construct_site.export import Section, Table
from construct_site.rest.payloads import Flag, Payload, Text, UnixSeconds
from messaging.mailbox.store import get_store
from messaging.models import Contact, ContactPolicy, MailboxMessage
from messaging.rest.payloads import MailboxAnswer

_KEYED_HASH = "a keyed hash, by which the server recognises a repeated message and its sender's share"


class WaitingMessageExport(Payload):
    """A message that waits. What it says, only its clients can read."""

    received = UnixSeconds(source="stored_at", help_text="Unix seconds.")
    size_bytes = serializers.IntegerField(source="size")
    is_request = Flag(help_text="It waits until its sender is accepted.")
    is_unheard = Flag(help_text="Its sender was blocked: it is handed to no client.")


class MailboxExport(MailboxAnswer):
    """What waits for the account."""

    waiting = WaitingMessageExport(many=True, help_text="Oldest first.")


class ContactExport(Payload):
    """What the user said about another. What others said about the user is theirs."""

    user_id = serializers.UUIDField(source="peer.id")
    username = Text(source="peer.username")
    is_accepted = Flag()
    is_blocked = Flag()


class ContactsExport(Payload):
    """Who may write to the account."""

    accepted_only = Flag()
    contacts = ContactExport(many=True, help_text="By username.")


def _read_contacts(user_id: UUID) -> dict[str, object]:
    policy = ContactPolicy.objects.filter(pk=user_id).first()
    contacts = Contact.objects.filter(owner=user_id).select_related("peer").order_by("peer__username_folded")
    return {"accepted_only": policy is not None and policy.accepted_only, "contacts": contacts}


def _read_mailbox(user_id: UUID) -> dict[str, object]:
    messages, size, oldest = get_store().count(user_id)
    # Without the frames: they are most of the mailbox's bytes.
    rows = MailboxMessage.objects.filter(recipient=user_id).order_by("id")
    waiting = rows.values("stored_at", "size", "is_request", "is_unheard")
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
CONTACTS = Section(
    "contacts",
    ContactsExport,
    _read_contacts,
    (
        Table(
            ContactPolicy,
            ContactsExport,
            owner="user",
            withheld={"version": "counts the changes, for the server's processes"},
        ),
        Table(Contact, ContactExport, owner="owner"),
    ),
)
