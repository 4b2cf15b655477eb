"""Replacing the own bundle over HTTP."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django import Settings

from construct_site.database import run_in_database_thread
from construct_site.events import Event, SessionsEnded
from keys.bundle import Bundle, encode_bundle, encode_update
from messaging.mailbox.letters import Caps
from messaging.mailbox.store import get_store
from tests.accounts.conftest import change_hash_once_looked_up
from tests.keys.owners import KeyOwner
from tests.messaging.mailbox.conftest import make_letter
from tests.rest import PASSWORD, Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
WRONG_PASSWORD = "wrong horse battery"


def asking(bundle: Bundle | None = None, **changes: Any) -> dict[str, Any]:
    """The body of a replacement, by fresh keys unless others are given; `changes` by their names on the wire."""
    public_key = encode_bundle(bundle or KeyOwner().bundle())
    return {"password": PASSWORD, "publicKey": public_key, **changes}


async def fill(api: Api, messages: int) -> None:
    letters = [make_letter(UUID(api.user_id)) for _ in range(messages)]
    await run_in_database_thread(get_store().put, letters, Caps(100, 10**6, 1), timezone.now())


async def waiting(api: Api) -> int:
    count: int = (await api.get("mailbox")).body["messages"]
    return count


async def test_new_keys_are_served_from_the_next_fetch_on() -> None:
    alice, bob = await register("alice"), await register("bob")
    path = f"users/{alice.user_id}/bundle"
    former, fingerprint = (await bob.get(path)).body, (await bob.get("prekey")).body["fingerprint"]
    new = KeyOwner().bundle()
    answer = await alice.put("bundle", asking(new))
    assert (answer.status, answer.body) == (200, {"revoked": 0, "unreadable": 0, "dropped": 0})
    served = (await bob.get(path)).body
    assert served == {
        "userId": former["userId"],
        "username": "alice",
        **{
            name: base64.b64encode(value).decode()
            for name, value in (
                ("identityPublic", new.identity_public),
                ("signedPrekeyPublic", new.signed_prekey_public),
                ("signature", new.signature),
                ("verifyingKey", new.verifying_key),
            )
        },
    }
    assert (await bob.get("prekey")).body["fingerprint"] == fingerprint, "nobody else's changed"


async def test_the_status_shows_the_new_fingerprint_and_the_new_keys_rotate() -> None:
    owner, new = KeyOwner(), KeyOwner()
    alice = await register("alice", owner)
    former = (await alice.get("prekey")).body["fingerprint"]
    await alice.put("bundle", asking(new.bundle()))
    assert (await alice.get("prekey")).body["fingerprint"] != former
    by_former = await alice.put("prekey", {"update": encode_update(owner.update())})
    assert by_former.refusal == (422, "INVALID_UPDATE")
    assert (await alice.put("prekey", {"update": encode_update(new.update())})).status == 204


async def test_all_other_sessions_end(heard: asyncio.Queue[Event]) -> None:
    alice = await register("alice")
    lost = await alice.log_in("alice")
    assert (await alice.put("bundle", asking())).body["revoked"] == 1
    event = heard.get_nowait()
    assert isinstance(event, SessionsEnded)
    assert (event.user_id, len(event.session_ids or ())) == (UUID(alice.user_id), 1)
    assert (await alice.get("profile")).status == 200
    assert (await lost.get("profile")).refusal == (401, "AUTH_REQUIRED")


async def test_of_two_at_once_one_wins_and_its_session_stays() -> None:
    alice = await register("alice")
    both = [alice, await alice.log_in("alice")]
    bundles = [KeyOwner().bundle() for _ in both]
    answers = await asyncio.gather(
        *(api.put("bundle", asking(bundle)) for api, bundle in zip(both, bundles, strict=True))
    )
    # The second comes to nothing wherever it is when its session ends.
    winner = [answer.status for answer in answers].index(200)
    assert answers[1 - winner].refusal == (401, "AUTH_REQUIRED")
    assert (await both[winner].get("profile")).status == 200
    served = (await both[winner].get(f"users/{alice.user_id}/bundle")).body["identityPublic"]
    assert served == base64.b64encode(bundles[winner].identity_public).decode()


async def test_what_waits_is_counted_and_stays() -> None:
    alice = await register("alice")
    await fill(alice, 3)
    assert (await alice.put("bundle", asking())).body == {"revoked": 0, "unreadable": 3, "dropped": 0}
    assert await waiting(alice) == 3


async def test_what_waits_is_dropped_on_request() -> None:
    alice, bob = await register("alice"), await register("bob")
    for each in (alice, bob):
        await fill(each, 3)
    answer = await alice.put("bundle", asking(dropWaiting=True))
    assert answer.body == {"revoked": 0, "unreadable": 3, "dropped": 3}
    assert (await waiting(alice), await waiting(bob)) == (0, 3)


async def test_the_same_again_drops_nothing_that_came_since() -> None:
    alice = await register("alice")
    await fill(alice, 1)
    asked = asking(dropWaiting=True)
    assert (await alice.put("bundle", asked)).body["dropped"] == 1
    await fill(alice, 2)
    assert (await alice.put("bundle", asked)).body == {"revoked": 0, "unreadable": 0, "dropped": 0}
    assert await waiting(alice) == 2


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"password": WRONG_PASSWORD}, (401, "INVALID_CREDENTIALS")),
        ({"password": None}, (422, "VALIDATION_FAILED")),
        ({"publicKey": "not base64!"}, (422, "INVALID_KEY")),
        ({"publicKey": "hKFp"}, (422, "INVALID_KEY_BUNDLE")),
        ({"publicKey": encode_bundle(KeyOwner().bundle(signature=bytes(64)))}, (422, "INVALID_KEY_BUNDLE")),
        (
            {"publicKey": encode_bundle(KeyOwner().bundle(identity_public=bytes(32)))},
            (422, "INVALID_KEY_BUNDLE"),
        ),
        ({"dropWaiting": "yes"}, (422, "VALIDATION_FAILED")),
        ({"userId": "somebody"}, (422, "VALIDATION_FAILED")),
    ],
)
async def test_a_refused_one_changes_nothing(changes: dict[str, Any], refusal: tuple[int, str]) -> None:
    alice = await register("alice")
    other = await alice.log_in("alice")
    await fill(alice, 1)
    before = (await alice.get("prekey")).body["fingerprint"]
    answer = await alice.put("bundle", {**asking(), "dropWaiting": True, **changes})
    assert answer.refusal == refusal
    assert (await other.get("prekey")).body["fingerprint"] == before
    assert await waiting(alice) == 1


async def test_a_key_that_was_used_before_is_refused() -> None:
    owner = KeyOwner()
    alice = await register("alice", owner)
    other = await alice.log_in("alice")
    await fill(alice, 1)
    owner.prekey = KeyOwner().prekey
    answer = await alice.put("bundle", asking(owner.bundle(), dropWaiting=True))
    assert answer.refusal == (422, "INVALID_KEY_BUNDLE")
    assert (await other.get("mailbox")).body["messages"] == 1


async def test_guesses_count_as_failed_logins() -> None:
    alice = await register("alice")
    guess = asking(password=WRONG_PASSWORD)
    refusals = [(await alice.put("bundle", guess)).refusal for _ in range(6)]
    assert refusals == [(401, "INVALID_CREDENTIALS")] * 5 + [(429, "RATE_LIMIT_EXCEEDED")]


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 200), ("another passphrase", 401)])
async def test_a_hash_that_changes_while_the_password_is_checked_is_checked_again(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, password: str, status: int
) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, rotations_per_day=1)
    alice, new = await register("alice"), KeyOwner()
    fingerprint = (await alice.get("prekey")).body["fingerprint"]
    change_hash_once_looked_up(monkeypatch, password)
    answer = await alice.put("bundle", asking(new.bundle()))
    assert answer.status == status, answer
    assert ((await alice.get("prekey")).body["fingerprint"] == fingerprint) == (status != 200)


async def test_replacements_count_as_rotations_unless_form_or_password_are_wrong(settings: Settings) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, rotations_per_day=1)
    alice, new = await register("alice"), KeyOwner()
    await alice.put("bundle", asking(publicKey="hKFp"))
    await alice.put("bundle", asking(password=WRONG_PASSWORD))
    assert (await alice.put("bundle", asking(new.bundle()))).status == 200
    answer = await alice.put("bundle", asking())
    assert answer.refusal == (429, "RATE_LIMIT_EXCEEDED")
    assert int(answer.headers["Retry-After"]) > 3600
    rotation = await alice.put("prekey", {"update": encode_update(new.update())})
    assert rotation.refusal == (429, "RATE_LIMIT_EXCEEDED")


async def test_it_is_for_who_is_logged_in() -> None:
    assert (await Api().put("bundle", asking())).refusal == (401, "AUTH_REQUIRED")
