"""The mailbox's table, who may write to whom, and the chores that the running server does once across processes.

Only :mod:`messaging.mailbox`, :mod:`messaging.contacts` and :mod:`messaging.housekeeping` write here.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class MailboxMessage(models.Model):
    """A message that waits for its recipient, or the stub of one that was confirmed.

    The row tells little: the frame is encrypted, there is no sender, and what
    names the message and its sender are keyed hashes. Confirming it nulls
    everything but ``name``, ``body`` and the hour: the stub, which makes a
    re-sent message a repeat instead of a second delivery.
    """

    # Rows are numbered in the order in which the server took them.
    id = models.BigAutoField(primary_key=True)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        db_index=False,
        # Guarded by a lock and a trigger (:mod:`messaging.mailbox.postgresql`), on SQLite by the one writer.
        db_constraint=False,
        related_name="+",
    )
    name = models.BinaryField(max_length=16, unique=True)
    """HMAC of sender, recipient and id: two rows of one name cannot be."""
    body = models.BinaryField(max_length=16)
    """HMAC of ephemeral key, number and content: tells a repeat from another message of that name."""
    pair = models.BinaryField(max_length=16, null=True)
    """HMAC of sender and recipient: counts the sender's share of the mailbox."""
    frame = models.BinaryField(null=True)
    """The `message` frame, encrypted (:mod:`messaging.mailbox.sealing`)."""
    size = models.PositiveIntegerField(null=True)
    """Bytes of `frame`: what the mailbox's byte cap counts."""
    stored_at = models.DateTimeField()
    """When the message was taken; on a stub, the hour in which it was confirmed."""
    is_request = models.BooleanField(default=False, db_default=False)
    """It waits until the recipient accepts its sender."""
    is_unheard = models.BooleanField(default=False, db_default=False)
    """Its sender is blocked: it goes the way of every message, and is not written to the socket."""

    class Meta:
        indexes = [
            models.Index(
                fields=["recipient", "id"], name="mailbox_waiting", condition=Q(recipient__isnull=False)
            ),
            models.Index(fields=["stored_at"], name="mailbox_stored_at"),
        ]

    def __str__(self) -> str:
        return f"row {self.pk}"


class ContactPolicy(models.Model):
    """Who may write to a user. Who never said anything has none: everybody may."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    accepted_only = models.BooleanField(default=False)
    """What people who are not accepted send waits as a request."""
    version = models.PositiveBigIntegerField(default=0)
    """Counts the changes of this row and of the user's contacts: a batch that saw another one asks again."""

    def __str__(self) -> str:
        return f"version {self.version}"


class Contact(models.Model):
    """What a user (`owner`) said about another. A block leaves untouched whether they are accepted."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    peer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    is_accepted = models.BooleanField(default=False)
    is_blocked = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "peer"], name="contact_once")]

    def __str__(self) -> str:
        return f"contact {self.pk}"


class Chore(models.Model):
    """A recurring piece of work that one process does for all: the row says when it is due again."""

    name = models.CharField(max_length=32, primary_key=True)
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
