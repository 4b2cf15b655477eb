"""What a user's page in the admin shows of their keys: ages and counts, no key material."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse

from accounts.desk.pages import shown_time
from accounts.desk.registry import Link, Panel, register_panel
from keys.models import PrekeyBundle


def _bundle(user_id: UUID) -> Panel:
    bundle = PrekeyBundle.objects.filter(user=user_id).first()
    columns = ("Made", "Prekey rotated", "Stale", "Prekeys retired", "Bundles replaced")
    if bundle is None:
        return Panel("Keys", columns, [])
    row = (
        shown_time(bundle.created_at),
        shown_time(bundle.rotated_at),
        "yes" if bundle.is_stale else "no",
        bundle.retired_prekeys.count(),
        bundle.retired_identities.count(),
    )
    return Panel(
        "Keys", columns, [row], Link("Page", reverse("admin:keys_prekeybundle_change", args=[user_id]))
    )


def register() -> None:
    register_panel(40, "keys.view_prekeybundle", _bundle)
