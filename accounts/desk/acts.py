"""The acts of staff on accounts: each is one transaction of the services' work and its entry in the audit.

The admin, commands and REST call these and write nothing themselves. Each raises
``ConstructError``: VALIDATION_FAILED where one of the staff gives no reason, FORBIDDEN where the actor may not do
it to this account, USER_NOT_FOUND, and what its service raises. Then nothing has changed.

An act on an account holds it while it judges who acts on whom, to the end of its transaction: of an act and a change of
the account's rights, one comes first. All lock in one order, so no two wait for each other: sessions, the
account, roles, what else belongs to them, and the audit's end last (see :func:`accounts.audit.chain.append`). What an
entry of the audit or a row refers to is locked before that end, for PostgreSQL looks it up when the transaction ends.
An act whose service locks sessions judges before it, without a lock, and again once the account is held.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from textwrap import wrap
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import transaction

from accounts import services
from accounts.audit.actions import Action
from accounts.audit.chain import Actor, append
from accounts.audit.models import REASON_CHARS, TARGET_CHARS, AuditEntry
from accounts.models import NOTE_CHARS, StaffNote, Suspension, User
from accounts.second_factor import services as second_factor
from accounts.services import Credentials, NewResetCode
from accounts.services.rules import checked_prose, invalid
from construct_site.errors import ConstructError, ErrorCode

NAMED_SESSIONS = 4
"""Sessions that one entry names."""
NAME_CHARS = 40
"""As much of a role's name as an entry tells."""


def suspend(
    actor: Actor, user_id: UUID, *, reason: str, public_reason: str = "", ends_at: datetime | None = None
) -> Suspension:
    """Suspend the account (:func:`~accounts.services.suspend_user`); `reason` is for the staff alone."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.SUSPEND)
        suspension = services.suspend_user(
            user_id, public_reason=public_reason, internal_reason=reason, ends_at=ends_at
        )
        until = f", until {ends_at:%Y-%m-%d %H:%M} UTC" if ends_at else ""
        replaced = services.replaced_by(suspension)
        told = (replaced.public_reason if replaced else None, suspension.public_reason)
        changes = {"public_reason": told} if any(told) else None
        target = f"{suspension}{until}"
        append(actor, Action.SUSPEND, user_id=user_id, target=target, reason=reason, changes=changes)
    return suspension


def lift_suspension(actor: Actor, user_id: UUID, *, reason: str) -> bool:
    """Let the account be used again. Whether it was suspended."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.LIFT_SUSPENSION)
        is_lifted = services.lift_suspension(user_id)
        if is_lifted:
            append(actor, Action.LIFT_SUSPENSION, user_id=user_id, reason=reason)
    return is_lifted


def revoke_sessions(
    actor: Actor, user_id: UUID, *, reason: str, session_ids: Iterable[UUID] | None = None
) -> int:
    """End these sessions of the account, or all. Returns how many ended; of none of these there is no entry."""
    reason = checked_reason(actor, reason)
    chosen = None if session_ids is None else list(session_ids)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.REVOKE_SESSIONS, is_held=False)
        revoked = services.revoke_sessions(user_id, chosen)
        check_may_touch(actor, user_id, Action.REVOKE_SESSIONS)
        if revoked or chosen is None:
            target = f"{revoked} sessions{_named(chosen or [])}"
            append(actor, Action.REVOKE_SESSIONS, user_id=user_id, target=target, reason=reason)
    return revoked


def _named(session_ids: Sequence[UUID]) -> str:
    """Their ids, as far as a target has room for them."""
    if not session_ids:
        return ""
    more = len(session_ids) - NAMED_SESSIONS
    names = ", ".join(str(each) for each in session_ids[:NAMED_SESSIONS])
    return f": {names}" + (f" and {more} more" if more > 0 else "")


def require_password_reset(actor: Actor, user_id: UUID, *, reason: str) -> None:
    """End the account's sessions and refuse logins until a reset code is redeemed, which an operator makes."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.REQUIRE_PASSWORD_RESET, is_held=False)
        services.require_password_reset(user_id)
        check_may_touch(actor, user_id, Action.REQUIRE_PASSWORD_RESET)
        append(actor, Action.REQUIRE_PASSWORD_RESET, user_id=user_id, reason=reason)


def rename(actor: Actor, user_id: UUID, username: str, *, reason: str) -> bool:
    """Give the account another username; the former one rests. Whether it was another."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.RENAME)
        former = services.rename_user(user_id, username)
        is_changed = former != username
        if is_changed:
            changes = {"username": (former, username)}
            append(actor, Action.RENAME, user_id=user_id, reason=reason, changes=changes)
    return is_changed


def give_neutral_name(actor: Actor, user_id: UUID, *, reason: str) -> None:
    """Give the account a username that says nothing, which is its display name too; the former one rests."""
    reason = checked_reason(actor, reason)
    # 8 random bytes: one that is taken is as good as never met, and then refused as such.
    name = f"user_{secrets.token_hex(8)}"
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.RENAME)
        former = services.rename_user(user_id, name)
        shown = services.read_profile(user_id).display_name
        services.update_profile(user_id, {"display_name": name})
        changes = {"username": (former, name), "display_name": (shown, name)}
        append(actor, Action.RENAME, user_id=user_id, reason=reason, changes=changes)


def hide_from_search(actor: Actor, user_id: UUID, *, reason: str) -> None:
    """Searches do not find the account any more, whatever its owner wants."""
    _set_hidden(actor, user_id, Action.HIDE_FROM_SEARCH, reason, is_hidden=True)


def show_in_search(actor: Actor, user_id: UUID, *, reason: str) -> None:
    """The account's owner may let searches find it again; until then they do not."""
    _set_hidden(actor, user_id, Action.SHOW_IN_SEARCH, reason, is_hidden=False)


def _set_hidden(actor: Actor, user_id: UUID, action: Action, reason: str, *, is_hidden: bool) -> None:
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, action)
        services.set_hidden(user_id, is_hidden=is_hidden)
        append(actor, action, user_id=user_id, reason=reason)


def set_limits(actor: Actor, user_id: UUID, messages_per_hour: int | None, *, reason: str) -> bool:
    """Give the account a limit of its own: 0 lets it send nothing, None is the server's. Whether that was another."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.SET_LIMITS)
        former = services.set_limits(user_id, messages_per_hour)
        is_changed = former != messages_per_hour
        if is_changed:
            old, new = ("default" if each is None else each for each in (former, messages_per_hour))
            target = f"messages per hour: {old} to {new}"
            append(actor, Action.SET_LIMITS, user_id=user_id, target=target, reason=reason)
    return is_changed


def approve(actor: Actor, user_id: UUID, *, reason: str) -> bool:
    """Let a new account send and be found. Whether it was waiting for that."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.APPROVE)
        is_changed = services.approve_account(user_id)
        if is_changed:
            append(actor, Action.APPROVE, user_id=user_id, reason=reason)
    return is_changed


def refuse(actor: Actor, user_id: UUID, *, reason: str) -> None:
    """Delete an account that waits for approval. Raises ``ConstructError(FORBIDDEN)`` for one that does not."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check = partial(check_may_touch, actor, user_id, Action.REFUSE)
        check(is_held=False)
        if not services.delete_user(User(pk=user_id), is_pending=True, check=check):
            check()
            raise ConstructError(ErrorCode.FORBIDDEN, "This account does not wait for approval.")
        append(actor, Action.REFUSE, user_id=user_id, reason=reason)


def delete(actor: Actor, user_id: UUID, *, reason: str) -> None:
    """Remove the account with all that is its own, for good."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check = partial(check_may_touch, actor, user_id, Action.DELETE_USER)
        check(is_held=False)
        if not services.delete_user(User(pk=user_id), check=check):
            raise ConstructError(ErrorCode.USER_NOT_FOUND)
        append(actor, Action.DELETE_USER, user_id=user_id, reason=reason)


def make_reset_code(actor: Actor, user_id: UUID, *, reason: str, is_required: bool = False) -> NewResetCode:
    """Make a reset code, which is as good as the password; with `is_required` logins need it from now on."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        if is_required:
            check_may_touch(actor, user_id, Action.MAKE_RESET_CODE, is_held=False)
            services.require_password_reset(user_id)
        check_may_touch(actor, user_id, Action.MAKE_RESET_CODE)
        made = services.make_reset_code(user_id)
        append(actor, Action.MAKE_RESET_CODE, user_id=user_id, reason=reason)
    return made


def change_password(
    actor: Actor, current: Credentials, encoded: str, *, reason: str, kept: UUID | None = None
) -> int:
    """Give the account another password, of this hash; its sessions end, all but `kept`. Returns how many did."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, current.id, Action.CHANGE_PASSWORD, is_held=False)
        ended = services.replace_password(current, encoded, kept=kept)
        check_may_touch(actor, current.id, Action.CHANGE_PASSWORD)
        append(actor, Action.CHANGE_PASSWORD, user_id=current.id, reason=reason)
    return ended


def remove_second_factor(actor: Actor, user_id: UUID, *, reason: str) -> bool:
    """Take the account's second factor and its recovery codes away. Whether it had one."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.REMOVE_SECOND_FACTOR)
        is_removed = second_factor.remove(user_id)
        if is_removed:
            append(actor, Action.REMOVE_SECOND_FACTOR, user_id=user_id, reason=reason)
    return is_removed


def create_staff(
    actor: Actor, username: str, encoded: str, display_name: str, *, is_superuser: bool = False, reason: str
) -> User:
    """Make an account for the admin, with a password of this hash. A superuser gives it rights, unless it is one."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        user = services.create_account(
            username, encoded, display_name, is_staff=True, is_superuser=is_superuser
        )
        target = "superuser" if is_superuser else ""
        append(actor, Action.CREATE_STAFF, user_id=user.pk, target=target, reason=reason)
    return user


def make_invite(actor: Actor, uses: int, life: timedelta, *, note: str = "", reason: str = "") -> str:
    """Make an invite. Returns its code, which is told this once."""
    reason = checked_reason(actor, reason, is_needed=False)
    with transaction.atomic():
        made = services.make_invite(uses, life, note)
        append(actor, Action.MAKE_INVITE, target=f"invite {made.id}, {uses} uses", reason=reason)
    return made.code


def end_invite(actor: Actor, invite_id: int, *, reason: str) -> bool:
    """Let the invite expire now. Whether it was in force."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        is_ended = bool(services.end_invites([invite_id]))
        if is_ended:
            append(actor, Action.END_INVITE, target=f"invite {invite_id}", reason=reason)
    return is_ended


def announce(
    actor: Actor, action: Action, *, user_id: UUID | None = None, target: str = "", reason: str = ""
) -> None:
    """Append the entry of what only reads, or is done in transactions of its own: before it begins, for good.

    So nobody has a file that no entry tells of. Outside transactions.
    """
    reason = checked_reason(actor, reason)
    with transaction.atomic(durable=True):
        append(actor, action, user_id=user_id, target=target, reason=reason)


def add_note(actor: Actor, user_id: UUID, text: str) -> StaffNote:
    """Write a note about the account, for the staff. Of who is one of the staff alone."""
    checked = checked_prose("text", text, NOTE_CHARS)
    if not checked:
        raise invalid("text", "Write something.")
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.ADD_NOTE)
        if actor.id is None:
            raise ConstructError(ErrorCode.FORBIDDEN)
        note = services.add_note(user_id, actor.id, checked)
        append(actor, Action.ADD_NOTE, user_id=user_id, target=f"note {note.pk}")
    return note


def edit_profile(actor: Actor, user_id: UUID, changes: Mapping[str, object], *, reason: str) -> bool:
    """Change fields of the account's profile, by the rules of its owner's own changes. Whether any was another."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        check_may_touch(actor, user_id, Action.EDIT_PROFILE)
        before = asdict(services.read_profile(user_id))
        after = asdict(services.update_profile(user_id, changes))
        changed = {name: (before[name], after[name]) for name in changes if before[name] != after[name]}
        if changed:
            append(actor, Action.EDIT_PROFILE, user_id=user_id, reason=reason, changes=changed)
    return bool(changed)


def rights_of(user_id: UUID) -> dict[str, object]:
    """What the account may do in the admin, as the audit tells it."""
    user = User.objects.get(pk=user_id)
    return {
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "user_permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


def hold_rights(user_id: UUID, roles: Iterable[Group]) -> dict[str, object]:
    """Within the transaction that is to change an account's rights: lock it, and the roles that it is to have.

    Returns what its rights are (:func:`rights_of`). Raises ``ConstructError``: USER_NOT_FOUND, and NOT_FOUND
    where one of the roles is gone.
    """
    if not User.objects.select_for_update(no_key=True).filter(pk=user_id).first():
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    wanted = {role.pk for role in roles}
    held = Group.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    if {role.pk for role in held} != wanted:
        raise _no_such_role()
    return rights_of(user_id)


def note_rights(actor: Actor, user_id: UUID, before: Mapping[str, object], *, reason: str) -> None:
    """Within the transaction that changed them: append what of the account's rights is another than `before`.

    After :func:`hold_rights`.
    """
    reason = checked_reason(actor, reason)
    after = rights_of(user_id)
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    if changed:
        append(actor, Action.CHANGE_RIGHTS, user_id=user_id, reason=reason, changes=changed)


def permissions_of(role: Group) -> set[str]:
    """What who has the role may do, as the audit tells it."""
    named = role.permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in named}


def hold_role(role: Group) -> None:
    """Within the transaction that is to change or delete a role: lock it. Raises ``ConstructError(NOT_FOUND)``."""
    if not Group.objects.select_for_update().filter(pk=role.pk).first():
        raise _no_such_role()


def _no_such_role() -> ConstructError:
    return ConstructError(ErrorCode.NOT_FOUND, "This role is gone.")


def note_role(actor: Actor, role: Group, done: str, before: AbstractSet[str], *, reason: str) -> None:
    """Within the transaction that made or changed a role: append which permissions it has got and lost.

    In as many entries as they need. After :func:`hold_role`, where the role is not new.
    """
    reason = checked_reason(actor, reason)
    after = permissions_of(role)
    got, lost = sorted(after - before), sorted(before - after)
    changes = " ".join([*(f"+{name}" for name in got), *(f"-{name}" for name in lost)])
    what = f"{_role(role)} {done}: "
    parts = wrap(changes or "no permission", TARGET_CHARS - len(what), break_on_hyphens=False)
    for part in parts:
        append(actor, Action.CHANGE_ROLE, target=what + part, reason=reason)


def _role(role: Group) -> str:
    """Its number, and as much of its name as leaves room for more."""
    return f"role {role.pk}, {role.name[:NAME_CHARS]},"


def delete_role(actor: Actor, role: Group, *, reason: str) -> None:
    """Remove a role; who has it keeps what they have besides. Raises as :func:`hold_role`."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        hold_role(role)
        target = f"{_role(role)} deleted"
        role.delete()
        append(actor, Action.CHANGE_ROLE, target=target, reason=reason)


def checked_reason(actor: Actor, reason: str, *, is_needed: bool = True) -> str:
    """`reason` without outer white space; staff must give one. Raises ``ConstructError(VALIDATION_FAILED)``."""
    checked = checked_prose("reason", reason, REASON_CHARS)
    if is_needed and not checked and actor.kind is AuditEntry.ActorKind.STAFF:
        raise invalid("reason", "Give a reason.")
    return checked


ON_ONESELF = frozenset(
    {Action.REVOKE_SESSIONS, Action.SHOW_IN_SEARCH, Action.HIDE_FROM_SEARCH, Action.CHANGE_PASSWORD}
)
"""What staff may do to their own account: the rest would let them judge themselves, or lock themselves out."""


def check_may_touch(actor: Actor, user_id: UUID, action: Action, *, is_held: bool = True) -> None:
    """Staff may do only so much to each other, and to themselves (:func:`why_not`).

    Within a transaction, which holds the account from then on: nobody gives it rights meanwhile. Without
    `is_held` it is only looked at. Raises ``ConstructError``: USER_NOT_FOUND, FORBIDDEN.
    """
    users = User.objects.select_for_update(no_key=True) if is_held else User.objects.all()
    subject = users.filter(pk=user_id).only("is_staff", "is_superuser").first()
    if subject is None:
        raise ConstructError(ErrorCode.USER_NOT_FOUND)
    if actor.kind is AuditEntry.ActorKind.STAFF and (
        refusal := why_not(acting_staff(actor), subject, action)
    ):
        raise ConstructError(ErrorCode.FORBIDDEN, refusal)


def why_not(acting: User, subject: User, action: Action) -> str:
    """Why this person of the staff may not do this to the subject, whatever their permissions; empty if they may.

    Staff that are no superusers leave other staff alone, and nobody judges themselves.
    """
    if acting.pk == subject.pk:
        return "" if action in ON_ONESELF else "Nobody does this to their own account."
    if (subject.is_staff or subject.is_superuser) and not acting.is_superuser:
        return "Only superusers act on accounts of the staff."
    return ""


def acting_staff(actor: Actor) -> User:
    """The person of the staff who acts. Raises ``ConstructError(FORBIDDEN)`` for one who no longer is one."""
    staff = User.objects.filter(is_staff=True, is_active=True)
    acting = staff.filter(pk=actor.id).only("is_superuser").first() if actor.id else None
    if acting is None:
        raise ConstructError(ErrorCode.FORBIDDEN, "This is for staff.")
    return acting
