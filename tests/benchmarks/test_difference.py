"""The interval of a median, against the table of the sign test."""

import pytest

from benchmarks.difference import interval


@pytest.mark.parametrize(
    ("count", "left_out"), [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (11, 1), (15, 3), (20, 5)]
)
def test_an_interval_leaves_out_what_95_percent_allow(count: int, left_out: int) -> None:
    values = [float(value) for value in reversed(range(count))]
    assert interval(values) == (left_out, count - 1 - left_out)
