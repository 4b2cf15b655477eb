"""The endpoints of messaging."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest.authentication import grant_of, peer_of
from construct_site.env import Config
from construct_site.errors import ErrorCode
from construct_site.rest.endpoints import (
    OF_A_PASSWORD,
    Endpoint,
    PublicEndpoint,
    answer,
    describe,
    read_body,
)
from construct_site.views import VERSION
from messaging.mailbox.store import get_store
from messaging.protocol.messages import EXTENSIONS
from messaging.replacement import replace_bundle
from messaging.rest import payloads


class ServerView(PublicEndpoint):
    """The server itself."""

    @describe("readServer", gives=payloads.ServerAnswer, is_public=True)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the library's signature
        """Tell what this server is and what it allows."""
        config: Config = settings.CONSTRUCT
        facts = {
            "name": config.name,
            "version": VERSION,
            "registration": config.registration,
            "limits": config,
            "contact": config.contact,
            "terms_url": config.terms_url,
            "extensions": EXTENSIONS,
        }
        return answer(payloads.ServerAnswer, facts)


class MailboxView(Endpoint):
    """What waits for the account."""

    @describe("readMailbox", gives=payloads.MailboxAnswer)
    def get(self, request: Request) -> Response:
        """Count what waits in the own mailbox."""
        messages, size, oldest = get_store().count(grant_of(request).user_id)
        return answer(payloads.MailboxAnswer, {"messages": messages, "size_bytes": size, "oldest": oldest})


class OwnBundleView(Endpoint):
    """The own keys as a whole."""

    @describe(
        "replaceBundle",
        takes=payloads.ReplacementRequest,
        gives=payloads.ReplacementAnswer,
        errors=[
            *OF_A_PASSWORD,
            ErrorCode.INVALID_KEY,
            ErrorCode.INVALID_KEY_BUNDLE,
            ErrorCode.USER_NOT_FOUND,
        ],
    )
    def put(self, request: Request) -> Response:
        """Replace the whole bundle, as after losing a device. All other sessions end."""
        asked = read_body(request, payloads.ReplacementRequest)
        replaced = async_to_sync(replace_bundle)(grant_of(request), **asked, peer=peer_of(request))
        return answer(payloads.ReplacementAnswer, replaced)
