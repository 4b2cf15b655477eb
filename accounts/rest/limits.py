"""The limits of :mod:`construct_site.limits` on REST requests, declared by the view as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.judgement import admit
from accounts.rest.authentication import grant_of
from construct_site.limits import RateLimit, get_limiter

if TYPE_CHECKING:
    # The library's views import this module, which the settings name.
    from rest_framework.views import APIView


class UserLimit(BaseThrottle):
    """Counts a request for its user under ``view.limits[method]``, where the view has such a row; HEAD is GET's.

    Raises ``ConstructError``: RATE_LIMIT_EXCEEDED, and what the policy refuses with. Services count the
    other limits themselves.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        limits: dict[str, RateLimit] = getattr(view, "limits", {})
        # HEAD runs the same code as GET, and its status tells as much.
        method = "GET" if request.method == "HEAD" else request.method or ""
        if limit := limits.get(method):
            async_to_sync(_hit)(limit, request)
        return True


async def _hit(limit: RateLimit, request: Request) -> None:
    await admit(get_limiter(), limit, grant_of(request).account)
