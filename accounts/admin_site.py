"""The admin's site: Django's, with passwords judged and changed by the services."""

from __future__ import annotations

from typing import Any, cast

from asgiref.sync import async_to_sync
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse

from accounts.authentication import change_password
from accounts.models import User
from accounts.peers import Peer
from construct_site.errors import ConstructError, ErrorCode


class StaffPasswordForm(AdminPasswordChangeForm):
    """Django's form. The service judges and changes at once, so a valid form has changed the password."""

    user: User

    def __init__(self, *args: Any, peer: Peer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._peer = peer

    def clean_old_password(self) -> str:
        """Django's looks at it here, as often as one likes."""
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                async_to_sync(change_password)(
                    self.user.username,
                    cleaned["old_password"],
                    cleaned["new_password1"],
                    self._peer,
                    kept=None,
                )
            except ConstructError as error:
                # The page shows the errors of fields alone.
                is_new = error.code is ErrorCode.WEAK_PASSWORD
                self.add_error("new_password1" if is_new else "old_password", error.text)
        return cleaned

    def save(self, commit: bool = True) -> User:  # noqa: ARG002 - Django's signature
        self.user.refresh_from_db()
        return self.user


class StaffPasswordView(PasswordChangeView):
    form_class = StaffPasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        # A request that comes another way than by ASGI (Django's test client's) tells nothing of its peer.
        scope = getattr(self.request, "scope", {})
        return {**super().get_form_kwargs(), "peer": Peer.from_scope(scope)}


class StaffAdminSite(AdminSite):
    site_header = site_title = "Construct"
    index_title = "Administration"

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Django's but for its redirect to the page of any object (`view_on_site`): nothing here has one."""
        return [each for each in super().get_urls() if getattr(each, "name", None) != "view_on_site"]

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The staff member's own password. All their sessions on the wire end; this browser stays signed in."""
        view = StaffPasswordView.as_view(
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return cast("TemplateResponse", view(request))
