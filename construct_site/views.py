"""The few pages of the server itself."""

from __future__ import annotations

import tomllib

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from construct_site.env import DEFAULT_ADMIN_PATH, REPOSITORY

_PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION: str = _PROJECT["version"]
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """What this server is and where its socket is."""
    # In production TLS ends at the proxy: the request that arrives here is never secure itself.
    scheme = "wss" if settings.CONSTRUCT.production or request.is_secure() else "ws"
    facts = {
        "socket": f"{scheme}://{request.get_host()}/",
        "version": VERSION,
        # Who moved the admin elsewhere does not want it told.
        "shows_admin": settings.CONSTRUCT.admin_path == DEFAULT_ADMIN_PATH
        and not settings.CONSTRUCT.admin_listen,
    }
    return _page(render(request, "index.html", facts))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Says nothing about which addresses there are."""
    return _page(render(request, "404.html", status=404))


def _page(response: HttpResponse) -> HttpResponse:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
