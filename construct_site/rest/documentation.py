"""The OpenAPI schema, and the page on which it is browsed."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response

from construct_site.rest.endpoints import PublicEndpoint, read_query
from construct_site.rest.payloads import Payload


class SchemaView(PublicEndpoint):
    """The schema, the same for everybody: made once a process, because it takes 0.1 s in which nothing else is done."""

    http_method_names = ["get", "head"]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        read_query(request, Payload)
        return HttpResponse(_schema(), content_type=OpenApiJsonRenderer.media_type)


@cache
def _schema() -> bytes:
    described = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call] # upstream
    rendered: bytes = OpenApiJsonRenderer().render(described, renderer_context={})
    return rendered


class DocumentationView(SpectacularSwaggerView):
    """Swagger UI on the schema of :mod:`construct_site.urls`, with scripts of this server alone. It sets no cookie."""

    url_name = "schema"
    http_method_names = ["get", "head"]

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call] # untyped upstream
        # The page would hold a CSRF token, and set its cookie beside the admin's: no endpoint looks at either.
        response.data["csrf_token"] = ""
        return response
