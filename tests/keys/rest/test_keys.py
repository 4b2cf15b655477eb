"""Registration, bundles and prekeys over HTTP."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from construct_site.database import run_in_database_thread
from keys.bundle import encode_update
from keys.models import PrekeyBundle
from tests.keys.owners import KeyOwner
from tests.rest import PASSWORD, Api, register, registration

MINUTE_S = 60
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]


class TestRegistration:
    async def test_it_makes_an_account_and_opens_its_session(self) -> None:
        answer = await Api().post("register", registration("Alice", displayName="Alice L."))
        assert answer.status == 201
        assert (answer.body["username"], answer.body["displayName"]) == ("Alice", "Alice L.")
        assert (await Api(answer.body["sessionToken"]).get("profile")).status == 200

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ({"username": "a b"}, (422, "INVALID_USERNAME")),
            ({"password": "password1"}, (422, "WEAK_PASSWORD")),
            ({"displayName": "\u202e"}, (422, "INVALID_DISPLAY_NAME")),
            ({"publicKey": "not base64!"}, (422, "INVALID_KEY")),
            ({"publicKey": "hKFp"}, (422, "INVALID_KEY_BUNDLE")),
            ({"publicKey": 5}, (422, "VALIDATION_FAILED")),
            ({"isStaff": True}, (422, "VALIDATION_FAILED")),
            ({"username": None}, (422, "VALIDATION_FAILED")),
        ],
    )
    async def test_a_refused_one_stores_nothing(
        self, changes: dict[str, object], refusal: tuple[int, str]
    ) -> None:
        assert (await Api().post("register", registration(**changes))).refusal == refusal  # type: ignore[arg-type]
        assert await run_in_database_thread(User.objects.count) == 0

    async def test_a_name_is_taken_once(self) -> None:
        await register("alice")
        assert (await Api().post("register", registration("ALICE"))).refusal == (409, "USERNAME_TAKEN")

    async def test_an_address_registers_so_many_an_hour(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, registrations_per_hour=1)
        await register("alice")
        answer = await Api().post("register", registration("bob"))
        assert answer.refusal == (429, "RATE_LIMIT_EXCEEDED")
        assert int(answer.headers["Retry-After"]) > 3000

    async def test_a_limit_of_none_takes_none(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, registrations_per_hour=0)
        assert (await Api().post("register", registration())).refusal == (429, "RATE_LIMIT_EXCEEDED")


class TestBundle:
    async def test_a_bundle_is_served_to_who_is_logged_in(self) -> None:
        owner = KeyOwner()
        alice, bob = await register("alice", owner), await register("bob")
        answer = await bob.get(f"users/{alice.user_id.upper()}/bundle")
        assert answer.status == 200
        assert answer.body == {
            "userId": alice.user_id,
            "username": "alice",
            **{
                name: base64.b64encode(value).decode()
                for name, value in (
                    ("identityPublic", owner.bundle().identity_public),
                    ("signedPrekeyPublic", owner.bundle().signed_prekey_public),
                    ("signature", owner.bundle().signature),
                    ("verifyingKey", owner.bundle().verifying_key),
                )
            },
        }
        assert (await Api().get(f"users/{alice.user_id}/bundle")).refusal == (401, "AUTH_REQUIRED")

    @pytest.mark.parametrize(
        ("user_id", "refusal"),
        [(str(uuid4()), (404, "USER_NOT_FOUND")), ("alice", (422, "INVALID_USER_ID"))],
    )
    async def test_nobody_has_no_bundle(self, user_id: str, refusal: tuple[int, str]) -> None:
        alice = await register("alice")
        assert (await alice.get(f"users/{user_id}/bundle")).refusal == refusal

    async def test_fetches_are_limited(self, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, bundles_per_hour=1)
        alice = await register("alice")
        path = f"users/{alice.user_id}/bundle"
        assert [(await alice.get(path)).status for _ in range(2)] == [200, 429]


class TestPrekey:
    async def test_a_rotation_is_served_from_the_next_fetch_on(self) -> None:
        owner = KeyOwner()
        alice = await register("alice", owner)
        before = (await alice.get("prekey")).body
        update = owner.update()
        assert (await alice.put("prekey", {"update": encode_update(update)})).status == 204
        assert (await alice.put("prekey", {"update": encode_update(update)})).status == 204, "once more"
        bundle = (await alice.get(f"users/{alice.user_id}/bundle")).body
        assert base64.b64decode(bundle["signedPrekeyPublic"]) == update.new_prekey_public
        after = (await alice.get("prekey")).body
        assert after["fingerprint"] == before["fingerprint"]
        assert after["rotated"] >= before["rotated"]

    async def test_an_old_prekey_is_told_to_be_stale(self) -> None:
        alice = await register("alice")
        fresh = (await alice.get("prekey")).body
        assert fresh["isStale"] is False
        assert fresh["ageS"] < MINUTE_S
        old = timezone.now() - timedelta(days=31)
        await run_in_database_thread(PrekeyBundle.objects.update, rotated_at=old)
        stale = (await alice.get("prekey")).body
        assert stale["isStale"] is True
        assert 0 <= stale["ageS"] - 31 * 86400 < MINUTE_S

    @pytest.mark.parametrize("update", ["", "!!", "hKFp", "A" * 5000])
    async def test_a_bad_update_is_refused_and_uses_up_nothing(self, update: str, settings: Settings) -> None:
        settings.CONSTRUCT = replace(settings.CONSTRUCT, rotations_per_day=1)
        owner = KeyOwner()
        alice = await register("alice", owner)
        assert (await alice.put("prekey", {"update": update})).refusal == (422, "INVALID_UPDATE")
        assert (await alice.put("prekey", {"update": encode_update(owner.update())})).status == 204

    async def test_an_update_of_another_signer_is_refused(self) -> None:
        alice = await register("alice")
        answer = await alice.put("prekey", {"update": encode_update(KeyOwner().update())})
        assert answer.refusal == (422, "INVALID_UPDATE")


async def test_a_password_is_not_trimmed() -> None:
    await Api().post("register", registration("alice", password=f" {PASSWORD} "))
    tight = await Api().post("login", {"username": "alice", "password": PASSWORD})
    wide = await Api().post("login", {"username": "alice", "password": f" {PASSWORD} "})
    assert (tight.status, wide.status) == (401, 200)
