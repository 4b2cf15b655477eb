"""Who may write to whom: accepted and blocked people, and whether only the accepted may write.

Plain synchronous functions. What a user says here is judged by the statement that stores a
message (:mod:`messaging.mailbox`), under a lock on the user's bundle: a message that is
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
from django.db.models import Q
from django.utils import timezone

from accounts.folding import fold
from accounts.models import User
from construct_site.env import Config
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import MailboxReleased, SenderBlocked, send_on_commit
from keys.services import hold_bundle
from messaging.mailbox import decisions
from messaging.mailbox.keyrings import key_ring, names
from messaging.mailbox.letters import WaitingRow
from messaging.mailbox.sealing import KeyRing, Unreadable
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


def accepted_people(user_id: UUID, after: str = "", most: int | None = None) -> list[Person]:
    """Those who are accepted, by username: all, or `most` of those whose place comes after `after`."""
    return _people(user_id, after, most, is_accepted=True)


def blocked_people(user_id: UUID, after: str = "", most: int | None = None) -> list[Person]:
    """Those who are blocked, as :func:`accepted_people`."""
    return _people(user_id, after, most, is_blocked=True)


def place_of_person(person: Person) -> str:
    """Where a person stands in a list of people."""
    return person.username


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


def message_requests(user_id: UUID, after: str = "", most: int | None = None) -> list[MessageRequest]:
    """Who waits to be accepted, by their ids; nobody who is blocked.

    All, or `most` of those whose place (:func:`place_of_request`) comes after `after`. Every
    request is decrypted for its sender's id; nothing else of it is looked at.
    """
    keys = key_ring(settings.CONSTRUCT)
    waiting: dict[UUID, list[datetime]] = defaultdict(list)
    for row, stored_at in decisions.requests_of(user_id):
        if sender := _sender(keys, user_id, row):
            waiting[sender].append(stored_at)
    senders = User.objects.in_bulk(list(waiting))
    requests = [
        MessageRequest(_person(senders[sender]), len(times), times[0])
        for sender, times in waiting.items()
        if sender in senders
    ]
    following = (each for each in requests if place_of_request(each) > after)
    return sorted(following, key=place_of_request)[:most]


def place_of_request(request: MessageRequest) -> str:
    """Where it stands among requests: the sender's id. Since when it waits would not stay, as messages expire."""
    return str(request.sender.id)


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
    """A transaction in which nothing is stored for the user; what is stored after it obeys it.

    `peer_id` is one who must be another existing user, and not wait for approval. A deletion of either waits for
    the end.
    """
    if user_id == peer_id:
        raise ConstructError(ErrorCode.INVALID_USER_ID, "This is you.")
    with transaction.atomic():
        # In ascending order: two who say something about each other do not wait for each other, and a deletion,
        # which holds its account too, waits here or is waited for.
        wanted = [each for each in (user_id, peer_id) if each is not None]
        users = User.objects.select_for_update(no_key=True).filter(pk__in=wanted)
        there = users.filter(Q(pk=user_id) | Q(is_approved=True)).order_by("pk")
        present = set(there.values_list("pk", flat=True))
        if user_id not in present:
            raise ConstructError(ErrorCode.AUTH_REQUIRED)
        if peer_id is not None and peer_id not in present:
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        ContactPolicy.objects.get_or_create(pk=user_id)
        hold_bundle(user_id)
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
    """What names the rows that wait of this person, also those that were named under a dedup key that is gone."""
    pairs = names(settings.CONSTRUCT).pairs(sender=peer_id.bytes, recipient=user_id.bytes)
    keys = key_ring(settings.CONSTRUCT)
    for pair, row in decisions.one_of_each_pair(user_id, besides=pairs):
        if _sender(keys, user_id, row) == peer_id:
            pairs.append(pair)
    return pairs


def _sender(keys: KeyRing, user_id: UUID, row: WaitingRow) -> UUID | None:
    """Who sent a waiting message; None if its key is gone."""
    try:
        return sender_of(keys.decrypt(row.sealed, user_id.bytes, row.name))
    except Unreadable:
        return None


def _people(user_id: UUID, after: str, most: int | None, **said: bool) -> list[Person]:
    contacts = Contact.objects.filter(owner=user_id, peer__username_folded__gt=fold(after), **said)
    by_name = contacts.select_related("peer").order_by("peer__username_folded")
    return [_person(contact.peer) for contact in by_name[:most]]


def _person(user: User) -> Person:
    return Person(user.pk, user.username, user.display_name)
