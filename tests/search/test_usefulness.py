"""What is predicted from codes, from the worker to the words: probe scores, the rule "best-probe", the sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ae_model import Configuration, UserError, dataset_from_arrays, fit_scaling, load_dataset, make_folds
from ae_model.cross_validation import CrossValidation
from search import SearchResult, SearchSettings, load_folds, load_trials, parse_settings, select
from search.directory import enter_plan
from search.ledger import Ledger
from search.ledger_reader import read_probes, read_value
from search.plan import make_plan
from search.usefulness import MoreUseful, Usefulness, usefulness, usefulness_lines


def _scores(x: np.ndarray, y: np.ndarray, x_validation: np.ndarray, y_validation: np.ndarray) -> list[float]:
    models = make_pipeline(StandardScaler(), LogisticRegression()), KNeighborsClassifier(5)
    return [model.fit(x, y).score(x_validation, y_validation) for model in models]


def test_scores_of_a_search_are_those_of_its_folds_models(searched: SearchResult, settings: SearchSettings) -> None:
    """Of codes at the best epoch, by scikit-learn, and of as many principal components; in every fold."""
    dataset = load_dataset(settings.data.source, label_column="kind", seed=settings.seed)
    values, labels = dataset.development, dataset.development_labels
    assert labels is not None
    folds = make_folds(len(values), 3, settings.seed)
    table = load_folds(searched.directory)
    for _, row in searched.trials.iterrows():
        configuration = Configuration(
            layer_sizes=tuple(map(int, row["layer_sizes"].split("-"))),
            hidden_activation=row["hidden_activation"],
            code_activation=row["code_activation"],
            learning_rate=float(row["learning_rate"]),
            batch_size=int(row["batch_size"]),
        )
        validation = CrossValidation(
            values, [configuration], folds=folds, max_epochs=6, seed=settings.seed, keep_models="best"
        )
        list(validation)
        models = validation.kept_models(0)
        assert models is not None
        expected = []
        for fold, model in zip(folds, models, strict=True):
            scaling = fit_scaling(values[fold.train])
            with torch.no_grad():
                codes = model.encode(torch.from_numpy(scaling.transform(values)).float()).numpy().astype(np.float64)
            by_pca = PCA(2).fit(scaling.transform(values[fold.train])).transform(scaling.transform(values))
            parts = labels[fold.train], labels[fold.validation]
            of_codes = _scores(codes[fold.train], parts[0], codes[fold.validation], parts[1])
            of_pca = _scores(by_pca[fold.train], parts[0], by_pca[fold.validation], parts[1])
            expected.append([*of_codes, of_pca[0]])
        names = ["probe_score", "probe_knn_score", "pca_probe_score"]
        found = table.loc[table["trial_id"] == row["trial_id"], names].to_numpy(np.float64)
        np.testing.assert_allclose(found, expected, atol=1.01 / 24)  # rounding may decide on one of 24 rows
        np.testing.assert_allclose(row[names].to_numpy(np.float64), found.mean(axis=0))


def test_the_rule_takes_the_highest_score(search_copy: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """And not the lowest error; whatever the errors are."""
    trials = load_trials(search_copy)
    selection = select(search_copy, "best-probe")
    assert trials.set_index("trial_id").loc[selection.trial_id, "probe_score"] == trials["probe_score"].max()
    assert selection.cross_fit_mse_mean is None, "it is not chosen by its error"
    _, output, _ = run("select", search_copy, "--rule", "best-probe")
    assert "Winner by the rule 'best-probe'" in output
    assert f"accuracy {trials['probe_score'].max():.3f} ± " in output
    with Ledger(search_copy) as ledger:
        ledger.drop_probes()
    with pytest.raises(UserError, match=r'the rule "best-probe" needs finished trials with a probe_score'):
        select(search_copy, "best-probe")
    assert load_trials(search_copy)["probe_score"].isna().all()


def _planned(directory: Path, labels: np.ndarray | None) -> tuple[pd.DataFrame, Any]:
    """What is predicted before any training."""
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    dataset = dataset_from_arrays(x, labels=labels, test=x[:5])
    settings = parse_settings({"bottleneck": {"code_sizes": [2, 3]}, "search": {"n_splits": 3}})
    directory.mkdir(exist_ok=True)
    with Ledger(directory) as ledger:
        enter_plan(make_plan(settings, dataset), ledger, directory)
    columns, rows = read_probes(directory)
    return pd.DataFrame(rows, columns=columns), read_value(directory, "probe")


def test_without_labels_nothing_is_predicted(tmp_path: Path) -> None:
    """Nor where all labels are the same."""
    for number, labels in enumerate((None, np.zeros(60))):
        probes, note = _planned(tmp_path / str(number), labels)
        assert probes.empty
        assert note is None


def test_other_labels_are_predicted_anew(tmp_path: Path) -> None:
    """What was predicted of the labels before is forgotten; the same labels are not predicted twice."""
    directory = tmp_path / "search"
    first, note = _planned(directory, np.arange(60) % 2)
    assert note["kind"] == "accuracy"
    assert first["code_size"].tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 3]
    with Ledger(directory) as ledger, ledger._transaction() as connection:  # to see whether it stays
        connection.execute("UPDATE probes SET linear = 2")
    again, _ = _planned(directory, np.arange(60) % 2)
    assert (again["linear"] == 2).all()
    other, note = _planned(directory, np.linspace(0, 1, 60))
    assert note["kind"] == "r2"
    assert (other["linear"] < 1).all()


def _tables(scores: dict[str, list[float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    trials = pd.DataFrame(
        {
            "trial_id": list(scores),
            "status": "finished",
            "layer_sizes": "8-2",
            "hidden_depth": 0,
            "schedule_epochs": pd.array([None] * len(scores), dtype="Int64"),
            **dict.fromkeys(("hidden_activation", "code_activation", "learning_rate_schedule"), "relu"),
            "init": ["pca", *["random"] * (len(scores) - 1)],
            **dict.fromkeys(
                ("learning_rate", "batch_size", "weight_decay", "dropout", "noise_std", "mask_fraction"), 0
            ),
            "probe_knn_score": 0.5,
            "pca_probe_score": 0.25,
        }
    )
    folds = pd.DataFrame(
        [
            {"trial_id": trial, "fold": k, "repeat": 0, "probe_score": score}
            for trial, of_folds in scores.items()
            for k, score in enumerate(of_folds)
        ]
    )
    return trials, folds


def test_a_more_useful_code_is_named_where_it_is_certain(
    tmp_path: Path, p_by_hand: Callable[[np.ndarray], float]
) -> None:
    """By the corrected test, times the number of trials that it was looked for among; else nothing is."""
    _planned(tmp_path / "search", np.arange(60) % 2)
    low, high = np.array([0.5, 0.51, 0.52]), np.array([0.7, 0.72, 0.71])
    trials, folds = _tables({"winner": list(low), "high": list(high), "same": list(low)})
    found = usefulness(tmp_path / "search", trials, folds, "winner")
    assert found is not None
    assert (found.kind, found.knn_score, found.pca_score) == ("accuracy", 0.5, 0.25)
    assert found.score == pytest.approx(low.mean())
    assert found.more_useful is not None
    assert (found.more_useful.trial_id, found.more_useful.label) == ("high", "8-2, random start")
    assert found.more_useful.p_value == pytest.approx(2 * p_by_hand(high - low))
    winner = usefulness(tmp_path / "search", trials, folds, "high")
    assert winner is not None
    assert winner.more_useful is None
    trials, folds = _tables({"winner": list(low), "high": [0.4, 0.9, 0.6]})
    unsure = usefulness(tmp_path / "search", trials, folds, "winner")
    assert unsure is not None
    assert unsure.more_useful is None
    trials, folds = _tables({"winner": [np.nan] * 3, "high": list(high)})
    assert usefulness(tmp_path / "search", trials, folds, "winner") is None


def test_the_words() -> None:
    """Aloud."""
    other = MoreUseful(trial_id="high", label="8-2, random start", score=0.7, p_value=0.003)
    found = Usefulness(
        kind="r2", score=0.5, score_se=0.01, knn_score=0.4, pca_score=0.3, features_score=0.6, more_useful=other
    )
    first, second = usefulness_lines(found)
    assert first == (
        "labels from the code: R2 0.500 ± 0.010 by a linear probe, 0.400 by neighbours\n"
        "(a linear probe has 0.300 on PCA's code, 0.600 on all features)"
    )
    assert second == (
        "a linear probe has more on the code of 8-2, random start (high):\n"
        "0.700 (p = 0.003); the rule 'best-probe' chooses by that"
    )
