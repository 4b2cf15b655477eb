"""The demonstration: two new accounts with real keys talk through a real server, step by step.

A step that comes out differently from what the protocol promises raises
:class:`DemoFailed`; nothing is skipped.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from construct_site.errors import ConstructError, ErrorCode
from messaging.client.client import ConstructClient
from messaging.client.encryption import Keys, UnreadableMessage, seal, unseal, verified
from messaging.client.faults import ClientFault, RequestRefused, SessionEnded

STEP_S = 20.0
"""Longest wait for one step; the server answers within 10 s."""

_ABOUT_REGISTRATIONS = (
    "Each demonstration registers two accounts, so five in an hour are what one address has by default, "
    "ten registrations; the server's CONSTRUCT_REGISTRATIONS_PER_HOUR raises it."
)

Say = Callable[[str], None]


class DemoFailed(Exception):
    """A step came out differently. The text says which and how."""


@dataclass
class Person:
    """One account and the client it uses now."""

    name: str
    username: str
    client: ConstructClient
    keys: Keys = field(default_factory=Keys.generate)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    user_id: str = ""
    session_token: str = ""
    messages_sent: int = 0


async def run_demo(url: str, other_url: str, say: Say) -> None:
    """Play the demonstration: Alice on the server at `url`, Bob on the one at `other_url` (it may be the same).

    Both need the same database. `say` gets each step in plain words. Leaves two accounts
    with random names behind. Raises :class:`DemoFailed`.
    """
    try:
        async with ConstructClient(url) as alice_client:
            alice = Person("Alice", _new_username("alice"), alice_client)
            bob = Person("Bob", _new_username("bob"), ConstructClient(other_url))
            try:
                await bob.client.connect()
                await _play(alice, bob, other_url, say)
            finally:
                await bob.client.close()
    except TimeoutError:
        raise DemoFailed(f"a step took longer than {STEP_S:.0f} s") from None
    except (ClientFault, ConstructError, UnreadableMessage) as error:
        raise DemoFailed(_reason(error)) from error


async def _play(alice: Person, bob: Person, bob_url: str, say: Say) -> None:
    for person in (alice, bob):
        await _register(person)
        say(f"{person.name} registered as {person.username}, with fresh keys.")
    await _find(alice, bob)
    say(f"{alice.name} searched for {bob.name} and found exactly that account.")
    await _check_bundle(alice, bob)
    say(f"{alice.name} fetched {bob.name}'s prekey bundle; its signature verifies.")

    status = await _send(alice, bob, "Hello, Bob!")
    await _receive(bob, alice, ["Hello, Bob!"])
    say(f"{alice.name} sealed a message and sent it (acknowledged as {status}); {bob.name} decrypted it.")

    await bob.client.close()
    say(f"{bob.name} went offline.")
    texts = [f"While you were away, {number} of 3." for number in (1, 2, 3)]
    for text in texts:
        status = await _send(alice, bob, text)
        say(f"{alice.name} sent “{text}” (acknowledged as {status}).")

    bob.client = ConstructClient(bob_url)
    await bob.client.connect()
    await _resume(bob)
    say(f"{bob.name} came back with the session token alone.")
    await _receive(bob, alice, texts)
    say(f"{bob.name} received the three messages in order and decrypted all of them.")

    await _rotate(bob)
    await _check_bundle(alice, bob)
    say(f"{bob.name} rotated the prekey; {alice.name} fetched the new one and it verifies.")
    await _send(alice, bob, "Sealed for the new prekey.")
    await _receive(bob, alice, ["Sealed for the new prekey."])
    say(f"{bob.name} received and decrypted a message that was sealed for it.")

    for person in (alice, bob):
        await _log_out(person)
        say(f"{person.name} logged out; the session token is refused from now on.")


async def _register(person: Person) -> None:
    try:
        async with asyncio.timeout(STEP_S):
            success = await person.client.register(person.username, person.password, person.keys.bundle())
    except RequestRefused as refused:
        if refused.code != ErrorCode.RATE_LIMIT_EXCEEDED:
            raise
        raise DemoFailed(f"{refused.text} {_ABOUT_REGISTRATIONS}") from refused
    _expect("the registered name", success.username, person.username)
    person.user_id, person.session_token = success.user_id, success.session_token


async def _find(seeker: Person, sought: Person) -> None:
    async with asyncio.timeout(STEP_S):
        found = await seeker.client.search(sought.username)
    _expect("the search result", [user.id for user in found], [sought.user_id])


async def _check_bundle(fetcher: Person, owner: Person) -> bytes:
    """Fetch and verify; returns the signed prekey."""
    async with asyncio.timeout(STEP_S):
        bundle = await fetcher.client.fetch_bundle(owner.user_id)
    prekey_public = verified(bundle).signed_prekey_public
    _expect("the fetched prekey", prekey_public.hex(), owner.keys.prekey_public.hex())
    return prekey_public


async def _send(sender: Person, recipient: Person, text: str) -> str:
    """Seal for the prekey that the server gives out, send, and return the status of the ack."""
    message = seal(
        text,
        sender=sender.user_id,
        recipient=recipient.user_id,
        prekey_public=await _check_bundle(sender, recipient),
        number=sender.messages_sent,
        now=int(time.time()),
    )
    async with asyncio.timeout(STEP_S):
        ack = await sender.client.send(message)
    sender.messages_sent += 1
    return ack.status


async def _receive(recipient: Person, sender: Person, texts: Sequence[str]) -> None:
    for text in texts:
        async with asyncio.timeout(STEP_S):
            message = await recipient.client.receive()
        recipient.client.stored(message)
        _expect("the sender", message.sender, sender.user_id)
        _expect("the decrypted text", unseal(message, recipient.keys), text)


async def _resume(person: Person) -> None:
    async with asyncio.timeout(STEP_S):
        success = await person.client.resume(person.session_token)
    _expect("the resumed account", success.user_id, person.user_id)


async def _rotate(person: Person) -> None:
    person.keys = person.keys.rotated()
    async with asyncio.timeout(STEP_S):
        await person.client.rotate_prekey(person.keys.update())


async def _log_out(person: Person) -> None:
    async with asyncio.timeout(STEP_S):
        await person.client.logout()
        try:
            await person.client.resume(person.session_token)
        except SessionEnded:
            return
    raise DemoFailed("the session token still works after logging out")


def _reason(error: ClientFault | ConstructError | UnreadableMessage) -> str:
    if isinstance(error, RequestRefused):
        return f"the server refused a request: {error}"
    return f"{type(error).__name__}: {error.text if isinstance(error, ConstructError) else error}"


def _expect(what: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise DemoFailed(f"{what} should be {expected!r} and is {seen!r}")


def _new_username(first: str) -> str:
    return f"{first}-{secrets.token_hex(4)}"
