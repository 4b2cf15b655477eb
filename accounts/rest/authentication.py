"""Who a request is from: the session of its bearer token (RFC 6750 section 2.1), and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.peers import Peer
from accounts.services import Grant, SessionHasEnded, resume_session
from construct_site.errors import ConstructError, ErrorCode, SessionExpired

if TYPE_CHECKING:
    from django.core.handlers.asgi import ASGIRequest

    # The library's views import this module, which the settings name.
    from rest_framework.views import APIView

SCHEME = "bearer"


class SessionToken(BaseAuthentication):
    """``Authorization: Bearer <sessionToken>``. Cookies, the admin's above all, are not looked at."""

    def authenticate(self, request: Request) -> tuple[Grant, Grant] | None:
        """The session of the token, which slides as with ``connect``; None without such a header.

        Raises ``ConstructError``: INVALID_TOKEN for what cannot be a token, AUTH_REQUIRED for one that
        is unknown, expired or revoked, ACCOUNT_SUSPENDED.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME:
            return None
        try:
            grant = resume_session(token.strip(), peer_of(request))
        except SessionExpired:
            raise SessionHasEnded from None
        return grant, grant


class IsLoggedIn(BasePermission):
    """The default; an endpoint for everybody is a :class:`~construct_site.rest.endpoints.PublicEndpoint`."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the library's signature
        grant_of(request)
        return True


def grant_of(request: Request) -> Grant:
    """The session of an authenticated request. Raises ``ConstructError(AUTH_REQUIRED)``."""
    if not isinstance(request.auth, Grant):
        raise ConstructError(ErrorCode.AUTH_REQUIRED)
    return request.auth


def peer_of(request: Request) -> Peer:
    asgi_request = cast("ASGIRequest", request._request)  # noqa: SLF001 - within the library's
    return Peer.from_scope(asgi_request.scope)
