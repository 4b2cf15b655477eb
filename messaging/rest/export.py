"""The endpoint of :mod:`messaging.export`."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rest.authentication import grant_of, peer_of
from construct_site.errors import ErrorCode
from construct_site.rest.endpoints import NOT_STORED, OF_A_PASSWORD, Endpoint, describe, read_body
from construct_site.rest.payloads import Payload, Text
from messaging.export import ExportAnswer, export_account

FILE_NAME = "construct-export.json"


class ExportRequest(Payload):
    """The password, again."""

    password = Text()


class ExportView(Endpoint):
    """Everything that is stored about the account."""

    @describe(
        "exportAccount",
        takes=ExportRequest,
        gives=ExportAnswer,
        errors=[*OF_A_PASSWORD, ErrorCode.USER_NOT_FOUND],
    )
    def post(self, request: Request) -> Response:
        """Export everything that is stored about the account, as one JSON file."""
        asked = read_body(request, ExportRequest)
        exported = async_to_sync(export_account)(grant_of(request), asked["password"], peer_of(request))
        headers = {**NOT_STORED, "Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
        return Response(exported, headers=headers)
