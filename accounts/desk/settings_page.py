"""The configuration in force, for operators to read. Secrets are told to be set or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse

from accounts.desk.permissions import May
from accounts.desk.tools import tools_for
from construct_site.env import values

if TYPE_CHECKING:
    from accounts.admin_site import StaffAdminSite


def settings_page(request: HttpRequest, site: StaffAdminSite) -> TemplateResponse:
    if not request.user.has_perm(May.VIEW_SETTINGS):
        raise PermissionDenied
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Settings",
        # Every second part of a text is code.
        "rows": [(variable, value, text.split("`")) for variable, value, text in values(settings.CONSTRUCT)],
        "tools": tools_for(request),
    }
    return TemplateResponse(request, "desk/settings.html", context)
