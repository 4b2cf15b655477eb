"""The ASGI application: HTTP to Django or health, the socket to the consumer, start and end to the node.

Refuses to load where :mod:`construct_site.checks` or an app finds the configuration unsafe
or unusable, whichever server loads it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "construct_site.settings")

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port, validate_host

django_application = get_asgi_application()

from accounts.peers import Peer  # noqa: E402 - the apps are loaded now
from construct_site import checks  # noqa: E402
from construct_site.admin_path import ADMIN_EXTENSION  # noqa: E402
from construct_site.bounded import Bounded  # noqa: E402
from construct_site.health import LIVE_PATH, READY_PATH, Health  # noqa: E402
from construct_site.server import sole  # noqa: E402
from messaging.consumer import ConstructConsumer  # noqa: E402
from messaging.node import get_node  # noqa: E402

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SOCKET_PATHS = frozenset({"/", "/ws", "/ws/"})


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Whoever asks for health is answered before Django: also under a foreign Host, and with no thread free."""
    # The admin's own listener serves the admin alone.
    is_health = scope["path"] in (LIVE_PATH, READY_PATH) and ADMIN_EXTENSION not in scope.get(
        "extensions", {}
    )
    answer = health if is_health else pages
    await answer(scope, receive, send)


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand the handshake to the consumer, or refuse it (HTTP 403) for another path or a foreign web page."""
    if scope["path"] in SOCKET_PATHS and is_allowed_origin(scope["headers"]):
        await ConstructConsumer()(scope, receive, send)
    else:
        await receive()
        await send({"type": "websocket.close"})


def is_allowed_origin(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the page that opens the socket may.

    Clients outside a browser send no Origin; a browser's must be one of our hosts
    or of the configured origins. The socket uses no cookies; this keeps foreign
    pages from spending their visitors' addresses on it.
    """
    for name, value in headers:
        if name == b"origin":
            return _is_our_page(value.decode("latin-1").lower())
    return True


def _is_our_page(origin: str) -> bool:
    """`origin` is in lower case: scheme and host are compared ignoring case (RFC 6454 section 4)."""
    if origin in (each.lower() for each in settings.CONSTRUCT.origins):
        return True
    scheme, _, authority = origin.partition("://")
    host, _ = split_domain_port(authority)
    return scheme in ("http", "https") and bool(host) and validate_host(host, settings.ALLOWED_HOSTS)


async def lifespan(_scope: Scope, receive: Receive, send: Send) -> None:
    """Make the node when the server starts, close it when the server ends."""
    await receive()
    node = get_node()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await health.close()
    await node.close()
    await send({"type": "lifespan.shutdown.complete"})


checks.refuse_unsafe(settings.CONSTRUCT)
checks.refuse_unusable_parts()
if settings.CONSTRUCT.production and not settings.CONSTRUCT.redis_url and not sole.is_held():
    raise ImproperlyConfigured(
        "Without REDIS_URL production is served by `manage.py serve`: it lets one process in."
    )
health = Health()
pages = Bounded(
    django_application,
    most=settings.CONSTRUCT.http_requests,
    waiting=settings.CONSTRUCT.http_requests_waiting,
    address_of=lambda scope: Peer.from_scope(scope).address,
)
application = ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})
