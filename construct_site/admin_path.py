"""Where the admin is served, and under which policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from servestatic.middleware import ServeStaticMiddleware

ADMIN_EXTENSION = "construct.admin"
"""In the scope of a request that came to the admin's own listener."""
CONTENT_SECURITY_POLICY = (
    # Alpine, which unfold's pages run on, makes functions of the expressions in its attributes: unsafe-eval.
    "default-src 'none'; script-src 'self' 'unsafe-eval'; "
    # The colours stand in the page, and Alpine writes style attributes.
    "style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    # `no-referrer` makes browsers post forms with `Origin: null`, which the CSRF check refuses.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

PUBLIC_FILES = ("/static/construct_site/", "/static/drf_spectacular_sidecar/")
"""What the pages beside the admin need. The other files are the admin's, and served where it is."""

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class AdminMiddleware:
    """Everything below the admin's path has :data:`HEADERS`; at the admin's own listener nothing else is served."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        if is_at_own_listener(request):
            request.urlconf = "construct_site.admin_urls"
        if iscoroutinefunction(self._get_response):
            return self._answer(request)
        return _with_headers(request, cast("HttpResponseBase", self._get_response(request)))

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        return _with_headers(request, await cast("Awaitable[HttpResponseBase]", self._get_response(request)))


class FilesMiddleware(ServeStaticMiddleware):  # type: ignore[misc] # it carries no types
    """Serves static files; without those of the admin where the admin is not."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_served = is_admin_served(request) or request.path_info.startswith(PUBLIC_FILES)
        answer = await (super().__call__(request) if is_served else self.get_response(request))
        return cast("HttpResponseBase", answer)


def is_admin_served(request: HttpRequest) -> bool:
    return not settings.CONSTRUCT.admin_listen or is_at_own_listener(request)


def is_at_own_listener(request: HttpRequest) -> bool:
    return ADMIN_EXTENSION in getattr(request, "scope", {}).get("extensions", {})


def _with_headers(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    # Where the admin is not, nothing tells its path from any other.
    if is_admin_served(request) and f"{request.path_info}/".startswith(f"/{settings.CONSTRUCT.admin_path}"):
        for name, value in HEADERS.items():
            answer.headers[name] = value
    return answer
