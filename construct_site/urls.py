"""HTTP routes."""

from django.contrib import admin
from django.urls import include, path, re_path

from construct_site import views
from construct_site.rest import errors
from construct_site.rest.documentation import DocumentationView, SchemaView

handler400 = errors.bad_request
handler404 = views.not_found
handler500 = errors.server_error
urlpatterns = [
    path("", views.index, name="index"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("messaging.rest.urls")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocumentationView.as_view()),
    re_path(r"^api(?:/|\Z)", errors.no_such_endpoint),
]
