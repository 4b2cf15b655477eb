"""The table of metrics, and that the page for operators tells it."""

from __future__ import annotations

import pytest

from construct_site.env import REPOSITORY
from construct_site.metrics.models import HourlyMetric
from construct_site.metrics.table import BOUNDS_S, TABLE, Kind, Metric, buckets


@pytest.mark.parametrize("metric", Metric)
def test_its_word_fits_the_column_and_its_row_is_documented(metric: Metric) -> None:
    longest = HourlyMetric._meta.get_field("metric").max_length
    assert longest is not None
    assert len(metric.value) <= longest
    page = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")
    assert f"\n| `{metric}` | {TABLE[metric].text} |" in page


def test_only_times_have_classes_one_more_than_their_bounds() -> None:
    assert sorted(BOUNDS_S) == list(BOUNDS_S)
    assert {metric for metric in Metric if TABLE[metric].kind is Kind.TIMES} == {Metric.DELIVERY_TIME}
    assert buckets(Metric.DELIVERY_TIME) == len(BOUNDS_S) + 1
    assert buckets(Metric.LOGINS) == 1
