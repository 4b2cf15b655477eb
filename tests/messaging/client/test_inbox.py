from __future__ import annotations

import asyncio

import msgspec
import pytest

from messaging.client.faults import ClientClosed
from messaging.client.inbox import Inbox
from tests.messaging.client.scripted_server import USER_ID, chat_message


async def test_messages_come_out_in_order_and_once() -> None:
    inbox = Inbox(waiting_max=10, remembered_max=10)
    for number in (1, 2, 1, 3, 2):
        assert await inbox.put(chat_message(number)) is False
    assert [(await inbox.take()).message_number for _ in range(3)] == [1, 2, 3]


async def test_a_copy_in_another_case_is_a_copy() -> None:
    inbox = Inbox(waiting_max=10, remembered_max=10)
    message = chat_message(0xABC)
    await inbox.put(message)
    inbox.mark_stored(message)
    assert await inbox.put(msgspec.structs.replace(message, id=message.id.upper())) is True


async def test_one_id_from_another_sender_is_another_message() -> None:
    inbox = Inbox(waiting_max=10, remembered_max=10)
    await inbox.put(chat_message(1))
    await inbox.put(chat_message(1, sender=USER_ID))
    assert [(await inbox.take()).sender for _ in range(2)] == [chat_message(1).sender, USER_ID]


async def test_a_copy_is_to_be_confirmed_only_when_the_first_is_stored() -> None:
    inbox = Inbox(waiting_max=10, remembered_max=10)
    await inbox.put(chat_message(1))
    message = await inbox.take()
    assert await inbox.put(message) is False
    inbox.mark_stored(message)
    assert await inbox.put(message) is True


async def test_the_oldest_names_are_forgotten() -> None:
    inbox = Inbox(waiting_max=10, remembered_max=2)
    for number in (1, 2, 3, 1):
        await inbox.put(chat_message(number))
    assert [(await inbox.take()).message_number for _ in range(4)] == [1, 2, 3, 1]


async def test_a_full_inbox_makes_the_next_message_wait() -> None:
    inbox = Inbox(waiting_max=1, remembered_max=10)
    await inbox.put(chat_message(1))
    second = asyncio.create_task(inbox.put(chat_message(2)))
    await asyncio.sleep(0)
    assert not second.done()
    assert (await inbox.take()).message_number == 1
    await second
    assert (await inbox.take()).message_number == 2


async def test_the_end_lets_everybody_go_and_what_came_before_can_be_taken() -> None:
    inbox = Inbox(waiting_max=1, remembered_max=10)
    await inbox.put(chat_message(1))
    second = asyncio.create_task(inbox.put(chat_message(2)))
    await asyncio.sleep(0)
    await inbox.end(ClientClosed("over"))
    await second
    assert (await inbox.take()).message_number == 1
    with pytest.raises(ClientClosed, match="over"):
        await inbox.take()


async def test_who_waits_for_a_message_learns_of_the_end() -> None:
    inbox = Inbox(waiting_max=1, remembered_max=10)
    taking = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    await inbox.end(ClientClosed("over"))
    with pytest.raises(ClientClosed):
        await taking
