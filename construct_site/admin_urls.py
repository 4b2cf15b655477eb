"""HTTP routes of the admin's own listener, and of none but that where it has one."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from construct_site import views
from construct_site.rest import errors

handler400 = errors.bad_request
handler404 = views.not_found
handler500 = errors.server_error
urlpatterns: list[URLPattern | URLResolver] = [path(settings.CONSTRUCT.admin_path, admin.site.urls)]
