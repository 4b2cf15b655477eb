from __future__ import annotations

import runpy

import pytest

from construct_site.errors import ErrorCode
from construct_site.limits import RateLimit
from messaging import routes
from messaging.handlers import chat, users
from messaging.protocol.messages import CLIENT_MESSAGES, Logout
from messaging.routes import ROUTES


def test_every_message_of_a_client_has_a_route() -> None:
    assert ROUTES.keys() == CLIENT_MESSAGES.keys()


def test_a_table_that_misses_a_message_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLIENT_MESSAGES, "shout", Logout)
    with pytest.raises(ImportError, match=r"routes and messages differ: \['shout'\]"):
        runpy.run_path(routes.__file__)


def test_a_table_that_limits_what_is_not_answered_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "search_users", chat.received)
    with pytest.raises(ImportError, match=r"limited, and answered at once or never: \['searchUsers'\]"):
        runpy.run_path(routes.__file__)


def test_only_those_that_say_who_one_is_need_no_authentication_and_they_are_barriers() -> None:
    open_doors = {"register", "login", "connect", "logout"}
    assert {name for name, route in ROUTES.items() if not route.needs_authentication} == open_doors
    assert {name for name, route in ROUTES.items() if route.is_barrier} == open_doors


def test_the_limits_counted_before_a_handler_runs() -> None:
    assert {name: route.limit for name, route in ROUTES.items() if route.limit} == {
        "searchUsers": RateLimit.SEARCHES,
        "getPublicKey": RateLimit.BUNDLES,
    }


def test_what_is_said_of_a_request_that_took_too_long() -> None:
    particular = {"sendMessage": ErrorCode.QUEUE_FAILED, "searchUsers": ErrorCode.SEARCH_FAILED}
    for name, route in ROUTES.items():
        assert route.timeout_code is particular.get(name, ErrorCode.SERVER_ERROR)
