"""The endpoints of moderation."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.moderation import reports
from accounts.moderation.rest import payloads
from accounts.rest.authentication import grant_of
from accounts.services import parse_user_id
from construct_site.errors import ErrorCode
from construct_site.limits import RateLimit
from construct_site.rest.endpoints import Endpoint, answer, describe, read_body
from construct_site.rest.paging import PageRequest, read_page


class ReportsView(Endpoint):
    """What the moderators are told."""

    limits: ClassVar = {"POST": RateLimit.REPORTS}

    @describe("listReports", query=PageRequest, gives=payloads.OwnReportsAnswer)
    def get(self, request: Request) -> Response:
        """List the own reports, and what came of each."""
        own = partial(reports.reports_of, grant_of(request).user_id)
        return answer(
            payloads.OwnReportsAnswer, read_page(request).of("reports", own, reports.place_of_report)
        )

    @describe(
        "reportUser",
        takes=payloads.ReportRequest,
        gives=payloads.ReportAnswer,
        status=201,
        errors=(ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.INVALID_USER_ID, ErrorCode.USER_NOT_FOUND),
    )
    def post(self, request: Request) -> Response:
        """Report a user to the moderators. The person does not learn of it.

        While an earlier report about the same user in the same category is open, that one's id is the answer: it
        takes the text in the place of its own, and the messages beside its own.
        """
        asked = read_body(request, payloads.ReportRequest)
        stored = reports.report(
            grant_of(request).user_id,
            parse_user_id(asked["user_id"]),
            asked["category"],
            asked["text"],
            asked["message_ids"],
        )
        return answer(payloads.ReportAnswer, {"id": stored}, status=201)
