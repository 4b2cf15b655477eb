"""The acts of staff on reports: each is one transaction, with its entry in the audit.

Each raises ``ConstructError``, and then nothing has changed: VALIDATION_FAILED without a reason;
NOT_FOUND; FORBIDDEN for whoever made one of the case's reports or is its subject, for others than superusers
on somebody of the staff, for a repeat (its head is acted on, for all), and where the report's state is another by now:
of two who take it at once, one does.

The users are locked first (whoever is deleted takes their reports along, and holds the account before these),
then the case's reports in ascending order, and the audit's end last. All acts on reports about one person wait for
each other, so a case does not grow meanwhile.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.audit.actions import Action
from accounts.audit.chain import Actor, append
from accounts.audit.models import AuditEntry
from accounts.backends import StaffBackend
from accounts.desk.acts import acting_staff, check_may_touch, checked_reason
from accounts.desk.permissions import May
from accounts.models import Suspension, User
from accounts.moderation.models import NOTE_CHARS, OPEN, Report
from accounts.services.rules import checked_prose, invalid
from construct_site.errors import ConstructError, ErrorCode

State = Report.State


def take(actor: Actor, report_id: UUID, *, reason: str) -> None:
    """See to a case from now on: nobody else ends it. One whose assignee is gone can be taken too."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        (head,) = _hold(actor, Action.TAKE_REPORT, report_id)
        if actor.id is None:
            raise _refusal("A person of the staff takes a report.")
        _check_open(actor, head)
        if head.assignee_id == actor.id:
            raise _refusal("You have taken this report already.")
        _move(head, State.TAKEN, assignee_id=actor.id)
        _append(actor, Action.TAKE_REPORT, head, reason)


def assign(actor: Actor, report_id: UUID, assignee_id: UUID, *, reason: str) -> None:
    """Have somebody else see to an open case, in the place of whoever does: one of :func:`assignable`.

    Raises ``ConstructError(VALIDATION_FAILED)`` for anybody else.
    """
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        (head,) = _hold(actor, Action.ASSIGN_REPORT, report_id, assignee_id=assignee_id)
        if head.state not in OPEN:
            raise _refusal(f"This report is {head.state} already.")
        if assignee_id == actor.id:
            raise invalid("assignee", "Who sees to it themselves takes it.")
        if not assignable(head).filter(pk=assignee_id).exists():
            raise invalid("assignee", "This report cannot be given to this person.")
        if head.state == State.TAKEN:
            # Its state is the same, and so is the time that reporters are told.
            Report.objects.filter(pk=head.pk).update(assignee=assignee_id)
        else:
            _move(head, State.TAKEN, assignee_id=assignee_id)
        _append(actor, Action.ASSIGN_REPORT, head, reason, f" to {assignee_id}")


def assignable(head: Report) -> QuerySet[User]:
    """Who can be given the case: staff who may see and handle reports, and this one, other than who has it."""
    reports = Report.objects.filter(Q(pk=head.pk) | Q(merged_into=head.pk))
    people = {
        head.assignee_id,
        *(each for both in reports.values_list("reporter", "reported") for each in both),
    }
    found = User.objects.filter(is_staff=True).exclude(pk__in=[each for each in people if each])
    for permission in (May.HANDLE_REPORT, "moderation.view_report"):
        found = found.filter(pk__in=StaffBackend().with_perm(permission).values("pk"))
    of_staff = User.objects.filter(Q(is_staff=True) | Q(is_superuser=True))
    is_about_staff = head.reported_id is not None and of_staff.filter(pk=head.reported_id).exists()
    return found.filter(is_superuser=True) if is_about_staff else found


def release(actor: Actor, report_id: UUID, *, reason: str) -> None:
    """Give a taken case back to the queue: one's own, or that of somebody who is away."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        (head,) = _hold(actor, Action.RELEASE_REPORT, report_id)
        if head.state != State.TAKEN:
            raise _refusal("Nobody has taken this report.")
        _move(head, State.NEW, assignee_id=None)
        _append(actor, Action.RELEASE_REPORT, head, reason)


def resolve(actor: Actor, report_id: UUID, *, reason: str, suspension_id: UUID | None = None) -> None:
    """End a case, new or taken by the actor, because something was done; with the suspension, if it was one.

    Raises ``ConstructError(VALIDATION_FAILED)`` for a suspension of somebody else.
    """
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        (head,) = _hold(actor, Action.RESOLVE_REPORT, report_id)
        _check_open(actor, head)
        if suspension_id is not None:
            _check_sanction(head, suspension_id)
        _move(head, State.RESOLVED, assignee_id=actor.id, suspension_id=suspension_id)
        sanction = "" if suspension_id is None else f", suspension {suspension_id}"
        _append(actor, Action.RESOLVE_REPORT, head, reason, sanction)


def dismiss(actor: Actor, report_id: UUID, *, reason: str) -> None:
    """End a case, new or taken by the actor, without doing anything."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        (head,) = _hold(actor, Action.DISMISS_REPORT, report_id)
        _check_open(actor, head)
        _move(head, State.DISMISSED, assignee_id=actor.id)
        _append(actor, Action.DISMISS_REPORT, head, reason)


def reopen(actor: Actor, report_id: UUID, *, reason: str) -> None:
    """Put an ended case back into the queue, as new."""
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        (head,) = _hold(actor, Action.REOPEN_REPORT, report_id)
        if head.state in OPEN:
            raise _refusal("This report is open.")
        _move(head, State.NEW, assignee_id=None, suspension_id=None)
        _append(actor, Action.REOPEN_REPORT, head, reason)


def merge(actor: Actor, report_id: UUID, into_id: UUID, *, reason: str) -> None:
    """Make an open case, with its repeats, repeats of another about the same person; they take its state.

    The other may have ended: what comes in later about the same thing has the same outcome.
    """
    reason = checked_reason(actor, reason)
    with transaction.atomic():
        if report_id == into_id:
            raise _refusal("A report is no repeat of itself.")
        head, into = _hold(actor, Action.MERGE_REPORTS, report_id, into_id)
        if head.reported_id is None or head.reported_id != into.reported_id:
            raise _refusal("Only reports about the same person are merged.")
        _check_open(actor, head)
        moved = {} if head.state == into.state else {"state": into.state, "updated_at": timezone.now()}
        repeats = Report.objects.filter(Q(pk=head.pk) | Q(merged_into=head.pk))
        repeats.update(merged_into=into.pk, assignee=None, suspension=None, **moved)
        _append(actor, Action.MERGE_REPORTS, head, reason, f" into {into}")


def write_note(actor: Actor, report_id: UUID, note: str, *, reason: str = "") -> None:
    """Replace the staff's own note on a case, in at most 2000 characters. It needs no reason."""
    reason = checked_reason(actor, reason, is_needed=False)
    note = checked_prose("note", note, NOTE_CHARS)
    with transaction.atomic():
        (head,) = _hold(actor, Action.NOTE_REPORT, report_id)
        Report.objects.filter(pk=head.pk).update(note=note)
        _append(actor, Action.NOTE_REPORT, head, reason)


def _hold(actor: Actor, action: Action, *report_ids: UUID, assignee_id: UUID | None = None) -> list[Report]:
    """The heads of these cases, locked with all that belongs to them, if the actor may act on them."""
    wanted = Q(pk__in=report_ids) | Q(merged_into__in=report_ids)
    subjects = Report.objects.filter(pk__in=report_ids).values_list("reported_id", flat=True)
    concerned = [each for each in {actor.id, assignee_id, *subjects} if each is not None]
    users = User.objects.filter(pk__in=concerned).order_by("pk")
    list(users.select_for_update(no_key=True).values_list("pk"))
    found = Report.objects.filter(wanted).order_by("pk").defer("text", "message_ids", "note")
    held = {report.pk: report for report in found.select_for_update(no_key=True)}
    if not held.keys() >= set(report_ids):
        raise ConstructError(ErrorCode.NOT_FOUND)
    for report in held.values():
        _check_impartial(actor, report)
    heads = [held[each] for each in report_ids]
    for head in heads:
        if head.merged_into_id is not None:
            raise _refusal("This report is a repeat: its case is acted on.")
        if head.reported_id is not None:
            check_may_touch(actor, head.reported_id, action)
        elif actor.kind is AuditEntry.ActorKind.STAFF:
            acting_staff(actor)
    return heads


def _check_impartial(actor: Actor, report: Report) -> None:
    if actor.id is not None and actor.id in (report.reporter_id, report.reported_id):
        raise _refusal("Whom a report is by or about leaves it to others.")


def _check_open(actor: Actor, head: Report) -> None:
    if head.state not in OPEN:
        raise _refusal(f"This report is {head.state} already.")
    if head.state == State.TAKEN and head.assignee_id not in (None, actor.id):
        raise _refusal("Somebody else has taken this report.")


def _check_sanction(head: Report, suspension_id: UUID) -> None:
    if not Suspension.objects.filter(pk=suspension_id, user=head.reported_id).exists():
        raise invalid("suspension", "This is no suspension of the reported person.")


def _move(head: Report, state: Report.State, **changes: UUID | None) -> None:
    """Bring a case into another state, and write `changes` into its head.

    Each row is written once: at a second time PostgreSQL looks all that it refers to up again, and would wait for
    its reporter, whose deletion waits for the row.
    """
    moved = {"state": state, "updated_at": timezone.now()}
    Report.objects.filter(pk=head.pk).update(**moved, **changes)
    Report.objects.filter(merged_into=head.pk).update(**moved)


def _append(actor: Actor, action: Action, head: Report, reason: str, more: str = "") -> None:
    """`more`: what else it was done with, after the case."""
    append(actor, action, user_id=head.reported_id, target=f"{head}{more}", reason=reason)


def _refusal(sentence: str) -> ConstructError:
    return ConstructError(ErrorCode.FORBIDDEN, sentence)
