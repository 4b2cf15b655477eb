"""The forms of acts: each asks for a reason. What is judged here is judged by the services again."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    DATETIME_CLASSES,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.audit.models import REASON_CHARS
from accounts.models import (
    AVATAR_URL_CHARS,
    BIO_CHARS,
    DISPLAY_NAME_CHARS,
    INVITE_DAYS_MAX,
    INVITE_NOTE_CHARS,
    INVITE_USES_MAX,
    NOTE_CHARS,
    PUBLIC_REASON_CHARS,
    USERNAME_CHARS,
)

_DAYS = {
    "1": "1 day",
    "3": "3 days",
    "7": "7 days",
    "30": "30 days",
    "90": "90 days",
    "": "until it is lifted",
}
_LONGEST = timedelta(days=36_500)
"""Of a suspension: later ends stand where calendars end."""


def reason_field() -> forms.CharField:
    return forms.CharField(
        max_length=REASON_CHARS,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="For the staff and the audit; the account's owner does not see it.",
    )


class ReasonForm(forms.Form):
    """A reason, for the staff and the audit."""

    reason = reason_field()


class SuspensionForm(ReasonForm):
    days = forms.ChoiceField(
        label="For", choices=list(_DAYS.items()), required=False, widget=UnfoldAdminSelectWidget
    )
    ends_at = forms.DateTimeField(
        label="Or until",
        required=False,
        widget=forms.DateTimeInput(
            {"type": "datetime-local", "class": " ".join(DATETIME_CLASSES)}, format="%Y-%m-%dT%H:%M"
        ),
        help_text="A date and time in UTC. It takes the place of the choice above.",
        error_messages={"invalid": "Give a date and a time in UTC, as 2030-01-31T18:00."},
    )
    public_reason = forms.CharField(
        max_length=PUBLIC_REASON_CHARS,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The account's owner is told this, and the end.",
    )
    field_order = ("days", "ends_at", "public_reason", "reason")

    def clean_ends_at(self) -> datetime | None:
        ends_at: datetime | None = self.cleaned_data["ends_at"]
        now = timezone.now()
        if ends_at is not None and ends_at <= now:
            raise forms.ValidationError("This time is over already.")
        if ends_at is not None and ends_at > now + _LONGEST:
            raise forms.ValidationError(
                "This is more than 100 years away: leave it empty, and lift it one day."
            )
        return ends_at

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        days = cleaned.pop("days", "")
        if days and not cleaned.get("ends_at"):
            cleaned["ends_at"] = timezone.now() + timedelta(days=int(days))
        return cleaned


class RenamingForm(ReasonForm):
    username = forms.CharField(
        label="New username", max_length=USERNAME_CHARS, widget=UnfoldAdminTextInputWidget
    )
    field_order = ("username", "reason")


class ProfileForm(ReasonForm):
    display_name = forms.CharField(max_length=DISPLAY_NAME_CHARS, widget=UnfoldAdminTextInputWidget)
    bio = forms.CharField(
        max_length=BIO_CHARS, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    avatar_url = forms.CharField(
        label="Avatar URL", max_length=AVATAR_URL_CHARS, required=False, widget=UnfoldAdminTextInputWidget
    )
    field_order = ("display_name", "bio", "avatar_url", "reason")


class InviteForm(forms.Form):
    uses = forms.IntegerField(
        min_value=1, max_value=INVITE_USES_MAX, initial=1, widget=UnfoldAdminIntegerFieldWidget
    )
    days = forms.IntegerField(
        min_value=1, max_value=INVITE_DAYS_MAX, initial=7, widget=UnfoldAdminIntegerFieldWidget
    )
    note = forms.CharField(
        max_length=INVITE_NOTE_CHARS,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="For whom it is made.",
    )
    once = forms.CharField(max_length=64, initial=secrets.token_hex, widget=forms.HiddenInput)
    """Of this form: to send it again, by reloading the page that answered, makes no other invite."""


class LimitsForm(ReasonForm):
    messages_per_hour = forms.IntegerField(
        min_value=0,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: the server's limit. 0: the account may not send.",
    )
    field_order = ("messages_per_hour", "reason")


class NoteForm(forms.Form):
    """A note about an account, for the staff."""

    text = forms.CharField(max_length=NOTE_CHARS, widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}))
