"""The export of the own data over HTTP: the password is asked for again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_django import Settings

from tests.rest import PASSWORD, Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
WRONG = "wrong horse battery"


async def test_it_is_a_file_with_everything_addresses_included() -> None:
    alice = await register("Alice")
    answer = await alice.post("account/export", {"password": PASSWORD})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="construct-export.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body.pop("format") == "construct-export/1"
    assert answer.body["account"]["userId"] == alice.user_id
    (session,) = answer.body["sessions"]["newest"]
    assert session["address"] == "127.0.0.1"
    assert answer.body["keys"]["fingerprint"] == (await alice.get("prekey")).body["fingerprint"]


async def test_it_tells_of_nobody_else() -> None:
    alice, bob = await register("alice"), await register("bob")
    text = str((await alice.post("account/export", {"password": PASSWORD})).body)
    assert bob.user_id not in text
    assert "bob" not in text


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"password": WRONG}, (401, "INVALID_CREDENTIALS")),
        ({"password": ""}, (401, "INVALID_CREDENTIALS")),
        ({"password": "\ud800" * 8}, (400, "INVALID_FORMAT")),
        ({}, (422, "VALIDATION_FAILED")),
        ({"password": 5}, (422, "VALIDATION_FAILED")),
        ({"password": PASSWORD, "username": "bob"}, (422, "VALIDATION_FAILED")),
        ([PASSWORD], (400, "INVALID_FORMAT")),
    ],
)
async def test_a_bad_request_is_refused_and_uses_up_nothing(
    body: object, refusal: tuple[int, str], settings: Settings
) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, exports_per_day=1)
    alice = await register("alice")
    answer = await alice.post("account/export", body)
    assert answer.refusal == refusal
    assert "Content-Disposition" not in answer.headers
    assert (await alice.post("account/export", {"password": PASSWORD})).status == 200


async def test_the_password_of_another_opens_nothing() -> None:
    alice = await register("alice")
    bob = await register("bob", password="the password of bob")
    answer = await alice.post("account/export", {"password": "the password of bob"})
    assert answer.refusal == (401, "INVALID_CREDENTIALS")
    assert (await bob.post("account/export", {"password": "the password of bob"})).body["account"][
        "username"
    ] == "bob"


async def test_guesses_count_at_the_door_of_the_login() -> None:
    alice = await register("alice")
    refusals = [(await alice.post("account/export", {"password": WRONG})).refusal for _ in range(6)]
    assert refusals == [(401, "INVALID_CREDENTIALS")] * 5 + [(429, "RATE_LIMIT_EXCEEDED")]


async def test_so_many_are_given_in_a_day() -> None:
    alice = await register("alice")
    answers = [await alice.post("account/export", {"password": PASSWORD}) for _ in range(6)]
    assert [each.status for each in answers[:5]] == [200] * 5
    assert answers[5].refusal == (429, "RATE_LIMIT_EXCEEDED")
    assert 86_000 < int(answers[5].headers["Retry-After"]) <= 86_400
    bob = await register("bob")
    assert (await bob.post("account/export", {"password": PASSWORD})).status == 200


async def test_it_is_for_who_is_logged_in_and_asked_for_by_post() -> None:
    alice = await register("alice")
    assert (await Api().post("account/export", {"password": PASSWORD})).refusal == (401, "AUTH_REQUIRED")
    for method in ("GET", "PUT", "DELETE"):
        answer = await alice.call(method, "account/export")
        assert answer.refusal == (405, "METHOD_NOT_ALLOWED")
    await alice.post("logout")
    assert (await alice.post("account/export", {"password": PASSWORD})).refusal == (401, "AUTH_REQUIRED")
