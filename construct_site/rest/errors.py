"""Every refusal and every fault of a REST endpoint as a row of the error table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from math import ceil
from typing import Any

import structlog
from django.core.exceptions import DisallowedHost
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import add_never_cache_headers
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

from construct_site.errors import ERRORS, ConstructError, ErrorCode
from construct_site.logs import describe_error
from construct_site.notices import FOREIGN_HOST

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID_CHARS = 64
_OF_THE_LIBRARY: tuple[tuple[type[Exception], ErrorCode], ...] = (
    (exceptions.NotAuthenticated, ErrorCode.AUTH_REQUIRED),
    (exceptions.PermissionDenied, ErrorCode.FORBIDDEN),
    (exceptions.MethodNotAllowed, ErrorCode.METHOD_NOT_ALLOWED),
    (exceptions.UnsupportedMediaType, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
    (exceptions.NotFound, ErrorCode.NOT_FOUND),
    (Http404, ErrorCode.NOT_FOUND),
)


def answer_error(error: Exception, context: dict[str, Any]) -> Response:
    """The library's hook for whatever a view raises. Of what none foresaw, the log gets the class."""
    request: HttpRequest = context["request"]
    known = _as_construct_error(error)
    if known is None:
        log.error("request failed", view=type(context["view"]).__name__, error=describe_error(error))
        known = ConstructError(ErrorCode.SERVER_ERROR)
    return Response(body_of(known, request), status=ERRORS[known.code].http_status, headers=headers_of(known))


def _as_construct_error(error: Exception) -> ConstructError | None:
    if isinstance(error, ConstructError):
        return error
    if isinstance(error, exceptions.ValidationError):
        return ConstructError(ErrorCode.VALIDATION_FAILED, fields=_sentences(error.detail))
    if isinstance(error, exceptions.ParseError):
        return ConstructError(ErrorCode.INVALID_FORMAT, str(error.detail))
    for kind, code in _OF_THE_LIBRARY:
        if isinstance(error, kind):
            return ConstructError(code)
    return None


def body_of(error: ConstructError, request: HttpRequest) -> dict[str, Any]:
    """`code`, `message`, `requestId` where the client gave the request one, and what the error carries besides.

    That is `fields` of what is not valid, or the `work` that is asked for.
    """
    body: dict[str, Any] = {"code": error.code.value, "message": error.text}
    if error.fields is not None:
        body["fields"] = error.fields
    if error.challenge is not None:
        body["work"] = asdict(error.challenge)
    request_id = request.headers.get(REQUEST_ID_HEADER, "")
    if 0 < len(request_id) <= REQUEST_ID_CHARS and request_id.isprintable():
        body["requestId"] = request_id
    return body


def headers_of(error: ConstructError) -> dict[str, str]:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    if ERRORS[error.code].http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


@csrf_exempt
def no_such_endpoint(request: HttpRequest) -> JsonResponse:
    """For every path under ``/api/`` that is none, whatever the method."""
    return _answer_outside(ErrorCode.NOT_FOUND, request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before a view is found, a foreign Host for one: a row of the table under ``/api/``."""
    if isinstance(exception, DisallowedHost):
        FOREIGN_HOST.give()
    if _is_of_api(request):
        return _answer_outside(ErrorCode.INVALID_FORMAT, request)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """The same of a fault that no view foresaw. The log gets the class; Django's own line would name the path."""
    if error := sys.exception():
        log.error("request failed", error=describe_error(error))
    if _is_of_api(request):
        return _answer_outside(ErrorCode.SERVER_ERROR, request)
    return defaults.server_error(request)


def _is_of_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _answer_outside(code: ErrorCode, request: HttpRequest) -> JsonResponse:
    response = JsonResponse(body_of(ConstructError(code), request), status=ERRORS[code].http_status)
    add_never_cache_headers(response)
    return response


def _sentences(details: Any) -> dict[str, list[str]]:
    """The library's details by field. What is within a field is told of the field."""
    return {str(name): list(_flat(inner)) for name, inner in details.items()}


def _flat(details: Any) -> Iterator[str]:
    if isinstance(details, str):
        yield str(details)
        return
    for inner in details.values() if isinstance(details, dict) else details:
        yield from _flat(inner)
