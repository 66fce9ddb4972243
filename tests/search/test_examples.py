"""search.examples: the samples of the picture are spread over errors and classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.examples import example_rows


@given(errors=st.lists(st.floats(0, 10), min_size=1, max_size=60), n=st.integers(1, 12), seed=st.integers(0, 9))
def test_from_best_over_median_to_worst(errors: list[float], n: int, seed: int) -> None:
    """As many different rows as wanted, or all there are, in the order of their errors, three of them named."""
    mse = np.array(errors)
    labels = np.random.default_rng(seed).integers(0, 4, len(mse))
    for classes in (None, labels):
        found = example_rows(mse, classes, n)
        assert found == example_rows(mse, classes, n)
        rows = [row for row, _ in found]
        assert len(rows) == len(set(rows)) == min(n, len(mse))
        assert np.all(np.diff(mse[rows]) >= 0)
        named = {title.split(", ")[0]: row for row, title in found}
        if len(rows) > 1:
            assert mse[named["best"]] == mse.min()
            assert mse[named["worst"]] == mse.max()
        if len(rows) != 2:
            assert mse[named["median"]] == np.sort(mse)[(len(mse) - 1) // 2]
        if classes is not None:
            assert all(title.endswith(f"class {classes[row]}") for row, title in found)


def test_every_class_is_shown() -> None:
    """Of ten classes that have nothing to do with the errors, ten samples show at least eight."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        labels = np.array(list("abcdefghij"))[generator.integers(0, 10, 500)]
        titles = [title for _, title in example_rows(generator.random(500), labels, 10)]
        # Best, median and worst are what they are, and may be of one class.
        assert len({title[-1] for title in titles}) >= 8


def test_places_without_classes() -> None:
    """Evenly between the best and the median, and between this and the worst."""
    mse = np.arange(101.0)[::-1]
    found = example_rows(mse, None, 5)
    assert found == [(100, "best"), (75, ""), (50, "median"), (25, ""), (0, "worst")]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [(2, "median, wren")]),
        (2, [(1, "best, wren"), (3, "worst, finch")]),
        (9, [(1, "best, wren"), (2, "median, wren"), (0, ""), (3, "worst, finch")]),
    ],
)
def test_few(n: int, expected: list[tuple[int, str]]) -> None:
    """One sample is the median, two are the ends; no more than there are."""
    found = example_rows(np.array([0.3, 0.1, 0.2, 0.4]), np.array(["finch", "wren", "wren", "finch"]), n)
    assert found == [(row, title or "finch") for row, title in expected]


def test_numbers_are_called_classes() -> None:
    """A class that is a number says that it is one."""
    assert example_rows(np.zeros(1), np.array([3]), 1) == [(0, "median, class 3")]
