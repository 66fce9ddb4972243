"""search.scaling: what a search scales its data by, where nobody says so, and the notes on columns that this hurts."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ae_model import Dataset, dataset_from_arrays, load_dataset
from ae_model.pca import explained_variance_ratio
from ae_model.scaling import SCALING_NAMES, fit_scaling
from search import parse_settings, propose_code_sizes
from search.plan import make_plan
from search.scaling import resolved_scaling, squeezed_columns
from search.settings import SearchSettings

TABLE = dataset_from_arrays(np.random.default_rng(0).normal(size=(60, 5)) * [1, 1e3, 1, 1, 1] + 7)
FLOAT_IMAGES = dataset_from_arrays(np.random.default_rng(0).random((60, 6)), image_shape=(2, 3))


def _settings(scaling: str | None = None, output: str = "linear") -> SearchSettings:
    data = {} if scaling is None else {"scaling": scaling}
    return parse_settings({"data": data, "space": {"output_activation": output}, "bottleneck": {"code_sizes": [2]}})


@pytest.mark.parametrize(
    ("dataset", "output", "kind"),
    [
        (TABLE, "linear", "standard"),
        (TABLE, "leaky_relu", "standard"),
        (TABLE, "tanh", "range"),
        (TABLE, "elu", "range"),
        (load_dataset("digits"), "linear", "range"),
        (FLOAT_IMAGES, "linear", "range"),
    ],
)
def test_data_and_output_decide_where_nobody_does(dataset: Dataset, output: str, kind: str) -> None:
    """Tables are standardised where the output can follow, images never."""
    assert resolved_scaling(_settings(output=output), dataset) == kind
    for given in SCALING_NAMES if output == "linear" else ["range"]:
        assert resolved_scaling(_settings(given, output), dataset) == given


@pytest.mark.parametrize("kind", [None, *SCALING_NAMES])
def test_a_plan_has_one_scaling_everywhere(kind: str | None) -> None:
    """The workers' design, the definition of trials and PCA's proposal have the same, which names the trials."""
    plan = make_plan(_settings(kind), TABLE)
    expected = kind or "standard"
    assert plan.design.scaling == plan.definition["data.scaling"] == expected
    ratio = explained_variance_ratio(TABLE.development, fit_scaling(TABLE.development, None, expected))
    np.testing.assert_array_equal(plan.code_sizes.ratio, ratio)
    np.testing.assert_array_equal(propose_code_sizes(TABLE, _settings(kind)).ratio, ratio)
    others = [make_plan(_settings(other), TABLE).trials.keys() for other in SCALING_NAMES if other != expected]
    assert all(plan.trials.keys().isdisjoint(other) for other in others)


def test_trials_of_the_range_have_the_ids_they_had() -> None:
    """Those of before there was a choice: a definition that does not speak of scaling."""
    from search.identity import trial_id

    plan = make_plan(_settings("range"), TABLE)
    before = {name: value for name, value in plan.definition.items() if name != "data.scaling"}
    assert list(plan.trials) == [trial_id(configuration, before) for configuration in plan.trials.values()]


@pytest.mark.parametrize("kind", ["range", "standard"])
def test_a_column_that_one_cell_squeezes_is_named(kind: str) -> None:
    """With the cell's value, and what to do."""
    values = np.random.default_rng(0).normal(size=(200, 4))
    values[values[:, 1].argsort()[:3], 1] = -1e9
    names = ["age", "income", "height", "weight"]
    (note,) = squeezed_columns(dataset_from_arrays(values, test=values[:5], feature_names=names, name="people"), kind)
    assert note.startswith("people, column 'income': a few extreme values (such as -1e+09) squeeze the middle half of")
    assert note.endswith("less than 0.001 % of its range. Clean them, or leave the column out.")
    (note,) = squeezed_columns(dataset_from_arrays(values, test=values[:5]), kind)
    assert "data, column 1 (counted from 0): " in note


def test_the_part_of_the_range_is_that_of_the_quartiles() -> None:
    """In percent, with one digit that counts."""
    values = np.linspace(0, 1, 1000)[:, None]
    values[0] = 400
    (note,) = squeezed_columns(dataset_from_arrays(np.hstack([values, values]), test=np.zeros((1, 2))), "range")[:1]
    assert "(such as 400) squeeze the middle half of all into 0.1 % of its range" in note


def test_many_columns_are_counted() -> None:
    """Three are named."""
    values = np.random.default_rng(0).normal(size=(100, 9))
    values[4, 1:] = 1e6
    notes = squeezed_columns(dataset_from_arrays(values, test=values[:2]), "range")
    assert [note.partition(":")[0] for note in notes[:3]] == [f"data, column {i} (counted from 0)" for i in (1, 2, 3)]
    assert notes[3:] == ["data: extreme values do so in 5 more columns."]


def test_a_column_that_outweighs_the_others_is_named() -> None:
    """By median and quartiles the bulk keeps its size, and the extreme value is a million of them."""
    values = np.random.default_rng(0).normal(size=(100, 4))
    values[3, 2] = 1e6
    (note,) = squeezed_columns(dataset_from_arrays(values, test=values[:2]), "robust")
    assert "column 2 (counted from 0): a few extreme values (such as 1e+06) outweigh all other columns" in note


def test_what_is_not_noted() -> None:
    """Images, and data that nobody scales."""
    values = np.random.default_rng(0).normal(size=(100, 4))
    values[0] = 1e9
    assert squeezed_columns(dataset_from_arrays(values), "none") == []
    assert squeezed_columns(dataset_from_arrays(values, image_shape=(2, 2)), "range") == []
    assert squeezed_columns(dataset_from_arrays(values, value_range=(-10.0, 1e9)), "range") == []


SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.uniform(3, 4, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    "t with 3 degrees": lambda rng, n: rng.standard_t(3, n),
    "counts": lambda rng, n: rng.poisson(0.2, n),
    "some counts": lambda rng, n: rng.poisson(rng.exponential(1, n)),
    "indicator": lambda rng, n: rng.random(n) < 0.3,
    "rare": lambda rng, n: rng.random(n) < 0.002,
    "constant": lambda _, n: np.full(n, 7.0),
    "whole years": lambda rng, n: rng.integers(1950, 2020, n),
}


@pytest.mark.parametrize("n", [100, 1000, 5000, 20_000])
def test_columns_as_they_usually_are_raise_no_alarm(n: int) -> None:
    """Over many draws, also of heavy tails."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = np.column_stack([shape(rng, n) for shape in SHAPES.values()])
        dataset = dataset_from_arrays(values, test=values[:2], feature_names=list(SHAPES))
        for kind in ("range", "standard"):
            assert squeezed_columns(dataset, kind) == [], (seed, kind)


def test_a_plan_carries_the_notes() -> None:
    """After those of the source; the samples are those that were given."""
    values = np.random.default_rng(0).normal(size=(100, 4))
    values[3:6, 2] = 1e9
    dataset = dataset_from_arrays(values, test=values[:2])
    plan = make_plan(_settings(), dataset)
    assert plan.dataset.notes == tuple(squeezed_columns(dataset, "standard"))
    assert len(plan.dataset.notes) == 1
    assert plan.dataset.development is dataset.development


@pytest.mark.parametrize(("rows", "cells"), [([7], "one row"), (range(3, 11), "8 rows")])
def test_a_value_that_stands_for_what_is_missing_is_named(rows: Sequence[int], cells: str) -> None:
    """By standard deviations it squeezes nothing into next to nothing, but is most of its column's error."""
    values = np.random.default_rng(0).normal(size=(1000, 3))
    values[list(rows), 1] = -99
    (note,) = squeezed_columns(dataset_from_arrays(values, test=values[:5]), "standard")
    assert f"column 1 (counted from 0): the value -99, in {cells}, makes " in note
    assert note.endswith("If it stands for what is missing or wrong, clean it, or leave the column out.")


def test_long_tails_and_rare_values_are_no_errors() -> None:
    """Log-normal values, Student's t, a rare event and a frequent second value are what columns are like."""
    chance = np.random.default_rng(0)
    columns = [np.exp(chance.normal(size=500)), chance.standard_t(4, size=500), chance.random(500) < 0.005]
    columns.append(np.where(chance.random(500) < 0.1, 40.0, chance.normal(size=500)))
    values = np.column_stack(columns)
    assert squeezed_columns(dataset_from_arrays(values, test=values[:5]), "standard") == []
