"""The server's own pages, as a browser gets them."""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client
from pytest_django import Settings

from accounts.models import User
from construct_site import notices
from construct_site.env import REPOSITORY
from construct_site.limits import get_limiter
from construct_site.notices import FOREIGN_HOST
from tests.construct_site.conftest import Amounts

PASSWORD = "long enough for staff"
OUTSIDE = re.compile(r"""(?:href|src|url\()\s*=?\s*["']?(?:https?:)?//""")


class Outline(HTMLParser):
    """The elements of a page and what it links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.targets: list[str] = []
        self.language = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.elements.append(tag)
        self.targets += [value for name in ("href", "src") if (value := given.get(name))]
        if tag == "html":
            self.language = given.get("lang") or ""


def test_the_start_page_says_where_the_socket_is(client: Client) -> None:
    page = client.get("/", headers={"host": "localhost:3190"}).content.decode()
    assert "<code>ws://localhost:3190/</code>" in page
    assert "Construct WebSocket API v2.0" in page


def test_the_start_page_says_wss_over_tls(client: Client) -> None:
    page = client.get("/", secure=True, headers={"host": "localhost"}).content.decode()
    assert "<code>wss://localhost/</code>" in page


def test_the_start_page_says_wss_in_production_where_tls_ends_at_the_proxy(
    client: Client, amounts: Amounts
) -> None:
    amounts(environment="production")
    assert "<code>wss://localhost/</code>" in client.get("/", headers={"host": "localhost"}).content.decode()


def test_the_start_page_shows_the_version_of_the_project(client: Client) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert f"<dd>{version}</dd>" in client.get("/").content.decode()


@pytest.mark.parametrize("path", ["/", "/nowhere"])
def test_a_page_is_accessible_and_needs_nothing_from_outside(path: str, client: Client) -> None:
    page = client.get(path).content.decode()
    outline = Outline(page)
    assert outline.language == "en"
    assert outline.elements.count("h1") == 1
    assert outline.elements.count("main") == 1
    assert "title" in outline.elements
    assert "script" not in outline.elements
    assert "style" not in outline.elements
    assert not OUTSIDE.search(page)


def test_everything_that_the_start_page_links_to_is_there(client: Client) -> None:
    targets = Outline(client.get("/").content.decode()).targets
    paths = [target for target in targets if not target.startswith("data:")]
    assert len(paths) >= 2
    for path in paths:
        assert client.get(path).status_code in (200, 302), path


@pytest.mark.parametrize("path", ["/", "/nowhere"])
def test_a_page_may_load_nothing_but_its_own_style(path: str, client: Client) -> None:
    answer = client.get(path)
    policy = dict(rule.split(maxsplit=1) for rule in answer["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert "Server" not in answer
    assert "Set-Cookie" not in answer


def test_the_start_page_is_only_read(client: Client) -> None:
    assert client.head("/").status_code == 200
    assert client.post("/").status_code == 405


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
def test_schema_and_documentation_are_only_read_and_leave_nothing_in_the_browser(
    path: str, client: Client
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer["Allow"]) == (200, "GET, HEAD")
    assert "Set-Cookie" not in answer
    assert not answer.cookies
    assert client.head(path).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"):
        refused = client.generic(method, path)
        assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")


def test_the_schema_is_made_once_and_takes_no_parameters(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.get("/api/schema/")
    assert (made["Content-Type"], made.json()["openapi"]) == ("application/vnd.oai.openapi+json", "3.1.1")
    monkeypatch.delattr("construct_site.rest.documentation.SchemaGenerator.get_schema")
    assert client.get("/api/schema/").content == made.content
    for query in ("version=%0d%0aX:y", "lang=de", "format=yaml"):
        refused = client.get(f"/api/schema/?{query}")
        assert (refused.status_code, refused.json()["code"]) == (422, "VALIDATION_FAILED")


def test_a_request_for_another_host_gets_nothing(client: Client) -> None:
    answer = client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert b"evil" not in answer.content


def test_a_foreign_host_is_told_to_the_operator_once_and_without_its_name(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FOREIGN_HOST, "is_given", False)
    for path in ("/", "/api/v1/server", "/admin/"):
        assert client.get(path, headers={"host": "localhost"}).status_code != 400
    assert not FOREIGN_HOST.is_given
    for path in ("/", "/api/v1/server", "/admin/"):
        assert client.get(path, headers={"host": "evil.example"}).status_code == 400
    assert caplog.text.count(FOREIGN_HOST.text) == 1
    assert "evil" not in caplog.text
    assert FOREIGN_HOST.text in notices.given()
    assert "CONSTRUCT_HOSTS" in FOREIGN_HOST.text


@pytest.mark.parametrize("path", ["/nowhere", "/admin-not", "/%3Cscript%3E", "/../etc/passwd"])
def test_a_missing_page_tells_nothing_of_the_program(path: str, client: Client) -> None:
    answer = client.get(path)
    page = answer.content.decode()
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in page
    for told in ("DEBUG", "urlconf", "admin", "<script", "etc/passwd"):
        assert told not in page


@pytest.mark.parametrize("path", ["/", "/admin/"])
def test_a_request_of_a_foreign_host_is_answered_by_a_page_that_leads_back(path: str, client: Client) -> None:
    answer = client.get(path, headers={"host": "evil.example"})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "<h1>Bad request</h1>" in page
    assert Outline(page).targets.count("/") == 1
    for told in ("DEBUG", "admin", "evil"):
        assert told not in page


@pytest.mark.django_db
def test_staff_without_the_right_to_a_page_get_one_that_leads_back(client: Client) -> None:
    client.force_login(User.objects.create_user("staff", PASSWORD, is_staff=True))
    answer = client.get("/admin/settings/")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "<h1>Not allowed</h1>" in page
    assert {"/admin/", "/"} <= set(Outline(page).targets)
    assert "CONSTRUCT_" not in page


@pytest.mark.django_db
def test_the_admin_asks_for_a_login(client: Client) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain == [("/admin/login/?next=/admin/", 302)]
    page = answer.content.decode()
    assert "Log in | Construct" in page
    assert 'rel="icon"' in page
    assert not OUTSIDE.search(page)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
async def test_staff_can_log_in_with_a_browser(scheme: str, secure: bool) -> None:
    """As browsers post: with the page's origin, or ``null`` if the page's policy is to send no referrer at all."""
    await sync_to_async(User.objects.create_superuser)("root", PASSWORD)
    browser = AsyncClient(enforce_csrf_checks=True)
    form = await browser.get("/admin/login/", secure=secure)
    hides_origin = form["Referrer-Policy"] == "no-referrer"
    answer = await browser.post(
        "/admin/login/?next=/admin/",
        {
            "username": "root",
            "password": PASSWORD,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"].value,
        },
        secure=secure,
        headers={"origin": "null" if hides_origin else f"{scheme}://testserver"},
    )
    assert (answer.status_code, answer.headers.get("Location")) == (302, "/admin/")
    await get_limiter().close()
    # Django's test client leaves its thread's connection open.
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db
def test_a_foreign_page_cannot_log_anybody_in(settings: Settings) -> None:
    browser = Client(enforce_csrf_checks=True, headers={"host": "localhost:3000"})
    browser.get("/admin/login/")
    token = browser.cookies["csrftoken"].value
    answer = browser.post(
        "/admin/login/", {"csrfmiddlewaretoken": token}, headers={"origin": "https://evil.example"}
    )
    assert answer.status_code == 403
