"""Charts as shapes: to scale, with gaps where nothing was read."""

from __future__ import annotations

import pytest

from accounts.desk.charts import HEIGHT, SLOT, bars, steps

TEXTS = ["a", "b", "c", "d"]


def test_bars_are_to_scale_and_stand_in_their_places() -> None:
    chart = bars([0, 50, 100, 0], TEXTS)
    assert [box.x // SLOT for box in chart.bars] == [1, 2]
    low, high = (box.height for box in chart.bars)
    assert high == pytest.approx(2 * low, abs=1)
    assert high <= HEIGHT
    assert {box.y + box.height for box in chart.bars} == {HEIGHT}


def test_a_bar_of_little_beside_much_can_be_seen() -> None:
    least, _ = bars([1, 1_000_000], ["a", "b"]).bars
    assert least.height == 2


@pytest.mark.parametrize("values", [[0, 0, 0, 0], []])
def test_nothing_has_no_bars(values: list[int]) -> None:
    chart = bars(values, TEXTS[: len(values)])
    assert chart.bars == []
    assert chart.width == len(values) * SLOT


def test_readings_are_levels_joined_to_their_neighbours() -> None:
    (line,) = steps([[0, 10, 5]], TEXTS[:3]).lines
    assert line == "M0 60.0H10V3.0H20V31.5H30"


def test_a_missing_reading_is_a_gap_and_no_zero() -> None:
    chart = steps([[10, None, None, 10]], TEXTS)
    assert chart.lines == ["M0 3.0H10M30 3.0H40"]
    assert [box.x for box in chart.missing] == [10, 20]


def test_where_nothing_was_read_there_is_no_line() -> None:
    chart = steps([[None, None]], ["a", "b"])
    assert chart.lines == [""]
    assert len(chart.missing) == 2


def test_two_lines_have_one_scale() -> None:
    assert steps([[5], [10]], ["a"]).lines == ["M0 31.5H10", "M0 3.0H10"]


def test_each_point_has_a_spot_that_tells_it() -> None:
    for chart in (bars([1, 2], ["a", "b"]), steps([[1, None]], ["a", "b"])):
        assert [(spot.x, spot.text) for spot in chart.spots] == [(0, "a"), (SLOT, "b")]
        assert chart.view_box == f"0 0 {2 * SLOT} {HEIGHT + 1}"
