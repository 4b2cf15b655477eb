"""What a client of REST is told of bad requests: a row of the error table each, and nothing changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.middleware.common import CommonMiddleware
from django.test import Client
from pytest_django import Settings

from accounts import services
from accounts.models import Session, User
from construct_site.database import run_in_database_thread
from construct_site.errors import ERRORS, ConstructError, ErrorCode
from construct_site.rest.payloads import UNKNOWN_TOLD
from tests.rest import PASSWORD, Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
LOGIN = {"username": "alice", "password": PASSWORD}
UNKNOWN_TOKEN = "construct_" + "A" * 43


def staff_cookie() -> str:
    """The Cookie header of a superuser who is logged into the admin."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", PASSWORD))
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={browser.cookies[name].value}"


class TestBody:
    async def test_what_is_no_json_object_is_refused(self) -> None:
        assert (await Api().call("POST", "login", raw=b"")).refusal == (422, "VALIDATION_FAILED")
        for raw in (
            b"{",
            b"nonsense",
            b'{"username": "alice", "password": NaN}',
            b'{"username": "\xff", "password": "x"}',
            b'{"username": "\\ud800", "password": "x"}',
            b'{"username": "a"} {}',
            b"[]",
            b'"alice"',
            b"null",
            b"7",
            b'{"a":' * 10_000,
            b"[" * 100_000,
        ):
            answer = await Api().call("POST", "login", raw=raw)
            assert answer.refusal == (400, "INVALID_FORMAT"), raw[:50]

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
        ],
    )
    async def test_other_forms_are_refused(self, content_type: str) -> None:
        answer = await Api().call("POST", "login", raw=json.dumps(LOGIN).encode(), content_type=content_type)
        assert answer.refusal == (415, "UNSUPPORTED_MEDIA_TYPE")

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
    async def test_the_content_type_is_read_as_the_standard_says(self, content_type: str) -> None:
        await register("alice")
        answer = await Api().call("POST", "login", LOGIN, content_type=content_type)
        assert answer.status == 200

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, ["username", "password"]),
            ({"username": "alice"}, ["password"]),
            ({"username": 7, "password": PASSWORD}, ["username"]),
            ({"username": True, "password": PASSWORD}, ["username"]),
            ({"username": ["alice"], "password": PASSWORD}, ["username"]),
            ({"username": {"a": 1}, "password": None}, ["username", "password"]),
            ({**LOGIN, "remember": True, "a": 1}, ["a", "remember"]),
        ],
    )
    async def test_each_field_is_told_what_is_wrong(self, body: dict[str, Any], fields: list[str]) -> None:
        answer = await Api().post("login", body)
        assert answer.refusal == (422, "VALIDATION_FAILED")
        assert list(answer.body["fields"]) == fields
        assert all(
            isinstance(each, str) for sentences in answer.body["fields"].values() for each in sentences
        )

    async def test_an_answer_names_no_more_fields_than_people_read(self) -> None:
        answer = await Api().post("login", {**LOGIN, **{f"x{number:03}": 1 for number in range(1000)}})
        assert answer.refusal == (422, "VALIDATION_FAILED")
        assert list(answer.body["fields"]) == [f"x{number:03}" for number in range(UNKNOWN_TOLD)]


class TestToken:
    async def test_what_is_no_token_of_a_session_is_refused(self) -> None:
        for header, code in {
            "": "AUTH_REQUIRED",
            "Bearer": "INVALID_TOKEN",
            "Bearer ": "INVALID_TOKEN",
            "Bearer nonsense": "INVALID_TOKEN",
            "Bearer " + UNKNOWN_TOKEN + "A": "INVALID_TOKEN",
            "Bearer " + UNKNOWN_TOKEN: "AUTH_REQUIRED",
            "Basic YWxpY2U6eA==": "AUTH_REQUIRED",
            UNKNOWN_TOKEN: "AUTH_REQUIRED",
            "Bearer \u00e4": "INVALID_TOKEN",
        }.items():
            answer = await Api(headers={"authorization": header}).get("profile")
            assert answer.refusal == (401, code), header
            assert answer.headers["Www-Authenticate"] == "Bearer"

    async def test_the_scheme_is_read_ignoring_case(self) -> None:
        alice = await register("alice")
        assert (await Api(headers={"authorization": f"bEARER {alice.token}"}).get("profile")).status == 200

    async def test_an_account_that_is_switched_off_is_refused(self) -> None:
        alice = await register("alice")
        await run_in_database_thread(User.objects.update, is_active=False)
        assert (await alice.get("profile")).refusal == (403, "ACCOUNT_SUSPENDED")

    async def test_the_cookie_of_the_admin_authorises_nothing(self) -> None:
        cookie = await run_in_database_thread(staff_cookie)
        browser = Api(headers={"cookie": cookie})
        assert (await browser.get("profile")).refusal == (401, "AUTH_REQUIRED")
        assert (await browser.post("logout")).refusal == (401, "AUTH_REQUIRED")

    async def test_a_token_in_the_address_authorises_nothing(self) -> None:
        alice = await register("alice")
        assert (await Api().get(f"profile?access_token={alice.token}")).refusal == (401, "AUTH_REQUIRED")


class TestMethodsAndPaths:
    async def test_a_method_that_is_not_there_is_refused(self) -> None:
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "HEAD"):
            answer = await Api().call(method, "login")
            assert answer.status == 405, method
            assert answer.headers["Allow"] == "POST"
            assert method == "HEAD" or answer.refusal == (405, "METHOD_NOT_ALLOWED")

    async def test_no_header_changes_the_method(self) -> None:
        alice = await register("alice")
        answer = await alice.call("GET", "sessions", x_http_method_override="DELETE")
        assert answer.status == 200
        assert await run_in_database_thread(Session.objects.filter(revoked_at=None).count) == 1

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_a_path_that_is_not_there_is_told_as_json(self, method: str) -> None:
        for path in (
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/api/v2/profile",
            "/api/v1/nothing",
            "/api/v1/login/",
            "/api/v1//login",
            "/api/v1/../v1/login",
            "/api/v1/%6Cogin%00",
            "/api/v1/sessions/not-a-uuid",
            "/api/v1/users//bundle",
        ):
            answer = await Api().call(method, path)
            assert answer.refusal == (404, "NOT_FOUND"), path


class TestForm:
    async def test_a_request_id_comes_back_with_an_error(self) -> None:
        answer = await Api().call("GET", "profile", x_request_id="7f3a")
        assert answer.body["requestId"] == "7f3a"
        answer = await Api().call("GET", "nothing", x_request_id="7f3a")
        assert answer.body["requestId"] == "7f3a"

    @pytest.mark.parametrize("request_id", ["", "x" * 65])
    async def test_a_request_id_that_is_none_does_not(self, request_id: str) -> None:
        assert "requestId" not in (await Api().call("GET", "profile", x_request_id=request_id)).body

    @pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*;q=0", ""])
    async def test_the_answer_is_json_whatever_is_accepted(self, accept: str) -> None:
        answer = await Api().call("GET", "profile", accept=accept)
        assert answer.refusal == (401, "AUTH_REQUIRED")
        assert answer.headers["Content-Type"] == "application/json"

    async def test_every_row_of_the_table_has_its_status(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alice = await register("alice")
        refusals = [ConstructError(code, "In its own words.") for code in ErrorCode]

        def refuse(_user_id: object) -> None:
            raise refusals[0]

        monkeypatch.setattr(services, "read_profile", refuse)
        for code in ErrorCode:
            answer = await alice.get("profile")
            assert answer.refusal == (ERRORS[code].http_status, code.value)
            assert answer.body["message"] == "In its own words."
            refusals.pop(0)

    async def test_what_nobody_foresaw_is_told_without_a_word_of_it(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings
    ) -> None:
        alice = await register("alice")

        def fail(_user_id: object) -> None:
            raise KeyError(PASSWORD)

        monkeypatch.setattr(services, "read_profile", fail)
        answer = await alice.get("profile")
        assert answer.refusal == (500, "SERVER_ERROR")
        assert "KeyError" in caplog.text
        assert PASSWORD not in caplog.text + json.dumps(answer.body)
        assert not settings.DEBUG

    @pytest.mark.parametrize("path", ["server", "profile", "nothing"])
    async def test_a_foreign_host_is_told_so_as_json(self, path: str) -> None:
        answer = await Api().call("GET", path, host="evil.example")
        assert answer.refusal == (400, "INVALID_FORMAT")
        assert answer.headers["Content-Type"] == "application/json"

    async def test_a_fault_outside_of_the_endpoints_is_told_and_logged_like_one_within(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_self: object, _request: object) -> None:
            raise KeyError(PASSWORD)

        monkeypatch.setattr(CommonMiddleware, "process_request", fail)
        answer = await Api().get("server")
        assert answer.refusal == (500, "SERVER_ERROR")
        assert "KeyError in tests.construct_site.rest.test_errors" in caplog.text
        assert PASSWORD not in caplog.text + json.dumps(answer.body)
