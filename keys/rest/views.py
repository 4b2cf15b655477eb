"""The endpoints of keys, registration among them: an account begins with its bundle."""

from __future__ import annotations

from typing import ClassVar

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest.authentication import grant_of, peer_of
from accounts.rest.payloads import GrantAnswer
from accounts.services import parse_user_id
from construct_site.errors import ErrorCode
from construct_site.limits import RateLimit
from construct_site.rest.endpoints import Endpoint, PublicEndpoint, answer, describe, read_body
from keys import services
from keys.registration import register
from keys.rest import payloads
from keys.rotation import rotate


class RegistrationView(PublicEndpoint):
    """New accounts."""

    @describe(
        "register",
        takes=payloads.RegistrationRequest,
        gives=GrantAnswer,
        status=201,
        errors=[
            ErrorCode.INVALID_USERNAME,
            ErrorCode.WEAK_PASSWORD,
            ErrorCode.INVALID_DISPLAY_NAME,
            ErrorCode.INVALID_KEY,
            ErrorCode.INVALID_KEY_BUNDLE,
            ErrorCode.USERNAME_TAKEN,
            ErrorCode.REGISTRATION_CLOSED,
            ErrorCode.INVITE_REQUIRED,
            ErrorCode.INVALID_INVITE,
            ErrorCode.WORK_REQUIRED,
            ErrorCode.INVALID_WORK,
            ErrorCode.REGISTRATION_FAILED,
            ErrorCode.RATE_LIMIT_EXCEEDED,
        ],
        is_public=True,
    )
    def post(self, request: Request) -> Response:
        """Register: make an account with its first bundle, and open a session."""
        asked = read_body(request, payloads.RegistrationRequest)
        grant = async_to_sync(register)(**asked, peer=peer_of(request))
        return answer(GrantAnswer, grant, status=201)


class BundleView(Endpoint):
    """The keys under which a user is reached."""

    limits: ClassVar = {"GET": RateLimit.BUNDLES}

    @describe(
        "fetchBundle",
        gives=payloads.BundleAnswer,
        errors=[ErrorCode.INVALID_USER_ID, ErrorCode.USER_NOT_FOUND, ErrorCode.RATE_LIMIT_EXCEEDED],
    )
    def get(self, request: Request, user_id: str) -> Response:
        """Fetch a user's bundle."""
        served = services.fetch_bundle(parse_user_id(user_id), asked_by=grant_of(request).user_id)
        return answer(payloads.BundleAnswer, served)


class PrekeyView(Endpoint):
    """The own signed prekey."""

    @describe("readPrekey", gives=payloads.PrekeyAnswer, errors=[ErrorCode.USER_NOT_FOUND])
    def get(self, request: Request) -> Response:
        """Tell the age of the own prekey, and the fingerprint of the keys that a rotation keeps."""
        return answer(payloads.PrekeyAnswer, services.prekey_status(grant_of(request).user_id))

    @describe(
        "rotatePrekey",
        takes=payloads.RotationRequest,
        status=204,
        errors=[ErrorCode.INVALID_UPDATE, ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.USER_NOT_FOUND],
    )
    def put(self, request: Request) -> Response:
        """Rotate the prekey. The same one again changes nothing and succeeds."""
        asked = read_body(request, payloads.RotationRequest)
        grant = grant_of(request)
        async_to_sync(rotate)(grant.user_id, asked["update_"], asked_by=grant.session_id)
        return answer()
