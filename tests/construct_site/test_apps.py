"""A page that fails: the client learns nothing, the log the error's class and place."""

from __future__ import annotations

from typing import NoReturn

import pytest
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from pytest_django import Settings

from construct_site import urls

SECRET = "hunter2-the-secret"
handler404 = urls.handler404


def fail(_request: HttpRequest, **_word: str) -> NoReturn:
    raise ValueError(SECRET)


urlpatterns = [*urls.urlpatterns, path("fails/<str:word>", fail)]


@pytest.fixture
def client(settings: Settings) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


def test_a_failed_request_is_answered_without_its_reason(client: Client) -> None:
    answer = client.get("/fails/somebody")
    assert answer.status_code == 500
    page = answer.content.decode()
    assert "<h1>Something went wrong</h1>" in page
    assert SECRET not in page
    assert "ValueError" not in page


def test_a_failed_request_is_logged_once_by_class_and_place(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/fails/somebody")
    (record,) = caplog.records
    assert isinstance(record.msg, dict)
    assert record.msg["event"] == "request failed"
    assert record.msg["error"].startswith(f"ValueError in {__name__}, line ")
    assert SECRET not in str(record.msg)
    assert "somebody" not in str(record.msg)


def test_a_page_that_does_not_exist_is_no_failure(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/nowhere").status_code == 404
    assert caplog.records == []
