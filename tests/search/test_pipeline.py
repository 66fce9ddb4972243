"""search.run_search from end to end on real Ray: files, numbers, continuation, and what it must not see."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler

from ae_model import (
    Configuration,
    Dataset,
    UserError,
    cross_validate,
    fit_autoencoder,
    fit_scaling,
    load_dataset,
    load_model,
    make_folds,
)
from ae_model.arithmetic import arithmetic
from ae_model.cross_validation import CrossValidation
from ae_model.patience import epochs_without_gain
from search import (
    SearchResult,
    SearchSettings,
    evaluate_model,
    load_epochs,
    load_folds,
    load_settings,
    load_trials,
    parse_settings,
    propose_code_sizes,
    run_search,
    select,
)
from search.console import trials_table
from search.execution.packs import make_packs
from search.ledger_file import is_running
from search.ledger_reader import read_configurations, read_ledger
from search.report.facts import read_facts
from search.settings import BottleneckSettings
from search.settings_files import search_settings
from search.tables import TRIAL_COLUMNS

# As docs/design.md lists them, and what the pictures are of a table.
FILES = {
    "settings.toml", "environment.json", "ledger.sqlite", "trials.csv", "folds.csv", "epochs.parquet", "bottleneck.csv",
    "bottleneck.png", "selection.json", "validation_mse.png", "best/model.safetensors", "best/model.json",
    "best/evaluation.json", "best/training_loss.csv", "best/training_loss.png", "best/feature_errors.png",
    "best/out_of_fold.csv", "best/test_codes.parquet", "best/cross_validation.json", "best/README.md", "report.html",
}  # fmt: skip


def _changed(settings: SearchSettings, change: Mapping[str, Any]) -> SearchSettings:
    """The settings with other values in one or more sections."""
    content = settings.model_dump(exclude_none=True)
    content["bottleneck"].pop("explained_variance")
    for section, values in change.items():
        changed = {**content[section], **values} if isinstance(values, dict) else values
        content[section] = {k: v for k, v in changed.items() if v is not None} if isinstance(values, dict) else values
    return parse_settings(content)


def _dataset(settings: SearchSettings) -> Dataset:
    return load_dataset(settings.data.source, label_column=settings.data.label_column, seed=settings.seed)


def _ledger_rows(directory: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / "ledger.sqlite")) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def _what_was_found(directory: Path) -> dict[str, object]:
    """All that a search finds out before it looks at the test rows: tables without times and hosts, and the model."""
    timeless = ["fit_seconds", "host"]
    model = load_model(directory / "best")
    out_of_fold = directory / "best" / "out_of_fold.csv"
    return {
        "trials": load_trials(directory).drop(columns=timeless).to_csv(),
        "folds": (directory / "folds.csv").read_bytes(),
        "epochs": load_epochs(directory).to_csv(),
        "bottleneck": (directory / "bottleneck.csv").read_bytes(),
        "selection": (directory / "selection.json").read_bytes(),
        "weights": (directory / "best" / "model.safetensors").read_bytes(),
        "training": (directory / "best" / "training_loss.csv").read_bytes(),
        "out of fold": out_of_fold.read_bytes() if out_of_fold.is_file() else None,
        "scaling": (model.scaling.scale.tobytes(), model.scaling.shift.tobytes()),
    }


def test_out_of_fold_errors_are_those_of_the_folds(searched: SearchResult) -> None:
    """Every development row has the error of the model that has not seen it: their means are the folds' MSE."""
    errors = pd.read_csv(searched.directory / "best" / "out_of_fold.csv")
    assert errors["row"].tolist() == list(range(len(errors)))
    assert len(errors) == len(_dataset(search_settings(searched.directory)).development)
    folds = pd.read_csv(searched.directory / "folds.csv")
    winner = folds[folds["trial_id"] == searched.selection.trial_id].sort_values("fold")
    np.testing.assert_allclose(errors.groupby("fold")["mse"].mean(), winner["val_mse"], rtol=1e-5)


def test_without_a_test_set(local_ray: None, settings: SearchSettings, tmp_path: Path) -> None:
    """All rows are searched and trained on, and nothing is evaluated; the report knows that it is at its end."""
    changed = settings.model_copy(update={"data": settings.data.model_copy(update={"test_fraction": 0.0})})
    result = run_search(changed, results_dir=tmp_path)
    assert result.evaluation is None
    assert len(pd.read_csv(result.model_dir / "out_of_fold.csv")) == 90
    assert not (result.model_dir / "evaluation.json").exists()
    assert "test set" not in result._repr_html_()
    assert read_facts(result.directory, at_work=False).has_ended
    with pytest.raises(UserError, match=r"has no test set, since data\.test_fraction is 0"):
        evaluate_model(result.model_dir)


def test_every_promised_file_is_there(searched: SearchResult) -> None:
    """After a run the directory, named after the data, holds the documented files, and no temporary ones."""
    directory = searched.directory
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert directory.name == "birds"
    assert found >= FILES
    assert not {path for path in found if path.endswith(".tmp")}
    others = {path for path in found - FILES if not path.startswith("checkpoints/")}
    assert others <= {"ledger.lock", "retraining.lock", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    assert searched.model_dir == directory / "best"


def test_the_tables_open_in_pandas(searched: SearchResult) -> None:
    """They hold four trials, three folds of each, and six epochs of each, all finished."""
    directory = searched.directory
    trials = pd.read_csv(directory / "trials.csv", dtype={"trial_id": str})
    assert list(trials.columns) == TRIAL_COLUMNS
    assert trials["layer_sizes"].tolist() == ["6-2", "6-2", "6-5-2", "6-5-2"]
    assert trials["code_activation"].tolist() == ["relu", "linear"] * 2
    assert (trials["status"] == "finished").all()
    assert (trials["epochs"] == 6).all()
    assert trials["error"].isna().all()
    assert (trials["fit_seconds"] > 0).all()
    assert sorted(trials["rank"]) == [1, 2, 3, 4]
    assert len(pd.read_csv(directory / "folds.csv")) == 4 * 3
    assert len(pd.read_parquet(directory / "epochs.parquet")) == 4 * 6 * 3
    pd.testing.assert_frame_equal(searched.trials, load_trials(directory))


def test_the_trials_follow_from_the_epochs(searched: SearchResult) -> None:
    """Every number of trials.csv and folds.csv is found again from epochs.parquet by plain pandas."""
    directory = searched.directory
    trials = pd.read_csv(directory / "trials.csv", dtype={"trial_id": str}).set_index("trial_id")
    folds = pd.read_csv(directory / "folds.csv", dtype={"trial_id": str}).set_index(["trial_id", "fold"])
    epochs = pd.read_parquet(directory / "epochs.parquet")
    for trial, row in trials.iterrows():
        of_trial = epochs[epochs["trial_id"] == trial].pivot_table(index="epoch", columns="fold", values="val_mse")
        best = of_trial.mean(axis=1).idxmin()
        values = of_trial.loc[best]
        assert row["best_epoch"] == best
        np.testing.assert_allclose(row["val_mse_mean"], np.mean(values), rtol=1e-14)
        np.testing.assert_allclose(row["val_mse_std"], np.std(values, ddof=1), rtol=1e-12)
        np.testing.assert_allclose(row["val_mse_se"], stats.sem(values), rtol=1e-12)
        at_best = epochs[(epochs["trial_id"] == trial) & (epochs["epoch"] == best)].sort_values("fold")
        of_folds = folds.loc[trial]
        for column in ("train_mse", "val_mse", "val_fve", "dead_code_units"):
            np.testing.assert_allclose(of_folds[column], at_best[column], rtol=1e-14)
        for column in ("train_mse", "val_fve", "dead_code_units"):
            np.testing.assert_allclose(row[f"{column}_mean"], at_best[column].mean(), rtol=1e-14)
        np.testing.assert_allclose(row["pca_val_mse_mean"], of_folds["pca_val_mse"].mean(), rtol=1e-14)
    np.testing.assert_array_equal(trials["rank"], stats.rankdata(trials["val_mse_mean"], method="min"))


def test_the_workers_computed_what_the_model_package_computes(searched: SearchResult, settings: SearchSettings) -> None:
    """Every reported value equals, to the bit, that of `cross_validate` called here, without Ray."""
    dataset = _dataset(settings)
    folds = make_folds(len(dataset.development), 3, settings.seed)
    epochs = load_epochs(searched.directory)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(settings.resources.cpus_per_trial)
    try:
        for _, row in searched.trials.iterrows():
            configuration = Configuration(
                layer_sizes=tuple(map(int, row["layer_sizes"].split("-"))),
                hidden_activation=row["hidden_activation"],
                code_activation=row["code_activation"],
                learning_rate=float(row["learning_rate"]),
                batch_size=int(row["batch_size"]),
            )
            records = cross_validate(dataset.development, configuration, folds=folds, max_epochs=6, seed=settings.seed)
            of_trial = epochs[epochs["trial_id"] == row["trial_id"]]
            for record in records:
                reported = of_trial[of_trial["epoch"] == record.epoch]
                for column in ("train_mse", "val_mse", "val_fve", "dead_code_units"):
                    np.testing.assert_array_equal(reported[column], getattr(record, column))
    finally:
        torch.set_num_threads(n_threads)


def test_starts_at_pca_are_the_same_everywhere(settings: SearchSettings, local_ray: None, tmp_path: Path) -> None:
    """A search of both starts reports what its packs give here, to the bit; the model is started likewise."""
    space = {"hidden": ["", "9"], "code_activation": ["relu"], "init": ["pca", "random"]}
    result = run_search(_changed(settings, {"space": space, "search": {"max_epochs": 2}}), results_dir=tmp_path)
    trials, epochs = result.trials, load_epochs(result.directory)
    assert trials["init"].tolist() == ["pca", "random"] * 2
    dataset = _dataset(settings)
    folds = make_folds(len(dataset.development), 3, settings.seed)
    n_rows = sum(len(fold.train) for fold in folds)
    for pack in make_packs(read_configurations(result.directory), n_rows=n_rows):
        assert {configuration.init for configuration in pack.values()} == {"pca", "random"}
        with arithmetic(n_threads=1, fp32_precision="tf32"):
            configurations = list(pack.values())
            run = CrossValidation(dataset.development, configurations, folds=folds, max_epochs=2, seed=settings.seed)
            expected = list(run)
        for number, trial_id in enumerate(pack):
            reported = epochs.loc[epochs["trial_id"] == trial_id, "val_mse"]
            curves = [records[number].val_mse for records in expected if number in records]
            np.testing.assert_array_equal(reported, np.concatenate(curves))
    means = trials.set_index(["layer_sizes", "init"])["val_mse_mean"]
    for sizes in ("6-2", "6-9-2"):
        assert means[sizes, "pca"] < means[sizes, "random"]
    assert load_model(result.model_dir).metadata["init"] == "pca"
    first_epoch = pd.read_csv(result.model_dir / "training_loss.csv").query("epoch == 1")["mse"].mean()
    assert first_epoch < 1.5 * trials["pca_val_mse_mean"].iloc[0]
    assert "start" in [column.header for column in trials_table(trials).columns]


def test_training_options_are_the_same_everywhere(settings: SearchSettings, local_ray: None, tmp_path: Path) -> None:
    """A search over them reports what its packs give here, and the model is trained likewise, to the bit.

    With more epochs, trials without a schedule go on, and those with one are others: a longer schedule trains anew.
    """
    space = {
        "hidden": ["5"],
        "code_activation": "linear",
        "learning_rate_schedule": ["constant", "one-cycle"],
        "weight_decay": 0.1,
        "dropout": [0.0, 0.2],
        "noise_std": 0.05,
        "mask_fraction": 0.1,
    }
    run_search(_changed(settings, {"space": space, "search": {"max_epochs": 2}}), results_dir=tmp_path)
    result = run_search(_changed(settings, {"space": space, "search": {"max_epochs": 4}}), results_dir=tmp_path)
    trials, epochs = result.trials, load_epochs(result.directory)
    assert (trials["status"] == "finished").all()
    constant, scheduled = (trials[trials["learning_rate_schedule"] == name] for name in ("constant", "one-cycle"))
    assert constant["epochs"].tolist() == [4] * 2
    assert sorted(scheduled["epochs"]) == sorted(scheduled["schedule_epochs"]) == [2, 2, 4, 4]
    dataset = _dataset(settings)
    folds = make_folds(len(dataset.development), 3, settings.seed)
    configurations = read_configurations(result.directory)
    wanted = {trial_id: c for trial_id, c in configurations.items() if c.schedule_epochs != 2}
    for pack in make_packs(wanted, n_rows=sum(len(fold.train) for fold in folds)):
        with arithmetic(n_threads=1, fp32_precision="tf32"):
            run = CrossValidation(
                dataset.development, list(pack.values()), folds=folds, max_epochs=4, seed=settings.seed
            )
            expected = [[record.val_mse for _, record in sorted(records.items())] for records in run]
        for number, trial_id in enumerate(pack):
            reported = epochs.loc[epochs["trial_id"] == trial_id, "val_mse"]
            np.testing.assert_allclose(reported, np.concatenate([epoch[number] for epoch in expected]), rtol=1e-4)
    winner = configurations[result.selection.trial_id]
    with arithmetic(n_threads=1, fp32_precision="tf32"):
        model, _ = fit_autoencoder(
            dataset.development,
            fit_scaling(dataset.development),
            winner,
            epochs=result.selection.best_epoch,
            seed=settings.seed,
        )
    saved = load_model(result.model_dir)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(saved.model.state_dict()[name].numpy(), tensor.numpy())
    for name in ("weight_decay", "learning_rate_schedule", "schedule_epochs", "dropout", "noise_std", "mask_fraction"):
        assert saved.metadata[name] == getattr(winner, name)
    assert {"schedule", "dropout"} <= {column.header for column in trials_table(trials).columns}


def test_pca_beside_every_fold(searched: SearchResult, settings: SearchSettings) -> None:
    """The baseline of each fold is scikit-learn's PCA, scaled and fitted on the fold's training rows alone."""
    development = _dataset(settings).development.astype(np.float64)
    expected = []
    for fold in make_folds(len(development), 3, settings.seed):
        scaler = MinMaxScaler((-1, 1)).fit(development[fold.train])
        pca = PCA(2).fit(scaler.transform(development[fold.train]))
        x = scaler.transform(development[fold.validation])
        expected.append(np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2))
    for _, of_trial in load_folds(searched.directory).groupby("trial_id"):
        np.testing.assert_allclose(of_trial["pca_val_mse"], expected, rtol=1e-9)


def test_the_bottleneck_is_scikit_learns(searched: SearchResult, settings: SearchSettings) -> None:
    """bottleneck.csv holds the explained variance ratio of the scaled development rows, and marks the code size."""
    development = _dataset(settings).development.astype(np.float64)
    ratio = PCA().fit(MinMaxScaler((-1, 1)).fit_transform(development)).explained_variance_ratio_
    table = pd.read_csv(searched.directory / "bottleneck.csv")
    assert list(table.columns) == ["n_components", "explained_variance_ratio", "cumulative", "chosen"]
    assert table["n_components"].tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(table["explained_variance_ratio"], ratio, rtol=1e-8)
    np.testing.assert_allclose(table["cumulative"], np.cumsum(ratio), rtol=1e-8)
    assert table.loc[table["chosen"], "n_components"].tolist() == [2]


@pytest.mark.parametrize("targets", [[0.5], [0.8, 0.95], [0.9, 0.9], [1.0]])
def test_code_sizes_from_explained_variance(targets: list[float]) -> None:
    """Each target's code size is the first number of components that reaches it; equal ones are listed once."""
    dataset = load_dataset("digits")
    proposal = propose_code_sizes(dataset, BottleneckSettings(explained_variance=targets))
    cumulative = np.cumsum(PCA().fit(dataset.development / 8.0 - 1).explained_variance_ratio_)
    expected = [next(n for n in range(1, 65) if cumulative[n - 1] >= target - 1e-9) for target in targets]
    assert proposal.code_sizes == list(dict.fromkeys(expected))
    for code_size in proposal.code_sizes:
        np.testing.assert_allclose(proposal.reached(code_size), cumulative[code_size - 1])


def test_the_settings_can_be_used_again(searched: SearchResult, settings: SearchSettings) -> None:
    """settings.toml is a settings file that means the same search; environment.json says on what it ran."""
    assert load_settings(searched.directory / "settings.toml") == settings
    environment = json.loads((searched.directory / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["cpus"] >= 1


def test_the_winner_is_the_best_trial(searched: SearchResult) -> None:
    """The selection, selection.json and the model agree about the trial of rank 1."""
    best = searched.trials.sort_values("rank").iloc[0]
    written = json.loads((searched.directory / "selection.json").read_text())
    metadata = load_model(searched.model_dir).metadata
    assert searched.selection.trial_id == written["trial_id"] == metadata["trial_id"] == best["trial_id"]
    assert searched.selection.best_epoch == metadata["epochs"] == best["best_epoch"]
    assert written["n_finished"] == 4
    assert {t["trial_id"] for t in written["tied"]} <= set(searched.trials["trial_id"]) - {best["trial_id"]}


def test_running_again_trains_nothing(search_copy: Path, settings: SearchSettings) -> None:
    """The same settings find everything done: the ledger's trials and epochs and trials.csv stay as they are."""
    before = {table: _ledger_rows(search_copy, table) for table in ("trials", "epochs", "baselines")}
    files = {name: (search_copy / name).read_bytes() for name in ("trials.csv", "folds.csv", "selection.json")}
    found = _what_was_found(search_copy)
    for name in files:
        (search_copy / name).unlink()
    result = run_search(settings, results_dir=search_copy.parent)
    assert result.directory == search_copy
    assert {table: _ledger_rows(search_copy, table) for table in before} == before
    assert {name: (search_copy / name).read_bytes() for name in files} == files
    assert _what_was_found(search_copy) == found


def test_running_again_makes_nothing_anew(search_copy: Path, settings: SearchSettings) -> None:
    """Tables, pictures, model and evaluation of a finished search keep their time; what is missing is made again."""

    def times() -> dict[Path, int]:
        kept = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.lock", "retraining.lock"}
        files = [path for path in search_copy.rglob("*") if path.is_file() and path.name not in kept]
        return {path: path.stat().st_mtime_ns for path in files}

    run_search(settings, results_dir=search_copy.parent)
    before = times()
    run_search(settings, results_dir=search_copy.parent)
    assert times() == before
    missing = [search_copy / "validation_mse.png", search_copy / "best" / "evaluation.json"]
    for path in missing:
        path.unlink()
    run_search(settings, results_dir=search_copy.parent)
    changed = {path for path, time in times().items() if before[path] != time}
    showing = search_copy / "report.html", search_copy / "best" / "README.md"
    assert changed == {*missing, *showing}, "report and card show the evaluation"


def test_a_wider_space_trains_only_what_is_new(search_copy: Path, settings: SearchSettings, local_ray: None) -> None:
    """Two more layer configurations are trained, the four old trials keep their values and times to the bit."""
    old = load_trials(search_copy).set_index("trial_id")
    old_epochs = load_epochs(search_copy)
    wider = _changed(settings, {"space": {"hidden": ["9", "", "5"], "code_activation": ["linear", "relu"]}})
    result = run_search(wider, results_dir=search_copy.parent)
    trials = result.trials.set_index("trial_id")
    assert result.trials["layer_sizes"].tolist() == ["6-9-2"] * 2 + ["6-2"] * 2 + ["6-5-2"] * 2
    assert result.trials["number"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (trials["status"] == "finished").all()
    same = [column for column in old.columns if column not in ("number", "rank")]
    pd.testing.assert_frame_equal(trials.loc[old.index, same], old[same], check_exact=True)
    epochs = load_epochs(search_copy)
    kept = epochs[epochs["trial_id"].isin(old.index)].drop(columns="number")
    keys = ["trial_id", "epoch", "fold"]
    pd.testing.assert_frame_equal(
        kept.sort_values(keys, ignore_index=True),
        old_epochs.drop(columns="number").sort_values(keys, ignore_index=True),
        check_exact=True,
    )
    started = dict(read_ledger(search_copy, "SELECT trial_id, started_at FROM trials")[1])  # type: ignore[arg-type]  # pairs
    assert max(started[t] for t in old.index) < min(started[t] for t in trials.index.difference(old.index))


def test_a_narrower_space_keeps_what_was_found(search_copy: Path, settings: SearchSettings) -> None:
    """The trials that are no longer searched stay in the table, behind the others, and nothing is trained."""
    epochs = _ledger_rows(search_copy, "epochs")
    narrower = _changed(settings, {"space": {"hidden": ["5"]}})
    for _ in range(2):
        result = run_search(narrower, results_dir=search_copy.parent)
        assert result.trials["layer_sizes"].tolist() == ["6-5-2", "6-5-2", "6-2", "6-2"]
        assert result.trials["number"].tolist() == [1, 2, 3, 4]
    assert _ledger_rows(search_copy, "epochs") == epochs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"search": {"n_splits": 4}}, r"search\.n_splits \(3 there, 4 now\)"),
        ({"seed": 6}, r"seed \(5 there, 6 now\)"),
        ({"data": {"max_samples": 40}}, r"data \(other development samples"),
        ({"search": {"n_splits": 4}, "seed": 6}, r"search\.n_splits.*seed"),
    ],
)
def test_settings_that_change_what_a_trial_means_are_refused(
    search_copy: Path, settings: SearchSettings, change: dict[str, Any], words: str
) -> None:
    """They are named with both values and the way out, and the search is left as it was."""
    before = {path: path.read_bytes() for path in search_copy.rglob("*") if path.suffix in (".csv", ".toml", ".json")}
    trials = _ledger_rows(search_copy, "trials")
    with pytest.raises(ValueError, match=words + r".*give another --name") as caught:
        run_search(_changed(settings, change), results_dir=search_copy.parent)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before
    assert _ledger_rows(search_copy, "trials") == trials


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"search": {"n_splits": 73}}, r"n_splits=73, n_samples=72"),
        ({"bottleneck": {"code_sizes": [6]}}, r"gives 6 and the data has 6"),
        ({"resources": {"cpus_per_trial": 10_000}}, r"resources\.cpus_per_trial must be at most \d+"),
        ({"resources": {"gpus_per_trial": 99.0}}, r"resources\.gpus_per_trial must be at most \d+"),
        ({"data": {"source": "/nowhere/at/all.csv"}}, r"/nowhere/at/all\.csv: no such file"),
        ({"data": {"label_column": "colour"}}, r"label_column = 'colour'"),
    ],
)
def test_settings_that_do_not_fit_the_data_write_nothing(
    settings: SearchSettings, change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """What does not fit data or machine is refused before a folder is made."""
    with pytest.raises(ValueError, match=words):
        run_search(_changed(settings, change), results_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_test_rows_change_nothing_but_the_evaluation(
    searched: SearchResult, settings: SearchSettings, local_ray: None, tmp_path: Path
) -> None:
    """Two sources with the same `x` and wildly different `x_test` give the same search and model to the bit."""
    dataset = _dataset(settings)
    x, y = dataset.development, np.asarray(dataset.development_labels).astype(str)
    generator = np.random.default_rng(0)
    results = []
    for name, x_test in (("a", x[:20] * 1.01), ("b", generator.normal(size=(7, 6)) * 1e6)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "data.npz", x=x, y=y, x_test=x_test, y_test=y[: len(x_test)])
        own = _changed(settings, {"data": {"source": str(tmp_path / name / "data.npz")}})
        content = own.model_dump(exclude_none=True)
        del content["data"]["label_column"], content["bottleneck"]["explained_variance"]
        results.append(run_search(parse_settings(content), results_dir=tmp_path / name))
    first, second = (_what_was_found(result.directory) for result in results)
    for what, found in first.items():
        assert found == second[what], what
    assert first["folds"] == _what_was_found(searched.directory)["folds"], "and so does a table with these rows"
    evaluations = [(result.model_dir / "evaluation.json").read_bytes() for result in results]
    assert evaluations[0] != evaluations[1]
    assert results[0].evaluation.mse < results[1].evaluation.mse
    assert [result.evaluation.n_test for result in results] == [20, 7]


@pytest.mark.slow
def test_mnist_is_learned(mnist_dir: Path, local_ray: None, tmp_path: Path) -> None:
    """On 500 real images the winner explains more than the mean image does, on images it has not seen."""
    settings = parse_settings(
        {
            "data": {"source": "mnist", "data_dir": str(mnist_dir), "download": False, "max_samples": 500},
            "bottleneck": {"code_sizes": [16]},
            "space": {"hidden": ["", "32"], "code_activation": "linear", "learning_rate": 3e-3, "batch_size": 16},
            "search": {"n_splits": 3, "max_epochs": 8},
        }
    )
    result = run_search(settings, results_dir=tmp_path)
    assert result.directory == tmp_path / "mnist"
    assert result.evaluation.n_test == 10_000
    assert (result.trials["val_fve_mean"] > 0).all(), "the mean of the training rows explains nothing"
    assert result.evaluation.fve > 0
    assert result.evaluation.mse < result.evaluation.mean_mse
    assert (result.model_dir / "reconstructions.png").is_file()


def test_a_folder_that_holds_something_else(settings: SearchSettings, tmp_path: Path) -> None:
    """A file in the place of the folder is refused."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ValueError, match=r"taken.*cannot be made"):
        run_search(settings, name="taken", results_dir=tmp_path)
    with pytest.raises(ValueError, match="name must be"):
        run_search(settings, name="../taken", results_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_search_can_be_moved(search_copy: Path, settings: SearchSettings) -> None:
    """A directory that was renamed continues under its new name."""
    moved = Path(shutil.move(search_copy, search_copy.with_name("moved")))
    result = run_search(settings, name="moved", results_dir=moved.parent)
    assert result.directory == moved
    assert (result.trials["status"] == "finished").all()


def test_what_other_settings_left_unfinished_takes_no_part(
    search_copy: Path, settings: SearchSettings, local_ray: None
) -> None:
    """Of an earlier, wider space one trial was interrupted and one had failed: they stay as they are, and never win."""
    ids = load_trials(search_copy)["trial_id"].tolist()
    with closing(sqlite3.connect(search_copy / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE epochs SET val_mse = 1e-9 WHERE trial_id IN (?, ?)", ids[:2])
        connection.execute("UPDATE trials SET status = 'running' WHERE trial_id = ?", ids[:1])
        connection.execute("UPDATE trials SET status = 'failed', error = 'why' WHERE trial_id = ?", ids[1:2])
        connection.execute("DELETE FROM epochs WHERE epoch > 3 AND trial_id IN (?, ?)", ids[:2])
    narrower = _changed(settings, {"space": {"hidden": ["5"]}})
    result = run_search(narrower, results_dir=search_copy.parent)
    left = result.trials.set_index("trial_id").loc[ids[:2]]
    assert left["status"].tolist() == ["pending", "failed"]
    assert left["error"].tolist()[1] == "why"
    assert result.selection.trial_id in ids[2:]
    assert (result.selection.n_finished, result.selection.n_unfinished) == (2, 0)
    assert select(search_copy).trial_id == ids[0], "who asks for what is there gets it"


def test_a_second_search_is_refused_until_the_first_has_its_model(
    settings: SearchSettings, search_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held while the winner is trained, drawn and evaluated too."""
    import search.pipeline

    finish = search.pipeline.finish

    def finish_and_look(*arguments: Any) -> SearchResult:
        assert is_running(search_copy)
        with pytest.raises(UserError, match="another ae-search is running in this directory"):
            run_search(settings, results_dir=search_copy.parent, fresh=True)
        return finish(*arguments)

    monkeypatch.setattr(search.pipeline, "finish", finish_and_look)
    run_search(settings, results_dir=search_copy.parent)
    assert not is_running(search_copy)


@pytest.fixture(scope="module")
def nine_at_once(settings: SearchSettings, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a search that was asked for nine epochs at once; it is only to be read."""
    longer = _changed(settings, {"search": {"max_epochs": 9}})
    return run_search(longer, results_dir=tmp_path_factory.mktemp("at-once")).directory


@pytest.mark.parametrize("kept", [True, False], ids=["from checkpoints", "from the start"])
def test_more_epochs_continue_a_search(
    kept: bool, search_copy: Path, settings: SearchSettings, nine_at_once: Path
) -> None:
    """With checkpoints or without, a search of 6 epochs that is asked for 9 ends as one that was asked for 9 at once.

    What was trained before is not trained again where a checkpoint is kept: a mark in its rows stays.
    """
    if not kept:
        shutil.rmtree(search_copy / "checkpoints")
    with closing(sqlite3.connect(search_copy / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE epochs SET dead_code_units = 77 WHERE epoch = 1")
    longer = _changed(settings, {"search": {"max_epochs": 9}})
    result = run_search(longer, results_dir=search_copy.parent)
    assert (result.trials["status"] == "finished").all()
    assert (result.trials["epochs"] == 9).all()
    marks = load_epochs(search_copy)["dead_code_units"] == 77
    assert marks.sum() == (4 * 3 if kept else 0)
    expected, found = _what_was_found(nine_at_once), _what_was_found(search_copy)
    if kept:  # but for the marks
        assert found["weights"] == expected["weights"]
        columns = ["trial_id", "epoch", "fold", "train_mse", "val_mse", "val_fve"]
        pd.testing.assert_frame_equal(
            load_epochs(search_copy)[columns], load_epochs(nine_at_once)[columns], check_exact=True
        )
    else:
        assert found == expected
    fewer = run_search(settings, results_dir=search_copy.parent)
    assert (fewer.trials["epochs"] == 9).all(), "fewer epochs take nothing away"


def _version_1(results: Path) -> SearchSettings:
    """A search that version 1 left half done, in the folder "table" of a results directory."""
    source = Path(__file__).parent / "version_1"
    (results / "table").mkdir(parents=True)
    with closing(sqlite3.connect(results / "table" / "ledger.sqlite")) as connection:
        connection.executescript((source / "ledger.sql").read_text())
    return load_settings(source / "settings.toml", [f'data.source="{source / "table.csv"}"'])


def test_a_search_of_version_1_continues(local_ray: None, tmp_path: Path) -> None:
    """Its finished trials are not trained again, the others are, and the end is that of a search of now.

    Version 1 hashed the number of epochs into the ids: its trials are given those of now.
    """
    settings = _version_1(tmp_path)
    before = load_trials(tmp_path / "table")
    assert before["status"].tolist() == ["finished", "finished", "running", "pending"]
    result = run_search(settings, results_dir=tmp_path)
    assert (result.trials["status"] == "finished").all()
    assert result.trials["fit_seconds"].tolist()[:2] == before["fit_seconds"].tolist()[:2]
    now = run_search(settings, results_dir=tmp_path / "now")
    found, expected = _what_was_found(result.directory), _what_was_found(now.directory)
    assert found == expected | {"out of fold": None}, "its finished trials kept no errors"
    assert set(before["trial_id"]).isdisjoint(now.trials["trial_id"])


@pytest.mark.slow
def test_a_search_of_version_1_takes_more_epochs(local_ray: None, tmp_path: Path) -> None:
    """Settings that version 1 would have refused continue it."""
    settings = _version_1(tmp_path)
    content = settings.model_dump(exclude_none=True)
    del content["bottleneck"]["explained_variance"]
    content["search"]["max_epochs"] = 6
    result = run_search(parse_settings(content), results_dir=tmp_path)
    assert (result.trials["epochs"] == 6).all()


def test_arrays_from_python(searched: SearchResult, settings: SearchSettings, local_ray: None, tmp_path: Path) -> None:
    """A DataFrame gives the search of the file that it was read from, to the bit; so does a Dataset.

    An array without the file's labels and names gives the same trials. Without the data nothing can be retrained.
    """
    frame = pd.read_csv(settings.data.source)
    by_frame = run_search(settings, data=frame, results_dir=tmp_path)
    assert by_frame.directory == tmp_path / "array"
    assert _what_was_found(by_frame.directory) == _what_was_found(searched.directory)
    assert by_frame.evaluation.mse == searched.evaluation.mse
    by_dataset = run_search(settings, data=_dataset(settings), results_dir=tmp_path / "dataset")
    assert by_dataset.directory.name == "birds"
    assert _what_was_found(by_dataset.directory) == _what_was_found(searched.directory)
    plain = _changed(settings, {"data": {"label_column": None}})
    by_array = run_search(plain, data=frame.drop(columns="kind").to_numpy(), name="plain", results_dir=tmp_path)
    assert by_array.trials["val_mse_mean"].tolist() == searched.trials["val_mse_mean"].tolist()
    assert load_settings(by_array.directory / "settings.toml").data.source == "array"
    with pytest.raises(UserError, match=r"data\.source is 'array'.*data=\.\.\."):
        run_search(load_settings(by_array.directory / "settings.toml"), name="plain", results_dir=tmp_path)
    with pytest.raises(UserError, match="holds a search with other settings: data"):
        run_search(plain, data=np.ones((90, 6)) + np.eye(90, 6), name="plain", results_dir=tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("birds.csv", r"data must be an array.*'birds\.csv'"),
        (np.zeros((30, 6)), "the samples must vary"),
        (np.full((30, 6), np.nan), "row 0"),
        (np.zeros(30), r"shape must be \(n_samples, n_features\)"),
        (np.array([["a"] * 6] * 30), "real numbers"),
        ([[1.0, 2.0], [3.0]], "array"),
        (3, "array"),
    ],
)
def test_arrays_that_are_none(settings: SearchSettings, data: object, words: str, tmp_path: Path) -> None:
    """They are refused in words of their own, and nothing is written."""
    with pytest.raises(UserError, match=words):
        run_search(_changed(settings, {"data": {"label_column": None}}), data=data, results_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_search_with_patience(local_ray: None, tmp_path: Path) -> None:
    """Trials end where nothing gains any more, and are done; more patience goes on as if it had been there at first.

    But for the last bits: stacks lose their members at other epochs.
    """
    noise = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    space = {"hidden": ["", "40"], "learning_rate": 0.01, "batch_size": 16}
    content = {"bottleneck": {"code_sizes": [3]}, "space": space, "search": {"max_steps": 60, "patience": 2}}
    settings = parse_settings(content)
    result = run_search(settings, data=noise, name="noise", results_dir=tmp_path)
    epochs = load_epochs(result.directory)
    for trial_id, rows in epochs[epochs["epoch"] > 0].groupby("trial_id"):
        curve = rows["val_mse"].to_numpy().reshape(-1, 5).mean(axis=1)
        without = [epochs_without_gain(curve[:n], 0.001) for n in range(1, len(curve) + 1)]
        assert max(without[:-1]) < 2, "nothing is trained beyond its patience"
        assert without[-1] == 2 or rows["epoch"].max() == 20, trial_id
    assert (result.trials["status"] == "finished").all()
    assert result.trials["epochs"].min() < 20
    before = (result.directory / "trials.csv").read_bytes()
    run_search(settings, data=noise, name="noise", results_dir=tmp_path)
    assert (result.directory / "trials.csv").read_bytes() == before, "nothing is left to train"
    content["search"]["patience"] = 4
    further = run_search(parse_settings(content), data=noise, name="noise", results_dir=tmp_path)
    at_once = run_search(parse_settings(content), data=noise, name="noise", results_dir=tmp_path / "at once")
    pd.testing.assert_frame_equal(load_epochs(further.directory), load_epochs(at_once.directory), rtol=1e-6)
    assert further.trials["epochs"].gt(result.trials["epochs"]).any()


def test_a_search_where_training_gains_nothing(local_ray: None, tmp_path: Path) -> None:
    """Its winner is PCA itself, untrained: on the test rows it is exactly as good, and all files are there."""
    noise = np.random.default_rng(0).normal(size=(60, 30)).astype(np.float32)
    settings = parse_settings({"bottleneck": {"code_sizes": [3]}, "space": {"hidden": ""}, "search": {"max_epochs": 3}})
    result = run_search(settings, data=noise, name="noise", results_dir=tmp_path)
    assert result.selection.best_epoch == 0
    assert result.selection.val_mse_mean == pytest.approx(result.selection.pca_val_mse_mean, rel=1e-5)
    assert result.evaluation.mse == pytest.approx(result.evaluation.pca_mse, rel=1e-5)
    assert pd.read_csv(result.model_dir / "training_loss.csv").empty
    assert (result.model_dir / "training_loss.png").stat().st_size > 0
