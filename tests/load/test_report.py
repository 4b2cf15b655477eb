"""The page says what was found, and what of it is enough."""

from __future__ import annotations

import msgspec
import pytest

from tests.load import report, results
from tests.load.results import ClientShare, Cost, Figure, Results, Row
from tests.load.wording import amount, count, duration

RATIO = Row(
    scenario="1",
    title="Durable relay ÷ bare relay",
    value=0.5,
    unit="",
    must=0.4,
    aim=0.7,
    rounds=[0.45, 0.5, 0.55],
    figures=[Figure("durable relay", 4567.0, "/s")],
)
LATENCY = Row(scenario="6", title="p99", value=12.0, unit="ms", is_least=False, must=25, aim=10)
FOUND = Results(
    version="1.2.3",
    machine={"processor": "A processor", "cores": "2 cores", "memory": "8 GiB", "kernel": "Linux 6"},
    versions={"Python": "3.11"},
    settings={"shared_buffers": "1GB"},
    limits={"CONSTRUCT_MESSAGES_PER_HOUR": "1000000000"},
    sizes={"rounds": 3},
    took_s=600.0,
    rows=[RATIO, LATENCY],
    costs=[Cost("message", 0.00025, 0.0001, 0.0)],
    clients=[ClientShare("bare relay", 0.25, 0.5)],
)


def lines_with(page: str, words: str) -> list[str]:
    return [line for line in page.splitlines() if words in line]


def test_a_row_tells_the_ratio_the_bounds_and_the_figures_behind_it() -> None:
    (line,) = lines_with(report.page(FOUND), RATIO.title)
    assert line == (
        "| 1 | Durable relay ÷ bare relay | **0.500** | ≥ 0.4: met | ≥ 0.7: **not met** "
        "| durable relay 4\N{NO-BREAK SPACE}567/s; rounds 0.450 to 0.550 |"
    )


def test_where_less_is_better_a_bound_is_the_most() -> None:
    (line,) = lines_with(report.page(FOUND), "p99")
    assert "| ≤ 25 ms: met | ≤ 10 ms: **not met** |" in line


def test_a_row_without_a_bound_has_an_empty_cell() -> None:
    page = report.page(msgspec.structs.replace(FOUND, rows=[msgspec.structs.replace(RATIO, must=None)]))
    (line,) = lines_with(page, RATIO.title)
    assert "**0.500** |  | ≥ 0.7" in line


def test_a_fault_fails_its_row_and_is_named() -> None:
    faulty = msgspec.structs.replace(RATIO, faults={"lost": 2})
    found = msgspec.structs.replace(FOUND, rows=[faulty])
    (line,) = lines_with(report.page(found), RATIO.title)
    assert "≥ 0.4: **not met**" in line
    assert "**faults: lost 2**" in line
    assert FOUND.is_faultless
    assert not found.is_faultless


def test_what_could_not_be_measured_is_said() -> None:
    found = msgspec.structs.replace(FOUND, failures={"9": "CommandFailed: no answer"})
    assert lines_with(report.page(found), "Not measured") == [
        "**Not measured:** scenarios 9: CommandFailed: no answer."
    ]
    assert not found.is_faultless
    assert "Not measured" not in report.page(FOUND)


def test_the_page_names_the_machine_the_costs_and_the_clients() -> None:
    page = report.page(FOUND)
    assert "Construct 1.2.3 on A processor, 2 cores, 8 GiB, Linux 6." in page
    assert "| message | 250 µs | 100 µs | 0 |" in page
    assert "| bare relay | 25% | 50% |" in page


@pytest.mark.parametrize(("elsewhere", "warnings"), [(0.05, 0), (0.5, 1)])
def test_a_busy_machine_is_said_to_be_one(elsewhere: float, warnings: int) -> None:
    found = msgspec.structs.replace(FOUND, clients=[ClientShare("bare relay", 0.25, elsewhere)])
    assert len(lines_with(report.page(found), "not quiet")) == warnings


def test_results_survive_being_kept() -> None:
    assert results.read(results.write(FOUND)) == FOUND


def test_a_file_that_is_no_results_file_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        results.read(b"{}")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.4567, "", "0.457"),
        (4.567, "s", "4.57 s"),
        (12.34, "ms", "12.3 ms"),
        (123.4, "/s", "123/s"),
        (12345.6, "/s", "12\N{NO-BREAK SPACE}346/s"),
    ],
)
def test_amounts_have_three_significant_digits_and_their_unit(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_durations_take_the_unit_that_fits() -> None:
    assert [duration(each) for each in (0, 2.5, 0.0123, 0.000456)] == ["0", "2.50 s", "12.3 ms", "456 µs"]


def test_thousands_are_parted() -> None:
    assert count(50_000) == "50\N{NO-BREAK SPACE}000"
