"""The autoencoder as a transformer of scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ae_model import AutoencoderTransformer, UserError, save_model


def wine() -> np.ndarray:
    """178 rows of 13 columns whose units differ."""
    values: np.ndarray = load_wine().data
    return values


def quick(**changes: Any) -> AutoencoderTransformer:
    """A transformer that is trained for some steps."""
    return AutoencoderTransformer(**{"code_size": 3, "max_steps": 30, "random_state": 0} | changes)


@parametrize_with_checks([AutoencoderTransformer(max_steps=20)])
def test_it_is_what_scikit_learn_expects(estimator: Any, check: Any) -> None:
    """The checks of scikit-learn's own suite, none of which is expected to fail."""
    check(estimator)


def test_without_training_it_is_pca() -> None:
    """The start is PCA of the scaled samples: codes span the same, and reconstructions and score are equal."""
    x = wine()
    scaled = StandardScaler().fit_transform(x)
    pca = PCA(3).fit(scaled)
    transformer = quick(learning_rate=1e-12).fit(x)
    assert transformer.n_epochs_ == 0
    reconstruction = transformer.inverse_transform(transformer.transform(x))
    expected = StandardScaler().fit(x).inverse_transform(pca.inverse_transform(pca.transform(scaled)))
    np.testing.assert_allclose(reconstruction, expected, rtol=1e-4)
    assert transformer.score(x) == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-6)
    errors = np.square(scaled - pca.inverse_transform(pca.transform(scaled))).mean(axis=1)
    np.testing.assert_allclose(transformer.score_samples(x), -errors, rtol=1e-4)


def test_training_gains_on_pca_where_there_is_something_to_gain() -> None:
    """On digits, on rows that were not seen; and the number of epochs is where the validation MSE is lowest."""
    x = load_digits().data
    transformer = AutoencoderTransformer(10, (128,), max_steps=400, random_state=0).fit(x[:1200])
    pca = PCA(10).fit(StandardScaler().fit_transform(x[:1200]))
    scaled = StandardScaler().fit(x[:1200]).transform(x[1200:])
    left = np.square(scaled - pca.inverse_transform(pca.transform(scaled))).sum() / np.square(scaled).sum()
    assert 1 - transformer.score(x[1200:]) < 0.9 * left
    assert transformer.validation_mse_ is not None
    assert transformer.n_epochs_ == transformer.validation_mse_.argmin() > 0
    assert transformer.training_mse_.shape == (transformer.n_epochs_,)
    assert transformer.training_mse_[-1] < transformer.training_mse_[0]


def test_the_seed_decides() -> None:
    """Equal seeds give equal models, to the bit, other seeds others; a RandomState is drawn from."""
    x = wine()
    codes = [quick(random_state=seed, init="random").fit_transform(x) for seed in (1, 1, 2, np.random.RandomState(1))]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])
    np.testing.assert_array_equal(codes[0], codes[3])


def test_the_code_size_of_its_own() -> None:
    """As many units as components that explain 95 % of the variance; one where nothing varies."""
    x = wine()
    ratio = PCA().fit(StandardScaler().fit_transform(x)).explained_variance_ratio_
    assert quick(code_size=None).fit(x).code_size_ == int(np.argmax(np.cumsum(ratio) >= 0.95)) + 1
    assert quick(code_size=None).fit(np.ones((9, 4))).code_size_ == 1


def test_all_steps_without_early_stopping() -> None:
    """Every epoch of `max_steps` is trained, and no row is held out."""
    transformer = quick(early_stopping=False, batch_size=100, max_steps=9).fit(wine())
    assert transformer.n_epochs_ == 5, "two batches an epoch"
    assert transformer.validation_mse_ is None


def test_in_pipelines_and_grids() -> None:
    """It is cloned, searched and followed by a classifier; a grid's scores are those of `score`."""
    x, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(quick(), LogisticRegression()).fit(x[::2], y[::2])
    assert pipeline.score(x[1::2], y[1::2]) > 0.9
    grid = GridSearchCV(quick(), {"code_size": [1, 6], "hidden": [(), (16,)]}, cv=3).fit(x)
    assert grid.best_params_["code_size"] == 6
    assert clone(grid.best_estimator_).get_params() == grid.best_estimator_.get_params()
    half = clone(grid.best_estimator_).fit(x[::2])
    assert half.score(x[1::2]) <= 1


def test_names_of_columns() -> None:
    """Codes are `code_0` and so on, in pandas too; samples with other columns are refused by scikit-learn."""
    frame = load_wine(as_frame=True).data
    transformer = quick().set_output(transform="pandas").fit(frame)
    codes = transformer.transform(frame)
    assert isinstance(codes, pd.DataFrame)
    assert codes.columns.tolist() == ["code_0", "code_1", "code_2"]
    assert transformer.inverse_transform(codes).shape == frame.shape, "pandas' values cannot be written to"
    assert transformer.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(frame[frame.columns[::-1]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_model_on_disk(tmp_path: Path, dtype: Any) -> None:
    """`save_model` and `from_model` give the same transformer, without a fit, in float64 and in float32."""
    frame = load_wine(as_frame=True).data.astype(dtype)
    fitted = quick(hidden=(8,), scaling="range", learning_rate=0.01, batch_size=32).fit(frame)
    save_model(tmp_path, fitted.trained_)
    loaded = AutoencoderTransformer.from_model(tmp_path)
    codes = loaded.transform(frame)
    assert codes.dtype == dtype
    np.testing.assert_array_equal(codes, fitted.transform(frame))
    np.testing.assert_array_equal(loaded.score_samples(frame), fitted.score_samples(frame))
    assert loaded.score(frame) == fitted.score(frame)
    of_training = ("max_steps", "random_state")
    assert {k: v for k, v in loaded.get_params().items() if k not in of_training} == {
        k: v for k, v in fitted.get_params().items() if k not in of_training
    }
    assert clone(loaded).set_params(max_steps=5).fit(frame).n_features_in_ == 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code_size": 0}, "layer_sizes must be positive integers"),
        ({"code_size": 14}, "code_size must be at most the number of features, 13, but is 14"),
        ({"hidden": (0,)}, "layer_sizes must be positive integers"),
        ({"hidden": 64}, r"hidden must be a sequence of widths, like \(128, 64\), but is 64"),
        ({"hidden": "64"}, "hidden must be a sequence of widths, .* but is '64'"),
        ({"dropout": "a"}, "dropout must be a number, but is 'a'"),
        ({"hidden_activation": ["relu"]}, r"hidden_activation must be a name, but is \['relu'\]"),
        ({"max_steps": 0}, "max_steps must be an integer >= 1, but is 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer >= 1, but is 2.5"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \(0, 1\), but is 1.0"),
        ({"learning_rate": -1}, "learning_rate must be a finite number > 0, but is -1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), but is 1.0"),
        ({"scaling": "minmax"}, "scaling must be one of"),
        ({"init": "zeros"}, "init must be one of random, pca, but got 'zeros'"),
        ({"output_activation": "relu"}, "output_activation"),
        ({"hidden_activation": "swish"}, "an activation must be one of"),
        ({"learning_rate": 1e30, "init": "random"}, "training diverged"),
    ],
)
def test_what_is_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    """By `fit`, in one line that names the parameter, or the rule that it breaks."""
    with pytest.raises(UserError, match=message) as caught:
        quick(**changes).fit(wine())
    assert "\n" not in str(caught.value)


def test_codes_of_another_size_are_refused() -> None:
    """What is not a code cannot be decoded."""
    transformer = quick().fit(wine())
    with pytest.raises(UserError, match="X must have 3 columns, those of a code, but has 2"):
        transformer.inverse_transform(np.ones((4, 2)))
