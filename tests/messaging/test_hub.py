"""The hub: connections by user, with the in-memory layer and with two processes' layers on one Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest
import redis
from channels.layers import BaseChannelLayer, InMemoryChannelLayer
from django.db import OperationalError
from redis.asyncio import Redis

from accounts.models import User
from accounts.peers import Peer
from accounts.policy import Account
from accounts.services import SessionIdentity, check_sessions, open_session, suspend_user
from construct_site.database import run_in_database_thread
from construct_site.errors import CloseCode, ConstructError, ErrorCode
from construct_site.events import (
    AccountApproved,
    AccountLimited,
    AccountSuspended,
    SessionsEnded,
    as_layer_message,
    send_on_commit,
    user_group,
)
from messaging import hub as hub_module
from messaging.connection import Connection
from messaging.hub import Hub
from messaging.layer import DoorbellLayer
from messaging.mailbox.letters import Letter
from messaging.mailbox.mailbox import Mailbox
from messaging.mailbox.sealing import KeyRing
from tests.messaging.conftest import Amounts
from tests.messaging.doubles import PATIENCE_S, RecordingSocket, identity, message_frame, turns, until
from tests.messaging.mailbox.conftest import make_letter, make_recipient
from tests.services import free_port

FRAME = b"a frame"
NAME = b"n" * 16
MakeHub = Callable[[BaseChannelLayer], Hub]


class Device:
    """A socket of a user, attached to a hub."""

    def __init__(self, hub: Hub, user_id: UUID, *, has_pongs: bool = True, receipts: bool = False) -> None:
        self.socket = RecordingSocket(has_pongs=has_pongs)
        self.connection = Connection(identity(user_id, receipts=receipts), self.socket, hub)
        self.socket.on_close = lambda: hub.detach(self.connection)
        self._hub = hub

    async def attach(self) -> Device:
        """Attached, and with everything that waits (nothing does)."""
        await self._hub.attach(self.connection)
        self.connection.begin()
        await until(lambda: self.connection.knows_all)
        return self

    def looks(self) -> list[bool]:
        """Grows by one with each look that the connection is told to have from now on."""
        seen: list[bool] = []
        self.connection.look = lambda: seen.append(True)  # type: ignore[method-assign]
        return seen

    @property
    def frames(self) -> list[bytes]:
        return self.socket.frames


@pytest.fixture
async def make_hub(mailbox: Mailbox, keys: KeyRing) -> AsyncIterator[MakeHub]:
    """Makes started hubs; of several, the newest hears this process's events."""
    made: list[Hub] = []

    def make(layer: BaseChannelLayer) -> Hub:
        made.append(Hub(mailbox, keys, layer))
        made[-1].start()
        return made[-1]

    yield make
    for hub in made:
        await asyncio.wait_for(hub.close(), PATIENCE_S)


@pytest.fixture
async def hub(make_hub: MakeHub) -> Hub:
    return make_hub(InMemoryChannelLayer())


@pytest.fixture
async def hubs(make_hub: MakeHub, layers: tuple[DoorbellLayer, DoorbellLayer]) -> tuple[Hub, Hub]:
    """Two processes on one Valkey."""
    return make_hub(layers[0]), make_hub(layers[1])


class TestComingAndGoing:
    async def test_attached_connections_are_counted_and_reached(self, hub: Hub) -> None:
        user_id = uuid4()
        phone = await Device(hub, user_id).attach()
        laptop = await Device(hub, user_id).attach()
        stranger = await Device(hub, uuid4()).attach()
        assert hub.connections == 3
        assert hub.hand_over(user_id, 1, 0, FRAME)
        assert (phone.frames, laptop.frames, stranger.frames) == ([FRAME], [FRAME], [])

    async def test_a_detached_connection_is_reached_no_more(self, hub: Hub) -> None:
        user_id = uuid4()
        phone = await Device(hub, user_id).attach()
        laptop = await Device(hub, user_id).attach()
        hub.detach(phone.connection)
        assert hub.is_here(user_id)
        assert hub.hand_over(user_id, 1, 0, FRAME)
        hub.detach(laptop.connection)
        assert (phone.frames, laptop.frames) == ([], [FRAME])
        assert (hub.connections, hub.is_here(user_id)) == (0, False)
        assert not hub.hand_over(user_id, 2, 0, FRAME)

    async def test_detaching_twice_or_what_never_came_is_no_fault(self, hub: Hub) -> None:
        user_id = uuid4()
        phone = await Device(hub, user_id).attach()
        hub.detach(Device(hub, user_id).connection)
        assert hub.is_here(user_id)
        hub.detach(phone.connection)
        hub.detach(phone.connection)
        assert hub.connections == 0

    async def test_a_reminder_has_those_look_who_do_not_have_it(self, hub: Hub) -> None:
        user_id = uuid4()
        phone = await Device(hub, user_id).attach()
        assert hub.remind(user_id, 1) == (False, None)
        await until(lambda: phone.connection.knows_all)
        assert hub.hand_over(user_id, 1, 0, FRAME)
        assert hub.remind(user_id, 1) == (True, None)
        assert phone.connection.knows_all
        assert hub.remind(uuid4(), 1) == (False, None)


class TestAdmit:
    @pytest.fixture(autouse=True)
    def two_a_user(self, amounts: Amounts, monkeypatch: pytest.MonkeyPatch) -> None:
        amounts(connections_per_user=2)
        monkeypatch.setattr(hub_module, "_PROBE_S", 0.3)

    async def test_below_the_cap_nobody_is_asked(self, hub: Hub) -> None:
        user_id = uuid4()
        phone = await Device(hub, user_id).attach()
        await hub.admit(user_id)
        assert phone.socket.pings == []

    async def test_at_the_cap_the_silent_ones_go(self, hub: Hub) -> None:
        user_id = uuid4()
        silent, lively = [await Device(hub, user_id).attach() for _ in range(2)]
        admitting = asyncio.ensure_future(hub.admit(user_id))
        await until(lambda: bool(lively.socket.pings))
        lively.connection.pong(lively.socket.pings[-1])
        await admitting
        assert silent.socket.closes == [(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)]
        assert lively.socket.closes == []
        assert hub.connections == 1

    async def test_where_all_answer_the_newest_is_refused(self, hub: Hub) -> None:
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for _ in range(2)]
        admitting = asyncio.ensure_future(hub.admit(user_id))
        for device in devices:
            await until(lambda device=device: bool(device.socket.pings))  # type: ignore[misc]
            device.connection.pong(device.socket.pings[-1])
        with pytest.raises(ConstructError) as refusal:
            await admitting
        assert refusal.value.code is ErrorCode.TOO_MANY_CONNECTIONS
        assert [device.socket.closes for device in devices] == [[], []]

    async def test_with_limits_off_there_is_no_cap(self, hub: Hub, amounts: Amounts) -> None:
        amounts(limits="off")
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for _ in range(3)]
        await hub.admit(user_id)
        assert [device.socket.pings for device in devices] == [[], [], []]


class TestEvents:
    async def test_all_sessions_of_a_user_end(self, hub: Hub) -> None:
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for _ in range(2)]
        stranger = await Device(hub, uuid4()).attach()
        await run_in_database_thread(send_on_commit, SessionsEnded(user_id))
        await turns()
        assert [device.socket.expiries for device in (*devices, stranger)] == [1, 1, 0]

    async def test_only_the_named_sessions_end(self, hub: Hub) -> None:
        user_id = uuid4()
        phone, laptop = [await Device(hub, user_id).attach() for _ in range(2)]
        await run_in_database_thread(
            send_on_commit, SessionsEnded(user_id, (phone.connection.session_id, uuid4()))
        )
        await turns()
        assert (phone.socket.expiries, laptop.socket.expiries) == (1, 0)

    async def test_a_suspension_ends_the_sockets_of_that_user_with_its_text(self, hub: Hub) -> None:
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for _ in range(2)]
        stranger = await Device(hub, uuid4()).attach()
        await run_in_database_thread(send_on_commit, AccountSuspended(user_id, "Suspended."))
        await turns()
        told = [device.socket.suspensions for device in (*devices, stranger)]
        assert told == [["Suspended."], ["Suspended."], []]
        assert [device.socket.expiries for device in devices] == [0, 0]

    async def test_what_policies_know_of_an_account_changes_for_all_its_connections(self, hub: Hub) -> None:
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for _ in range(2)]
        stranger = await Device(hub, uuid4()).attach()
        for device in devices:
            account = device.connection.account
            device.connection.account = msgspec.structs.replace(account, is_approved=False)
        await run_in_database_thread(send_on_commit, AccountLimited(user_id, 50))
        await turns()
        known = [device.connection.account for device in (*devices, stranger)]
        assert [(each.is_approved, each.messages_per_hour) for each in known] == [
            (False, 50),
            (False, 50),
            (True, None),
        ]
        await run_in_database_thread(send_on_commit, AccountApproved(user_id))
        await run_in_database_thread(send_on_commit, AccountLimited(user_id, None))
        await turns()
        known = [device.connection.account for device in devices]
        assert [(each.is_approved, each.messages_per_hour) for each in known] == [(True, None)] * 2

    async def test_a_closed_hub_hears_nothing(self, hub: Hub) -> None:
        user_id = uuid4()
        phone = await Device(hub, user_id).attach()
        await hub.close()
        await run_in_database_thread(send_on_commit, SessionsEnded(user_id))
        await turns()
        assert phone.socket.expiries == 0


async def test_what_one_connection_confirmed_is_not_handed_to_the_next(
    hub: Hub, mailbox: Mailbox, keys: KeyRing
) -> None:
    user_id = await run_in_database_thread(make_recipient, "recipient")
    letter = make_letter(user_id)
    letter = msgspec.structs.replace(letter, sealed=keys.encrypt(FRAME, user_id.bytes, letter.name))
    await mailbox.put(letter, lambda _outcome: None)
    phone = await Device(hub, user_id).attach()
    assert phone.frames == [FRAME]
    phone.connection.pong(phone.socket.pings[-1])
    hub.detach(phone.connection)
    # At once: the confirmation is not on disk yet.
    again = await Device(hub, user_id).attach()
    assert again.frames == []
    await until(lambda: not hub._confirming)
    assert (await mailbox.count(user_id))[0] == 0


async def test_a_pong_that_confirms_nothing_leaves_nothing_to_confirm(hub: Hub) -> None:
    user_id = uuid4()
    phone = await Device(hub, user_id, receipts=True).attach()
    assert hub.hand_over(user_id, 1, 0, message_frame())
    phone.connection.pong(phone.socket.pings[-1])
    assert hub.hand_over(user_id, 2, 0, message_frame(), is_unheard=True)
    phone.connection.pong(phone.socket.pings[-1])
    assert hub._confirming == {}


class TestTwoProcesses:
    def ring(
        self, hub: Hub, keys: KeyRing, user_id: UUID, row_id: int, before: int = 0
    ) -> asyncio.Future[int]:
        frame = FRAME + bytes([row_id])
        heard = hub.ring(user_id, row_id, before, NAME, keys.encrypt(frame, user_id.bytes, NAME))
        assert heard is not None
        return heard

    async def test_a_ring_reaches_the_other_process_decrypted(
        self, hubs: tuple[Hub, Hub], keys: KeyRing
    ) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        assert await self.ring(here, keys, user_id, 1) == 1
        await until(lambda: bool(phone.frames))
        assert phone.frames == [FRAME + b"\x01"]

    async def test_the_first_user_of_a_fresh_process_hears_it(
        self, make_hub: MakeHub, layers: tuple[DoorbellLayer, DoorbellLayer], keys: KeyRing
    ) -> None:
        here, there = make_hub(layers[0]), make_hub(layers[1])
        user_id = uuid4()
        phone = Device(there, user_id)
        # At once: the process's own channel is being opened still.
        await phone.attach()
        await self.ring(here, keys, user_id, 1)
        await until(lambda: bool(phone.frames))
        assert phone.frames == [FRAME + b"\x01"]

    async def test_what_cannot_be_read_does_not_end_the_receiving(
        self,
        hubs: tuple[Hub, Hub],
        layers: tuple[DoorbellLayer, DoorbellLayer],
        keys: KeyRing,
        shared_redis: str,
    ) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        group = layers[0]._get_layer()._get_group_channel_name(user_group(user_id))
        async with Redis.from_url(shared_redis) as stranger:
            for garbage in (b"\xc1", b"", b"\x93\x01\x02\x03", b"\x81\xa4type\xa4ring"):
                assert await stranger.publish(group, garbage) == 1
        await self.ring(here, keys, user_id, 1)
        await until(lambda: bool(phone.frames))
        assert phone.frames == [FRAME + b"\x01"]

    async def test_its_own_rings_are_nothing_new_to_a_process(
        self, hubs: tuple[Hub, Hub], keys: KeyRing
    ) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        assert await self.ring(there, keys, user_id, 1) == 1
        assert await self.ring(here, keys, user_id, 2) == 1
        await until(lambda: bool(phone.frames))
        assert phone.frames == [FRAME + b"\x02"]

    async def test_rings_keep_their_order(self, hubs: tuple[Hub, Hub], keys: KeyRing) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        for row_id in range(1, 11):
            self.ring(here, keys, user_id, row_id, before=row_id - 1)
        await until(lambda: len(phone.frames) == 10)
        assert phone.frames == [FRAME + bytes([row_id]) for row_id in range(1, 11)]

    async def test_a_ring_under_a_key_that_is_not_here_has_everyone_look(self, hubs: tuple[Hub, Hub]) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        looks = phone.looks()
        await self.ring(here, KeyRing([b"k" * 32]), user_id, 1)
        await until(lambda: bool(looks))
        assert phone.frames == []

    async def test_a_reminder_has_the_other_process_look(self, hubs: tuple[Hub, Hub]) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        looks = phone.looks()
        has_it, heard = here.remind(user_id, 1)
        assert not has_it
        assert heard is not None
        assert await heard == 1
        await until(lambda: bool(looks))
        assert len(looks) == 1

    async def test_who_left_is_rung_no_more(self, hubs: tuple[Hub, Hub], keys: KeyRing) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        there.detach(phone.connection)
        for _ in range(1000):
            if await self.ring(here, keys, user_id, 1) == 0:
                break
        assert await self.ring(here, keys, user_id, 1) == 0
        assert phone.frames == []

    async def test_who_comes_back_is_rung_again(self, hubs: tuple[Hub, Hub], keys: KeyRing) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        there.detach(phone.connection)
        await turns(1)
        phone = await Device(there, user_id).attach()
        assert await self.ring(here, keys, user_id, 1) == 1
        await until(lambda: bool(phone.frames))
        assert phone.frames == [FRAME + b"\x01"]

    async def test_ended_sessions_end_on_every_process(self, hubs: tuple[Hub, Hub]) -> None:
        here, there = hubs
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for hub in (here, there, here)]
        ended = tuple(device.connection.session_id for device in devices[:2])
        await run_in_database_thread(send_on_commit, SessionsEnded(user_id, ended))
        await until(lambda: all(device.socket.expiries for device in devices[:2]))
        assert [device.socket.expiries for device in devices] == [1, 1, 0]

    async def test_an_event_of_a_process_without_a_hub_is_heard(
        self, hubs: tuple[Hub, Hub], layers: tuple[DoorbellLayer, DoorbellLayer]
    ) -> None:
        user_id = uuid4()
        devices = [await Device(hub, user_id).attach() for hub in hubs]
        await layers[0].group_send(user_group(user_id), as_layer_message(SessionsEnded(user_id)))
        await until(lambda: all(device.socket.expiries for device in devices))
        assert [device.socket.expiries for device in devices] == [1, 1]

    async def test_what_was_missed_while_the_layer_was_away_comes_when_it_is_back(
        self,
        make_hub: MakeHub,
        layers: tuple[DoorbellLayer, DoorbellLayer],
        amounts: Amounts,
        mailbox: Mailbox,
        keys: KeyRing,
        shared_redis: str,
    ) -> None:
        amounts(sweep_s=1000.0)
        hub = make_hub(layers[0])
        user_id = await run_in_database_thread(make_recipient, "recipient")
        phone = await Device(hub, user_id).attach()
        letter = make_letter(user_id)
        letter = msgspec.structs.replace(letter, sealed=keys.encrypt(FRAME, user_id.bytes, letter.name))
        # Stored, and rung for by nobody.
        await mailbox.put(letter, lambda _outcome: None)
        assert phone.frames == []
        with redis.Redis.from_url(shared_redis) as admin:
            admin.client_kill_filter(_type="pubsub")
        await until(lambda: phone.frames == [FRAME])

    async def test_a_message_that_nobody_understands_ends_nothing(
        self,
        hubs: tuple[Hub, Hub],
        layers: tuple[DoorbellLayer, DoorbellLayer],
        keys: KeyRing,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        here, there = hubs
        user_id = uuid4()
        phone = await Device(there, user_id).attach()
        strange = [
            {"type": "event", "event": {"type": "of a later version"}},
            {"type": "look", "user": b"x"},
            {},
        ]
        for message in strange:
            await layers[0].group_send(user_group(user_id), message)
        await self.ring(here, keys, user_id, 1)
        await until(lambda: bool(phone.frames))
        assert phone.frames == [FRAME + b"\x01"]
        assert caplog.text.count("layer message not understood") == len(strange)


async def test_with_the_channel_layer_away_a_connection_is_attached_all_the_same(
    make_hub: MakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub = make_hub(DoorbellLayer(hosts=[f"redis://127.0.0.1:{free_port()}"], prefix="construct"))
    user_id = uuid4()
    phone = await Device(hub, user_id).attach()
    assert hub.hand_over(user_id, 1, 0, FRAME)
    assert phone.frames == [FRAME]
    heard = hub.ring(user_id, 1, 0, NAME, b"sealed")
    assert heard is not None
    assert await asyncio.wait_for(heard, PATIENCE_S) == 0
    assert "not subscribed" in caplog.text
    assert str(user_id) not in caplog.text
    assert user_id.hex not in caplog.text


class TestSweep:
    @pytest.fixture
    def recipient(self, transactional_db: None) -> UUID:  # noqa: ARG002 - the database must be there first
        return make_recipient("recipient")

    async def test_what_nobody_rang_is_found(
        self, hub: Hub, mailbox: Mailbox, keys: KeyRing, recipient: UUID
    ) -> None:
        phone = await Device(hub, recipient).attach()
        sealed = keys.encrypt(FRAME, recipient.bytes, NAME)
        await mailbox.put(
            Letter(recipient, uuid4(), NAME, b"b" * 16, b"p" * 16, sealed), lambda _outcome: None
        )
        await hub._look_where_more_waits([recipient])
        await until(lambda: phone.frames == [FRAME])

    async def test_a_connection_that_has_everything_is_left_alone(
        self, hub: Hub, mailbox: Mailbox, keys: KeyRing, recipient: UUID
    ) -> None:
        sealed = keys.encrypt(FRAME, recipient.bytes, NAME)
        await mailbox.put(
            Letter(recipient, uuid4(), NAME, b"b" * 16, b"p" * 16, sealed), lambda _outcome: None
        )
        phone = await Device(hub, recipient).attach()
        looks = phone.looks()
        await hub._look_where_more_waits([recipient])
        assert looks == []
        assert phone.frames == [FRAME]

    async def test_a_connection_whose_session_is_no_longer_live_ends(self, hub: Hub, recipient: UUID) -> None:
        user = await run_in_database_thread(User.objects.get, pk=recipient)
        grant = await run_in_database_thread(open_session, user, Peer("192.0.2.1", ""))
        live = Device(hub, recipient)
        live.connection.session_id = grant.session_id
        dead = Device(hub, recipient)
        for device in (live, dead):
            await device.attach()
        await hub.sweep()
        assert (live.socket.expiries, dead.socket.expiries) == (0, 1)

    async def test_what_policies_know_is_that_of_the_database_unless_an_event_is_newer(
        self, hub: Hub, recipient: UUID, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = await run_in_database_thread(User.objects.get, pk=recipient)
        grant = await run_in_database_thread(open_session, user, Peer("192.0.2.1", ""))
        phone = Device(hub, recipient)
        phone.connection.session_id = grant.session_id
        phone.connection.account = grant.account
        await phone.attach()
        await hub.sweep()
        assert phone.connection.account is grant.account
        limit = User.objects.filter(pk=recipient).update
        await run_in_database_thread(limit, messages_per_hour=50)
        await hub.sweep()
        assert phone.connection.account.messages_per_hour == 50

        def read_and_then_an_event_comes(
            sessions: Sequence[SessionIdentity],
        ) -> list[Account | ConstructError]:
            read = check_sessions(sessions)
            phone.connection.account = msgspec.structs.replace(grant.account, messages_per_hour=70)
            return read

        await run_in_database_thread(limit, messages_per_hour=60)
        with monkeypatch.context() as patched:
            patched.setattr("messaging.hub.accounts.check_sessions", read_and_then_an_event_comes)
            await hub.sweep()
        assert phone.connection.account.messages_per_hour == 70
        await hub.sweep()
        assert phone.connection.account.messages_per_hour == 60

    async def test_a_connection_whose_user_was_suspended_is_told_so(self, hub: Hub, recipient: UUID) -> None:
        user = await run_in_database_thread(User.objects.get, pk=recipient)
        grant = await run_in_database_thread(open_session, user, Peer("192.0.2.1", ""))
        phone = Device(hub, recipient)
        phone.connection.session_id = grant.session_id
        await phone.attach()
        await hub.sweep()
        assert phone.socket.suspensions == []
        await run_in_database_thread(
            partial(suspend_user, recipient, public_reason="Spam.", internal_reason="", ends_at=None)
        )
        await hub.sweep()
        assert set(phone.socket.suspensions) == {"This account is suspended. Reason: Spam."}
        assert phone.socket.expiries == 0

    @pytest.mark.parametrize("fault", [OperationalError, RuntimeError])
    async def test_a_failed_sweep_is_followed_by_another(
        self, hub: Hub, amounts: Amounts, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
    ) -> None:
        amounts(sweep_s=0.001)
        sweeps: list[int] = []

        async def fail() -> None:
            sweeps.append(1)
            raise fault("away")

        monkeypatch.setattr(hub, "sweep", fail)
        sweeper = asyncio.create_task(hub._sweep_again_and_again())
        await until(lambda: len(sweeps) > 2)
        sweeper.cancel()
