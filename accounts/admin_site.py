"""The admin's site: passwords are checked, judged and changed by the services, and a second factor is asked for."""

from __future__ import annotations

from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.contrib.auth import REDIRECT_FIELD_NAME, SESSION_KEY
from django.contrib.auth.views import PasswordChangeView
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from unfold.forms import AdminOwnPasswordChangeForm
from unfold.sites import UnfoldAdminSite

from accounts.audit.chain import Actor
from accounts.authentication import change_password
from accounts.desk import acts
from accounts.desk.dashboard import figure_page
from accounts.desk.settings_page import settings_page
from accounts.desk.sign_in import StaffSignInForm, is_current, peer_of
from accounts.desk.tools import tool_page
from accounts.models import User
from accounts.peers import Peer
from accounts.second_factor.services import record_sign_in, standing_of
from accounts.second_factor.views import EnrolView, StatusView, VerifyView
from construct_site.errors import ConstructError, ErrorCode

_COMPLETE = "construct_complete"
"""Of a request: whose sign-in was found complete."""


class StaffPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc] # unfold carries no types
    """Django's form. The service judges and changes at once, so a valid form has changed the password."""

    user: User

    def __init__(self, *args: Any, peer: Peer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._peer = peer

    def clean_old_password(self) -> str:
        """Django's looks at it here, as often as one likes."""
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            replace = partial(acts.change_password, Actor.staff(self.user.pk), reason="Their own, here.")
            try:
                async_to_sync(change_password)(
                    self.user.username,
                    cleaned["old_password"],
                    cleaned["new_password1"],
                    self._peer,
                    kept=None,
                    replace=replace,
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
        return {**super().get_form_kwargs(), "peer": peer_of(self.request)}


class StaffAdminSite(UnfoldAdminSite):  # type: ignore[misc] # unfold carries no types
    """Open to staff whose sign-in is current and complete: the password, and the second factor where one is needed."""

    index_title = "Dashboard"
    login_form = StaffSignInForm

    def extra_urls(self) -> list[URLPattern]:
        pages = (
            ("second-factor/", StatusView, "second_factor"),
            ("second-factor/set-up/", EnrolView, "second_factor_enrol"),
            ("second-factor/verify/", VerifyView, "second_factor_verify"),
        )
        urls = [path(route, view.as_view(site=self), name=name) for route, view, name in pages]
        shown = self.admin_view(partial(settings_page, site=self))
        figure = self.admin_view(partial(figure_page, site=self))
        return [
            *urls,
            path("settings/", shown, name="settings"),
            path("figures/<slug:metric>/", figure, name="figure"),
            path("tools/<slug:name>/", self.admin_view(partial(tool_page, site=self)), name="tool"),
        ]

    def gave_password(self, request: HttpRequest) -> bool:
        """Whether this browser's sign-in is one of staff, and current. More may be asked for."""
        if super().has_permission(request):
            return is_current(request)
        # Of somebody who was suspended meanwhile, say: it must not come back when that is over.
        if SESSION_KEY in request.session:
            request.session.flush()
        return False

    def has_permission(self, request: HttpRequest) -> bool:
        if not self.gave_password(request):
            return False
        user = cast("User", request.user)
        # Asked several times for each page.
        if vars(request).get(_COMPLETE) == user.pk:
            return True
        is_verified = getattr(user, "otp_device", None) is not None
        if is_complete := is_verified or not standing_of(user.pk).is_required:
            vars(request)[_COMPLETE] = user.pk
        return is_complete

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        if request.method == "GET" and self.gave_password(request) and not self.has_permission(request):
            asked = "verify" if standing_of(cast("User", request.user).pk).has_one else "enrol"
            address = reverse(f"admin:second_factor_{asked}", current_app=self.name)
            following = request.GET.get(REDIRECT_FIELD_NAME)
            query = f"?{urlencode({REDIRECT_FIELD_NAME: following})}" if following else ""
            return HttpResponseRedirect(address + query)
        answer = cast("HttpResponseBase", super().login(request, extra_context))
        is_signed_in = request.method == "POST" and isinstance(answer, HttpResponseRedirect)
        if is_signed_in and self.has_permission(request):
            record_sign_in(cast("User", request.user).pk)
        return answer

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Unfold's search of the sidebar. It takes any text for the number of a page."""
        try:
            return cast("HttpResponseBase", super().search(request, extra_context))
        except InvalidPage:
            raise Http404 from None

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
