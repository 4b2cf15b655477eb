"""The socket and REST are two edges of the same services: what both can do is done, and limited, in one place."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

import pytest
from rest_framework.views import APIView

import accounts.rest
import keys.rest
import messaging.rest
from accounts.authentication import check_password, log_in
from accounts.rest.authentication import SessionToken
from accounts.rest.views import DeletionView, LoginView, LogoutView, PasswordView, UsersView
from accounts.services import (
    check_registration,
    delete_user,
    parse_user_id,
    resume_sessions,
    revoke_sessions,
    search_users,
)
from keys.registration import register
from keys.rest.views import BundleView, PrekeyView, RegistrationView
from keys.rotation import rotate
from keys.services import fetch_bundle
from messaging.routes import ROUTES

PACKAGES = ("accounts", "construct_site", "keys", "messaging")
METHODS = ("get", "post", "put", "patch", "delete")
DECIDES = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.Raise, ast.Match, ast.BoolOp)
DECIDING_VIEWS = {"SessionView.delete"}
"""It tells "there was none to end" as NOT_FOUND."""
BOTH: dict[str, tuple[Callable[..., Any], set[Callable[..., Any]]]] = {
    "register": (RegistrationView.post, {register, check_registration}),
    "login": (LoginView.post, {log_in, check_password}),
    "connect": (SessionToken.authenticate, {resume_sessions}),
    "logout": (LogoutView.post, {revoke_sessions}),
    "searchUsers": (UsersView.get, {search_users}),
    "getPublicKey": (BundleView.get, {fetch_bundle, parse_user_id}),
    "rotatePrekey": (PrekeyView.put, {rotate}),
}
"""What a client can ask at either edge: the view beside the handler, and the services that both must come to."""
SOCKET_ALONE = {"sendMessage", "received"}


def referenced(function: Callable[..., Any]) -> Iterator[FunctionType]:
    """The functions of ours that its code names, whether it calls them or hands them on."""
    function = inspect.unwrap(function)
    assert isinstance(function, FunctionType)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        found = _resolved(node, function.__globals__)
        if isinstance(found, FunctionType) and found.__module__.partition(".")[0] in PACKAGES:
            yield found


def _resolved(node: ast.AST, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolved(node.value, names)
        return getattr(owner, node.attr, None) if isinstance(owner, ModuleType) else None
    return None


def reached(function: Callable[..., Any]) -> set[Callable[..., Any]]:
    """Those that it names, those that they name, and so on."""
    found: set[Callable[..., Any]] = set()
    ahead = [function]
    while ahead:
        for each in referenced(ahead.pop()):
            if each not in found:
                found.add(each)
                ahead.append(each)
    return found


def test_every_request_of_the_socket_stands_beside_its_view() -> None:
    assert BOTH.keys() | SOCKET_ALONE == ROUTES.keys()


@pytest.mark.parametrize("request_type", BOTH)
def test_both_edges_come_to_the_same_services(request_type: str) -> None:
    view, services = BOTH[request_type]
    assert services <= reached(view)
    assert services <= reached(ROUTES[request_type].handler)


@pytest.mark.parametrize("view", [PasswordView.put, DeletionView.post])
def test_a_password_is_asked_for_at_the_door_of_the_login(view: Callable[..., Any]) -> None:
    assert check_password in reached(view)
    assert (delete_user in reached(view)) == (view is DeletionView.post)


def test_both_edges_count_under_the_same_limits() -> None:
    assert UsersView.limits == {"GET": ROUTES["searchUsers"].limit}
    assert BundleView.limits == {"GET": ROUTES["getPublicKey"].limit}


@cache
def views() -> tuple[type[APIView], ...]:
    """Every view of the REST edges."""
    modules = [
        import_module(each.name)
        for package in (accounts.rest, keys.rest, messaging.rest)
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    members = {
        member
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, APIView) and member.__module__ == module.__name__
    }
    return tuple(sorted(members, key=lambda view: view.__qualname__))


def test_a_view_decides_nothing() -> None:
    """It reads a body, calls a service, forms an answer: no branch, no refusal of its own."""
    deciding = set()
    for view in views():
        for method in METHODS:
            if method in vars(view):
                source = textwrap.dedent(inspect.getsource(inspect.unwrap(vars(view)[method])))
                if any(isinstance(node, DECIDES) for node in ast.walk(ast.parse(source))):
                    deciding.add(f"{view.__qualname__}.{method}")
    assert len(views()) > 10
    assert deciding == DECIDING_VIEWS
