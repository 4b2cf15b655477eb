"""Sign-ins to the admin, which Django keeps as sessions of browsers."""

from __future__ import annotations

from datetime import datetime

from django.contrib.sessions.models import Session as BrowserSession


def purge_sign_ins(now: datetime, most: int) -> int:
    """Delete up to `most` sign-ins that have expired: Django leaves those of browsers that never came back."""
    expired = BrowserSession.objects.filter(expire_date__lte=now)
    rows = list(expired.order_by("expire_date").values_list("pk", flat=True)[:most])
    return expired.filter(pk__in=rows).delete()[0]
