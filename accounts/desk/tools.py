"""What operators do to the server rather than to an account, on pages that ask for a reason. Apps register theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.audit.actions import Action
from accounts.audit.chain import Actor
from accounts.audit.export import newest_lines
from accounts.desk import acts
from accounts.desk.forms import ReasonForm
from accounts.desk.lists import actor_of, refusal_text
from accounts.desk.permissions import May
from accounts.desk.registry import Link
from construct_site.errors import ConstructError

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

EXPORTED = 100_000
"""Entries of the audit that a page gives; the command gives all."""


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    """Of its address: ``purge``."""
    label: str
    explanation: str
    permission: str
    use: Callable[[Actor, str], str | HttpResponse]
    """With the reason. Gives a sentence of what was done, or a file. Raises ``ConstructError``."""


TOOLS: dict[str, Tool] = {}


def register_tool(tool: Tool) -> None:
    TOOLS[tool.name] = tool


def tool_page(request: HttpRequest, name: str, site: AdminSite) -> HttpResponse:
    tool = TOOLS.get(name)
    if tool is None:
        raise Http404
    if not request.user.has_perm(tool.permission):
        raise PermissionDenied
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            result = tool.use(actor_of(request), form.cleaned_data["reason"])
        except ConstructError as error:
            messages.error(request, refusal_text(error))
        else:
            if isinstance(result, HttpResponse):
                return result
            messages.success(request, result)
        return HttpResponseRedirect(reverse("admin:tool", args=[name]))
    context = {**site.each_context(request), "title": tool.label, "act": tool, "form": form}
    return TemplateResponse(request, "desk/act.html", context)


def tools_for(request: HttpRequest) -> list[Link]:
    return [
        Link(tool.label, reverse("admin:tool", args=[tool.name]))
        for tool in TOOLS.values()
        if request.user.has_perm(tool.permission)
    ]


def file_of(text: str, name: str, content_type: str) -> HttpResponse:
    """A file to keep, not to show."""
    return HttpResponse(
        text, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _export_audit(actor: Actor, reason: str) -> HttpResponse:
    acts.announce(actor, Action.EXPORT_AUDIT, target=f"the newest {EXPORTED}", reason=reason)
    lines = newest_lines(EXPORTED)
    return file_of("".join(f"{line}\n" for line in lines), "audit.jsonl", "application/jsonl")


def register() -> None:
    register_tool(
        Tool(
            "export-audit",
            "Export the audit",
            f"The newest {EXPORTED} entries as JSON lines, without personal fields. The command gives all.",
            May.EXPORT_AUDIT,
            _export_audit,
        )
    )
