"""Daphne's HTTP, made strict: what another server on the way could read otherwise is refused, and nobody dawdles.

Each refusal here is a row of the error table, in JSON, and the end of the connection.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from daphne.http_protocol import WebRequest
from django.conf import settings
from twisted.web.http import HTTPChannel

from construct_site.errors import ERRORS, ErrorCode
from construct_site.plain_answers import error_content

_PHRASES = {each.value: each.phrase.encode() for each in HTTPStatus}


class LimitedChannel(HTTPChannel):
    """One connection. A request on it arrives within ``CONSTRUCT_HTTP_ARRIVAL_S`` of its first line.

    So does a first line after the connection was made, or after the answer before.
    """

    def resetTimeout(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing: Twisted counts anew with each byte, and one a minute would keep a connection for ever."""

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802 - Twisted's signature
        """Twisted would close without a word."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 - Twisted's name
        _refuse(self, ErrorCode.INVALID_FORMAT)


class LimitedWebRequest(WebRequest):  # type: ignore[misc] # daphne carries no types
    """Refuses bodies over ``CONSTRUCT_REQUEST_BODY_BYTES`` with 413, before they are read where a length is given.

    And requests of more than one reading: see :meth:`_fault`.
    """

    # Daphne's page of its own errors names Daphne.
    error_template = (
        "<!doctype html><html lang='en'><title>%(title)s</title><h1>%(title)s</h1><p>%(body)s</p></html>"
    )
    _is_refused = False
    _body_bytes = 0

    uri: bytes
    path: bytes

    def __init__(self, channel: LimitedChannel, *args: Any) -> None:
        # Twisted would read a form for itself, in the event loop: one of 1 MiB held up everybody for 0.5 s.
        super().__init__(channel, *args, parsePOSTFormSubmission=False)
        channel.setTimeout(settings.CONSTRUCT.http_arrival_s)  # type: ignore[no-untyped-call]

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        super().gotLength(length)
        if length is not None and length > settings.CONSTRUCT.request_body_bytes:
            self._refuse(ErrorCode.MESSAGE_TOO_LARGE)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._body_bytes += len(data)
        if self._body_bytes > settings.CONSTRUCT.request_body_bytes:
            self._refuse(ErrorCode.MESSAGE_TOO_LARGE)
        if not self._is_refused:
            super().handleContentChunk(data)

    def process(self) -> None:
        # Daphne lets any client set the application's root path by this header.
        self.requestHeaders.removeHeader(b"daphne-root-path")
        if fault := self._fault():
            self._refuse(fault)
        if not self._is_refused:
            self._tell_length()
            super().process()

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:  # noqa: N802 - Twisted's name
        """Twisted knows no phrase for 422 and some others."""
        super().setResponseCode(code, message or _PHRASES.get(code))

    def _fault(self) -> ErrorCode | None:
        """What is wrong with the head of the request, beyond what Twisted finds. Takes the absolute form of a target.

        A proxy in front and the application here must see the same request. So a method
        is in upper case (Django would read ``get`` as GET), HTTP/1.1 has one Host, a
        body's encoding is ``chunked`` said once (RFC 9112 sections 3.2 and 6.1), and a
        path holds no slash in disguise.
        """
        hosts = self.requestHeaders.getRawHeaders(b"host", [])
        encodings = self.requestHeaders.getRawHeaders(b"transfer-encoding", [])
        is_old = self.clientproto == b"HTTP/1.0"
        if len(hosts) > 1 or not (hosts or is_old):
            return ErrorCode.INVALID_FORMAT
        if encodings and (is_old or [each.lower() for each in encodings] != [b"chunked"]):
            return ErrorCode.INVALID_FORMAT
        self._take_absolute_form()
        if not self.method.isupper() or not self.path.startswith(b"/"):
            return ErrorCode.INVALID_FORMAT
        return ErrorCode.NOT_FOUND if b"%2f" in self.path.lower() else None

    def _take_absolute_form(self) -> None:
        """``GET http://host/path`` asks that host for the path, whatever Host says (RFC 9112 section 3.2.2)."""
        scheme, separator, rest = self.uri.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            host, _, path = rest.partition(b"/")
            self.uri = b"/" + path
            self.path = self.uri.partition(b"?")[0]
            self.requestHeaders.setRawHeaders(b"host", [host])

    def _tell_length(self) -> None:
        """Of a body that came in chunks, now that it is here: the REST framework reads none of unknown length."""
        if self.requestHeaders.hasHeader(b"transfer-encoding"):
            self.requestHeaders.removeHeader(b"transfer-encoding")
            self.requestHeaders.setRawHeaders(b"content-length", [b"%d" % self._body_bytes])

    def _refuse(self, code: ErrorCode) -> None:
        if not self._is_refused:
            self._is_refused = True
            # Twisted would still write "100 Continue" behind the refusal.
            self.requestHeaders.removeHeader(b"expect")
            _refuse(self.channel, code)


class AdminWebRequest(LimitedWebRequest):
    """A request at the admin's own listener, which has no socket."""

    def process(self) -> None:
        self.requestHeaders.removeHeader(b"upgrade")
        super().process()


def _refuse(channel: Any, code: ErrorCode) -> None:
    status, body = ERRORS[code].http_status, error_content(code)
    channel.transport.write(
        b"HTTP/1.1 %d %b\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (status, _PHRASES[status], len(body), body)
    )
    channel.loseConnection()
