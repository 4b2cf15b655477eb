"""Reports in the admin: the queue, a page for each, and its acts. Rules live in :mod:`accounts.moderation.acts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounts.desk.forms import ReasonForm
from accounts.desk.lists import actor_of, add_refusal, ask_and_act, of_user
from accounts.desk.permissions import May
from accounts.models import Suspension, User
from accounts.moderation import acts
from accounts.moderation.models import NOTE_CHARS, OPEN, OUTCOMES, Report
from accounts.readonly import ReadOnlyAdmin
from construct_site.errors import ConstructError

MOST_LISTED = 50
"""Repeats, other cases, suspensions and people that a page lists."""
State = Report.State
_LINK = '<a class="underline" href="{}">{}</a>'


class StateFilter(admin.SimpleListFilter):
    """By itself the list is what waits."""

    title = parameter_name = "state"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [*State.choices, ("all", "All")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Report]) -> QuerySet[Report]:
        if self.value() in State.values:
            return queryset.filter(state=self.value())
        return queryset if self.value() == "all" else queryset.filter(state__in=OPEN)

    def choices(self, changelist: Any) -> Any:
        nothing_chosen, *others = super().choices(changelist)
        yield {**nothing_chosen, "display": "Open"}
        yield from others


class AssignmentFilter(admin.SimpleListFilter):
    title = parameter_name = "assignment"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "Mine"), ("others", "Somebody else's"), ("nobody", "Nobody's")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Report]) -> QuerySet[Report]:
        chosen = {
            "mine": Q(assignee=request.user.pk),
            "others": Q(assignee__isnull=False) & ~Q(assignee=request.user.pk),
            "nobody": Q(assignee=None),
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


class RepeatsFilter(admin.SimpleListFilter):
    """By itself the list has cases, each by its head."""

    title = parameter_name = "repeats"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [("shown", "Shown")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Report]) -> QuerySet[Report]:
        return queryset if self.value() == "shown" else queryset.filter(merged_into=None)

    def choices(self, changelist: Any) -> Any:
        nothing_chosen, *others = super().choices(changelist)
        yield {**nothing_chosen, "display": "Left out"}
        yield from others


class CaseForm(ReasonForm):
    """What every act asks for."""

    def __init__(self, *args: Any, report: Report, viewer_id: UUID, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.report = report
        self.viewer_id = viewer_id

    def asked(self) -> dict[str, Any]:
        """The arguments of the act."""
        return {"reason": self.cleaned_data["reason"]}


class AssignForm(CaseForm):
    assignee = forms.ChoiceField(
        label="To", widget=UnfoldAdminSelectWidget, help_text="Of the staff who may handle it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = acts.assignable(self.report).exclude(pk=self.viewer_id).order_by("username_folded")
        _offer(self, "assignee", [(str(each.pk), each.username) for each in found[:MOST_LISTED]])

    def asked(self) -> dict[str, Any]:
        return {**super().asked(), "assignee_id": UUID(self.cleaned_data["assignee"])}


class ResolveForm(CaseForm):
    suspension = forms.ChoiceField(
        required=False, widget=UnfoldAdminSelectWidget, help_text="If the account was suspended for it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = Suspension.objects.filter(user=self.report.reported_id).order_by("-begun_at", "pk")
        offered = [(str(each.pk), _told_suspension(each)) for each in found[:MOST_LISTED]]
        _offer(self, "suspension", [("", "None"), *offered])

    def asked(self) -> dict[str, Any]:
        chosen = self.cleaned_data["suspension"]
        return {**super().asked(), "suspension_id": UUID(chosen) if chosen else None}


class MergeForm(CaseForm):
    into = forms.ChoiceField(
        label="Case", widget=UnfoldAdminSelectWidget, help_text="This report becomes a repeat of it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = _other_cases(self.report)[:MOST_LISTED]
        _offer(self, "into", [(str(each.pk), _told_case(each)) for each in found])

    def asked(self) -> dict[str, Any]:
        return {**super().asked(), "into_id": UUID(self.cleaned_data["into"])}


def _offer(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    cast("forms.ChoiceField", form.fields[name]).choices = choices


class NoteForm(CaseForm):
    note = forms.CharField(
        max_length=NOTE_CHARS, required=False, widget=UnfoldAdminTextareaWidget({"rows": 6})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["reason"]
        self.fields["note"].initial = self.report.note

    def asked(self) -> dict[str, Any]:
        return {"note": self.cleaned_data["note"]}


@dataclass(frozen=True, slots=True)
class Act:
    """A link on a report's page, and the form behind it."""

    title: str
    explanation: str
    """What it does, above the form."""
    does: Callable[..., None]
    states: tuple[str, ...]
    """In which it is offered; the act itself judges again."""
    form: type[CaseForm] = CaseForm


ACTS: dict[str, Act] = {
    "take": Act(
        "Take", "You see to it from now on: nobody else resolves, dismisses or merges it.", acts.take, OPEN
    ),
    "assign": Act(
        "Assign", "Somebody else of the staff sees to it from now on.", acts.assign, OPEN, AssignForm
    ),
    "release": Act(
        "Release", "It goes back to the queue, as new and nobody's.", acts.release, (State.TAKEN,)
    ),
    "resolve": Act(
        "Resolve",
        "It ends because something was done. The account itself is left as it is.",
        acts.resolve,
        OPEN,
        ResolveForm,
    ),
    "dismiss": Act("Dismiss", "It ends, and nothing is done.", acts.dismiss, OPEN),
    "merge": Act(
        "Merge",
        "It becomes a repeat of another case about the same person, with whose state and assignee it goes on.",
        acts.merge,
        OPEN,
        MergeForm,
    ),
    "reopen": Act(
        "Reopen",
        "It is new again; assignee and suspension are taken off it.",
        acts.reopen,
        (State.RESOLVED, State.DISMISSED),
    ),
    "note": Act(
        "Write note",
        "It takes the place of the present note, which the staff alone see.",
        acts.write_note,
        tuple(State),
        NoteForm,
    ),
}
"""By the last part of its address."""


def _of_several(word: str) -> Callable[[ModelAdmin[Report], HttpRequest, QuerySet[Report]], Any]:
    """The action of the list that does this act to each report that is selected, for one reason."""
    title, does = ACTS[word].title, ACTS[word].does

    @admin.action(description=f"{title} selected reports", permissions=["handle"])
    def ask(
        model_admin: ModelAdmin[Report], request: HttpRequest, queryset: QuerySet[Report]
    ) -> TemplateResponse | None:
        return ask_and_act(
            model_admin,
            request,
            queryset,
            name=word,
            label=f"{title} reports",
            act=lambda actor, report, reason: does(actor, report.pk, reason=reason),
        )

    return ask


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin[Report]):
    """Reports are made by users and changed by acts alone. Nobody sees those about themselves."""

    list_display = ("created_at", "reported", "category", "state", "assignee", "repeats_count")
    list_filter = (StateFilter, "category", AssignmentFilter, RepeatsFilter)
    search_fields = ("reported__username_folded",)
    search_help_text = "The username of who was reported, or their id."
    ordering = ("created_at",)
    actions = ("take", "dismiss")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "offered_acts",
                    "state",
                    "outcome",
                    "assignee_link",
                    "suspension_told",
                    "updated_at",
                )
            },
        ),
        ("Report", {"fields": ("reported_link", "category", "text_told", "messages_told")}),
        ("Made", {"fields": ("reporter_link", "created_at", "id")}),
        ("Case", {"fields": ("head_link", "repeats_told", "other_cases", "note_told")}),
    )
    readonly_fields = (
        "offered_acts",
        "outcome",
        "assignee_link",
        "suspension_told",
        "reported_link",
        "text_told",
        "messages_told",
        "reporter_link",
        "head_link",
        "repeats_told",
        "other_cases",
        "note_told",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        of_case = Report.objects.filter(merged_into=OuterRef("pk")).order_by().values("merged_into")
        counted = Coalesce(Subquery(of_case.annotate(count=Count("pk")).values("count")), 0)
        related = ("reporter", "reported", "assignee", "suspension")
        about_oneself = Q(reported__isnull=False, reported=request.user.pk)
        found = super().get_queryset(request).exclude(about_oneself)
        return found.annotate(repeats_count=counted).select_related(*related)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Report], search_term: str
    ) -> tuple[QuerySet[Report], bool]:
        return of_user(queryset, search_term, "reported"), False

    def get_urls(self) -> list[URLPattern]:
        acting = [
            path(
                f"<uuid:report_id>/{word}/",
                self.admin_site.admin_view(partial(self.act_view, word=word)),
                name=f"moderation_report_{word}",
            )
            for word in ACTS
        ]
        return [*acting, *super().get_urls()]

    take, dismiss = _of_several("take"), _of_several("dismiss")

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(May.HANDLE_REPORT)

    def act_view(self, request: HttpRequest, report_id: UUID, *, word: str) -> HttpResponse:
        """Ask what the act needs, and do it."""
        if not (self.has_view_permission(request) and request.user.has_perm(May.HANDLE_REPORT)):
            raise PermissionDenied
        report = self.get_queryset(request).filter(pk=report_id).first()
        if report is None:
            raise Http404
        act = ACTS[word]
        data = request.POST if request.method == "POST" else None
        form = act.form(data, report=report, viewer_id=cast("User", request.user).pk)
        if form.is_valid() and self._is_done(request, act, form):
            return HttpResponseRedirect(_address(report))
        told = {
            **self.admin_site.each_context(request),
            "title": f"{act.title}: {report}",
            "opts": self.opts,
            "form": form,
            "button": act.title,
            "explanation": act.explanation,
            "reported": report.reported,
            "back": _address(report),
        }
        return TemplateResponse(request, "moderation/act.html", told)

    def _is_done(self, request: HttpRequest, act: Act, form: CaseForm) -> bool:
        """Whether the act was done; where it was refused, the form says why."""
        try:
            act.does(actor_of(request), form.report.pk, **form.asked())
        except ConstructError as error:
            add_refusal(form, error)
            return False
        messages.success(request, f"{act.title}: done.")
        return True

    def get_readonly_fields(self, request: HttpRequest, obj: Report | None = None) -> Any:
        if obj is not None:
            # The links are those of who looks at it.
            obj.viewer = cast("User", request.user)  # type: ignore[attr-defined] # for `offered_acts`
        return super().get_readonly_fields(request, obj)

    @admin.display(description="Acts")
    def offered_acts(self, report: Report) -> str:
        if report.merged_into_id is not None:
            return "A repeat: its case is acted on."
        viewer: User = vars(report)["viewer"]
        if not _may_act(viewer, report):
            return "-"
        idle = {"take"} if report.assignee_id == viewer.pk else set()
        if self.other_cases(report) == "-":
            idle.add("merge")
        offered = [
            (word, act.title) for word, act in ACTS.items() if report.state in act.states and word not in idle
        ]
        links = [(_address(report, word), title) for word, title in offered]
        return format_html_join(" · ", _LINK, links)

    @admin.display(description="Repeats")
    def repeats_count(self, report: Report) -> int:
        return cast("int", vars(report)["repeats_count"])

    @admin.display(description="The reporter is told")
    def outcome(self, report: Report) -> str:
        return OUTCOMES[State(report.state)].value

    @admin.display(description="Assignee")
    def assignee_link(self, report: Report) -> str:
        return _link_to_user(report.assignee)

    @admin.display(description="Reported")
    def reported_link(self, report: Report) -> str:
        return _link_to_user(report.reported)

    @admin.display(description="Reporter")
    def reporter_link(self, report: Report) -> str:
        return _link_to_user(report.reporter)

    @admin.display(description="Suspension")
    def suspension_told(self, report: Report) -> str:
        return _told_suspension(report.suspension) if report.suspension else "-"

    # As plain text: the admin escapes it and keeps its lines.
    @admin.display(description="Text")
    def text_told(self, report: Report) -> str:
        return report.text or "-"

    @admin.display(description="Note")
    def note_told(self, report: Report) -> str:
        return report.note or "-"

    @admin.display(description="Ids of messages")
    def messages_told(self, report: Report) -> str:
        return "\n".join(report.message_ids) or "-"

    @admin.display(description="Repeat of")
    def head_link(self, report: Report) -> str:
        if report.merged_into_id is None:
            return "-"
        return format_html(_LINK, _address_of(report.merged_into_id), report.merged_into_id)

    @admin.display(description="Repeats")
    def repeats_told(self, report: Report) -> str:
        return _kept(report, "repeats_told", Report.objects.filter(merged_into=report.pk))

    @admin.display(description="Other cases about the same person")
    def other_cases(self, report: Report) -> str:
        return _kept(report, "other_cases", _other_cases(report))


def _may_act(viewer: User, report: Report) -> bool:
    """Whether the acts are offered; each judges again, by the whole case."""
    if not viewer.has_perm(May.HANDLE_REPORT) or viewer.pk in (report.reporter_id, report.reported_id):
        return False
    about = report.reported
    return viewer.is_superuser or not (about and (about.is_staff or about.is_superuser))


def _kept(report: Report, name: str, found: QuerySet[Report]) -> SafeString | str:
    """Links to these. Kept, for a page asks several times for what it shows once."""
    kept: dict[str, SafeString | str] = vars(report).setdefault("kept_links", {})
    if name not in kept:
        kept[name] = _links(found)
    return kept[name]


def _other_cases(report: Report) -> QuerySet[Report]:
    """About the same person; of somebody who is gone there are none."""
    about = Q(reported__isnull=False, reported=report.reported_id, merged_into=None)
    return Report.objects.filter(about).exclude(pk=report.pk).order_by("-created_at", "-pk")


def _links(found: QuerySet[Report]) -> SafeString | str:
    """The newest, each with its page, under one another."""
    shown = list(found.order_by("-created_at", "-pk")[: MOST_LISTED + 1])
    links = [(_address(each), _told_case(each)) for each in shown[:MOST_LISTED]]
    more = "" if len(shown) <= MOST_LISTED else "…"
    return format_html("{}{}", format_html_join("", f"<div>{_LINK}</div>", links), more) or "-"


def _link_to_user(user: User | None) -> str:
    if user is None:
        return "-"
    return format_html(_LINK, reverse("admin:accounts_user_change", args=[user.pk]), user)


def _address(report: Model, page: str = "change") -> str:
    return _address_of(cast("UUID", report.pk), page)


def _address_of(report_id: UUID, page: str = "change") -> str:
    return reverse(f"admin:moderation_report_{page}", args=[report_id])


def _told_case(report: Report) -> str:
    return f"{report.created_at:%Y-%m-%d %H:%M} · {report.category} · {report.state}"


def _told_suspension(suspension: Suspension) -> str:
    end = f"until {suspension.ends_at:%Y-%m-%d %H:%M}" if suspension.ends_at else "without an end"
    return f"{suspension.begun_at:%Y-%m-%d %H:%M}, {end}"
