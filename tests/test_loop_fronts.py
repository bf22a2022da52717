"""Pareto fronts: points that no other surpasses in both."""

import numpy as np
import pytest

from loop.output.fronts import front, senses

POINTS = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 1.0], [0.5, 3.0], [1.5, 0.5], [2.0, 0.0], [3.0, -1.0]])


@pytest.mark.parametrize(
    ("ways", "rows"),
    [((1, 1), {0, 1, 2, 6}), ((-1, -1), {0, 3, 4, 5, 6}), ((1, -1), {6}), ((-1, 1), {0})],
)
def test_front_is_what_no_point_surpasses(ways, rows):
    """By definition: a point is off the front if another is as good in both and better in one."""
    found = set(front(POINTS, ways).tolist())
    better = POINTS * np.array(ways)
    dominated = [any((other >= p).all() and (other > p).any() for other in better) for p in better]
    assert found == rows == {i for i, lost in enumerate(dominated) if not lost}


def test_fronts_lie_against_the_trend():
    assert senses(POINTS) == [(1, 1), (-1, -1)]
    assert senses(POINTS * [1, -1]) == [(1, -1), (-1, 1)]
