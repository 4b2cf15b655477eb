"""What the endpoints of messaging give."""

from __future__ import annotations

from rest_framework import serializers

from construct_site.rest.payloads import Payload, Text, UnixSeconds


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
