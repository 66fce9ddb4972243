"""The data set that the settings name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import UserError, load_dataset
from search.plan import load_data, make_plan
from search.settings_files import load_settings


@pytest.fixture
def spectra(tmp_path: Path) -> Path:
    """A table whose header holds wavelengths."""
    path = tmp_path / "spectra.csv"
    np.savetxt(path, np.random.default_rng(0).random((20, 4)), delimiter=",", header="400,401.5,403,405", comments="")
    return path


@pytest.mark.parametrize("header", [None, True, False])
def test_settings_reach_the_reader(spectra: Path, header: bool | None) -> None:
    """`data.header` too, and the seed."""
    overrides = [f"data.source={spectra}", "seed=3", "data.max_samples=9", "data.test_fraction=0.4"]
    if header is not None:
        overrides.append(f"data.header={str(header).lower()}")
    loaded = load_data(load_settings(overrides=overrides))
    expected = load_dataset(spectra, seed=3, max_samples=9, test_fraction=0.4, header=header)
    np.testing.assert_array_equal(loaded.development, expected.development)
    np.testing.assert_array_equal(loaded.test, expected.test)
    assert loaded.feature_names == expected.feature_names


def test_notes_speak_of_settings(spectra: Path) -> None:
    """What was decided, and the setting that decides otherwise."""
    (note,) = load_data(load_settings(overrides=[f"data.source={spectra}"])).notes
    assert note.startswith("spectra.csv: its first line (400, 401.5, 403, ...) is taken for the header")
    assert note.endswith("; data.header = false makes it a sample")


def test_columns_that_are_left_out(tmp_path: Path) -> None:
    """As the settings say, and in their words where one is not there."""
    table = pd.DataFrame({"id": range(30), "b": np.random.default_rng(0).random(30), "c": [0.5, 0.25] * 15})
    table.to_csv(tmp_path / "x.csv", index=False)
    source = f"data.source={tmp_path / 'x.csv'}"
    (note,) = load_data(load_settings(overrides=[source])).notes
    assert note.endswith("data.ignore_columns=['id'] leaves it out")
    without = load_data(load_settings(overrides=[source, "data.ignore_columns=id"]))
    assert without.feature_names == ("b", "c")
    assert not without.notes
    with pytest.raises(UserError, match=r"x\.csv: data\.ignore_columns: 'ID' must be a column, but"):
        load_data(load_settings(overrides=[source, "data.ignore_columns=ID"]))


def test_errors_speak_of_settings(spectra: Path) -> None:
    """An argument of the reader is a key of [data] here."""
    with pytest.raises(UserError, match=r": data\.label_column = 'kind' must be a column") as caught:
        load_data(load_settings(overrides=[f"data.source={spectra}", "data.label_column=kind"]))
    assert caught.value.argument == "data.label_column"


def test_every_trial_is_to_reach_its_last_epoch(spectra: Path) -> None:
    """That of the search, which is also the end of every schedule."""
    overrides = [
        f"data.source={spectra}", "bottleneck.code_sizes=2", "space.hidden=4", "search.max_epochs=7",
        'space.learning_rate_schedule=["constant", "cosine"]',
    ]  # fmt: skip
    plan = make_plan(load_settings(overrides=overrides))
    assert [plan.length(c).epochs for c in plan.trials.values()] == [7] * 4
    ends = {(c.learning_rate_schedule, c.schedule_epochs) for c in plan.trials.values()}
    assert ends == {("constant", None), ("cosine", 7)}


def test_a_schedule_is_as_long_as_the_training_of_its_batch_size(spectra: Path) -> None:
    """In epochs, where the settings give steps; only trials without a schedule may end before for want of patience."""
    overrides = [
        f"data.source={spectra}", "bottleneck.code_sizes=2", "space.hidden=4", "search.max_steps=24",
        "space.batch_size=[4, 8]", 'space.learning_rate_schedule=["constant", "cosine"]',
    ]  # fmt: skip
    plan = make_plan(load_settings(overrides=overrides))
    epochs = {4: 6, 8: 12}  # of 16 development rows, 13 train: four batches of 4, two of 8
    for c in plan.trials.values():
        is_constant = c.learning_rate_schedule == "constant"
        assert plan.length(c).epochs == epochs[c.batch_size]
        assert c.schedule_epochs == (None if is_constant else epochs[c.batch_size])
        assert (plan.length(c).patience is not None) == is_constant
