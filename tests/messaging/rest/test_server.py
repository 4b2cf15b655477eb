"""What the server tells about itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_django import Settings

from construct_site.views import VERSION
from tests.rest import Api

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("limiter")]


async def test_everybody_is_told_what_this_server_is(settings: Settings) -> None:
    settings.CONSTRUCT = replace(
        settings.CONSTRUCT, name="Our Place", contact="mailto:us@chat.example", mailbox_messages=7
    )
    answer = await Api().get("server")
    assert answer.status == 200
    assert answer.body.pop("limits")["mailboxMessages"] == 7
    assert answer.body == {
        "name": "Our Place",
        "version": VERSION,
        "registration": "open",
        "registrationWork": None,
        "search": "substring",
        "contact": "mailto:us@chat.example",
        "termsUrl": "",
        "extensions": ["receipts"],
    }
