"""search.AutoencoderSearchCV: a search as scikit-learn knows searches."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ae_model import UserError
from search import AutoencoderSearchCV, load_folds, load_trials

QUICK = {"search": {"max_epochs": 3}}
GRID = {"code_size": [2, 4], "hidden": [(), (16,)], "init": "pca"}


def quick(**changes: Any) -> AutoencoderSearchCV:
    """A search of four configurations, three folds, three epochs."""
    return AutoencoderSearchCV(**{"param_grid": GRID, "cv": 3, "settings": QUICK, "random_state": 0} | changes)


@pytest.fixture(scope="module")
def wine() -> pd.DataFrame:
    """178 rows of 13 columns whose units differ."""
    table: pd.DataFrame = load_wine(as_frame=True).data
    return table


@pytest.fixture(scope="module")
def searched_wine(wine: pd.DataFrame, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> AutoencoderSearchCV:
    """A search that leaves its folder."""
    return quick(directory=tmp_path_factory.mktemp("wine") / "quick").fit(wine)


@pytest.mark.slow
@parametrize_with_checks([AutoencoderSearchCV({"code_size": [1], "hidden": [()]}, cv=2, settings=QUICK)])
def test_it_is_what_scikit_learn_expects(local_ray: None, estimator: Any, check: Any) -> None:
    """The checks of scikit-learn's own suite, none of which is expected to fail."""
    check(estimator)


def test_results_are_those_of_the_tables(searched_wine: AutoencoderSearchCV) -> None:
    """In scikit-learn's form: scores by fold, means, ranks, parameters; the winner is the one of the search."""
    found, directory = searched_wine.cv_results_, searched_wine.result_.directory
    trials, folds = load_trials(directory).sort_values("number"), load_folds(directory)
    assert found["trial_id"].tolist() == trials["trial_id"].tolist()
    assert searched_wine.n_splits_ == 3
    for k in range(3):
        of_fold = folds[folds["fold"] == k].set_index("trial_id")["val_fve"]
        np.testing.assert_array_equal(found[f"split{k}_test_score"], of_fold[trials["trial_id"]].to_numpy())
    scores = np.stack([found[f"split{k}_test_score"] for k in range(3)])
    np.testing.assert_allclose(found["mean_test_score"], scores.mean(axis=0))
    np.testing.assert_allclose(found["std_test_score"], scores.std(axis=0))
    assert found["rank_test_score"][found["mean_test_score"].argmax()] == 1
    assert [(p["code_size"], p["hidden"]) for p in found["params"]] == [(2, ()), (4, ()), (2, (16,)), (4, (16,))]
    assert found["param_code_size"].tolist() == [2, 4, 2, 4]
    best = searched_wine.best_index_
    assert found["trial_id"][best] == searched_wine.result_.selection.trial_id
    assert searched_wine.best_params_ == found["params"][best]
    assert searched_wine.best_score_ == found["mean_test_score"][best]
    pd.DataFrame(found)  # as people look at it


def test_the_winner_is_an_autoencoder(searched_wine: AutoencoderSearchCV, wine: pd.DataFrame) -> None:
    """Its methods are those of the best estimator; columns are known by name; all rows were trained on."""
    codes = searched_wine.transform(wine)
    assert codes.shape == (178, 4)
    back = searched_wine.inverse_transform(codes)
    scaled = wine.std(ddof=0).to_numpy()
    fve = (
        1
        - np.square((back - wine) / scaled).to_numpy().sum() / np.square((wine - wine.mean()) / scaled).to_numpy().sum()
    )
    assert searched_wine.score(wine) == pytest.approx(fve, abs=1e-5)
    assert searched_wine.score(wine) > 0.7
    np.testing.assert_allclose(
        searched_wine.score_samples(wine), -np.square((back - wine) / scaled).mean(axis=1), rtol=1e-3, atol=1e-6
    )
    assert searched_wine.feature_names_in_.tolist() == list(wine.columns)
    assert searched_wine.get_feature_names_out().tolist() == ["code_0", "code_1", "code_2", "code_3"]
    errors = pd.read_csv(searched_wine.result_.model_dir / "out_of_fold.csv")
    assert len(errors) == len(wine)
    assert searched_wine.result_.evaluation is None
    with pytest.raises(ValueError, match="feature names"):
        searched_wine.transform(wine.rename(columns={"alcohol": "wine"}))
    table = clone(searched_wine.best_estimator_).set_params(max_steps=5).fit(wine).set_output(transform="pandas")
    assert list(table.transform(wine).columns) == ["code_0", "code_1", "code_2", "code_3"]


def test_the_same_fit_continues(
    searched_wine: AutoencoderSearchCV, wine: pd.DataFrame, local_ray: None, tmp_path: Path
) -> None:
    """In its folder nothing is trained again; elsewhere the same comes out, to the bit."""
    seconds = load_trials(searched_wine.result_.directory)["fit_seconds"].tolist()
    again = clone(searched_wine).fit(wine)
    assert load_trials(again.result_.directory)["fit_seconds"].tolist() == seconds
    elsewhere = quick().fit(wine)
    np.testing.assert_array_equal(elsewhere.transform(wine), searched_wine.transform(wine))
    assert not elsewhere.result_.directory.exists()


def test_in_a_pipeline(wine: pd.DataFrame, local_ray: None) -> None:
    """Codes of a search within each fold of another cross-validation."""
    grid = {"code_size": [4], "hidden": [()], "init": ["pca"]}
    pipeline = make_pipeline(quick(param_grid=grid), LogisticRegression())
    assert cross_val_score(pipeline, wine, load_wine().target, cv=2).min() > 0.8


def test_what_is_refused(wine: pd.DataFrame) -> None:
    """Names and values that are none, before anything starts."""
    for changes, message in (
        ({"param_grid": {"code_sizes": [2]}}, "'code_sizes' is none of code_size, hidden"),
        ({"param_grid": {"scaling": ["range", "none"]}}, "'scaling' takes one value"),
        ({"param_grid": {"code_size": [0]}}, "bottleneck.code_sizes"),
        ({"param_grid": [1]}, "param_grid must be a dict"),
        ({"cv": 1}, "cv must be an integer >= 2"),
        ({"n_jobs": 0}, "n_jobs must be an integer >= 1"),
        ({"settings": {"search": {"epochs": 3}}}, "search.epochs"),
        ({"settings": {"data": {"ignore_columns": ["alcohol"]}}}, "settings: all columns of X are features here"),
        ({"settings": {"data": {"label_column": "alcohol"}}}, "settings: all columns of X are features here"),
    ):
        with pytest.raises(UserError, match=message):
            quick(**changes).fit(wine)
