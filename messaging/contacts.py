"""Who may write to whom: accepted and blocked people, and whether only the accepted may write.

Plain synchronous functions. What a user says here is judged by the statement that stores a
message (:mod:`messaging.mailbox`), under a lock on the user's policy: a message that is
stored after a change obeys it, and a change finds every message stored before.

A blocked person's messages are stored, counted, acked and confirmed like everybody's; the
recipient's connections just do not write them. So nothing that a sender gets, or how
soon, differs by a block.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import MailboxReleased, SenderBlocked, send_on_commit
from messaging.mailbox import decisions
from messaging.mailbox.keyrings import key_ring, names
from messaging.mailbox.sealing import Unreadable
from messaging.models import Contact, ContactPolicy
from messaging.protocol.codec import sender_of


@dataclass(frozen=True, slots=True)
class Person:
    """Another user, as a list of them shows it."""

    id: UUID
    username: str
    display_name: str


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """Messages that wait because their sender is not accepted."""

    sender: Person
    messages: int
    oldest: datetime


def is_accepted_only(user_id: UUID) -> bool:
    """Whether only accepted people may write to the user."""
    return ContactPolicy.objects.filter(pk=user_id, accepted_only=True).exists()


def set_accepted_only(user_id: UUID, accepted_only: bool) -> None:
    """Let everybody write, or only accepted people; from then on, whom the user writes to is accepted.

    Requests that wait are handed over once everybody may write. Raises
    ``ConstructError(AUTH_REQUIRED)`` if the account is gone, as every change here.
    """
    with _changing(user_id):
        ContactPolicy.objects.filter(pk=user_id).update(accepted_only=accepted_only)
        if not accepted_only and decisions.release(user_id):
            send_on_commit(MailboxReleased(user_id))


def accepted_people(user_id: UUID) -> list[Person]:
    """Those who are accepted, by username."""
    return _people(user_id, is_accepted=True)


def blocked_people(user_id: UUID) -> list[Person]:
    """Those who are blocked, by username."""
    return _people(user_id, is_blocked=True)


def accept(user_id: UUID, peer_id: UUID) -> None:
    """Let this person write; what waits of them as a request is handed over. Again changes nothing.

    Raises ``ConstructError``: INVALID_USER_ID for oneself, USER_NOT_FOUND, and VALIDATION_FAILED
    while ``CONSTRUCT_CONTACTS_PER_USER`` are accepted.
    """
    with _changing(user_id, peer_id):
        _say(user_id, peer_id, "is_accepted")
        if decisions.release(user_id, _pairs(user_id, peer_id)):
            send_on_commit(MailboxReleased(user_id))


def withdraw(user_id: UUID, peer_id: UUID) -> None:
    """Take an acceptance back. Where there is none, nothing changes."""
    _unsay(user_id, peer_id, "is_accepted")


def block(user_id: UUID, peer_id: UUID) -> None:
    """Write nothing of this person to the user's sockets, nor what waits. Again changes nothing.

    Raises as :func:`accept`; as many people can be blocked as accepted.
    """
    with _changing(user_id, peer_id):
        _say(user_id, peer_id, "is_blocked")
        decisions.silence(user_id, _pairs(user_id, peer_id))
        send_on_commit(SenderBlocked(user_id, peer_id))


def unblock(user_id: UUID, peer_id: UUID) -> None:
    """Hear this person from now on; what they wrote meanwhile stays unheard. Without a block nothing changes."""
    _unsay(user_id, peer_id, "is_blocked")


def message_requests(user_id: UUID) -> list[MessageRequest]:
    """Who waits to be accepted, those who wrote first before the others; nobody who is blocked.

    Every request is decrypted for its sender's id; nothing else of it is looked at.
    """
    keys = key_ring(settings.CONSTRUCT)
    waiting: dict[UUID, list[datetime]] = defaultdict(list)
    for row, stored_at in decisions.requests_of(user_id):
        try:
            waiting[sender_of(keys.decrypt(row.sealed, user_id.bytes, row.name))].append(stored_at)
        except Unreadable:
            continue
    senders = User.objects.in_bulk(list(waiting))
    return [
        MessageRequest(_person(senders[sender]), len(times), times[0])
        for sender, times in waiting.items()
        if sender in senders
    ]


def decline(user_id: UUID, peer_id: UUID) -> int:
    """Drop the requests of this person, who may write again. Returns how many messages that were."""
    with _changing(user_id):
        return decisions.decline(user_id, timezone.now(), _pairs(user_id, peer_id))


def decline_all(user_id: UUID) -> int:
    """Drop every request, also those of people who are gone. Returns how many messages that were."""
    with _changing(user_id):
        return decisions.decline(user_id, timezone.now())


@contextmanager
def _changing(user_id: UUID, peer_id: UUID | None = None) -> Iterator[None]:
    """A transaction that has the user's policy for itself, and raises its version.

    `peer_id` is one who must be another existing user, and not wait for approval. A deletion of either waits for
    the end.
    """
    if user_id == peer_id:
        raise ConstructError(ErrorCode.INVALID_USER_ID, "This is you.")
    with transaction.atomic():
        # In ascending order, before the policy: two who say something about each other do not wait for each other,
        # and a deletion, which holds its account first, waits here or is waited for.
        wanted = [each for each in (user_id, peer_id) if each is not None]
        users = User.objects.select_for_update(no_key=True).filter(pk__in=wanted)
        there = users.filter(Q(pk=user_id) | Q(is_approved=True)).order_by("pk")
        present = set(there.values_list("pk", flat=True))
        if user_id not in present:
            raise ConstructError(ErrorCode.AUTH_REQUIRED)
        if peer_id is not None and peer_id not in present:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        ContactPolicy.objects.get_or_create(pk=user_id)
        ContactPolicy.objects.filter(pk=user_id).update(version=F("version") + 1)
        yield


def _say(user_id: UUID, peer_id: UUID, word: str) -> None:
    config: Config = settings.CONSTRUCT
    said = Contact.objects.filter(**{"owner": user_id, word: True})
    if said.exclude(peer=peer_id).count() >= config.contacts_per_user:
        raise ConstructError(
            ErrorCode.VALIDATION_FAILED, f"There is room for {config.contacts_per_user} people."
        )
    Contact.objects.update_or_create(owner_id=user_id, peer_id=peer_id, defaults={word: True})


def _unsay(user_id: UUID, peer_id: UUID, word: str) -> None:
    if not Contact.objects.filter(**{"owner": user_id, "peer": peer_id, word: True}).exists():
        return
    with _changing(user_id):
        Contact.objects.filter(owner=user_id, peer=peer_id).update(**{word: False})
        # What says nothing any more is not kept.
        Contact.objects.filter(owner=user_id, peer=peer_id, is_accepted=False, is_blocked=False).delete()


def _pairs(user_id: UUID, peer_id: UUID) -> list[bytes]:
    return names(settings.CONSTRUCT).pairs(sender=peer_id.bytes, recipient=user_id.bytes)


def _people(user_id: UUID, **said: bool) -> list[Person]:
    contacts = Contact.objects.filter(owner=user_id, **said).select_related("peer")
    return [_person(contact.peer) for contact in contacts.order_by("peer__username_folded")]


def _person(user: User) -> Person:
    return Person(user.pk, user.username, user.display_name)
