"""HTTP routes; the admin's as well, unless it has a listener of its own (:mod:`construct_site.admin_urls`)."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path

from construct_site import admin_urls, views
from construct_site.rest import errors
from construct_site.rest.documentation import DocumentationView, SchemaView

handler400 = errors.bad_request
handler404 = views.not_found
handler500 = errors.server_error
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.index, name="index"),
    path("api/v1/", include("messaging.rest.urls")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocumentationView.as_view()),
    re_path(r"^api(?:/|\Z)", errors.no_such_endpoint),
]
if not settings.CONSTRUCT.admin_listen:
    urlpatterns += admin_urls.urlpatterns
