"""What a user's page in the admin shows and offers of the mailbox: how much waits, never what."""

from __future__ import annotations

import json
from uuid import UUID

from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import Actor, append
from accounts.desk.acts import announce, check_may_touch, checked_reason
from accounts.desk.pages import shown_time
from accounts.desk.permissions import May
from accounts.desk.registry import Panel, UserAct, register_act, register_panel
from accounts.desk.tools import Tool, file_of, register_tool
from keys.services import hold_bundle
from messaging.export import export_user
from messaging.housekeeping import purge
from messaging.mailbox import decisions
from messaging.mailbox.store import get_store


def clear_mailbox(actor: Actor, user_id: UUID, *, reason: str) -> int:
    """Drop what waits for the user. Returns how many messages.

    A dropped message is like a confirmed one: sent again, it is acked and not delivered. What a
    live connection was handed or rung for by then may still come there. Raises as :mod:`accounts.desk.acts`.
    """
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.CLEAR_MAILBOX)
        hold_bundle(user_id)
        dropped = decisions.drop(user_id, timezone.now())
        append(actor, Action.CLEAR_MAILBOX, user_id=user_id, target=f"{dropped} messages", reason=reason)
    return dropped


def _mailbox(user_id: UUID) -> Panel:
    messages, size, oldest = get_store().count(user_id)
    rows = [(messages, size, shown_time(oldest))] if messages else []
    return Panel("Mailbox", ("Messages that wait", "Bytes", "Oldest"), rows)


def _export(actor: Actor, user_id: UUID, *, reason: str) -> HttpResponse:
    check_may_touch(actor, user_id, Action.EXPORT_USER, is_held=False)
    announce(actor, Action.EXPORT_USER, user_id=user_id, reason=reason)
    exported = export_user(user_id, is_for_owner=False, reader_id=actor.id)
    return file_of(json.dumps(exported, indent=2), f"{user_id}.json", "application/json")


def _purge(actor: Actor, reason: str) -> str:
    announce(actor, Action.PURGE, reason=reason)
    return f"{purge(timezone.now())} rows deleted."


def register() -> None:
    register_panel(50, "accounts.view_user", _mailbox)
    register_act(
        UserAct(
            "clear-mailbox",
            "Clear the mailbox",
            "The messages that wait for the account are dropped, and are not delivered if they are sent again.",
            Action.CLEAR_MAILBOX,
            May.CLEAR_MAILBOX,
            clear_mailbox,
        )
    )
    register_act(
        UserAct(
            "export",
            "Export the data",
            "Everything that is stored about the account, as JSON, without addresses.",
            Action.EXPORT_USER,
            May.EXPORT_USER,
            _export,
            is_for_many=False,
            gives_file=True,
        )
    )
    register_tool(
        Tool(
            "purge",
            "Purge",
            "What the running server deletes in its rounds is deleted at once: what has expired, ended or rested.",
            May.PURGE,
            _purge,
        )
    )
