"""How a view says what it takes and gives, once, for itself and for the OpenAPI schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from construct_site.errors import ERRORS, ErrorCode
from construct_site.rest.payloads import ErrorAnswer, Payload


class Endpoint(APIView):
    """A path and what can be done with it."""

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]


class PublicEndpoint(Endpoint):
    """One for everybody: a token is not looked at."""

    authentication_classes = ()
    permission_classes = ()


Method = Callable[..., Response]

NOT_STORED = {"Cache-Control": "no-store"}
"""For every answer that tells something: no cache keeps it."""
OF_A_REQUEST = (
    ErrorCode.SERVER_ERROR,
    # By construct_site.bounded, before any view.
    ErrorCode.SERVER_BUSY,
)
OF_A_BODY = (
    ErrorCode.INVALID_FORMAT,
    ErrorCode.MESSAGE_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.VALIDATION_FAILED,
)
OF_A_SESSION = (ErrorCode.AUTH_REQUIRED, ErrorCode.INVALID_TOKEN, ErrorCode.ACCOUNT_SUSPENDED)
OF_A_PASSWORD = (ErrorCode.INVALID_CREDENTIALS, ErrorCode.RATE_LIMIT_EXCEEDED)


def describe(
    operation: str,
    *,
    takes: type[Payload] | None = None,
    query: type[Payload] | None = None,
    gives: type[Payload] | None = None,
    status: int = 200,
    errors: Iterable[ErrorCode] = (),
    is_public: bool = False,
) -> Callable[[Method], Method]:
    """Put a view's method into the schema, and have it refuse what it does not take.

    `operation` is its name there; it can end in `errors`, and in those that follow from
    the other arguments. Without `takes` a body has no fields, without `query` a query
    string has none: one that is sent all the same was meant to do something.
    """
    codes = [*errors, *OF_A_REQUEST, *OF_A_BODY]
    codes += () if is_public else OF_A_SESSION
    responses: dict[int, Any] = {status: OpenApiResponse(gives, description="Done.")}
    for http_status, rows in sorted(_by_status(codes).items()):
        responses[http_status] = OpenApiResponse(ErrorAnswer, description=" · ".join(rows))
    tell = extend_schema(
        operation_id=operation,
        request=takes,
        parameters=[query] if query else None,
        responses=responses,
        auth=[] if is_public else None,
    )

    def decorate(method: Method) -> Method:
        @wraps(method)
        def strict(view: APIView, request: Request, **captured: Any) -> Response:
            if takes is None:
                read_body(request, Payload)
            if query is None:
                read_query(request, Payload)
            return method(view, request, **captured)

        return tell(strict)

    return decorate


def _by_status(codes: Iterable[ErrorCode]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        found[ERRORS[code].http_status].append(code.value)
    return found


def read_body(request: Request, kind: type[Payload]) -> dict[str, Any]:
    """The fields of the body by their Python names. Raises the library's errors, which become rows of the table."""
    return _read(kind, request.data)


def read_query(request: Request, kind: type[Payload]) -> dict[str, Any]:
    """The same of the query string, which has each parameter once, as a body has each name."""
    given = request.query_params
    if any(len(values) > 1 for _, values in given.lists()):
        raise ParseError("A query parameter is given twice.")
    return _read(kind, given.dict())


def _read(kind: type[Payload], data: Any) -> dict[str, Any]:
    payload = kind(data=data)
    payload.is_valid(raise_exception=True)
    read: dict[str, Any] = payload.validated_data
    return read


def answer(kind: type[Payload] | None = None, value: object = None, status: int = 200) -> Response:
    """`value` in the form of `kind`; without one, 204. No cache keeps it."""
    if kind is None:
        return Response(status=204, headers=NOT_STORED)
    return Response(kind(value).data, status=status, headers=NOT_STORED)
