"""JSON bodies, read as strictly as the socket reads its frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import msgspec
from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from construct_site.errors import ConstructError, ErrorCode


class JsonParser(BaseParser):
    """JSON (RFC 8259) of one object. Refuses invalid UTF-8, lone surrogates, ``NaN``, trailing text, a name twice."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - the library's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Raises ``ParseError``, and ``ConstructError(MESSAGE_TOO_LARGE)`` where the server itself takes more."""
        most = settings.CONSTRUCT.request_body_bytes
        body = stream.read(most + 1)
        if len(body) > most:
            raise ConstructError(ErrorCode.MESSAGE_TOO_LARGE)
        try:
            # msgspec is strict about everything but names, of which it takes the last.
            msgspec.json.decode(body)
            decoded = json.loads(body, object_pairs_hook=_with_each_name_once)
        except (ValueError, RecursionError):
            raise ParseError("The body is not JSON, or has a name twice.") from None
        if not isinstance(decoded, dict):
            raise ParseError("The body is one JSON object.")
        return decoded


def _with_each_name_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) < len(members):
        raise ValueError
    return named


class AlwaysJson(BaseContentNegotiation):
    """Whatever a client says that it accepts, it gets the one form there is."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser for the body's content type; None if there is none, or the body is packed."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return None
        wanted = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - the library's signature
        renderers: Any,
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        renderer: BaseRenderer = renderers[0]
        return renderer, renderer.media_type or ""
