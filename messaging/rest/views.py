"""The endpoints of messaging."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from asgiref.sync import async_to_sync
from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest.authentication import grant_of, peer_of
from accounts.services import make_challenge, parse_user_id
from construct_site.env import Config
from construct_site.errors import ErrorCode
from construct_site.limits import RateLimit
from construct_site.rest.endpoints import (
    OF_A_PASSWORD,
    Endpoint,
    PublicEndpoint,
    answer,
    describe,
    read_body,
)
from construct_site.rest.paging import Page, PageRequest, read_page
from construct_site.views import VERSION
from messaging import contacts
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
            "registration_work": make_challenge(),
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


_OF_A_LIST = (ErrorCode.RATE_LIMIT_EXCEEDED,)
_OF_A_PERSON = (*_OF_A_LIST, ErrorCode.INVALID_USER_ID)
_OF_AN_ENTRY = (*_OF_A_PERSON, ErrorCode.USER_NOT_FOUND, ErrorCode.VALIDATION_FAILED)
_CONTACT_LIMITS = dict.fromkeys(("GET", "PUT", "PATCH", "DELETE"), RateLimit.CONTACTS)


class ContactsView(Endpoint):
    """Who may write to the account."""

    limits: ClassVar = _CONTACT_LIMITS

    @describe("listContacts", query=PageRequest, gives=payloads.ContactsAnswer, errors=_OF_A_LIST)
    def get(self, request: Request) -> Response:
        """List the people who are accepted, and tell whether only they may write."""
        return self._answer(request, read_page(request))

    @describe(
        "changeContacts", takes=payloads.ContactsRequest, gives=payloads.ContactsAnswer, errors=_OF_A_LIST
    )
    def patch(self, request: Request) -> Response:
        """Let everybody write, or only accepted people. From then on, whom the account writes to is accepted.

        The answer has the first page of them.
        """
        asked = read_body(request, payloads.ContactsRequest)
        contacts.set_accepted_only(grant_of(request).user_id, asked["accepted_only"])
        return self._answer(request, Page())

    def _answer(self, request: Request, page: Page) -> Response:
        user_id = grant_of(request).user_id
        people = page.of("contacts", partial(contacts.accepted_people, user_id), contacts.place_of_person)
        return answer(
            payloads.ContactsAnswer, {"accepted_only": contacts.is_accepted_only(user_id), **people}
        )


class ContactView(Endpoint):
    """One person who may write."""

    limits: ClassVar = _CONTACT_LIMITS

    @describe("acceptContact", status=204, errors=_OF_AN_ENTRY)
    def put(self, request: Request, user_id: str) -> Response:
        """Accept a person: their messages that wait as a request are delivered."""
        contacts.accept(grant_of(request).user_id, parse_user_id(user_id))
        return answer()

    @describe("withdrawContact", status=204, errors=_OF_A_PERSON)
    def delete(self, request: Request, user_id: str) -> Response:
        """Take the acceptance back."""
        contacts.withdraw(grant_of(request).user_id, parse_user_id(user_id))
        return answer()


class BlocksView(Endpoint):
    """Who is not heard."""

    limits: ClassVar = _CONTACT_LIMITS

    @describe("listBlocks", query=PageRequest, gives=payloads.BlocksAnswer, errors=_OF_A_LIST)
    def get(self, request: Request) -> Response:
        """List the people who are blocked."""
        blocked = partial(contacts.blocked_people, grant_of(request).user_id)
        people = read_page(request).of("blocked", blocked, contacts.place_of_person)
        return answer(payloads.BlocksAnswer, people)


class BlockView(Endpoint):
    """One person who is not heard."""

    limits: ClassVar = _CONTACT_LIMITS

    @describe("blockUser", status=204, errors=_OF_AN_ENTRY)
    def put(self, request: Request, user_id: str) -> Response:
        """Block a person. They cannot tell: their messages are acked as before, and nobody sees them."""
        contacts.block(grant_of(request).user_id, parse_user_id(user_id))
        return answer()

    @describe("unblockUser", status=204, errors=_OF_A_PERSON)
    def delete(self, request: Request, user_id: str) -> Response:
        """Unblock a person. What they wrote meanwhile stays unheard."""
        contacts.unblock(grant_of(request).user_id, parse_user_id(user_id))
        return answer()


class MessageRequestsView(Endpoint):
    """Messages of people who are not accepted."""

    limits: ClassVar = _CONTACT_LIMITS

    @describe(
        "listMessageRequests", query=PageRequest, gives=payloads.MessageRequestsAnswer, errors=_OF_A_LIST
    )
    def get(self, request: Request) -> Response:
        """List who wrote and waits to be accepted."""
        waiting = partial(contacts.message_requests, grant_of(request).user_id)
        requests = read_page(request).of("requests", waiting, contacts.place_of_request)
        return answer(payloads.MessageRequestsAnswer, requests)

    @describe("declineMessageRequests", gives=payloads.DroppedAnswer, errors=_OF_A_LIST)
    def delete(self, request: Request) -> Response:
        """Drop every message that waits so. Their senders may write again."""
        return answer(payloads.DroppedAnswer, {"dropped": contacts.decline_all(grant_of(request).user_id)})


class MessageRequestView(Endpoint):
    """The messages of one such person. Accepting them is accepting the contact."""

    limits: ClassVar = _CONTACT_LIMITS

    @describe("declineMessageRequest", gives=payloads.DroppedAnswer, errors=_OF_A_PERSON)
    def delete(self, request: Request, user_id: str) -> Response:
        """Drop what this person wrote. They may write again."""
        dropped = contacts.decline(grant_of(request).user_id, parse_user_id(user_id))
        return answer(payloads.DroppedAnswer, {"dropped": dropped})


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
