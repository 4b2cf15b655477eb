"""Accepted and blocked people, and what that means for what is stored, on the real database."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.services import delete_user
from construct_site.database import run_in_database_thread
from construct_site.errors import ConstructError, ErrorCode
from construct_site.events import Event, MailboxReleased, SenderBlocked
from messaging import contacts
from messaging.mailbox import decisions
from messaging.mailbox.keyrings import key_ring, names
from messaging.mailbox.letters import Caps, Letter, Outcome, Verdict
from messaging.mailbox.store import get_store
from messaging.models import Contact, ContactPolicy
from messaging.protocol import codec
from tests.accounts.conftest import heard as heard
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import PATIENCE_S, chat_message
from tests.messaging.mailbox.conftest import make_recipient, run_at_once, until_someone_waits_for_a_lock

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CAPS = Caps(1000, 10**9, 1)
People = tuple[UUID, UUID, UUID]


@pytest.fixture
def people(transactional_db: None) -> People:
    return make_recipient("alice"), make_recipient("bob"), make_recipient("carol")


def letter(sender: UUID, recipient: UUID, **changes: Any) -> Letter:
    """A message as the relay would store it."""
    message = chat_message(sender, recipient, **changes)
    digests = names(settings.CONSTRUCT).digests(
        sender=sender.bytes,
        recipient=recipient.bytes,
        message_id=message.ids.message.bytes,
        ephemeral_public_key=message.ephemeral_public_key,
        message_number=message.message_number,
        content=message.content,
    )[0]
    sealed = key_ring(settings.CONSTRUCT).encrypt(codec.encode(message), recipient.bytes, digests.name)
    return Letter(recipient, sender, digests.name, digests.body, digests.pair, sealed)


def store(*letters: Letter, caps: Caps = CAPS) -> list[Outcome]:
    return get_store().put(letters, caps, NOW)


def hearing(outcome: Outcome) -> tuple[bool, bool]:
    assert outcome.verdict is Verdict.STORED
    return outcome.is_request, outcome.is_unheard


def paged(user_id: UUID) -> list[tuple[bytes, bool]]:
    """What a connection is handed: names, and whether they are unheard."""
    return [(row.name, row.is_unheard) for row in get_store().page(user_id, [], 1000, 10**9).rows]


def refusal(function: Callable[..., object], *arguments: object) -> ErrorCode:
    with pytest.raises(ConstructError) as caught:
        function(*arguments)
    return caught.value.code


HEARD, UNHEARD, REQUEST, UNHEARD_REQUEST = (False, False), (False, True), (True, False), (True, True)


class TestWhatIsSaid:
    def test_nobody_said_anything(self, people: People) -> None:
        alice, _, _ = people
        assert not contacts.is_accepted_only(alice)
        assert contacts.accepted_people(alice) == contacts.blocked_people(alice) == []

    def test_a_block_leaves_the_acceptance_untouched(self, people: People) -> None:
        alice, bob, _ = people
        contacts.accept(alice, bob)
        contacts.block(alice, bob)
        contacts.block(alice, bob)
        assert [each.username for each in contacts.blocked_people(alice)] == ["bob"]
        contacts.unblock(alice, bob)
        assert [each.username for each in contacts.accepted_people(alice)] == ["bob"]
        assert contacts.blocked_people(alice) == []
        contacts.withdraw(alice, bob)
        assert not Contact.objects.exists()

    def test_lists_are_the_owners_and_by_username(self, people: People) -> None:
        alice, bob, carol = people
        contacts.block(alice, carol)
        contacts.block(alice, bob)
        contacts.block(bob, carol)
        assert [each.username for each in contacts.blocked_people(alice)] == ["bob", "carol"]
        assert contacts.blocked_people(carol) == []

    @pytest.mark.parametrize("function", [contacts.block, contacts.accept])
    def test_nobody_and_oneself_cannot_be_said_anything_about(self, people: People, function: Any) -> None:
        alice = people[0]
        pending = make_recipient("pending", is_approved=False)
        for nobody in (uuid4(), pending):
            assert refusal(function, alice, nobody) is ErrorCode.USER_NOT_FOUND
        assert refusal(function, alice, alice) is ErrorCode.INVALID_USER_ID
        assert not ContactPolicy.objects.exists()

    def test_what_takes_nothing_back_changes_nothing(self, people: People) -> None:
        alice, bob, _ = people
        contacts.unblock(alice, bob)
        contacts.withdraw(alice, bob)
        assert not ContactPolicy.objects.exists()

    def test_accepted_and_blocked_people_have_a_cap_each(self, people: People, amounts: Amounts) -> None:
        amounts(contacts_per_user=1)
        alice, bob, carol = people
        contacts.accept(alice, bob)
        contacts.accept(alice, bob)
        contacts.block(alice, carol)
        assert refusal(contacts.accept, alice, carol) is ErrorCode.VALIDATION_FAILED
        assert refusal(contacts.block, alice, bob) is ErrorCode.VALIDATION_FAILED
        contacts.withdraw(alice, bob)
        contacts.accept(alice, carol)

    def test_what_was_said_goes_with_either_account(self, people: People) -> None:
        alice, bob, carol = people
        contacts.block(alice, bob)
        contacts.block(bob, carol)
        delete_user(User.objects.get(pk=bob))
        assert not Contact.objects.exists()
        assert list(ContactPolicy.objects.values_list("pk", flat=True)) == [alice]

    def test_who_is_gone_is_told_so(self, people: People) -> None:
        assert refusal(contacts.set_accepted_only, uuid4(), True) is ErrorCode.AUTH_REQUIRED
        assert refusal(contacts.accept, uuid4(), people[0]) is ErrorCode.AUTH_REQUIRED


class TestWhatIsStored:
    def test_everybody_is_heard_where_nothing_was_said(self, people: People) -> None:
        alice, bob, _ = people
        (stored,) = store(letter(bob, alice))
        assert (hearing(stored), stored.accepts_recipient) == (HEARD, False)

    def test_whom_the_recipient_blocked_is_unheard_and_nobody_else(self, people: People) -> None:
        alice, bob, carol = people
        contacts.block(alice, bob)
        letters = letter(bob, alice), letter(carol, alice), letter(bob, carol), letter(alice, bob)
        assert [hearing(each) for each in store(*letters)] == [UNHEARD, HEARD, HEARD, HEARD]
        assert paged(alice) == [(letters[0].name, True), (letters[1].name, False)]

    def test_what_waits_when_somebody_is_blocked_is_unheard_too(self, people: People) -> None:
        alice, bob, carol = people
        unheard, other = letter(bob, alice), letter(carol, alice)
        store(unheard, other)
        contacts.block(alice, bob)
        assert paged(alice) == [(unheard.name, True), (other.name, False)]

    def test_who_is_unblocked_is_heard_again_and_what_was_written_meanwhile_is_not(
        self, people: People
    ) -> None:
        alice, bob, _ = people
        contacts.block(alice, bob)
        meanwhile, later = letter(bob, alice), letter(bob, alice)
        store(meanwhile)
        contacts.unblock(alice, bob)
        store(later)
        assert paged(alice) == [(meanwhile.name, True), (later.name, False)]
        assert [each.verdict for each in store(meanwhile)] == [Verdict.REPEATED]

    def test_strangers_are_requests_where_only_accepted_people_may_write(self, people: People) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        contacts.accept(alice, bob)
        letters = letter(bob, alice), letter(carol, alice), letter(alice, alice)
        assert [hearing(each) for each in store(*letters)] == [HEARD, REQUEST, HEARD]
        assert [name for name, _ in paged(alice)] == [letters[0].name, letters[2].name]
        assert get_store().waiting([alice])[alice][0] == 2
        assert get_store().having_waiting([alice, bob]) == {alice}
        assert get_store().count(alice)[0] == 3

    def test_a_repeat_of_a_request_is_one(self, people: People) -> None:
        alice, bob, _ = people
        contacts.set_accepted_only(alice, True)
        request = letter(bob, alice)
        (stored,) = store(request)
        assert store(request) == [Outcome(Verdict.REPEATED, stored.row_id, is_request=True)]

    def test_who_is_accepted_is_handed_what_waits_in_order(self, people: People) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        first, second, other = letter(bob, alice), letter(bob, alice), letter(carol, alice)
        store(first, other, second)
        contacts.accept(alice, bob)
        assert paged(alice) == [(first.name, False), (second.name, False)]

    def test_once_everybody_may_write_all_requests_are_handed_and_blocked_people_stay_unheard(
        self, people: People
    ) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        contacts.block(alice, bob)
        unheard, other = letter(bob, alice), letter(carol, alice)
        assert [hearing(each) for each in store(unheard, other)] == [UNHEARD_REQUEST, REQUEST]
        assert paged(alice) == []
        contacts.set_accepted_only(alice, False)
        assert paged(alice) == [(unheard.name, True), (other.name, False)]

    def test_what_waited_before_only_accepted_people_may_write_is_handed(self, people: People) -> None:
        alice, bob, _ = people
        early = letter(bob, alice)
        store(early)
        contacts.set_accepted_only(alice, True)
        store(letter(bob, alice))
        assert [name for name, _ in paged(alice)] == [early.name]

    def test_whoever_writes_where_only_accepted_people_may_write_is_to_accept_the_recipient(
        self, people: People
    ) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        contacts.accept(alice, carol)
        letters = letter(alice, bob), letter(alice, carol), letter(alice, alice), letter(bob, carol)
        first, *others = store(*letters)
        assert [each.accepts_recipient for each in (first, *others)] == [True, False, False, False]
        # Where the acceptance failed, the same message again makes up for it, also once it was confirmed.
        assert [each.accepts_recipient for each in store(*letters)] == [True, False, False, False]
        get_store().confirm([first.row_id], NOW)
        assert [each.accepts_recipient for each in store(*letters)] == [True, False, False, False]

    def test_requests_fill_a_part_of_the_mailbox_and_leave_the_rest_to_others(self, people: People) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        contacts.accept(alice, carol)
        caps = Caps(4, 10**9, 1, request_share=2)
        for _ in range(2):
            assert hearing(store(letter(bob, alice), caps=caps)[0]) == REQUEST
        assert store(letter(bob, alice), caps=caps)[0].verdict is Verdict.FULL
        for _ in range(2):
            assert hearing(store(letter(carol, alice), caps=caps)[0]) == HEARD
        assert store(letter(carol, alice), caps=caps)[0].verdict is Verdict.FULL

    def test_what_accepted_people_fill_is_none_of_the_part_of_the_requests(self, people: People) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        contacts.accept(alice, carol)
        caps = Caps(6, 10**9, 1, request_share=3)
        senders = carol, carol, bob, carol, bob, bob, carol
        verdicts = [store(letter(sender, alice), caps=caps)[0].verdict for sender in senders]
        assert verdicts == [Verdict.STORED] * 5 + [Verdict.FULL, Verdict.STORED]

    def test_a_blocked_person_meets_the_same_full_mailbox(self, people: People) -> None:
        alice, bob, carol = people
        contacts.block(alice, bob)
        caps = Caps(1000, 10**9, 250)
        verdicts = [
            [store(letter(sender, alice), caps=caps)[0].verdict for _ in range(5)] for sender in (bob, carol)
        ]
        assert verdicts == [[Verdict.STORED] * 4 + [Verdict.FULL]] * 2

    def test_requests_have_a_cap_of_bytes_too(self, people: People) -> None:
        alice, bob, _ = people
        contacts.set_accepted_only(alice, True)
        caps = Caps(1000, 2 * len(letter(bob, alice).sealed), 1, request_share=2)
        assert [store(letter(bob, alice), caps=caps)[0].verdict for _ in range(2)] == [
            Verdict.STORED,
            Verdict.FULL,
        ]


class TestRequests:
    def test_they_are_listed_by_sender_without_those_who_are_blocked_or_gone(self, people: People) -> None:
        alice, bob, carol = people
        dave, gone = make_recipient("dave"), make_recipient("gone")
        contacts.set_accepted_only(alice, True)
        contacts.accept(alice, bob)
        contacts.block(alice, carol)
        store(*(letter(sender, alice) for sender in (dave, bob, carol, dave, gone)))
        delete_user(User.objects.get(pk=gone))
        (request,) = contacts.message_requests(alice)
        assert (request.sender.username, request.messages, request.oldest) == ("dave", 2, NOW)

    def test_they_come_by_the_senders_id_and_a_part_of_them_begins_where_another_ended(
        self, people: People
    ) -> None:
        alice, *others = people
        contacts.set_accepted_only(alice, True)
        for sender, minute in zip([*reversed(others), others[1]], (0, 1, 2), strict=True):
            get_store().put([letter(sender, alice)], CAPS, NOW + timedelta(minutes=minute))
        first, second = contacts.message_requests(alice)
        assert [first.sender.id, second.sender.id] == sorted(others)
        assert {each.sender.username: each.messages for each in (first, second)} == {"bob": 1, "carol": 2}
        assert contacts.message_requests(alice, most=1) == [first]
        assert contacts.message_requests(alice, contacts.place_of_request(first)) == [second]
        assert contacts.message_requests(alice, contacts.place_of_request(second)) == []

    def test_who_is_blocked_later_is_listed_no_more(self, people: People) -> None:
        alice, bob, _ = people
        contacts.set_accepted_only(alice, True)
        store(letter(bob, alice))
        contacts.block(alice, bob)
        assert contacts.message_requests(alice) == []

    def test_declining_drops_the_requests_of_that_person_and_repeats_are_confirmed(
        self, people: People
    ) -> None:
        alice, bob, carol = people
        early = letter(bob, alice)
        store(early)
        contacts.set_accepted_only(alice, True)
        request, other = letter(bob, alice), letter(carol, alice)
        store(request, letter(bob, alice), other)
        assert contacts.decline(alice, bob) == 2
        assert contacts.decline(alice, bob) == 0
        assert [each.verdict for each in store(early, request, other)] == [
            Verdict.REPEATED,
            Verdict.CONFIRMED,
            Verdict.REPEATED,
        ]
        assert hearing(store(letter(bob, alice))[0]) == REQUEST

    def test_all_can_be_declined_also_those_of_people_who_are_gone(self, people: People) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        store(letter(bob, alice), letter(carol, alice), letter(alice, alice))
        delete_user(User.objects.get(pk=carol))
        assert contacts.decline_all(alice) == 2
        assert get_store().count(alice)[0] == 1


class TestDedupKeys:
    """Rows that were named under a key that is gone, whose sender wrote nothing since."""

    FORMER, PRESENT = (b64encode(bytes([number]) * 32).decode() for number in (1, 2))

    def waits(self, amounts: Amounts, *letters: tuple[UUID, UUID]) -> list[bytes]:
        amounts(dedup_key=self.FORMER, further_dedup_keys=())
        made = [letter(sender, recipient) for sender, recipient in letters]
        store(*made)
        amounts(dedup_key=self.PRESENT)
        return [each.name for each in made]

    def test_who_is_accepted_is_handed_them(self, people: People, amounts: Amounts) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        first, _ = self.waits(amounts, (bob, alice), (carol, alice))
        contacts.accept(alice, bob)
        assert paged(alice) == [(first, False)]

    def test_they_can_be_declined(self, people: People, amounts: Amounts) -> None:
        alice, bob, carol = people
        contacts.set_accepted_only(alice, True)
        self.waits(amounts, (bob, alice), (carol, alice))
        assert contacts.decline(alice, bob) == 1
        assert [each.sender.id for each in contacts.message_requests(alice)] == [carol]

    def test_who_is_blocked_is_unheard(self, people: People, amounts: Amounts) -> None:
        alice, bob, carol = people
        unheard, other = self.waits(amounts, (bob, alice), (carol, alice))
        contacts.block(alice, bob)
        assert paged(alice) == [(unheard, True), (other, False)]


class TestAtOnce:
    def test_a_message_that_meets_the_first_block_of_its_recipient_is_unheard(self, people: People) -> None:
        """Nothing tells of the recipient's contacts when the statement that stores it begins."""
        alice, bob, _ = people
        is_locked = threading.Event()
        message = letter(bob, alice)

        def block_slowly() -> None:
            with transaction.atomic():
                contacts.block(alice, bob)
                is_locked.set()
                until_someone_waits_for_a_lock()

        def send() -> None:
            assert is_locked.wait(PATIENCE_S)
            store(message)

        run_at_once(block_slowly, send)
        assert paged(alice) == [(message.name, True)]

    def test_a_message_that_meets_an_acceptance_is_handed(self, people: People) -> None:
        """The statement that stores it began before the acceptance was committed, and waits for it."""
        alice, bob, _ = people
        contacts.set_accepted_only(alice, True)
        is_locked = threading.Event()
        message = letter(bob, alice)

        def accept_slowly() -> None:
            with transaction.atomic():
                contacts.accept(alice, bob)
                is_locked.set()
                until_someone_waits_for_a_lock()

        def send() -> None:
            assert is_locked.wait(PATIENCE_S)
            store(message)

        run_at_once(accept_slowly, send)
        assert paged(alice) == [(message.name, False)]

    def test_an_acceptance_that_meets_messages_leaves_none_behind(self, people: People) -> None:
        alice, bob, _ = people
        for _ in range(5):
            contacts.set_accepted_only(alice, True)
            batches = [[letter(bob, alice) for _ in range(3)] for _ in range(4)]
            run_at_once(
                lambda: contacts.accept(alice, bob), *(lambda batch=batch: store(*batch) for batch in batches)
            )
            assert not list(decisions.requests_of(alice))
            contacts.withdraw(alice, bob)
        assert len(paged(alice)) == 5 * 4 * 3

    def test_changes_deletions_and_messages_at_once_end_in_order(self, people: People) -> None:
        alice, _, _ = people
        failures: list[Exception] = []

        def attempt(work: Callable[[], object]) -> None:
            try:
                work()
            except ConstructError as error:
                if error.code not in (ErrorCode.USER_NOT_FOUND, ErrorCode.AUTH_REQUIRED):
                    failures.append(error)
            except Exception as error:  # noqa: BLE001 - a thread's error is asserted on below
                failures.append(error)

        for number in range(5):
            peer = make_recipient(f"peer{number}")
            user = User.objects.get(pk=peer)
            contacts.set_accepted_only(peer, True)
            store(*(letter(alice, peer) for _ in range(20)))
            run_at_once(
                *(
                    lambda work=work: attempt(work)
                    for work in (
                        lambda peer=peer: contacts.accept(alice, peer),
                        lambda peer=peer: contacts.accept(peer, alice),
                        lambda peer=peer: contacts.block(peer, alice),
                        lambda peer=peer: store(letter(alice, peer)),
                        lambda peer=peer: store(letter(peer, alice)),
                        lambda user=user: delete_user(user),
                    )
                )
            )
            assert failures == []
            assert get_store().count(peer)[0] == 0
            assert not Contact.objects.filter(peer=peer).exists()


@pytest.mark.django_db(transaction=True)
async def test_changes_that_live_sockets_must_know_are_told_once_they_are_committed(
    heard: asyncio.Queue[Event],
) -> None:
    alice, bob = await run_in_database_thread(_two)
    await run_in_database_thread(contacts.block, alice, bob)
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == SenderBlocked(alice, bob)
    await run_in_database_thread(contacts.unblock, alice, bob)
    await run_in_database_thread(contacts.set_accepted_only, alice, True)
    await run_in_database_thread(store, letter(bob, alice))
    await run_in_database_thread(contacts.accept, alice, bob)
    assert await asyncio.wait_for(heard.get(), PATIENCE_S) == MailboxReleased(alice)


def _two() -> tuple[UUID, UUID]:
    return make_recipient("alice"), make_recipient("bob")
