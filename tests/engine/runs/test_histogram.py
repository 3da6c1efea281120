"""The sketch of a distribution: percentiles right within 1 %, in memory that doesn't grow with the values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.engine.runs.histogram import Histogram

SHARES = (0.0, 0.01, 0.5, 0.9, 0.99, 1.0)


def nearest_rank(values: list[float], share: float) -> float:
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def sketch_of(values: list[float]) -> Histogram:
    sketch = Histogram()
    for value in values:
        sketch.add(value)
    return sketch


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=1, max_size=200))
def test_percentiles_are_by_nearest_rank_within_one_percent(values: list[float]) -> None:
    found = sketch_of(values).percentiles(*SHARES)
    assert found is not None
    assert list(found) == [pytest.approx(nearest_rank(values, share), rel=0.01, abs=1e-6) for share in SHARES]


def test_a_hundred_values() -> None:
    found = sketch_of([number / 1000 for number in range(1, 101)]).percentiles(0.5, 0.9, 0.99)
    assert found == pytest.approx((0.05, 0.09, 0.099), rel=0.01)


def test_without_values() -> None:
    assert Histogram().percentiles(0.5) is None
    assert list(Histogram().values()) == []


def test_values_come_back_in_order() -> None:
    sketch = sketch_of([3.0, 0.0, 0.001, 3.0, 0.0])
    assert sketch.count == 5
    assert list(sketch.values()) == [(0.0, 2), (pytest.approx(0.001, rel=0.01), 1), (pytest.approx(3.0, rel=0.01), 2)]


def test_memory_is_bounded() -> None:
    sketch = sketch_of([10 ** (number / 1000) for number in range(-9000, 12000)])
    assert len(list(sketch.values())) < 1520
    assert sketch.percentiles(1.0) == pytest.approx((1e7,), rel=0.01)
