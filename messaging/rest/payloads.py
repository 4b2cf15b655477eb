"""What the endpoints of messaging take and give."""

from __future__ import annotations

from rest_framework import serializers

from construct_site.rest.paging import PageAnswer
from construct_site.rest.payloads import ChallengeAnswer, Flag, Payload, Text, UnixSeconds


class LimitsAnswer(Payload):
    frame_bytes = serializers.IntegerField(help_text="Largest frame of the socket.")
    mailbox_messages = serializers.IntegerField(help_text="Messages that may wait for one user.")
    mailbox_bytes = serializers.IntegerField(help_text="Bytes that may wait for one user.")
    message_s = serializers.IntegerField(help_text="Seconds after which a waiting message goes.")
    messages_per_hour = serializers.IntegerField(help_text="Messages that one user may send.")
    connections_per_user = serializers.IntegerField()


class ServerAnswer(Payload):
    name = Text()
    version = Text()
    registration = serializers.ChoiceField(
        ["open", "invite", "approval", "closed"], help_text="Who may register."
    )
    registration_work = ChallengeAnswer(
        allow_null=True, help_text="Proof of work for one registration; null: none is asked for."
    )
    search = serializers.ChoiceField(
        ["off", "exact", "substring"],
        help_text="What people are found by: nothing, their whole username, a part of a name.",
    )
    limits = LimitsAnswer()
    contact = Text(help_text="Empty: none is told.")
    terms_url = Text(help_text="Empty: there are none.")
    extensions = serializers.ListField(
        child=Text(), help_text="Of the socket's protocol, for clients that ask for them."
    )


class MailboxAnswer(Payload):
    messages = serializers.IntegerField(help_text="How many messages wait.")
    size_bytes = serializers.IntegerField(help_text="How many bytes they take of the mailbox.")
    oldest = UnixSeconds(
        allow_null=True, help_text="Unix seconds: since when the oldest waits; null: none does."
    )


class PersonAnswer(Payload):
    id = serializers.UUIDField()
    username = Text()
    display_name = Text()


class ContactsAnswer(PageAnswer):
    accepted_only = serializers.BooleanField(help_text="Only these may write; others wait as requests.")
    contacts = PersonAnswer(many=True, help_text="By username.")


class ContactsRequest(Payload):
    accepted_only = Flag()


class BlocksAnswer(PageAnswer):
    blocked = PersonAnswer(many=True, help_text="By username.")


class MessageRequestAnswer(Payload):
    sender = PersonAnswer()
    messages = serializers.IntegerField(help_text="How many messages of this person wait.")
    oldest = UnixSeconds(help_text="Unix seconds: since when the oldest waits.")


class MessageRequestsAnswer(PageAnswer):
    requests = MessageRequestAnswer(many=True, help_text="By the sender's id.")


class DroppedAnswer(Payload):
    dropped = serializers.IntegerField(help_text="How many messages were dropped.")


class ReplacementRequest(Payload):
    password = Text()
    public_key = Text(
        help_text="The new bundle, as in the socket's `register`; no key in it was used before."
    )
    drop_waiting = Flag(default=False, help_text="Drop the messages that become unreadable.")


class ReplacementAnswer(Payload):
    revoked = serializers.IntegerField(help_text="How many sessions were ended.")
    unreadable = serializers.IntegerField(
        help_text="How many waiting messages were encrypted to the former keys, as far as the server can know."
    )
    dropped = serializers.IntegerField(help_text="How many of them were dropped: all or none.")
