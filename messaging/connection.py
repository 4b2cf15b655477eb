"""An authenticated socket as the hub sees it: what it was handed, and what of that is confirmed.

A :class:`Connection` is one identity on one socket: a socket that logs in again
gets another. Only then do late pongs confirm nothing.

States of a row on a connection::

    waiting ──ring──▶ kept ──hand──▶ unconfirmed ──pong / received──▶ confirmed ──stub on disk──▶ forgotten
       └─────────────page─────────────▶┘

`_kept` holds what was rung for and has no room in the window yet: another socket of
the user may confirm it meanwhile, and then it is nowhere else. `_handed` holds the
row while it is unconfirmed or confirmed. The window counts the unconfirmed alone.

An unheard row, whose sender the user blocked, goes the same way, but is not written to
the socket: nothing that its sender can see differs. A client with receipts cannot say that it
stored what it never saw. A pong stands for that, unless the client named neither the last row that
was written before nor a later one: then the unheard row waits on disk, as one that was written would.
It is put aside in the window, where it is in the way of unheard rows alone. An unheard row for which
there is no room is left on disk until there is; what is written goes past it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog
from django.conf import settings

from accounts.policy import Account
from construct_site.env import Config
from construct_site.errors import CloseCode, ErrorCode
from construct_site.logs import describe_error
from construct_site.metrics.collector import note_time
from construct_site.metrics.table import Metric
from messaging.mailbox.letters import Page
from messaging.protocol import codec
from messaging.window import Window

log = structlog.get_logger(__name__)

_NONCE_BYTES = 8
_COUNTER_BYTES = 8
_PAGING_RETRY_S = 1.0
_FORGOTTEN_ROWS = 2048
"""Stored while a message was on its way, a row can name one as its predecessor that became a stub meanwhile; a
ring that comes after its row was paged and confirmed is known by it."""


class Socket(Protocol):
    """What a connection needs of its socket."""

    has_pongs: bool
    """The server passes pings and pongs on (`construct_site.server`)."""

    @property
    def progress_at(self) -> float:
        """Loop time at which the transport last took something that was put before the newest ping, or that ping."""

    def write(self, frame: bytes) -> None: ...

    def ping(self, payload: bytes) -> None: ...

    def close(self, code: CloseCode, error: ErrorCode | None = None) -> None: ...

    def expire(self) -> None:
        """The session ended: `sessionExpired`, then close 4401."""

    def suspend(self, text: str) -> None:
        """The account may not be used: an `error` with this text, then close 4403."""


class Rows(Protocol):
    """What a connection needs of the hub: its user's rows."""

    async def page(self, connection: Connection, messages: int, size: int) -> Page: ...

    def read(self, user_id: UUID, name: bytes, sealed: bytes) -> bytes | None: ...

    async def discard(self, row_ids: list[int]) -> None: ...

    def confirm(self, connection: Connection, row_ids: Iterable[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a socket is."""

    account: Account
    """As it was when the session was opened or resumed."""
    session_id: UUID
    confirms_by_receipt: bool
    """The client negotiated receipts: pongs prove life alone."""

    @property
    def user_id(self) -> UUID:
        return self.account.id


class Connection:
    """One identity on one socket. The hub attaches it; :meth:`detach` ends it."""

    def __init__(self, identity: Identity, socket: Socket, rows: Rows) -> None:
        config: Config = settings.CONSTRUCT
        self.identity = identity
        self.user_id = identity.user_id
        self.session_id = identity.session_id
        self.account = identity.account
        """What policies know of it; the hub puts another in its place when it hears of a change."""
        self.is_attached = True
        self.is_leaving = False
        """A logout is under way; the hub leaves the end of the session to it."""
        self.has_ended = False
        """The session ended while the connection was leaving."""
        self._socket = socket
        self._rows = rows
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._window = Window(
            config.window_messages, config.window_bytes, config.window_messages_max, config.window_bytes_max
        )
        self._handed: dict[int, int] = {}
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self._unheard: set[int] = set()
        self._came_at: dict[int, float] = {}
        """Loop time at which an unconfirmed row was offered: of heard ones, where pongs confirm and not age."""
        self._left_on_disk: dict[int, int] = {}
        """Unheard rows for which there was no room, and their sizes."""
        self._forgotten: dict[int, None] = {}
        self._highest_known = 0
        self._has_begun = False
        self._knows_all = False
        self._has_missed = False
        self._rung_meanwhile: dict[int, int] = {}
        self._pager: asyncio.Task[None] | None = None
        self._heart = _Heart(self, socket, config)
        # Of a client with receipts. Writes are numbered: rows are not always written in the order of their ids.
        self._writes = 0
        self._newest_named = 0
        """The newest write that the client named. It owes receipts if that is not the last one."""
        self._receipts: dict[str, deque[tuple[int, int]]] | None = (
            {} if identity.confirms_by_receipt else None
        )
        """By message id the writes that were not named, each with its row."""
        self._writes_before: dict[int, int] = {}
        """Unheard rows that no pong came after yet, each with the last write before it."""
        self._passed: deque[tuple[int, int]] = deque()
        """The last write before an unheard row, and the row: a pong came after it, and a receipt is owed before it."""

    # Handing over

    @property
    def knows_all(self) -> bool:
        """As far as it can tell, everything that waits was handed to it or is kept."""
        return self._knows_all

    @property
    def not_to_page(self) -> Iterable[int]:
        """Rows that no page is to bring: unconfirmed, confirmed and not yet a stub on disk, or left there."""
        return self._handed.keys() | self._left_on_disk.keys() if self._left_on_disk else self._handed.keys()

    def offer(self, row_id: int, previous_id: int, frame: bytes, *, is_unheard: bool = False) -> bool:
        """A row was stored: hand it over once that keeps the order. Returns whether the window took it.

        It is kept until there is room, or left on disk if it is unheard. Without a look at the mailbox it may follow
        only if everything that waits was handed, is kept or was left, and the row that was
        the sender's newest before it is among that: otherwise a ring was missed. In
        this case, and for a row older than one that is known, the mailbox is paged,
        which tells.
        """
        if row_id in self._handed or row_id in self._forgotten:
            return True
        if row_id in self._kept or row_id in self._left_on_disk:
            return False
        if self._socket.has_pongs:
            self._came_at[row_id] = self._loop.time()
        if is_unheard:
            self._unheard.add(row_id)
        is_newest = row_id > self._highest_known
        is_next = is_newest and self._follows(previous_id)
        if self._knows_all and is_next:
            if self._has_room(len(frame), is_unheard=is_unheard):
                self._hand(row_id, frame)
                return True
            if is_unheard:
                self._leave_on_disk(row_id, len(frame))
                return False
        self._keep(row_id, frame)
        if is_newest and not self._knows_all:
            self._rung_meanwhile[row_id] = previous_id
        elif not is_next:
            self.look()
        return False

    def begin(self) -> None:
        """The success frame is on its way: from now on messages may follow it, those that wait first."""
        self._has_begun = True
        self.look()

    def compare(self, messages: int, newest_id: int) -> None:
        """So much waits in the mailbox: look, if this is more than is known."""
        known = len(self._handed) + len(self._kept) + len(self._left_on_disk)
        if self._knows_all and (messages > known or newest_id > self._highest_known):
            self.look()

    def look(self) -> None:
        """Something may wait that was not offered: page the mailbox."""
        self._knows_all = False
        self._has_missed = True
        self._continue_paging()

    def silence(self, sender_id: UUID) -> None:
        """The user blocked this person: what is kept of them is not written."""
        self._unheard.update(row for row, frame in self._kept.items() if codec.sender_of(frame) == sender_id)

    def has_been_handed(self, row_id: int) -> bool:
        return row_id in self._handed

    def _follows(self, previous_id: int) -> bool:
        """The row that was the sender's newest before a row is known here too (or there was none)."""
        return (
            not previous_id
            or previous_id in self._handed
            or previous_id in self._forgotten
            or previous_id in self._kept
            or previous_id in self._left_on_disk
        )

    def _has_room(self, size: int, *, is_unheard: bool) -> bool:
        """A row that follows all that are known may go past none that waits for room, an unheard one past no other."""
        if self._kept:
            return False
        if is_unheard:
            return not self._left_on_disk and self._window.fits_beside(size)
        return self._window.fits(size)

    def _keep(self, row_id: int, frame: bytes) -> None:
        self._kept[row_id] = frame
        self._kept_bytes += len(frame)
        self._highest_known = max(self._highest_known, row_id)
        if self._kept_bytes > self._config.kept_bytes:
            self.give_up()

    def _leave_on_disk(self, row_id: int, size: int) -> None:
        """This unheard row waits for room; its frame is not needed.

        With what another socket of the user confirmed meanwhile these could be more than a mailbox holds.
        """
        self._forget_kept(row_id)
        self._came_at.pop(row_id, None)
        self._unheard.discard(row_id)
        self._left_on_disk[row_id] = size
        self._highest_known = max(self._highest_known, row_id)
        if len(self._left_on_disk) > self._config.mailbox_messages:
            self.give_up()

    def _forget_kept(self, row_id: int) -> None:
        if (frame := self._kept.pop(row_id, None)) is not None:
            self._kept_bytes -= len(frame)

    def _hand(self, row_id: int, frame: bytes) -> None:
        self._forget_kept(row_id)
        if row_id in self._unheard:
            self._unheard.remove(row_id)
            self._hand_unheard(row_id, len(frame))
            return
        self._take(row_id, len(frame))
        self._socket.write(frame)
        if self._receipts is not None:
            self._writes += 1
            self._receipts.setdefault(codec.message_id_of(frame), deque()).append((self._writes, row_id))
            self._heart.beat()
        else:
            self._heart.cover(row_id)

    def _hand_unheard(self, row_id: int, size: int) -> None:
        # It reaches no client: its time would be no delivery's.
        self._came_at.pop(row_id, None)
        self._take(row_id, size)
        if self._receipts is not None:
            self._writes_before[row_id] = self._writes
        self._heart.cover(row_id)

    def _take(self, row_id: int, size: int) -> None:
        self._handed[row_id] = size
        self._highest_known = max(self._highest_known, row_id)
        self._window.take(size)

    def _hand_in_order(self, frames: Mapping[int, bytes], *, tries_left: bool) -> None:
        """Hand over rows, oldest first, while the window has room; the first goes in any case.

        An unheard row without room beside what was put aside is left on disk, and with it the
        unheard ones that follow. `tries_left`: those left before are among the rows to hand over.
        If not, there is only more room than there was because rows were put aside: none for unheard ones.
        """
        left = self._left_on_disk if tries_left and not self._window.is_full_beside else {}
        is_first, is_behind = True, False
        for row_id in sorted([*frames, *left]):
            frame = frames.get(row_id)
            size = left[row_id] if frame is None else len(frame)
            if frame is None or row_id in self._unheard:
                goes_first = is_first and tries_left and not self._window.is_full_beside
                if is_behind or not (goes_first or self._window.fits_beside(size)):
                    is_behind = True
                    if frame is not None:
                        self._leave_on_disk(row_id, size)
                    if not self.is_attached:
                        return
                    continue
            elif not is_first and not self._window.fits(size):
                return
            is_first = False
            if frame is None:
                del self._left_on_disk[row_id]
                self._hand_unheard(row_id, size)
            else:
                self._hand(row_id, frame)

    def _go_on(self, *, tries_left: bool) -> None:
        """The window has room again; `tries_left`: for unheard rows too."""
        if not self._knows_all:
            self._continue_paging()
        elif not self._window.is_full:
            self._hand_in_order(self._kept, tries_left=tries_left)

    def _continue_paging(self) -> None:
        if self._pager is None and self._has_begun and self.is_attached and not self._window.is_full:
            self._pager = asyncio.create_task(self._page_until_all_is_known())

    async def _page_until_all_is_known(self) -> None:
        try:
            while self.is_attached and not self._knows_all and not self._window.is_full:
                # What is stored after the page was read is rung for: it is kept, and noted here.
                self._has_missed = False
                self._rung_meanwhile.clear()
                kept_before = len(self._kept)
                try:
                    page = await self._rows.page(self, self._window.messages_free, self._window.bytes_free)
                    await self._take_page(page, kept_before)
                except Exception as error:  # noqa: BLE001 - without the pager nothing would be handed any more
                    log.warning("paging failed, trying again", error=describe_error(error))
                    await asyncio.sleep(_PAGING_RETRY_S)
        finally:
            self._pager = None

    async def _take_page(self, page: Page, kept_before: int) -> None:
        """Hand over a page, and with it what was kept already when it was asked for, oldest first.

        Of that, what is missing in the page has been confirmed on another socket; all
        that its senders sent before it was on disk when the page was read. What was
        kept later waits for the next page, and so does what is newer: that page may
        hold something that goes before them.
        """
        if not self.is_attached:
            return
        frames, unreadable = self._open(page)
        newest_of_page = max(frames, default=0)
        kept = tuple(self._kept)
        for row_id in kept[:kept_before]:
            if page.is_last or row_id < newest_of_page:
                frames.setdefault(row_id, self._kept[row_id])
        oldest_to_wait = min(kept[kept_before:], default=None)
        self._hand_in_order(
            {row: frame for row, frame in frames.items() if oldest_to_wait is None or row < oldest_to_wait},
            tries_left=True,
        )
        for row_id in frames.keys() - self._handed.keys() - self._kept.keys() - self._left_on_disk.keys():
            self._keep(row_id, frames[row_id])
        if unreadable:
            await self._rows.discard(unreadable)
        # What was rung for meanwhile is no reason to page again, if each follows what is known.
        if page.is_last and not self._has_missed and all(map(self._follows, self._rung_meanwhile.values())):
            self._knows_all = True
            self._go_on(tries_left=True)

    def _open(self, page: Page) -> tuple[dict[int, bytes], list[int]]:
        """The frames of a page's rows that were not handed yet, and the rows that cannot be read."""
        frames, unreadable = {}, []
        for row in page.rows:
            if row.row_id in self._handed:
                continue
            frame = self._rows.read(self.user_id, row.name, row.sealed)
            if frame is None:
                unreadable.append(row.row_id)
            else:
                frames[row.row_id] = frame
                if row.is_unheard:
                    self._unheard.add(row.row_id)
        return frames, unreadable

    # Confirming

    def pong(self, payload: bytes) -> None:
        self._heart.pong(payload)

    def received(self, message_ids: Iterable[str]) -> None:
        """The client stored these. Each mention confirms the oldest message of that id; unknown ids are ignored."""
        if self._receipts is None:
            return
        named = []
        for message_id in message_ids:
            if waiting := self._receipts.get(message_id):
                named.append(waiting.popleft())
                if not waiting:
                    del self._receipts[message_id]
        if not named:
            return
        # What was written before and is not named is no sign of a client that hangs.
        self._newest_named = max(self._newest_named, *(write for write, _ in named))
        self._confirm([row_id for _, row_id in named])

    def covered(self, row_ids: list[int]) -> None:
        """A pong came after these rows, or they are old enough: those of a client with receipts are unheard."""
        if not row_ids or not self.is_attached:
            return
        if self._receipts is None:
            self._confirm(row_ids)
            return
        for row_id in row_ids:
            self._window.put_aside(self._handed[row_id])
            self._passed.append((self._writes_before.pop(row_id), row_id))
        self._confirm([])

    def _confirm(self, row_ids: list[int]) -> None:
        """These rows arrived, and with them what was passed and need not wait any more: have them removed.

        As many more may come then.
        """
        if not self.is_attached:
            return
        for row_id in row_ids:
            self._window.give_back(self._handed[row_id])
        confirmed = [*row_ids, *self._take_passed()] if self._passed else row_ids
        if confirmed:
            self._note_delivery(confirmed)
            self._window.grow()
            self._rows.confirm(self, confirmed)
        self._go_on(tries_left=bool(confirmed))

    def _note_delivery(self, row_ids: list[int]) -> None:
        now = self._loop.time()
        for row_id in row_ids:
            if (came_at := self._came_at.pop(row_id, None)) is not None:
                note_time(Metric.DELIVERY_TIME, now - came_at)

    def _take_passed(self) -> Iterator[int]:
        """The unheard rows that a pong came after and for which no earlier receipt is owed."""
        while self._passed and self._passed[0][0] <= self._newest_named:
            _, row_id = self._passed.popleft()
            self._window.give_back_aside(self._handed[row_id])
            yield row_id

    def forget(self, row_id: int) -> None:
        """The confirmed row is a stub on disk now."""
        if self._handed.pop(row_id, None) is not None:
            self._forgotten[row_id] = None
            if len(self._forgotten) > _FORGOTTEN_ROWS:
                del self._forgotten[next(iter(self._forgotten))]

    # Life

    def probe(self) -> None:
        """Ping now, to learn whether the client is there (see :meth:`is_silent_since`)."""
        self._heart.ping()

    def is_silent_since(self, loop_time: float) -> bool:
        """Nothing was heard, and a pong would have been: elsewhere silence tells nothing."""
        return self._socket.has_pongs and self._heart.heard_at < loop_time

    def heard(self) -> None:
        """A frame came from the client."""
        self._heart.heard_at = self._loop.time()

    def give_up(self) -> None:
        """The client does not answer: close."""
        self._socket.close(CloseCode.SLOW, ErrorCode.RATE_LIMIT_EXCEEDED)

    def expire(self) -> None:
        if self.is_leaving:
            self.has_ended = True
        else:
            self._socket.expire()

    def suspend(self, text: str) -> None:
        self._socket.suspend(text)

    def detach(self) -> None:
        """Routing, timers and paging end; what is unconfirmed waits for the next connection."""
        self.is_attached = False
        self._heart.stop()
        if self._pager is not None:
            self._pager.cancel()


class _Heart:
    """The one pinger of a connection: its pings prove life, and that what went before them arrived.

    Payload: 8 random bytes of the identity, then an 8-byte counter. At most one
    ping is out. A pong of another payload (an older one, an unasked one, one for
    the socket's former identity) confirms nothing.
    """

    def __init__(self, connection: Connection, socket: Socket, config: Config) -> None:
        self._connection = connection
        self._socket = socket
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._counter = 0
        self._is_out = False
        self._pinged_at = 0.0
        self._covered: list[int] = []
        self._next: list[int] = []
        self._aging: deque[tuple[float, int]] = deque()
        self._idle_s = config.heartbeat_s * random.uniform(1, 4 / 3)  # noqa: S311 - spreads load, no secret
        self._timer: asyncio.TimerHandle | None = None
        self._check_at = 0.0
        self.heard_at = self._loop.time()
        if socket.has_pongs:
            self._check_later(self._idle_s)

    def cover(self, row_id: int) -> None:
        """The next ping follows this row; its pong confirms it."""
        if not self._socket.has_pongs:
            self._await_age(row_id)
            return
        self._next.append(row_id)
        if not self._is_out:
            self.ping()

    def beat(self) -> None:
        """Have a ping out, for liveness alone."""
        if self._socket.has_pongs and not self._is_out:
            self.ping()

    def ping(self) -> None:
        if self._is_out or not self._socket.has_pongs:
            return
        self._counter += 1
        self._is_out = True
        self._pinged_at = self._loop.time()
        self._covered, self._next = self._next, []
        if self._check_at > self._pinged_at + self._allowed_s:
            self._check_later(self._allowed_s)
        self._socket.ping(self._nonce + self._counter.to_bytes(_COUNTER_BYTES, "big"))

    def pong(self, payload: bytes) -> None:
        self.heard_at = self._loop.time()
        if not self._is_out or payload != self._nonce + self._counter.to_bytes(_COUNTER_BYTES, "big"):
            return
        self._is_out = False
        covered, self._covered = self._covered, []
        self._connection.covered(covered)
        if self._next:
            self.ping()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _allowed_s(self) -> float:
        """Time for the pong that is due."""
        return self._config.stall_s if self._covered else self._config.pong_s

    def _check_later(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._check_at = self._loop.time() + delay_s
        self._timer = self._loop.call_later(delay_s, self._check)

    def _check(self) -> None:
        """Ping an idle connection; close one whose pong is overdue.

        The timer is not moved by what is heard: it looks when it fires, and
        sleeps for what is left.
        """
        now = self._loop.time()
        if self._is_out:
            # A slow link takes what went before the ping bit by bit, then the ping.
            left_s = max(self._pinged_at, self._socket.progress_at) + self._allowed_s - now
            if left_s <= 0:
                self._connection.give_up()
                return
        else:
            left_s = self.heard_at + self._idle_s - now
            if left_s <= 0:
                self.ping()
                left_s = self._allowed_s
        self._check_later(left_s)

    # On a server without pongs: a connection that is still open so long after took what it was handed.

    def _await_age(self, row_id: int) -> None:
        self._aging.append((self._loop.time() + self._config.confirm_without_pong_s, row_id))
        if len(self._aging) == 1:
            self._timer = self._loop.call_at(self._aging[0][0], self._confirm_by_age)

    def _confirm_by_age(self) -> None:
        rows = []
        while self._aging and self._aging[0][0] <= self._loop.time():
            rows.append(self._aging.popleft()[1])
        if self._aging:
            self._timer = self._loop.call_at(self._aging[0][0], self._confirm_by_age)
        self._connection.covered(rows)
