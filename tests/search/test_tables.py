"""search.tables: every number of the tables recomputed from the reports by an independent route."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ae_model import Configuration, EpochRecord, SymmetricAutoencoder
from search.files import replace_file
from search.ledger import DIVERGED, FINISHED, RUNNING, Ledger
from search.selection import select_winner
from search.tables import (
    configuration_labels,
    load_epochs,
    load_folds,
    load_trials,
    load_validation_curve,
    write_tables,
)

DEEP = Configuration(layer_sizes=(8, 5, 2), code_activation="linear", learning_rate=0.01, batch_size=16)
SHALLOW = Configuration(layer_sizes=(8, 2), hidden_activation="linear")
WIDE = Configuration(
    layer_sizes=(8, 7, 6, 3),
    hidden_activation="tanh",
    weight_decay=0.1,
    learning_rate_schedule="cosine",
    schedule_epochs=6,
    dropout=0.2,
    noise_std=0.3,
    mask_fraction=0.4,
)

N_SPLITS = 3
BASELINE = np.array([[0.5, 0.6, 0.7], [0.1, 0.2, 0.3]])  # of the code sizes 2 and 3

# As docs/design.md lists them.
TRIALS = [
    "trial_id", "number", "status", "layer_sizes", "code_size", "hidden_depth", "hidden_activation", "code_activation",
    "init", "learning_rate", "batch_size", "weight_decay", "learning_rate_schedule", "schedule_epochs", "dropout",
    "noise_std", "mask_fraction", "n_parameters", "compression_ratio", "epochs", "rung", "forecast", "n_repeats",
    "best_epoch", "val_mse_mean", "val_mse_std", "val_mse_se", "val_fve_mean", "train_mse_mean", "pca_val_mse_mean",
    "pca_p_value", "dead_code_units_mean", "probe_score", "probe_knn_score", "pca_probe_score", "rank", "fit_seconds",
    "host", "error",
]  # fmt: skip


def _write(directory: Path, reports: Mapping[str, np.ndarray], status: Mapping[str, str]) -> None:
    """A ledger with three trials "deep", "shallow", "wide".

    Args:
        directory: Where the ledger goes.
        reports: Values `(epochs, folds, 4)` of some trials: train_mse, val_mse, val_fve, dead units.
        status: Of the trials that have reports.
    """
    with Ledger(directory) as ledger:
        ledger.enter_trials({"deep": DEEP, "shallow": SHALLOW, "wide": WIDE})
        ledger.put_baseline([2, 3], BASELINE)
        for trial, values in reports.items():
            records = [
                EpochRecord(
                    epoch=epoch,
                    train_mse=folds[:, 0],
                    val_mse=folds[:, 1],
                    val_fve=folds[:, 2],
                    dead_code_units=folds[:, 3].astype(np.int64),
                )
                for epoch, folds in enumerate(values, 1)
            ]
            ledger.start(trial)
            ledger.record(trial, records, host="node", fit_seconds=1.5, status=status[trial])


def _random_reports(seed: int, n_epochs: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.random((n_epochs, N_SPLITS, 4))
    values[..., 3] = generator.integers(0, 3, (n_epochs, N_SPLITS))
    return values


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """A search whose three trials have finished, and their reports."""
    reports = {name: _random_reports(seed, 6) for seed, name in enumerate(("deep", "shallow", "wide"))}
    _write(tmp_path, reports, dict.fromkeys(reports, FINISHED))
    return tmp_path, reports


def test_the_columns_are_those_of_the_design(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """Tables have the documented columns in the documented order, one row per trial, fold and epoch."""
    directory, _ = finished
    assert list(load_trials(directory).columns) == TRIALS
    assert len(load_trials(directory)) == 3
    folds, epochs = load_folds(directory), load_epochs(directory)
    assert not folds.duplicated(["trial_id", "fold"]).any()
    assert len(folds) == 3 * N_SPLITS
    assert not epochs.duplicated(["trial_id", "epoch", "fold"]).any()
    assert len(epochs) == 3 * 6 * N_SPLITS
    for table in (load_trials(directory), folds, epochs):
        scalar = table.map(lambda cell: cell is None or np.isscalar(cell) or cell is pd.NA)
        assert scalar.to_numpy().all(), "scalar columns only"


def test_epochs_are_the_reports(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """The table of epochs holds every reported value, to the bit, ordered by trial number, epoch and fold."""
    directory, reports = finished
    epochs = load_epochs(directory)
    assert epochs["trial_id"].drop_duplicates().tolist() == ["deep", "shallow", "wide"]
    expected = np.concatenate([reports[name].reshape(-1, 4) for name in ("deep", "shallow", "wide")])
    np.testing.assert_array_equal(
        epochs[["train_mse", "val_mse", "val_fve", "dead_code_units"]].to_numpy(np.float64), expected
    )
    assert epochs["epoch"].tolist() == [e for _ in range(3) for e in range(1, 7) for _ in range(N_SPLITS)]
    assert epochs["fold"].tolist() == list(range(N_SPLITS)) * 18


def test_every_summary_by_numpy(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """Best epoch, mean, standard deviation (ddof 1), standard error and the rest equal NumPy's of the reports."""
    directory, reports = finished
    trials = load_trials(directory).set_index("trial_id")
    folds = load_folds(directory)
    for name, values in reports.items():
        best = int(np.argmin(values[:, :, 1].mean(axis=1)))
        train, val, fve, dead = values[best].T
        row = trials.loc[name]
        assert row["epochs"] == len(values)
        assert row["best_epoch"] == best + 1
        np.testing.assert_allclose(row["val_mse_mean"], val.mean())
        np.testing.assert_allclose(row["val_mse_std"], val.std(ddof=1))
        np.testing.assert_allclose(row["val_mse_se"], stats.sem(val))
        np.testing.assert_allclose(row["val_fve_mean"], fve.mean())
        np.testing.assert_allclose(row["train_mse_mean"], train.mean())
        np.testing.assert_allclose(row["dead_code_units_mean"], dead.mean())
        np.testing.assert_allclose(row["pca_val_mse_mean"], BASELINE[int(row["code_size"]) - 2].mean())
        difference = val - BASELINE[int(row["code_size"]) - 2]
        error = np.sqrt((1 / N_SPLITS + 1 / (N_SPLITS - 1)) * difference.var(ddof=1))
        np.testing.assert_allclose(row["pca_p_value"], 2 * stats.t.sf(abs(difference.mean() / error), N_SPLITS - 1))
        of_trial = folds[folds["trial_id"] == name]
        assert (of_trial["best_epoch"] == best + 1).all()
        np.testing.assert_array_equal(of_trial["val_mse"], val)
        np.testing.assert_array_equal(of_trial["train_mse"], train)
        np.testing.assert_array_equal(of_trial["dead_code_units"], dead)
        np.testing.assert_array_equal(of_trial["pca_val_mse"], BASELINE[int(row["code_size"]) - 2])
    means = [reports[name][:, :, 1].mean(axis=1).min() for name in trials.index]
    np.testing.assert_array_equal(trials["rank"].to_numpy(np.float64), stats.rankdata(means))


def test_the_curve_of_a_trial_that_was_repeated(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """Mean and error of each epoch are over the folds that count, as in `trials.csv`; no epoch, no rows."""
    directory, reports = finished
    further = np.random.default_rng(9).random((6, N_SPLITS, 4))
    with Ledger(directory) as ledger:
        ledger.put("definition", {"search.n_splits": N_SPLITS})
        ledger.enter_trials({"new": Configuration(layer_sizes=(8, 4))})
        for trial, n_epochs in (("deep", 6), ("wide", 3)):  # which is half of a repeat
            records = [
                EpochRecord(
                    epoch=epoch,
                    train_mse=values[:, 0],
                    val_mse=values[:, 1],
                    val_fve=values[:, 2],
                    dead_code_units=np.zeros(N_SPLITS, np.int64),
                )
                for epoch, values in enumerate(further[:n_epochs], 1)
            ]
            ledger.record(trial, records, status=None, first_fold=N_SPLITS)
    trials = load_trials(directory).set_index("trial_id")
    for trial, n_repeats in (("deep", 2), ("shallow", 1), ("wide", 1)):
        curve = load_validation_curve(directory, trial)
        assert curve["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
        values = np.stack([reports[trial][..., 1], further[..., 1]][:n_repeats], axis=1)
        np.testing.assert_allclose(curve["mean"], values.mean(axis=(1, 2)))
        np.testing.assert_allclose(curve["se"], np.sqrt(np.square(stats.sem(values, axis=2)).mean(axis=1)))
        best = curve.set_index("epoch").loc[trials.loc[trial, "best_epoch"]]
        assert best.tolist() == trials.loc[trial, ["val_mse_mean", "val_mse_se"]].tolist()
    assert load_validation_curve(directory, "new").empty


def test_what_is_known_of_a_configuration(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """Sizes, activations, number of parameters and compression are the configuration's own."""
    trials = load_trials(finished[0]).set_index("trial_id")
    for name, configuration in {"deep": DEEP, "shallow": SHALLOW, "wide": WIDE}.items():
        row, sizes = trials.loc[name], configuration.layer_sizes
        assert row["layer_sizes"] == "-".join(map(str, sizes))
        assert (row["code_size"], row["hidden_depth"]) == (sizes[-1], len(sizes) - 2)
        assert row["n_parameters"] == sum(p.numel() for p in SymmetricAutoencoder(sizes).parameters())
        assert row["compression_ratio"] == 8 / sizes[-1]
        for field in set(TRIALS[TRIALS.index("hidden_activation") : TRIALS.index("n_parameters")]) - {
            "schedule_epochs"
        }:
            assert row[field] == getattr(configuration, field)
        assert (None if pd.isna(row["schedule_epochs"]) else row["schedule_epochs"]) == configuration.schedule_epochs
        assert (row["status"], row["host"], row["fit_seconds"]) == (FINISHED, "node", 1.5)
    assert trials["number"].tolist() == [1, 2, 3]
    assert trials["error"].isna().all()


def test_a_search_without_a_baseline_has_no_comparison(tmp_path: Path) -> None:
    """A trial whose code size PCA was never asked for has its own figures, and none of PCA's."""
    _write(tmp_path, {"deep": _random_reports(0, 2)}, {"deep": FINISHED})
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"other": Configuration(layer_sizes=(8, 5))})
        values = np.full(N_SPLITS, 0.5)
        record = EpochRecord(
            epoch=1, train_mse=values, val_mse=values, val_fve=values, dead_code_units=np.zeros(N_SPLITS, np.int64)
        )
        ledger.record("other", [record], host="node", fit_seconds=1.0, status=FINISHED)
    trials = load_trials(tmp_path).set_index("trial_id")
    assert trials.loc["other", "val_mse_mean"] == 0.5
    assert trials.loc["other", ["pca_val_mse_mean", "pca_p_value"]].isna().all()
    assert trials.loc["deep", "pca_p_value"] > 0


def test_equal_means_share_a_rank(tmp_path: Path) -> None:
    """Ties have the lower rank, as scipy.stats.rankdata(method="min")."""
    values = _random_reports(0, 2)
    reports = {"deep": values, "shallow": values, "wide": values * 2}
    _write(tmp_path, reports, dict.fromkeys(reports, FINISHED))
    assert load_trials(tmp_path)["rank"].tolist() == [1, 1, 3]


@pytest.mark.parametrize("not_finite", [np.nan, np.inf])
def test_a_diverged_trial_keeps_its_best_complete_epoch(tmp_path: Path, not_finite: float) -> None:
    """An epoch in which a fold diverged is not the best, although its other folds are; the trial has no rank."""
    values = _random_reports(0, 3)
    values[0, :, 1], values[1, :, 1], values[2, :, 1] = 5.0, 4.0, 0.001
    values[2, 1, :3] = not_finite
    _write(tmp_path, {"deep": values, "wide": _random_reports(1, 2)}, {"deep": DIVERGED, "wide": FINISHED})
    trials = load_trials(tmp_path).set_index("trial_id")
    assert trials.loc["deep", ["status", "epochs", "best_epoch", "val_mse_mean"]].tolist() == [DIVERGED, 3, 2, 4.0]
    assert trials["rank"].isna().tolist() == [True, True, False]
    assert (load_folds(tmp_path).query("trial_id == 'deep'")["val_mse"] == 4.0).all()


def test_a_trial_that_diverged_at_once_and_one_that_failed(tmp_path: Path) -> None:
    """Neither has a best epoch or a mean, but both keep their rows, status and error."""
    values = np.full((1, N_SPLITS, 4), np.nan)
    values[..., 3] = 0
    _write(tmp_path, {"deep": values, "wide": _random_reports(1, 2)}, {"deep": DIVERGED, "wide": FINISHED})
    with Ledger(tmp_path) as ledger:
        ledger.fail("shallow", 'RuntimeError: no memory, "really",\nnone at all')
    trials = load_trials(tmp_path).set_index("trial_id")
    assert trials.loc["shallow", "error"] == 'RuntimeError: no memory, "really",\nnone at all'
    assert trials["status"].tolist() == [DIVERGED, "failed", FINISHED]
    for column in ("best_epoch", "val_mse_mean", "val_mse_se", "rank", "pca_val_mse_mean", "pca_p_value"):
        assert trials[column].isna().tolist() == [True, True, False]
    assert trials["epochs"].tolist()[::2] == [1, 2]
    assert set(load_folds(tmp_path)["trial_id"]) == {"wide"}


def test_a_search_that_has_reported_nothing(tmp_path: Path) -> None:
    """There is a row for each pending trial, and the other tables are empty with their columns; all can be written."""
    _write(tmp_path, {}, {})
    trials = load_trials(tmp_path)
    assert list(trials.columns) == TRIALS
    assert trials["status"].tolist() == ["pending"] * 3
    assert (
        trials[["epochs", "best_epoch", "val_mse_mean", "rank", "fit_seconds", "host", "error"]].isna().all(axis=None)
    )
    assert load_folds(tmp_path).empty
    assert load_epochs(tmp_path).empty
    write_tables(tmp_path)
    assert list(pd.read_csv(tmp_path / "trials.csv").columns) == TRIALS
    assert list(pd.read_parquet(tmp_path / "epochs.parquet").columns) == list(load_epochs(tmp_path).columns)


def test_a_running_trial_is_shown_and_not_ranked(tmp_path: Path) -> None:
    """While a trial runs, its row has the best epoch so far."""
    _write(tmp_path, {"deep": _random_reports(0, 2)}, {"deep": RUNNING})
    row = load_trials(tmp_path).iloc[0]
    assert row["status"] == RUNNING
    assert row["epochs"] == 2
    assert row["val_mse_mean"] > 0
    assert pd.isna(row["rank"])


@settings(max_examples=40)  # each makes a file
@given(data=st.data())
def test_the_best_epoch_is_the_first_lowest_mean(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """For any reports, finite or not, the best epoch is that of a loop over the epochs."""
    value = st.sampled_from([0.0, 0.5, 1.0, 1e300, np.nan, np.inf])
    val_mse = np.array(data.draw(st.lists(st.tuples(value, value, value), min_size=1, max_size=5)))
    values = np.zeros((*val_mse.shape, 4))
    values[..., 1] = val_mse
    directory = tmp_path_factory.mktemp("tables")
    _write(directory, {"deep": values}, {"deep": FINISHED})
    best, lowest = None, np.inf
    for epoch, folds in enumerate(val_mse, 1):
        if np.isfinite(folds).all() and folds.sum() / 3 < lowest:
            best, lowest = epoch, folds.sum() / 3
    row = load_trials(directory).iloc[0]
    if best is None:
        assert pd.isna(row["best_epoch"])
    else:
        assert row["best_epoch"] == best
        np.testing.assert_allclose(row["val_mse_mean"], lowest)


def test_the_files_equal_the_loaded_frames(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """A reader gets back from trials.csv, folds.csv and epochs.parquet what the functions return."""
    directory, _ = finished
    before = set(directory.iterdir())
    write_tables(directory)
    assert {path.name for path in set(directory.iterdir()) - before} == {"trials.csv", "folds.csv", "epochs.parquet"}
    # the tolerance is for pandas' parser, which may be wrong in the last bit
    for name, table in (("trials.csv", load_trials(directory)), ("folds.csv", load_folds(directory))):
        pd.testing.assert_frame_equal(pd.read_csv(directory / name).astype(table.dtypes), table, rtol=1e-15)
    pd.testing.assert_frame_equal(pd.read_parquet(directory / "epochs.parquet"), load_epochs(directory))


def test_writing_twice_gives_the_same_bytes(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    """The CSV files depend on the ledger alone."""
    directory, _ = finished
    write_tables(directory)
    first = [(directory / name).read_bytes() for name in ("trials.csv", "folds.csv")]
    write_tables(directory)
    assert [(directory / name).read_bytes() for name in ("trials.csv", "folds.csv")] == first


def test_a_file_that_cannot_be_written_whole_is_not_written(tmp_path: Path) -> None:
    """An error while writing leaves the old file as it was and no temporary file."""
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, write)
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_no_search(tmp_path: Path) -> None:
    """Each loader names a folder that is no search's."""
    for load in (load_trials, load_folds, load_epochs):
        with pytest.raises(ValueError, match="is not a search directory"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"code_activation": "elu"}, "elu code"),
        ({"init": "pca"}, "pca start"),
        ({"learning_rate": 0.25}, "rate 0.25"),
        ({"batch_size": 7}, "batch 7"),
        ({"hidden_activation": "tanh"}, "tanh hidden"),
        ({"weight_decay": 0.01}, "decay 0.01"),
        ({"learning_rate_schedule": "cosine", "schedule_epochs": 9}, "cosine"),
        ({"dropout": 0.2}, "dropout 0.2"),
        ({"noise_std": 0.1}, "noise 0.1"),
        ({"mask_fraction": 0.3}, "mask 0.3"),
    ],
)
def test_a_label_says_what_varies(tmp_path: Path, change: dict[str, object], label: str) -> None:
    """Beside the layer sizes, a label names what differs among the trials, and only that."""
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": DEEP, "b": replace(DEEP, **change)})  # type: ignore[arg-type]  # one of its fields
    labels = configuration_labels(load_trials(tmp_path))
    assert labels[1] == f"8-5-2, {label}"
    assert labels[0].startswith("8-5-2, ")
    assert configuration_labels(load_trials(tmp_path).head(1)) == ["8-5-2"]


def test_a_label_says_how_long_a_schedule_is_where_that_varies(tmp_path: Path) -> None:
    """As where a search was run again with more epochs; trials without hidden layers have no dropout to speak of."""
    cosine = replace(DEEP, learning_rate_schedule="cosine", schedule_epochs=6)
    longer, dropping = replace(cosine, schedule_epochs=9), replace(DEEP, dropout=0.5)
    with Ledger(tmp_path) as ledger:
        ledger.enter_trials({"a": DEEP, "b": cosine, "c": longer, "d": SHALLOW, "e": dropping})
    labels = configuration_labels(load_trials(tmp_path).assign(code_activation="linear", learning_rate=1, batch_size=1))
    assert labels == [
        "8-5-2, constant, dropout 0",
        "8-5-2, cosine of 6 epochs, dropout 0",
        "8-5-2, cosine of 9 epochs, dropout 0",
        "8-2, constant",
        "8-5-2, constant, dropout 0.5",
    ]


def _repeat(ledger: Ledger, trial: str, values: np.ndarray, first_fold: int) -> None:
    """Record reports `(epochs, folds, 4)` of further folds."""
    records = [
        EpochRecord(
            epoch=epoch,
            train_mse=folds[:, 0],
            val_mse=folds[:, 1],
            val_fve=folds[:, 2],
            dead_code_units=folds[:, 3].astype(np.int64),
        )
        for epoch, folds in enumerate(values, 1)
    ]
    ledger.record(trial, records, status=None, first_fold=first_fold)


@pytest.fixture
def repeated(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray], np.ndarray]:
    """A search of which "wide" was repeated twice and "deep" once; the last repeat of "deep" was killed on its way.

    With it the reports `(epochs, folds, 4)` that count, and PCA's error of the code sizes 2 and 3 in nine folds.
    """
    generator = np.random.default_rng(3)
    reports = {name: _random_reports(seed, 6) for seed, name in enumerate(("deep", "shallow", "wide"))}
    reports["shallow"][..., 1] /= 100  # as if it were the best by far
    reports["wide"][2, :, 1] = 1e-5  # but for one epoch of the first folds
    _write(tmp_path, reports, dict.fromkeys(reports, FINISHED))
    baseline = np.concatenate([BASELINE, generator.random((2, 2 * N_SPLITS))], axis=1)
    others = {name: generator.random((6, 2 * N_SPLITS, 4)).round(3) for name in ("deep", "wide")}
    for values in others.values():
        values[..., 3] = values[..., 3].round()
    with Ledger(tmp_path) as ledger:
        ledger.put("definition", {"search.n_splits": N_SPLITS})
        ledger.put_baseline([2, 3], baseline[:, N_SPLITS:], N_SPLITS)
        _repeat(ledger, "wide", others["wide"], N_SPLITS)
        _repeat(ledger, "deep", others["deep"][:, :N_SPLITS], N_SPLITS)
        _repeat(ledger, "deep", others["deep"][:4, N_SPLITS:], 2 * N_SPLITS)
    reports["wide"] = np.concatenate([reports["wide"], others["wide"]], axis=1)
    reports["deep"] = np.concatenate([reports["deep"], others["deep"][:, :N_SPLITS]], axis=1)
    return tmp_path, reports, baseline


def test_repeats_by_numpy(repeated: tuple[Path, dict[str, np.ndarray], np.ndarray]) -> None:
    """The best epoch is that of the mean over all folds that count, and so are all numbers; a repeat counts whole."""
    directory, reports, baseline = repeated
    trials, folds = load_trials(directory).set_index("trial_id"), load_folds(directory)
    assert trials["n_repeats"].to_dict() == {"deep": 2, "shallow": 1, "wide": 3}
    for name, values in reports.items():
        best = int(np.argmin(values[..., 1].mean(axis=1)))
        train, val, fve, dead = values[best].T
        n, row = len(val), trials.loc[name]
        pca = baseline[int(row["code_size"]) - 2, :n]
        assert (row["best_epoch"], row["epochs"]) == (best + 1, 6)
        single = val.reshape(-1, N_SPLITS).std(axis=1, ddof=1) / np.sqrt(N_SPLITS)
        difference = val - pca
        error = np.sqrt((1 / n + 1 / (N_SPLITS - 1)) * difference.var(ddof=1))
        for column, expected in {
            "val_mse_mean": val.mean(),
            "val_mse_std": val.std(ddof=1),
            "val_mse_se": np.sqrt(np.mean(single**2)),
            "val_fve_mean": fve.mean(),
            "train_mse_mean": train.mean(),
            "dead_code_units_mean": dead.mean(),
            "pca_val_mse_mean": pca.mean(),
            "pca_p_value": 2 * stats.t.sf(abs(difference.mean() / error), n - 1),
        }.items():
            np.testing.assert_allclose(row[column], expected, err_msg=f"{name} {column}")
        of_trial = folds[folds["trial_id"] == name]
        assert of_trial["fold"].tolist() == list(range(n))
        assert of_trial["repeat"].tolist() == [fold // N_SPLITS for fold in range(n)]
        np.testing.assert_array_equal(of_trial["val_mse"], val)
        np.testing.assert_array_equal(of_trial["pca_val_mse"], pca)
    assert len(load_epochs(directory)) == 3 * 6 * N_SPLITS + 6 * 3 * N_SPLITS + 4 * N_SPLITS, "every report is a row"


def test_trials_that_were_repeated_rank_first(repeated: tuple[Path, dict[str, np.ndarray], np.ndarray]) -> None:
    """Among themselves by their means; the others follow, however low theirs are."""
    rank = load_trials(repeated[0]).set_index("trial_id")["rank"]
    means = load_trials(repeated[0]).set_index("trial_id")["val_mse_mean"]
    assert rank["shallow"] == 3
    assert means["shallow"] < means[["deep", "wide"]].min()
    assert rank["wide"] == (1 if means["wide"] < means["deep"] else 2)


def test_a_better_trial_that_was_not_repeated(repeated: tuple[Path, dict[str, np.ndarray], np.ndarray]) -> None:
    """Where a search was ended before its best trial was repeated, those that were do not come before it, nor win."""
    directory, reports, _ = repeated
    values = reports["shallow"][0]
    record = EpochRecord(
        epoch=7,
        train_mse=values[:, 0],
        val_mse=values[:, 1] / 1e6,
        val_fve=values[:, 2],
        dead_code_units=np.zeros(N_SPLITS, np.int64),
    )
    for status, expected in ((RUNNING, {"wide", "deep"}), (FINISHED, {"shallow"})):
        with Ledger(directory) as ledger:
            ledger.record("shallow", [record], host="node", fit_seconds=2.0, status=status)
        trials = load_trials(directory)
        assert trials.set_index("trial_id")["n_repeats"].to_dict() == {"deep": 2, "shallow": 1, "wide": 3}
        assert set(trials.loc[trials["rank"] == 1, "trial_id"]) <= expected
        assert select_winner(trials, load_folds(directory)).trial_id in expected
    with Ledger(directory) as ledger:  # it had its turn, and diverged
        _repeat(ledger, "shallow", np.where([False, True, False, False], np.nan, values)[np.newaxis], N_SPLITS)
    assert select_winner(load_trials(directory), load_folds(directory)).trial_id in {"wide", "deep"}


def test_repeats_that_the_first_folds_have_left_behind_do_not_count(
    repeated: tuple[Path, dict[str, np.ndarray], np.ndarray],
) -> None:
    """Where the first folds were trained on, and the repeats not yet, a trial has the numbers of its first folds."""
    directory, reports, _ = repeated
    before = load_trials(directory).set_index("trial_id").loc["wide"]
    with Ledger(directory) as ledger:
        values = np.full(N_SPLITS, 9.0)
        further = EpochRecord(
            epoch=7, train_mse=values, val_mse=values, val_fve=values, dead_code_units=np.zeros(N_SPLITS, np.int64)
        )
        ledger.record("wide", [further], host="node", fit_seconds=2.0, status=FINISHED)
    row = load_trials(directory).set_index("trial_id").loc["wide"]
    assert (row["n_repeats"], before["n_repeats"], row["epochs"]) == (1, 3, 7)
    np.testing.assert_allclose(row["val_mse_mean"], reports["wide"][:, :N_SPLITS, 1].mean(axis=1).min())


def test_a_trial_that_was_stopped(tmp_path: Path) -> None:
    """It has the numbers of what it had reached, where it was stopped and what was expected of it, but no rank."""
    reports = {"deep": _random_reports(0, 6), "wide": _random_reports(1, 2)}
    _write(tmp_path, reports, {"deep": FINISHED, "wide": RUNNING})
    with Ledger(tmp_path) as ledger:
        ledger.note_stopped({"wide": (1, 0.375)})
    trials = load_trials(tmp_path).set_index("trial_id")
    assert trials.loc["wide", ["status", "epochs", "rung", "forecast"]].tolist() == ["stopped", 2, 1, 0.375]
    assert trials.loc["wide", "val_mse_mean"] > 0
    assert trials["rank"].isna().to_dict() == {"deep": False, "shallow": True, "wide": True}
    assert trials.loc[["deep", "shallow"], ["rung", "forecast"]].isna().all(axis=None)
