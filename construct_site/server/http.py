"""Daphne's HTTP request with a limit on its body, which Twisted would otherwise store whole."""

from __future__ import annotations

import json

from daphne.http_protocol import WebRequest
from django.conf import settings

from construct_site.errors import ERRORS, ErrorCode


class LimitedWebRequest(WebRequest):  # type: ignore[misc] # daphne carries no types
    """Refuses bodies over ``CONSTRUCT_REQUEST_BODY_BYTES`` with 413, before they are read where a length is given."""

    # Daphne's page of its own errors names Daphne.
    error_template = (
        "<!doctype html><html lang='en'><title>%(title)s</title><h1>%(title)s</h1><p>%(body)s</p></html>"
    )
    _is_refused = False
    _body_bytes = 0

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        super().gotLength(length)
        if length is not None and length > settings.CONSTRUCT.request_body_bytes:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._body_bytes += len(data)
        if self._body_bytes > settings.CONSTRUCT.request_body_bytes:
            self._refuse()
        if not self._is_refused:
            super().handleContentChunk(data)

    def process(self) -> None:
        # Daphne lets any client set the application's root path by this header.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        if not self._is_refused:
            super().process()

    def _refuse(self) -> None:
        if self._is_refused:
            return
        self._is_refused = True
        row = ERRORS[ErrorCode.MESSAGE_TOO_LARGE]
        body = json.dumps({"code": ErrorCode.MESSAGE_TOO_LARGE.value, "message": row.text}).encode()
        self.channel.transport.write(
            b"HTTP/1.1 %d Content Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (row.http_status, len(body), body)
        )
        self.channel.transport.loseConnection()
