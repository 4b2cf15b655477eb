"""The endpoints of messaging."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest.authentication import grant_of
from construct_site.env import Config
from construct_site.rest.endpoints import Endpoint, PublicEndpoint, answer, describe
from construct_site.views import VERSION
from messaging.mailbox.store import get_store
from messaging.protocol.messages import EXTENSIONS
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
            "search": config.search,
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
