"""Pages of the second factor. Each is for who gave the password; that more is asked for first, is the site's matter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil
from typing import TYPE_CHECKING, Any, cast

import segno
from django import forms
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView
from django_otp import login as remember_device
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import User
from accounts.second_factor import services
from accounts.second_factor.models import Authenticator

if TYPE_CHECKING:
    from accounts.admin_site import StaffAdminSite

    CodeFormView = FormView["CodeForm"]
else:
    CodeFormView = FormView
_QR_SCALE = 5


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=64,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}
        ),
    )

    def clean_code(self) -> str:
        """Apps show the digits in groups."""
        return "".join(self.cleaned_data["code"].split())


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class _CodeView(ABC, RedirectURLMixin, CodeFormView):
    """Takes one code. Who did not give the password is sent to do that."""

    form_class = CodeForm
    title = ""
    site: StaffAdminSite = cast("StaffAdminSite", None)

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.site.gave_password(request):
            return HttpResponseRedirect(reverse("admin:login"))
        return self.reroute() or super().dispatch(request, *args, **kwargs)

    def reroute(self) -> HttpResponse | None:
        """Where to, instead of this page."""
        return None

    @property
    def user(self) -> User:
        return cast("User", self.request.user)

    @abstractmethod
    def take(self, code: str) -> HttpResponse:
        """What follows a right code. Raises :class:`~accounts.second_factor.services.WrongCode`."""

    def form_valid(self, form: CodeForm) -> HttpResponse:
        try:
            return self.take(form.cleaned_data["code"])
        except services.WrongCode as error:
            form.add_error("code", _told(error))
            return self.form_invalid(form)

    def get_default_redirect_url(self) -> str:
        return reverse("admin:index")

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        following = {self.redirect_field_name: self.get_redirect_url()}
        return super().get_context_data(
            **{
                **self.site.each_context(self.request),
                "title": self.title,
                "next": following["next"],
                **context,
            }
        )

    def verified(self, authenticator: Authenticator) -> None:
        # As after a password: who knew the cookie of before does not get in with it.
        self.request.session.cycle_key()
        remember_device(self.request, authenticator)

    def codes_page(self, codes: list[str], following: str) -> HttpResponse:
        context = {
            **self.site.each_context(self.request),
            "title": "Recovery codes",
            "codes": codes,
            "following": following,
        }
        return TemplateResponse(self.request, "second_factor/codes.html", context)


class VerifyView(_CodeView):
    """At each sign-in of who has a second factor."""

    template_name = "second_factor/verify.html"
    title = "Second factor"

    def reroute(self) -> HttpResponse | None:
        if self.site.has_permission(self.request):
            return HttpResponseRedirect(self.get_success_url())
        has_one = services.standing_of(self.user.pk).has_one
        return None if has_one else HttpResponseRedirect(reverse("admin:second_factor_enrol"))

    def take(self, code: str) -> HttpResponse:
        self.verified(services.check(self.user, code))
        services.record_sign_in(self.user.pk)
        return HttpResponseRedirect(self.get_success_url())


class EnrolView(_CodeView):
    """Shows a secret, until a code made from it comes back."""

    template_name = "second_factor/enrol.html"
    title = "Set up a second factor"

    def reroute(self) -> HttpResponse | None:
        has_one = services.standing_of(self.user.pk).has_one
        return HttpResponseRedirect(reverse("admin:second_factor")) if has_one else None

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        authenticator = services.begin(self.user)
        text = authenticator.secret_text()
        groups = " ".join(text[start : start + 4] for start in range(0, len(text), 4))
        return super().get_context_data(picture=_picture(authenticator.address()), secret=groups, **context)

    def take(self, code: str) -> HttpResponse:
        was_in = self.site.has_permission(self.request)
        codes = services.confirm(self.user, code)
        self.verified(self.user.authenticator)
        if not was_in:
            services.record_sign_in(self.user.pk)
        return self.codes_page(codes, self.get_success_url())


class StatusView(_CodeView):
    """Whether the staff member has one; fresh recovery codes for a code."""

    template_name = "second_factor/status.html"
    title = "Second factor"

    def reroute(self) -> HttpResponse | None:
        if not services.standing_of(self.user.pk).has_one:
            return HttpResponseRedirect(reverse("admin:second_factor_enrol"))
        if not self.site.has_permission(self.request):
            return HttpResponseRedirect(reverse("admin:second_factor_verify"))
        return None

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(
            confirmed_at=self.user.authenticator.confirmed_at,
            codes_left=services.recovery_codes_left(self.user.pk),
            **context,
        )

    def take(self, code: str) -> HttpResponse:
        codes = services.renew_recovery_codes(self.user, code)
        return self.codes_page(codes, reverse("admin:second_factor"))


def _told(error: services.WrongCode) -> str:
    wait_s = (error.open_at - timezone.now()).total_seconds() if error.open_at else 0
    if wait_s > 0:
        return (
            "This is no valid code, or it came too soon after a wrong one. "
            f"The next one is looked at in {ceil(wait_s)} s."
        )
    return "This is no valid code. Each code is taken once."


def _picture(address: str) -> str:
    """SVG as a ``data:`` address, within the page: no other server and no file learns the secret."""
    drawn = segno.make(address, micro=False)
    return str(drawn.svg_data_uri(scale=_QR_SCALE, light="white", dark="black"))
