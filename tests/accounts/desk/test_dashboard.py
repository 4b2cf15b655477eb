"""The dashboard: what the figures say, to whom, in how many queries, and where they lead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.desk.dashboard import FIGURES, Card, Period, cards
from accounts.desk.permissions import ROLES, write_roles
from accounts.models import User
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.store import Batch, store_batch
from construct_site.metrics.table import Metric
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db
INDEX = reverse("admin:index")
USERS = reverse("admin:accounts_user_changelist")
NOW = datetime(2026, 11, 23, 12, 20, tzinfo=UTC)
NOON = NOW.replace(minute=0)
HOUR = timedelta(hours=1)


def put(metric: Metric, ago: int, value: int, bucket: int = 0) -> None:
    """Of the hour that is so many hours ago."""
    HourlyMetric.objects.create(metric=metric, hour=NOON - ago * HOUR, value=value, bucket=bucket)


def card(metric: Metric, period: Period = Period.DAY, now: datetime = NOW) -> Card:
    (figure,) = (figure for figure in FIGURES if figure.metric is metric)
    (made,) = cards([figure], period, now)
    return made


def browser(*permissions: str) -> Client:
    """Of a person of the staff with these permissions."""
    user = User.objects.create_user("staff", PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def shown(client: Client, address: str = INDEX) -> set[str]:
    """The titles of the cards."""
    answer = client.get(address)
    assert answer.status_code == 200
    return {each.figure.title for each in answer.context["cards"]}


class TestFigures:
    def test_what_is_counted_is_the_sum_of_the_period(self) -> None:
        for ago, value in ((0, 1), (1, 2), (23, 4), (24, 8), (24 * 29, 16), (24 * 30, 32)):
            put(Metric.REGISTRATIONS, ago, value)
        day, month = (card(Metric.REGISTRATIONS, period).reading for period in Period)
        assert (day.value, day.note, day.peak) == ("7", "in 24 hours", "4")
        assert (month.value, month.note) == ("31", "in 30 days")
        assert len(day.rows) == 24
        assert len(month.rows) == 30
        assert day.rows[0] == ("22 Nov 13:00", "4")
        assert day.rows[-2:] == [("23 Nov 11:00", "2"), ("23 Nov 12:00", "1")]
        assert month.rows[-2:] == [("22 Nov", "12"), ("23 Nov", "3")]

    def test_what_is_read_is_the_newest_reading(self) -> None:
        put(Metric.MESSAGES_WAITING, 0, 1200)
        put(Metric.MESSAGES_WAITING, 1, 3400)
        reading = card(Metric.MESSAGES_WAITING).reading
        assert (reading.value, reading.note, reading.peak) == ("1,200", "now", "3,400")

    def test_a_missing_reading_is_a_gap_and_the_newest_says_when_it_was(self) -> None:
        put(Metric.MESSAGES_WAITING, 2, 0)
        reading = card(Metric.MESSAGES_WAITING).reading
        assert (reading.value, reading.note) == ("0", "last read in the hour 23 Nov 10:00")
        assert reading.rows[-3:] == [
            ("23 Nov 10:00", "0"),
            ("23 Nov 11:00", "no reading"),
            ("23 Nov 12:00", "no reading"),
        ]
        assert len(reading.chart.missing) == 23
        month = card(Metric.MESSAGES_WAITING, Period.MONTH, NOW + timedelta(days=1)).reading
        assert month.note == "last read in the day 23 Nov"

    def test_where_nothing_was_ever_read_there_is_no_number(self) -> None:
        reading = card(Metric.STALE_PREKEYS).reading
        assert (reading.value, reading.note, reading.peak) == ("-", "no reading", "")
        assert card(Metric.DELIVERY_TIME).reading.value == "-"
        assert card(Metric.REGISTRATIONS).reading.value == "0"

    def test_active_users_are_those_of_the_day(self) -> None:
        put(Metric.ACTIVE_USERS, 0, 70)
        assert card(Metric.ACTIVE_USERS).reading.note == "since midnight UTC"

    @pytest.mark.parametrize(
        ("value", "told"), [(9_999_999, "9,999,999"), (10_000_000, "10.0 M"), (2_345_678_901, "2,345.7 M")]
    )
    def test_a_long_number_is_told_short_and_in_full_among_the_values(self, value: int, told: str) -> None:
        put(Metric.MESSAGES_RELAYED, 0, value)
        reading = card(Metric.MESSAGES_RELAYED).reading
        assert (reading.value, reading.rows[-1][1]) == (told, f"{value:,}")

    def test_connections_are_those_of_each_process_now(self) -> None:
        put(Metric.CONNECTIONS, 0, 50)
        store_batch("3f9c2ab4d1e07765", Batch(1, {}), 7, NOW)
        store_batch("b80e6d1f2c9a4433", Batch(1, {}), 5, NOW)
        made = card(Metric.CONNECTIONS)
        assert (made.reading.value, made.reading.note, made.reading.peak) == ("12", "now", "50")
        assert made.processes == [("3f9c2ab4", 7), ("b80e6d1f", 5)]

    def test_delivery_time_is_of_all_deliveries_of_the_period_together(self) -> None:
        put(Metric.DELIVERY_TIME, 0, 60, bucket=3)
        put(Metric.DELIVERY_TIME, 1, 40, bucket=9)
        reading = card(Metric.DELIVERY_TIME).reading
        assert (reading.value, reading.note) == ("9.2 ms", "for half in 24 hours; 938 ms for 95 %")
        assert reading.rows[-3:] == [
            ("23 Nov 10:00", "-", "-", "0"),
            ("23 Nov 11:00", "750 ms", "975 ms", "40"),
            ("23 Nov 12:00", "7.5 ms", "9.8 ms", "60"),
        ]
        assert len(reading.chart.lines) == 2
        assert len(reading.chart.missing) == 22

    def test_seconds_are_told_as_seconds(self) -> None:
        put(Metric.DELIVERY_TIME, 0, 1, bucket=11)
        assert card(Metric.DELIVERY_TIME).reading.value == "3.5 s"


class TestPage:
    def test_it_has_all_figures_for_each_role_and_the_superuser(self) -> None:
        write_roles(apps)
        everything = {figure.title for figure in FIGURES}
        assert len(everything) == 10
        for role in ROLES:
            user = User.objects.create_user(role, PASSWORD, is_staff=True)
            user.groups.add(Group.objects.get(name=role))
            client = Client()
            client.force_login(user)
            assert shown(client) == everything
        client = Client()
        client.force_login(User.objects.create_superuser("root", PASSWORD))
        assert shown(client) == everything

    def test_who_has_no_role_sees_no_figure(self) -> None:
        client = browser()
        assert shown(client) == set()
        page = client.get(INDEX).content.decode()
        assert "no role yet" in page
        assert "<svg" not in page
        for figure in FIGURES:
            assert client.get(figure.address(Period.DAY)).status_code == 403

    @pytest.mark.parametrize(
        ("permission", "seen"),
        [
            ("view_report", {"Open reports"}),
            ("view_session", {"Connections"}),
            ("view_prekeybundle", {"Stale prekeys"}),
        ],
    )
    def test_a_figure_is_for_those_who_may_open_the_list_behind_it(
        self, permission: str, seen: set[str]
    ) -> None:
        client = browser(permission)
        assert shown(client) == seen
        for figure in FIGURES:
            expected = 200 if figure.title in seen else 403
            assert client.get(figure.address(Period.DAY)).status_code == expected

    def test_each_figure_links_to_a_page_that_opens(self) -> None:
        client = Client()
        client.force_login(User.objects.create_superuser("root", PASSWORD))
        for period in Period:
            page = client.get(INDEX, {"period": period.word}).content.decode()
            for figure in FIGURES:
                for address in (figure.link(period).address, figure.address(period)):
                    assert f'href="{address}"' in page
                    assert client.get(address).status_code == 200, address

    def test_an_unknown_period_is_the_day_and_an_unknown_figure_is_not_there(self) -> None:
        client = browser("view_user")
        assert client.get(INDEX, {"period": "1y"}).context["period"] is Period.DAY
        for word in ("logins", "nothing"):
            assert client.get(reverse("admin:figure", args=[word])).status_code == 404

    def test_a_figure_page_has_all_values_newest_first(self) -> None:
        HourlyMetric.objects.create(metric=Metric.FAILED_LOGINS, hour=timezone.now(), value=41)
        page = browser("view_user").get(reverse("admin:figure", args=["failed_logins"])).content.decode()
        assert page.count('<th scope="row">') == 24
        assert page.index("<td>41</td>") < page.index("<td>0</td>")

    @pytest.mark.parametrize(("period", "most"), [(Period.DAY, 4), (Period.MONTH, 5)])
    def test_its_queries_are_few_however_many_rows_there_are(self, period: Period, most: int) -> None:
        client = browser("view_user", "view_session", "view_report", "view_prekeybundle")

        def queries() -> list[str]:
            with CaptureQueriesContext(connection) as captured:
                client.get(INDEX, {"period": period.word})
            return [query["sql"] for query in captured]

        empty = queries()
        hour = timezone.now().replace(minute=0, second=0, microsecond=0)
        HourlyMetric.objects.bulk_create(
            HourlyMetric(metric=metric, hour=hour - ago * HOUR, bucket=bucket, value=1)
            for metric in Metric
            for ago in range(24 * 30)
            for bucket in range(16 if metric is Metric.DELIVERY_TIME else 1)
        )
        User.objects.bulk_create(
            User(username=f"user{number}", username_folded=f"user{number}") for number in range(1000)
        )
        full = queries()
        assert len(full) == len(empty)
        assert len([sql for sql in full if "metrics_" in sql]) == most
        assert not [sql for sql in full if "COUNT(" in sql]


class TestListsBehind:
    @pytest.fixture
    def moderator(self) -> Client:
        return browser("view_user")

    def names(self, client: Client, query: str) -> list[str]:
        return [user.username for user in client.get(f"{USERS}?{query}").context["cl"].result_list]

    def test_registered_in_the_period_newest_first(self, moderator: Client) -> None:
        now = timezone.now()
        for name, days in (("aaa", 2), ("bbb", 40), ("ccc", 0)):
            User.objects.create_user(name, created_at=now - timedelta(days=days))
        assert self.names(moderator, "registered=24h") == ["ccc", "staff"]
        assert self.names(moderator, "registered=30d") == ["ccc", "staff", "aaa"]
        assert self.names(moderator, "") == ["aaa", "bbb", "ccc", "staff"]

    def test_seen_today(self, moderator: Client) -> None:
        today = timezone.now().date()
        for name, days in (("aaa", 1), ("bbb", 0), ("ccc", 0)):
            User.objects.create_user(name, last_seen_on=today - timedelta(days=days))
        assert self.names(moderator, "seen=today") == ["bbb", "ccc"]
