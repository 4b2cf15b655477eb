"""The first page of the admin: the server's figures, each with its chart and the way to the list behind it.

All that it reads are the hourly figures and what each process said last, in five queries at most.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from accounts.desk.charts import Chart, bars, steps
from accounts.desk.registry import Link
from construct_site.metrics.figures import Point, Step, Times, several_series, time_over, times
from construct_site.metrics.store import processes
from construct_site.metrics.table import TABLE, Kind, Metric

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

_ID_CHARS = 8
"""Of a process's id: enough to tell them apart."""
_LONG = 10_000_000


class Period(Enum):
    """What the charts show: its word in addresses, what one point is of, and how many, the running one included."""

    DAY = ("24h", "24 hours", Step.HOUR, 24, "%d %b %H:%M")
    MONTH = ("30d", "30 days", Step.DAY, 30, "%d %b")

    def __init__(self, word: str, title: str, step: Step, points: int, time_format: str) -> None:
        self.word = word
        self.title = title
        self.step = step
        self.points = points
        self._time_format = time_format

    @classmethod
    def of(cls, request: HttpRequest) -> Period:
        asked = request.GET.get("period")
        return next((period for period in cls if period.word == asked), cls.DAY)

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        end = self.step.begin_of(now) + self.step.value
        return end - self.points * self.step.value, end

    @property
    def point(self) -> str:
        return self.step.name.lower()

    def shown(self, at: datetime) -> str:
        return at.strftime(self._time_format)


@dataclass(frozen=True, slots=True)
class Figure:
    """One card. Who may open the list behind it sees it; without a list, who may see users."""

    metric: Metric
    title: str
    list_title: str = ""
    list_name: str = ""
    list_query: str = ""
    """May name the `{period}`."""
    permission: str = "accounts.view_user"
    is_wide: bool = False
    current: str = "now"
    """What a reading of the running hour or day is of."""

    def link(self, period: Period) -> Link:
        """The list behind it. Where the server keeps none, of messages and failures, the hourly figures themselves."""
        if self.list_name:
            query = self.list_query.format(period=period.word)
            return Link(self.list_title, reverse(self.list_name) + query)
        return Link("Values", self.address(period))

    def address(self, period: Period) -> str:
        """Of the page with all its values."""
        return f"{reverse('admin:figure', args=[self.metric.value])}?period={period.word}"


_USERS = "admin:accounts_user_changelist"
FIGURES = (
    Figure(
        Metric.OPEN_REPORTS,
        "Open reports",
        "Queue of reports",
        "admin:moderation_report_changelist",
        permission="moderation.view_report",
    ),
    Figure(Metric.REGISTRATIONS, "Registrations", "Users, newest first", _USERS, "?registered={period}"),
    Figure(
        Metric.ACTIVE_USERS,
        "Active users",
        "Users seen today",
        _USERS,
        "?seen=today",
        current="since midnight UTC",
    ),
    Figure(
        Metric.CONNECTIONS,
        "Connections",
        "Live sessions",
        "admin:accounts_session_changelist",
        "?state=live",
        "accounts.view_session",
        is_wide=True,
    ),
    Figure(Metric.FAILED_LOGINS, "Failed logins"),
    Figure(Metric.MESSAGES_RELAYED, "Messages relayed"),
    Figure(Metric.MESSAGES_WAITING, "Messages waiting"),
    Figure(Metric.MESSAGES_EXPIRED, "Messages expired"),
    Figure(Metric.DELIVERY_TIME, "Delivery time", is_wide=True),
    Figure(
        Metric.STALE_PREKEYS,
        "Stale prekeys",
        "Stale prekey bundles",
        "admin:keys_prekeybundle_changelist",
        "?prekey=stale",
        "keys.view_prekeybundle",
    ),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a figure: the number in large, what it is of, and the points of its chart, oldest first."""

    value: str
    note: str
    chart: Chart
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """A point each: its time and its values."""
    peak: str = ""
    """The highest point, for the scale."""
    legend: Sequence[str] = ()
    """Of the chart's lines, if it has several."""


@dataclass(frozen=True, slots=True)
class Card:
    figure: Figure
    period: Period
    reading: Reading
    processes: Sequence[tuple[str, int]] = ()
    """Of connections: each process and how many it has."""

    @property
    def link(self) -> Link:
        return self.figure.link(self.period)

    @property
    def address(self) -> str:
        return self.figure.address(self.period)

    @property
    def text(self) -> str:
        return TABLE[self.figure.metric].text

    @property
    def has_list(self) -> bool:
        return bool(self.figure.list_name)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """As unfold asks for it (``DASHBOARD_CALLBACK``)."""
    period = Period.of(request)
    seen = [figure for figure in FIGURES if request.user.has_perm(figure.permission)]
    address = reverse("admin:index")
    return {
        **context,
        "cards": cards(seen, period, timezone.now()),
        "period": period,
        "periods": _periods(address, period),
    }


def figure_page(request: HttpRequest, metric: str, site: AdminSite) -> TemplateResponse:
    """All values of one figure, newest first."""
    figure = next((figure for figure in FIGURES if figure.metric == metric), None)
    if figure is None:
        raise Http404
    if not request.user.has_perm(figure.permission):
        raise PermissionDenied
    period = Period.of(request)
    (card,) = cards([figure], period, timezone.now())
    context = {
        **site.each_context(request),
        "title": figure.title,
        "card": card,
        "rows": list(reversed(card.reading.rows)),
        "period": period,
        "periods": _periods(reverse("admin:figure", args=[metric]), period),
    }
    return TemplateResponse(request, "desk/figure.html", context)


def _periods(address: str, chosen: Period) -> list[tuple[Link, bool]]:
    return [(Link(each.title, f"{address}?period={each.word}"), each is chosen) for each in Period]


def cards(figures: Collection[Figure], period: Period, now: datetime) -> list[Card]:
    """What these figures show, in a number of queries that no amount of rows changes."""
    plain = [figure.metric for figure in figures if TABLE[figure.metric].kind is not Kind.TIMES]
    points = several_series(plain, *period.bounds(now), period.step) if plain else {}
    return [_card(figure, period, now, points.get(figure.metric, [])) for figure in figures]


def _card(figure: Figure, period: Period, now: datetime, points: Sequence[Point]) -> Card:
    kind = TABLE[figure.metric].kind
    if kind is Kind.TIMES:
        since, until = period.bounds(now)
        found = times(figure.metric, since, until, period.step)
        return Card(figure, period, _of_times(found, time_over(figure.metric, since, until), period))
    if figure.metric is Metric.CONNECTIONS:
        own = processes(now)
        shown = [(process_id[:_ID_CHARS], connections) for process_id, connections in own.items()]
        return Card(figure, period, _of_readings(points, period, figure.current, sum(own.values())), shown)
    if kind is Kind.SUM:
        return Card(figure, period, _of_sums(points, period))
    return Card(figure, period, _of_readings(points, period, figure.current))


def _of_sums(points: Sequence[Point], period: Period) -> Reading:
    values = [point.value or 0 for point in points]
    rows = [(period.shown(point.at), _amount(point.value)) for point in points]
    return Reading(
        _short(sum(values)),
        f"in {period.title}",
        bars(values, _told(rows)),
        ("Since", "Number"),
        rows,
        _short(max(values)),
    )


def _of_readings(points: Sequence[Point], period: Period, current: str, now: int | None = None) -> Reading:
    """`now`: what it is at this moment, where that is known better than from the newest reading."""
    rows = [(period.shown(point.at), _amount(point.value)) for point in points]
    newest = next((point for point in reversed(points) if point.value is not None), None)
    note = current
    if now is None and newest is not points[-1]:
        # Of an hour that began just now there may be none yet.
        note = f"last read in the {period.point} {period.shown(newest.at)}" if newest else "no reading"
    value = newest.value if newest and now is None else now
    values = [point.value for point in points]
    known = [each for each in values if each is not None]
    return Reading(
        "-" if value is None else _short(value),
        note,
        steps([values], _told(rows)),
        ("Since", "Reading"),
        rows,
        _short(max(known)) if known else "",
    )


def _of_times(found: Sequence[Times], whole: Times, period: Period) -> Reading:
    rows = [
        (period.shown(each.at), _time(each.median_s), _time(each.p95_s), _amount(each.amount))
        for each in found
    ]
    slowest = [each.p95_s for each in found if each.p95_s is not None]
    texts = [f"{at}: {amount} deliveries, half in {half}, 95 % in {most}" for at, half, most, amount in rows]
    return Reading(
        _time(whole.median_s),
        f"for half in {period.title}; {_time(whole.p95_s)} for 95 %" if whole.amount else "none measured",
        steps([[each.median_s for each in found], [each.p95_s for each in found]], texts),
        ("Since", "Half within", "95 % within", "Deliveries"),
        rows,
        _time(max(slowest)) if slowest else "",
        ("half", "95 %"),
    )


def _told(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{at}: {value}" for at, value in rows]


def _amount(value: int | None) -> str:
    return "no reading" if value is None else f"{value:,}"


def _short(value: int) -> str:
    """As much as fits half the width of a phone."""
    return f"{value / 1e6:,.1f} M" if value >= _LONG else f"{value:,}"


def _time(time_s: float | None) -> str:
    if time_s is None:
        return "-"
    return f"{time_s:.1f} s" if time_s >= 1 else f"{time_s * 1000:.{0 if time_s >= 0.01 else 1}f} ms"
