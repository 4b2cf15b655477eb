"""Scenario 15: the lists of the admin and a user's page, one at a time, among very many accounts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import islice
from urllib.parse import quote, urlencode

import psycopg

from tests.load import desk_rows
from tests.load.commands.asking import Asked, AskInTurn
from tests.load.commands.crowds import HOST, Person, Seat
from tests.load.measuring import Record, percentile, usage_of
from tests.load.names import names, store
from tests.load.results import Figure, Row
from tests.load.scenarios.logins import PASSWORD
from tests.load.sizes import Sizes
from tests.load.stage import Construct, Stage
from tests.load.wording import count

PAGE = 50
"""Rows of a page."""
LAST_PAGE = 200
"""A list goes no further."""
SAMPLE = 1_000
"""Accounts whose names the searches take."""
WARM_UP = 2
TO_SUPERUSER = "UPDATE accounts_user SET is_staff = true, is_superuser = true WHERE id = %s"
KNOWN = """
SELECT DISTINCT username, accounts_user.id
FROM accounts_user JOIN moderation_report ON reported_id = accounts_user.id
WHERE state = 'new' AND merged_into_id IS NULL
"""
"""Of whom there is something of each kind."""
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_ROWS = 'id="result_list"'
"""What the page of a list without a row lacks."""


@dataclass(frozen=True)
class _Draw:
    """What a page is asked for."""

    beginning: str
    name: str
    user_id: str
    listed_page: int
    """Of a list of all accounts, far behind."""
    handled_page: int


Query = Callable[[_Draw], str]


@dataclass(frozen=True)
class _List:
    title: str
    path: str
    pages: Mapping[str, Query]


def _fixed(text: str) -> Query:
    return lambda _draw: text


def _by_user() -> dict[str, Query]:
    return {
        "a whole name": lambda draw: f"?q={quote(draw.name)}",
        "an id": lambda draw: f"?q={draw.user_id}",
    }


def _filters(parameter: str, *values: str) -> dict[str, Query]:
    return {value: _fixed(f"?{parameter}={value}") for value in values}


FIRST: Mapping[str, Query] = {"first page": _fixed("")}
LISTS = (
    _List(
        "users",
        "accounts/user/",
        {
            **FIRST,
            **_filters("state", "suspended", "pending", "hidden", "reset", "staff"),
            "a beginning": lambda draw: f"?q={quote(draw.beginning)}",
            "an id": lambda draw: f"?q={draw.user_id}",
            "a deep page": lambda draw: f"?p={draw.listed_page}",
        },
    ),
    _List(
        "sessions",
        "accounts/session/",
        {
            **FIRST,
            **_filters("state", "live", "ended"),
            **_by_user(),
            "a deep page": lambda draw: f"?p={draw.listed_page}",
        },
    ),
    _List(
        "prekey bundles",
        "keys/prekeybundle/",
        {
            **FIRST,
            **_filters("prekey", "stale", "fresh"),
            **_by_user(),
            "a deep page": lambda draw: f"?p={draw.listed_page}",
        },
    ),
    _List(
        "audit",
        "audit/auditentry/",
        {
            **FIRST,
            **_filters("act", "suspend", "rename"),
            **_filters("actor_kind__exact", "staff", "operator"),
            "an id": lambda draw: f"?q={draw.user_id}",
            "a deep page": lambda draw: f"?p={draw.handled_page}",
        },
    ),
    _List(
        "reports",
        "moderation/report/",
        {
            **FIRST,
            **_filters("state", "taken", "resolved", "dismissed", "all"),
            **_filters("category__exact", "spam"),
            **_filters("assignment", "mine", "others", "nobody"),
            **_by_user(),
            "a deep page": lambda draw: f"?state=all&repeats=shown&p={draw.handled_page}",
        },
    ),
    _List(
        "invites",
        "accounts/invite/",
        {
            **FIRST,
            "a part of a note": lambda draw: f"?q=choir+{9 - draw.handled_page % 9}",
            "a deep page": lambda draw: f"?p={draw.handled_page}",
        },
    ),
    _List("a user's page", "accounts/user/", {"always another's": lambda draw: f"{draw.user_id}/change/"}),
)
EMPTY = {("audit", "rename")}
"""Nobody was renamed: that there is none must be found as fast."""


def run(stage: Stage, sizes: Sizes, record: Record) -> None:
    with stage.construct() as construct, stage.client() as client:
        (person,) = construct.people(1, PASSWORD)
        draws = _fill(construct, person, sizes)
        cookie = _sign_in(construct.nodes[0].port, person)
        seat = Seat(construct.nodes[0].port)
        usages, pages = [], 0
        for each in LISTS:
            _check(construct.nodes[0].port, cookie, each, draws[0])
            client.call(_asking(seat, cookie, each, draws[:WARM_UP]))
            with usage_of(stage, construct.nodes, [client]) as usage:
                asked = client.call(_asking(seat, cookie, each, draws))
            _record(record, each, asked, sizes)
            usages.append(usage)
            pages += len(each.pages) * len(draws)
    record.cost("page of the admin", usages, pages)
    record.client("pages of the admin", (usage.clients_s / usage.seconds for usage in usages), usages)


def _fill(construct: Construct, person: Person, sizes: Sizes) -> list[_Draw]:
    """Make the rows; what each turn asks for."""
    # Others may have stored the names from the first on.
    store(construct.database_url, names(sizes.listed, first=sizes.listed), seed=3)
    with psycopg.connect(construct.database_url, autocommit=True) as connection:
        connection.execute(TO_SUPERUSER, (person.user_id,))
    desk_rows.fill(construct.database_url, sizes.handled)
    with psycopg.connect(construct.database_url) as connection:
        known = connection.execute(KNOWN).fetchall()
    draw = random.Random(4)
    somebody = list(islice(names(SAMPLE), SAMPLE))
    return [
        _Draw(
            beginning=draw.choice(draw.choice(somebody))[: draw.randint(1, 8)],
            name=name,
            user_id=str(user_id),
            listed_page=_far_behind(draw, sizes.listed),
            handled_page=_far_behind(draw, sizes.handled),
        )
        for name, user_id in draw.choices(known, k=sizes.pages)
    ]


def _far_behind(draw: random.Random, rows: int) -> int:
    """One of the last pages that a list of so many has."""
    last = min(rows // PAGE, LAST_PAGE)
    return draw.randint(max(1, last - 20), last)


def _sign_in(port: int, person: Person) -> str:
    """The cookies of a browser in which the password was given. Raises RuntimeError where it is refused."""
    connection = HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("GET", "/admin/login/")
        answer = connection.getresponse()
        page, cookies = answer.read().decode(), _cookies(answer.headers.get_all("Set-Cookie"))
        token = _TOKEN.search(page)
        form = {"username": person.username, "password": PASSWORD, "next": "/admin/"}
        connection.request(
            "POST",
            "/admin/login/",
            urlencode({**form, "csrfmiddlewaretoken": token[1] if token else ""}),
            {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"},
        )
        answer = connection.getresponse()
        answer.read()
        if answer.status != 302:
            raise RuntimeError(f"the sign-in was refused: {answer.status}")
        return _cookies(answer.headers.get_all("Set-Cookie"))
    finally:
        connection.close()


def _cookies(set_cookies: Sequence[str] | None) -> str:
    return "; ".join(each.partition(";")[0] for each in set_cookies or ())


def _check(port: int, cookie: str, asked: _List, draw: _Draw) -> None:
    """Raise RuntimeError where a list has no row: it would take no time."""
    connection = HTTPConnection(HOST, port, timeout=60)
    try:
        for kind, query in asked.pages.items():
            connection.request("GET", f"/admin/{asked.path}{query(draw)}", headers={"Cookie": cookie})
            page = connection.getresponse().read().decode()
            is_list = not query(draw).endswith("/change/")
            if is_list and (asked.title, kind) not in EMPTY and _ROWS not in page:
                raise RuntimeError(f"no row: {asked.title}, {kind}")
    finally:
        connection.close()


def _asking(seat: Seat, cookie: str, asked: _List, draws: Sequence[_Draw]) -> AskInTurn:
    kinds = {
        kind: [_request(f"/admin/{asked.path}{query(draw)}", cookie) for draw in draws]
        for kind, query in asked.pages.items()
    }
    return AskInTurn(seat, kinds, "200", is_rest=True, must_be_alike=False)


def _request(path: str, cookie: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n".encode()


def _record(record: Record, each: _List, asked: Asked, sizes: Sizes) -> None:
    ms = {kind: sorted(1000 * took for took in asked.took_s[kind]) for kind in each.pages}
    p95s = {kind: percentile(took, 0.95) for kind, took in ms.items()}
    record.row(
        Row(
            scenario="15",
            title=f"Admin among {count(sizes.listed)} accounts, {each.title}: p95 of the slowest kind of page",
            value=max(p95s.values()),
            unit="ms",
            is_least=False,
            must=300,
            aim=150,
            figures=[
                figure
                for kind, took in ms.items()
                for figure in (
                    Figure(f"{kind}, p50", percentile(took, 0.5), "ms"),
                    Figure(f"{kind}, p95", p95s[kind], "ms"),
                )
            ],
            faults=dict(asked.faults),
        )
    )
