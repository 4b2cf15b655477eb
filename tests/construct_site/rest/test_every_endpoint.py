"""What holds for every endpoint that there is, as the URLs and the schema tell: a new one cannot be forgotten here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from pytest_django import Settings
from rest_framework.views import APIView

from accounts.models import Session, User
from construct_site.database import run_in_database_thread
from construct_site.errors import ERRORS, ErrorCode
from construct_site.rest.endpoints import Endpoint, PublicEndpoint
from keys.bundle import encode_bundle, encode_update
from tests.keys.owners import KeyOwner
from tests.rest import PASSWORD, Answer, Api, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]
ROOT = "api/v1/"
SOME_ID = "00000000-0000-4000-8000-000000000000"
UNKNOWN_TOKEN = "construct_" + "A" * 43
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
OTHER_METHODS = ("OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO", "A" * 1000)
MOVING = {"last_used_at", "expires_at", "last_seen_on"}
"""What any request of a session may move on."""
AUTH_REQUIRED, INVALID_TOKEN = (401, "AUTH_REQUIRED"), (401, "INVALID_TOKEN")
NO_JSON_OBJECT = (
    b"{",
    b"nonsense",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"{}{}",
    b'{"a": 1, "a": 1}',
    b'{"a": {"b": 1, "b": 1}}',
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": "\xff"}',
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "\\ud800"}',
    b'{"a": "\x00"}',
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b'{"a":' * 10_000,
    b"[" * 100_000,
)
OTHER_FORMS = (
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "*/*",
)
OTHER_TYPES: dict[str, tuple[Any, ...]] = {
    "string": (7, 1.5, True, None, [], ["a"], {}),
    "boolean": (0, 1, "true", "yes", "", None, [], {}),
    "integer": ("7", 1.5, True, None, [], {}),
    "array": (7, "a", True, None, {}),
    "object": (7, "a", True, None, []),
}
NASTY_TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud83d\ude00",
    "\u202e",
    "%00",
    "' OR 1=1 --",
    "../..",
    "x" * 100_000,
)


@dataclass(frozen=True)
class Operation:
    """A method of a path."""

    method: str
    path: str
    is_public: bool
    fields: dict[str, Any] = field(default_factory=dict)
    """Of its body: the schema of each, by name."""
    refusals: frozenset[str] = frozenset()
    """The codes of all the errors that it can end in."""
    parameters: tuple[str, ...] = ()
    """The names of those of its query string."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def body(self) -> dict[str, Any]:
        """One that has every field as it should be, as far as a table can know."""
        return {name: _sample(name, schema) for name, schema in self.fields.items()}


def views() -> Iterator[tuple[str, type[Endpoint]]]:
    """Every path under the root with its view, as the URLs have it."""
    yield from _views("", get_resolver().url_patterns)


def _views(prefix: str, patterns: list[Any]) -> Iterator[tuple[str, type[Endpoint]]]:
    for each in patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            if route.startswith(ROOT) or ROOT.startswith(route):
                yield from _views(route, each.url_patterns)
        elif route.startswith(ROOT):
            assert isinstance(each, URLPattern)
            yield "/" + route, each.callback.cls  # type: ignore[attr-defined] # set by the REST framework


def methods_of(view: type[Endpoint]) -> list[str]:
    """In the order of the Allow header."""
    named = [name for name in view.http_method_names if hasattr(view, name)]
    if "get" in named:
        named.insert(1, "head")
    return [name.upper() for name in named]


@cache
def operations() -> tuple[Operation, ...]:
    """Every method of every path, with what the schema says of its body."""
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call] # untyped upstream
    found = []
    for path, methods in schema["paths"].items():
        for method, told in methods.items():
            fields = _fields(schema, told.get("requestBody"))
            refusals = frozenset(_refusals(told["responses"]))
            parameters = tuple(each["name"] for each in told.get("parameters", ()) if each["in"] == "query")
            found.append(
                Operation(
                    method.upper(), _filled(path), not told.get("security"), fields, refusals, parameters
                )
            )
    return tuple(found)


def _refusals(responses: dict[str, Any]) -> Iterator[str]:
    """Each stands with the status that the table gives it."""
    for status, told in responses.items():
        for code in told["description"].split(" · ") if int(status) >= 400 else ():
            assert ERRORS[ErrorCode(code)].http_status == int(status), code
            yield code


def _fields(schema: dict[str, Any], body: dict[str, Any] | None) -> dict[str, Any]:
    if body is None:
        return {}
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    properties: dict[str, Any] = schema["components"]["schemas"][name]["properties"]
    return properties


def _filled(path: str) -> str:
    """A path whose variable parts name nobody."""
    return "/".join(SOME_ID if part.startswith(("{", "<")) else part for part in path.split("/"))


def _types(schema: dict[str, Any]) -> list[str]:
    told = schema["type"]
    return [told] if isinstance(told, str) else list(told)


def _sample(name: str, schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    known = {
        "username": "newcomer",
        "newPassword": "a brand new passphrase",
        "publicKey": encode_bundle(KeyOwner().bundle()),
        "update": encode_update(KeyOwner().update()),
        "avatarUrl": "https://pictures.example/a.png",
    }
    known |= dict.fromkeys(("password", "currentPassword"), PASSWORD)
    by_type = {"string": "text", "boolean": True, "integer": 1, "array": [], "object": {}}
    return known.get(name, by_type[_types(schema)[0]])


def _everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, without what a request may move on."""
    return {
        model._meta.label: [
            {name: value for name, value in row.items() if name not in MOVING}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in apps.get_models()
    }


@dataclass
class Observed:
    """The database, which nothing that follows may change."""

    before: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def begin(self) -> None:
        self.before = await run_in_database_thread(_everything)
        assert self.before["accounts.User"], "there is something to change"

    async def assert_same(self, context: object) -> None:
        assert await run_in_database_thread(_everything) == self.before, context


@pytest.fixture
def unlimited(settings: Settings) -> None:
    """Many requests of one address: the limits have tests of their own."""
    settings.CONSTRUCT = replace(settings.CONSTRUCT, limits=False)


@pytest.fixture
async def alice(unlimited: None) -> Api:
    """An account with a second session."""
    alice = await register("alice")
    await alice.log_in("alice")
    return alice


@pytest.fixture
async def database(alice: Api) -> Observed:
    observed = Observed()
    await observed.begin()
    return observed


def assert_refused(answer: Answer, context: object) -> None:
    """A row of the table, with its status, as JSON; and no cookie."""
    assert "Set-Cookie" not in answer.headers, context
    assert answer.headers["Content-Type"] == "application/json", context
    assert answer.body.keys() <= {"code", "message", "fields"}, context
    assert answer.status == ERRORS[ErrorCode(answer.body["code"])].http_status, context


def test_the_schema_tells_of_every_endpoint() -> None:
    told = {(each.method, each.path) for each in operations()}
    there = {
        (method, _filled(path)) for path, view in views() for method in methods_of(view) if method != "HEAD"
    }
    assert told == there
    assert len(told) > 15


def test_the_schema_tells_of_what_every_request_can_meet() -> None:
    for each in operations():
        assert each.refusals >= {"SERVER_BUSY", "SERVER_ERROR", "INVALID_FORMAT"}, each
        assert each.is_public or "AUTH_REQUIRED" in each.refusals, each


def test_every_endpoint_keeps_what_all_share() -> None:
    """A view that chose its own authentication, parser or limits would leave the rules that the tests below try."""
    public = {each.path for each in operations() if each.is_public}
    for path, view in views():
        assert issubclass(view, Endpoint), path
        is_public = issubclass(view, PublicEndpoint)
        assert (_filled(path) in public) == is_public, path
        for shared in ("parser_classes", "renderer_classes", "throttle_classes"):
            assert getattr(view, shared) is getattr(APIView, shared), (path, shared)
        for shared in () if is_public else ("authentication_classes", "permission_classes"):
            assert getattr(view, shared) is getattr(APIView, shared), (path, shared)


def test_no_field_judges_by_itself_what_a_service_judges() -> None:
    """A length or a pattern in a payload would be a rule that the socket does not have."""
    for each in operations():
        for name, schema in each.fields.items():
            assert not schema.keys() & {"minLength", "maxLength", "pattern", "minimum", "maximum"}, (
                each,
                name,
            )


def _staff_cookies() -> dict[str, str]:
    """The headers of a superuser's browser, logged into the admin, with the CSRF token of its forms."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", PASSWORD))
    browser.get("/admin/auth/group/add/", headers={"host": "localhost"})
    session, token = (browser.cookies[name].value for name in (settings.SESSION_COOKIE_NAME, "csrftoken"))
    return {"cookie": f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={token}", "x_csrftoken": token}


def _end(token_of: Api, **changes: Any) -> None:
    Session.objects.filter(user_id=token_of.user_id).update(**changes)


async def _bearers() -> dict[str, tuple[int, str]]:
    """Authorization headers that open nothing, and what each is told."""
    now = timezone.now()
    names = ("expired", "revoked", "deleted", "suspended")
    expired, revoked, deleted, suspended = [await register(name) for name in names]
    await run_in_database_thread(_end, expired, expires_at=now - timedelta(seconds=1))
    await run_in_database_thread(_end, revoked, revoked_at=now)
    await run_in_database_thread(User.objects.filter(username="deleted").delete)
    await run_in_database_thread(User.objects.filter(username="suspended").update, is_active=False)
    return {
        "": AUTH_REQUIRED,
        "Basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5": AUTH_REQUIRED,
        f"Token {UNKNOWN_TOKEN}": AUTH_REQUIRED,
        UNKNOWN_TOKEN: AUTH_REQUIRED,
        f"Bearer {UNKNOWN_TOKEN}": AUTH_REQUIRED,
        f"Bearer {expired.token}": AUTH_REQUIRED,
        f"Bearer {revoked.token}": AUTH_REQUIRED,
        f"Bearer {deleted.token}": AUTH_REQUIRED,
        f"Bearer {suspended.token}": (403, "ACCOUNT_SUSPENDED"),
        "Bearer": INVALID_TOKEN,
        "Bearer nonsense": INVALID_TOKEN,
        f"Bearer {UNKNOWN_TOKEN}A": INVALID_TOKEN,
        f"Bearer {UNKNOWN_TOKEN}, Bearer {UNKNOWN_TOKEN}": INVALID_TOKEN,
        "Bearer construct_" + "\u00e4" * 43: INVALID_TOKEN,
    }


async def test_nothing_opens_an_endpoint_but_the_token_of_a_live_session(alice: Api) -> None:
    bearers = await _bearers()
    database = Observed()
    await database.begin()
    for each in operations():
        for header, refusal in {} if each.is_public else bearers.items():
            answer = await Api(headers={"authorization": header}).call(each.method, each.path, each.body())
            assert_refused(answer, (each, header))
            assert answer.refusal == refusal, (each, header)
        await database.assert_same(each)


async def test_the_session_of_the_admin_opens_no_endpoint(alice: Api) -> None:
    staff = await run_in_database_thread(_staff_cookies)
    database = Observed()
    await database.begin()
    for each in operations():
        for headers in () if each.is_public else ({"cookie": staff["cookie"]}, staff):
            answer = await Api(headers=headers).call(each.method, each.path, each.body())
            assert_refused(answer, each)
            assert answer.refusal == AUTH_REQUIRED, each
    await database.assert_same("the admin's cookie")


async def test_the_session_of_the_admin_changes_nothing_about_a_request_with_a_token(alice: Api) -> None:
    staff = await run_in_database_thread(_staff_cookies)
    both = Api(alice.token, staff)
    assert (await both.get("profile")).body["userId"] == alice.user_id
    assert (await both.patch("profile", {"bio": "Mine"})).body["bio"] == "Mine", "no CSRF token is asked for"
    answer = await Api(headers=staff).post("login", {"username": "alice", "password": PASSWORD})
    assert (answer.status, answer.body["userId"]) == (200, alice.user_id)
    assert "Set-Cookie" not in answer.headers
    root = await run_in_database_thread(User.objects.get, username="root")
    assert root.bio == ""


async def test_a_token_opens_nothing_of_the_admin(alice: Api) -> None:
    await run_in_database_thread(User.objects.update, is_staff=True, is_superuser=True)
    for path in ("/admin/", "/admin/accounts/user/"):
        answer = await alice.call("GET", path)
        assert (answer.status, answer.headers["Location"]) == (302, f"/admin/login/?next={path}")


async def test_a_method_that_a_path_has_not_is_refused_with_those_it_has(
    alice: Api, database: Observed
) -> None:
    for path, view in views():
        allowed = methods_of(view)
        for method in (*METHODS, *OTHER_METHODS):
            if method in allowed:
                continue
            for overridden in allowed:
                answer = await alice.call(method, _filled(path), x_http_method_override=overridden)
                assert answer.status == 405, (method, path)
                assert answer.headers["Allow"] == ", ".join(allowed), (method, path)
                assert_refused(answer, (method, path))
        await database.assert_same(path)


async def test_no_parameter_or_header_turns_a_get_into_another_method(alice: Api, database: Observed) -> None:
    for each in operations():
        for path in (each.path, f"{each.path}?_method={each.method}"):
            # With the body of the other method, as a library would send it.
            answer = await alice.call(
                "GET", path, each.body(), x_http_method_override=each.method, x_method_override=each.method
            )
            assert answer.status < 500, each
    await database.assert_same("methods")


async def test_a_body_that_is_no_json_object_is_refused(alice: Api, database: Observed) -> None:
    for each in operations():
        for raw in NO_JSON_OBJECT:
            answer = await alice.call(each.method, each.path, raw=raw)
            assert_refused(answer, (each, raw[:30]))
            assert answer.refusal == (400, "INVALID_FORMAT"), (each, raw[:30])
        await database.assert_same(each)


async def test_a_body_of_another_form_is_refused(alice: Api, database: Observed) -> None:
    for each in operations():
        raw = json.dumps(each.body()).encode()
        for content_type in OTHER_FORMS:
            answer = await alice.call(each.method, each.path, raw=raw, content_type=content_type)
            assert_refused(answer, (each, content_type))
            assert answer.refusal == (415, "UNSUPPORTED_MEDIA_TYPE"), (each, content_type)
        packed = await alice.call(each.method, each.path, raw=raw, content_encoding="gzip")
        assert packed.refusal == (415, "UNSUPPORTED_MEDIA_TYPE"), each
    await database.assert_same("forms")


async def test_a_body_over_the_limit_is_refused_also_behind_a_server_that_takes_more(
    alice: Api, database: Observed, settings: Settings
) -> None:
    settings.CONSTRUCT = replace(settings.CONSTRUCT, request_body_bytes=10_000)
    for each in operations():
        answer = await alice.call(each.method, each.path, raw=b'{"a": "' + b"x" * 10_000 + b'"}')
        assert_refused(answer, each)
        assert answer.refusal == (413, "MESSAGE_TOO_LARGE"), each
    await database.assert_same("large bodies")


async def test_a_field_that_is_not_there_is_refused(alice: Api, database: Observed) -> None:
    for each in operations():
        for unknown in ("surprise", "is_staff", "sessionId", "__proto__", "\x00", ""):
            answer = await alice.call(each.method, each.path, {**each.body(), unknown: "x"})
            assert_refused(answer, (each, unknown))
            assert answer.refusal == (422, "VALIDATION_FAILED"), (each, unknown)
            assert list(answer.body["fields"]) == [unknown]
        await database.assert_same(each)


async def test_a_parameter_that_is_not_there_is_refused(alice: Api, database: Observed) -> None:
    for each in operations():
        answer = await alice.call(each.method, f"{each.path}?surprise=1&format=api", each.body())
        assert_refused(answer, each)
        assert answer.refusal == (422, "VALIDATION_FAILED"), each
        assert set(answer.body["fields"]) == {"surprise", "format"}
    await database.assert_same("parameters")


async def test_a_parameter_that_is_given_twice_is_refused(alice: Api, database: Observed) -> None:
    assert {"query", "limit", "after"} <= {name for each in operations() for name in each.parameters}
    for each in operations():
        for name in (*each.parameters, "surprise"):
            answer = await alice.call(each.method, f"{each.path}?{name}=1&{name}=1", each.body())
            assert_refused(answer, (each, name))
            assert answer.refusal == (400, "INVALID_FORMAT"), (each, name)
    await database.assert_same("parameters")


async def test_a_field_of_another_type_is_refused(alice: Api, database: Observed) -> None:
    tried = 0
    for each in operations():
        for name, schema in each.fields.items():
            types = _types(schema)
            for value in OTHER_TYPES[types[0]]:
                if value is None and "null" in types:
                    continue
                answer = await alice.call(each.method, each.path, {**each.body(), name: value})
                assert_refused(answer, (each, name, value))
                assert answer.refusal == (422, "VALIDATION_FAILED"), (each, name, value)
                assert list(answer.body["fields"]) == [name], (each, name, value)
                tried += 1
        await database.assert_same(each)
    assert tried > 50


async def test_no_text_in_a_field_is_more_than_a_text(unlimited: None) -> None:
    """Whatever stands where a text is due: an answer of the table, or an answer. What is done is done to one's own."""
    for number, text in enumerate(NASTY_TEXTS):
        own = await register(f"own-{number}")
        for each in operations():
            for name, schema in each.fields.items():
                if _types(schema)[0] != "string" or "enum" in schema:
                    continue
                answer = await own.call(each.method, each.path, {**each.body(), name: text})
                assert answer.status < 500, (each, name, text[:20])
                if answer.status >= 400:
                    assert_refused(answer, (each, name, text[:20]))
