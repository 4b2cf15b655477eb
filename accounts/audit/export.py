"""The audit as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator

from django.db.models import QuerySet

from accounts.audit.models import AuditEntry


def lines_after(number: int, *, with_details: bool) -> Iterator[str]:
    """The entries after this one, oldest first; with `with_details` the personal fields that acts changed."""
    rows = AuditEntry.objects.filter(number__gt=number).order_by("number")
    return _lines(rows, with_details=with_details)


def newest_lines(most: int) -> list[str]:
    """The newest entries, oldest first."""
    return list(_lines(AuditEntry.objects.order_by("-number")[:most], with_details=False))[::-1]


def _lines(rows: QuerySet[AuditEntry], *, with_details: bool) -> Iterator[str]:
    for entry in (rows.select_related("details") if with_details else rows).iterator():
        told = {
            "number": entry.number,
            "at": entry.at.isoformat(),
            "actor": entry.actor_kind,
            "actorId": entry.actor_id and str(entry.actor_id),
            "action": entry.action,
            "userId": entry.user_id and str(entry.user_id),
            "target": entry.target,
            "reason": entry.reason,
            "mac": bytes(entry.mac).hex(),
        }
        if with_details:
            told["changes"] = entry.details.changes if hasattr(entry, "details") else None
        # ASCII alone: what people wrote moves no cursor of a terminal.
        yield json.dumps(told)
