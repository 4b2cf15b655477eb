"""The endpoints of accounts."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar
from uuid import UUID

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import authentication, services
from accounts.rest import payloads
from accounts.rest.authentication import grant_of, peer_of
from construct_site.errors import ConstructError, ErrorCode
from construct_site.limits import RateLimit
from construct_site.rest.endpoints import (
    OF_A_PASSWORD,
    Endpoint,
    PublicEndpoint,
    answer,
    describe,
    read_body,
    read_query,
)


class LoginView(PublicEndpoint):
    """Open a session."""

    @describe(
        "logIn",
        takes=payloads.LoginRequest,
        gives=payloads.GrantAnswer,
        errors=[*OF_A_PASSWORD, ErrorCode.ACCOUNT_SUSPENDED, ErrorCode.PASSWORD_RESET_REQUIRED],
        is_public=True,
    )
    def post(self, request: Request) -> Response:
        """Log in: open a session, whose token authorises requests and sockets alike."""
        grant = async_to_sync(authentication.log_in)(
            **read_body(request, payloads.LoginRequest), peer=peer_of(request)
        )
        return answer(payloads.GrantAnswer, grant)


class LogoutView(Endpoint):
    """End the session of the request."""

    @describe("logOut", status=204)
    def post(self, request: Request) -> Response:
        """Log out: end the session of this request and its live sockets."""
        grant = grant_of(request)
        services.revoke_sessions(grant.user_id, [grant.session_id])
        return answer()


class SessionsView(Endpoint):
    """The sessions of the account."""

    @describe("listSessions", gives=payloads.SessionsAnswer)
    def get(self, request: Request) -> Response:
        """List the sessions that are in force, newest first."""
        grant = grant_of(request)
        sessions = [
            {**asdict(each), "is_current": each.id == grant.session_id}
            for each in services.list_sessions(grant.user_id)
        ]
        return answer(payloads.SessionsAnswer, {"sessions": sessions})

    @describe("endOtherSessions", gives=payloads.RevokedAnswer)
    def delete(self, request: Request) -> Response:
        """End all other sessions."""
        grant = grant_of(request)
        revoked = services.revoke_other_sessions(grant.user_id, grant.session_id)
        return answer(payloads.RevokedAnswer, {"revoked": revoked})


class SessionView(Endpoint):
    """One session of the account."""

    @describe("endSession", status=204, errors=[ErrorCode.NOT_FOUND])
    def delete(self, request: Request, session_id: UUID) -> Response:
        """End one session; it may be the one of this request."""
        if not services.revoke_sessions(grant_of(request).user_id, [session_id]):
            raise ConstructError(ErrorCode.NOT_FOUND, "You have no such session.")
        return answer()


class PasswordView(Endpoint):
    """The password of the account."""

    @describe(
        "changePassword",
        takes=payloads.PasswordRequest,
        gives=payloads.RevokedAnswer,
        errors=[*OF_A_PASSWORD, ErrorCode.WEAK_PASSWORD],
    )
    def put(self, request: Request) -> Response:
        """Change the password. All other sessions end."""
        asked = read_body(request, payloads.PasswordRequest)
        grant = grant_of(request)
        revoked = async_to_sync(authentication.change_password)(
            grant.username,
            asked["current_password"],
            asked["new_password"],
            peer_of(request),
            kept=grant.session_id,
        )
        return answer(payloads.RevokedAnswer, {"revoked": revoked})


class ResetView(PublicEndpoint):
    """Another password for who cannot log in."""

    @describe(
        "resetPassword",
        takes=payloads.ResetRequest,
        status=204,
        errors=[*OF_A_PASSWORD, ErrorCode.WEAK_PASSWORD],
        is_public=True,
    )
    def post(self, request: Request) -> Response:
        """Redeem a reset code, which works once: set another password. All sessions end."""
        asked = read_body(request, payloads.ResetRequest)
        async_to_sync(authentication.reset_password)(asked["code"], asked["new_password"], peer_of(request))
        return answer()


class DeletionView(Endpoint):
    """The end of the account."""

    @describe("deleteAccount", takes=payloads.DeletionRequest, status=204, errors=OF_A_PASSWORD)
    def post(self, request: Request) -> Response:
        """Delete the account with its sessions, keys and waiting messages, at once and for good."""
        asked = read_body(request, payloads.DeletionRequest)
        async_to_sync(authentication.delete_account)(grant_of(request), asked["password"], peer_of(request))
        return answer()


class ProfileView(Endpoint):
    """What the account tells about its owner."""

    @describe("readProfile", gives=payloads.ProfileAnswer)
    def get(self, request: Request) -> Response:
        """Read the own profile."""
        return answer(payloads.ProfileAnswer, services.read_profile(grant_of(request).user_id))

    @describe(
        "changeProfile",
        takes=payloads.ProfileRequest,
        gives=payloads.ProfileAnswer,
        errors=[ErrorCode.INVALID_DISPLAY_NAME, ErrorCode.FORBIDDEN],
    )
    def patch(self, request: Request) -> Response:
        """Change the fields that are given: all of them or, if one breaks its rule, none."""
        changes = read_body(request, payloads.ProfileRequest)
        return answer(payloads.ProfileAnswer, services.update_profile(grant_of(request).user_id, changes))


class UsersView(Endpoint):
    """Other people."""

    limits: ClassVar = {"GET": RateLimit.SEARCHES}

    @describe(
        "searchUsers",
        query=payloads.SearchRequest,
        gives=payloads.SearchAnswer,
        errors=[ErrorCode.INVALID_FORMAT, ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.SEARCH_FAILED],
    )
    def get(self, request: Request) -> Response:
        """Find people by their username or display name."""
        found = services.search_users(read_query(request, payloads.SearchRequest)["query"])
        return answer(payloads.SearchAnswer, {"users": found})
