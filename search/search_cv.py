"""The whole search as an estimator of scikit-learn: for people who never leave it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ae_model.configuration import Configuration
from ae_model.errors import UserError
from ae_model.estimator import AutoencoderTransformer
from search.finish import SearchResult
from search.ledger_reader import read_configurations, read_value
from search.pipeline import run_search
from search.settings import SearchSettings
from search.settings_files import parse_settings
from search.tables import load_folds

_LISTED = (
    "init", "hidden_activation", "code_activation", "learning_rate", "batch_size", "weight_decay", "dropout",
    "noise_std", "mask_fraction",
)  # fmt: skip
"""Parameters of an autoencoder of which a search takes several values, by the same names."""
_SINGLE = ("output_activation", "scaling")
"""Those of which it takes one."""
PARAMETERS = ("code_size", "hidden", *_LISTED, *_SINGLE)


class AutoencoderSearchCV(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Finds the best autoencoder for samples by cross-validation on Ray, and is then that autoencoder.

    What `ae-search run` does with a table, but that all rows are searched: none are held out for a last evaluation.
    `fit` starts a local Ray and ends it, or uses one that is already there.

    Args:
        param_grid: Values to try, by the names that `AutoencoderTransformer` has for them: lists of `code_size`,
            `hidden` (tuples of widths, or texts like "128-64"), `init`, `hidden_activation`, `code_activation`,
            `learning_rate`, `batch_size`, `weight_decay`, `dropout`, `noise_std`, `mask_fraction`; and one value each
            of `output_activation` and `scaling`. What is left out is searched as by default: a code as large as PCA
            explains 95 % of the variance with, with and without hidden layers, started at PCA and at random weights.
        cv: Number of folds, >= 2.
        settings: What else a search can be told, section by section, as `parse_settings` takes it.
        directory: Where the search lies, so that the same `fit` continues it, and the commands of ae-search show it; a
            temporary one, which is removed after `fit`, if None.
        n_jobs: How many trials run at a time; as many as there are CPU cores if None.
        random_state: Seed of folds, weights and orders. If None it is drawn, but 0 where there is a `directory`.
        verbose: Whether to show progress on standard error.

    Attributes:
        best_estimator_: The winner, trained on all rows: an `AutoencoderTransformer`.
        best_params_: Its parameters.
        best_score_: Its fraction of variance explained (FVE), mean over the folds.
        best_index_: Its place in `cv_results_`.
        cv_results_: One entry per configuration in each of its arrays, as of `GridSearchCV`: `params` and `param_NAME`;
            `split0_test_score` and so on, `mean_test_score`, `std_test_score` (FVE) and `rank_test_score`;
            `mean_test_mse`, in scaled units squared; `mean_fit_time`, in seconds per fold; `best_epoch`, which 0 of is
            PCA; `trial_id`.
        n_splits_: The number of folds.
        result_: The `SearchResult`: trials and selection; its files are gone if there was no `directory`.
        n_features_in_, feature_names_in_: What `fit` has seen.

    Examples:
        >>> from sklearn.datasets import load_wine
        >>> x = load_wine().data
        >>> search = AutoencoderSearchCV({"code_size": [3], "hidden": [(), (32,)]}, random_state=0).fit(x)
        ... # doctest: +SKIP
        >>> search.best_params_["hidden"], search.transform(x).shape  # doctest: +SKIP
        ((32,), (178, 3))
    """

    def __init__(
        self,
        param_grid: Any = None,
        *,
        cv: Any = 5,
        settings: Any = None,
        directory: Any = None,
        n_jobs: Any = None,
        random_state: Any = None,
        verbose: Any = 0,
    ) -> None:  # the types are those of Args; scikit-learn wants that `fit` checks them
        self.param_grid = param_grid
        self.cv = cv
        self.settings = settings
        self.directory = directory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: object = None) -> "AutoencoderSearchCV":
        """Search, and train the winner on all samples.

        Args:
            X: Samples `(n_samples, n_features)` in their own units, at least one for each fold, and two features; a
                DataFrame's columns keep their names.
            y: Nothing; scikit-learn's pipelines hand it over.

        Raises:
            UserError: If a parameter is not one; it is a ValueError, like the errors of scikit-learn's own checks of X.
            SearchError: If no trial could be finished.
        """
        x = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=2, ensure_min_features=2)
        settings = self._settings()
        names = getattr(self, "feature_names_in_", None)
        with _search_directory(self.directory) as directory:
            self.result_ = run_search(
                settings,
                data=x if names is None else pd.DataFrame(x, columns=names),
                name=directory.name,
                results_dir=directory.parent,
                verbose=bool(self.verbose),
            )
            self.best_estimator_ = AutoencoderTransformer.from_model(self.result_.model_dir)
            self.n_splits_ = settings.search.n_splits
            self.cv_results_ = _cv_results(self.result_, settings)
        ids = self.cv_results_["trial_id"].tolist()
        self.best_index_ = ids.index(self.result_.selection.trial_id)
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes of samples by the winner, `(n_samples, code_size)`."""
        codes: np.ndarray = self._best().transform(X)
        return codes

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples that codes stand for, in the data's own units."""
        return self._best().inverse_transform(X)

    def score(self, X: Any, y: object = None) -> float:
        """The fraction of the variance of samples, about the training samples' mean, that the winner explains, <= 1."""
        return self._best().score(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the mean squared error of each sample's reconstruction, scaled units squared: low is unusual."""
        return self._best().score_samples(X)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """`code_0`, `code_1` and so on."""
        return self._best().get_feature_names_out()

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is to know of transformers like this one."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _best(self) -> AutoencoderTransformer:
        check_is_fitted(self, "best_estimator_")
        best: AutoencoderTransformer = self.best_estimator_
        return best

    def _settings(self) -> SearchSettings:
        for name, least in (("cv", 2), ("n_jobs", 1)):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and int(value) >= least) and not (name == "n_jobs" and value is None):
                raise UserError(f"{name} must be an integer >= {least}, but is {value!r}.", argument=name)
        for name in ("param_grid", "settings"):
            if not isinstance(getattr(self, name) or {}, Mapping):
                raise UserError(f"{name} must be a dict, but is {getattr(self, name)!r}.", argument=name)
        own = parse_settings(self.settings or {})  # before anything is laid over them
        if own.data.label_column is not None or own.data.ignore_columns:
            raise UserError(
                "settings: all columns of X are features here. Leave others out of X, and label_column and "
                "ignore_columns out of settings.",
                argument="settings",
            )
        content = {section: dict(values) for section, values in (self.settings or {}).items() if section != "seed"}
        for key, value in self._wanted():
            section, name = key.split(".")
            content.setdefault(section, {})[name] = value
        given = self.random_state
        is_drawn = given is not None or self.directory is None
        seed = int(check_random_state(given).randint(2**31)) if is_drawn else 0
        return parse_settings(content | {"seed": seed})

    def _wanted(self) -> Iterator[tuple[str, Any]]:
        """Settings by their keys."""
        grid: Mapping[str, Any] = self.param_grid or {}
        for name, given in grid.items():
            values = list(given) if isinstance(given, list | tuple | np.ndarray) else [given]
            match name:
                case "code_size" if values != [None]:
                    yield "bottleneck.code_sizes", [_plain(value) for value in values]
                case "hidden":
                    yield "space.hidden", [v if isinstance(v, str) else "-".join(map(str, v)) for v in values]
                case _ if name in _LISTED:
                    yield f"space.{name}", [_plain(value) for value in values]
                case _ if name in _SINGLE and len(values) == 1:
                    yield ("data.scaling" if name == "scaling" else f"space.{name}"), values[0]
                case "code_size":
                    pass
                case _:
                    what = "takes one value" if name in _SINGLE else f"is none of {', '.join(PARAMETERS)}"
                    raise UserError(f"param_grid: {name!r} {what}.", argument="param_grid")
        yield "data.test_fraction", 0
        yield "search.n_splits", int(self.cv)
        if self.n_jobs is not None:
            yield "resources.max_concurrent_trials", int(self.n_jobs)


def _plain(value: Any) -> Any:
    """A NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def _search_directory(given: str | Path | None) -> Iterator[Path]:
    if given is not None:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="ae-search-") as scratch:
        yield Path(scratch) / "search"


def _cv_results(result: SearchResult, settings: SearchSettings) -> dict[str, Any]:
    """The tables of a search as scikit-learn has them."""
    trials = result.trials.sort_values("number")
    ids = trials["trial_id"].astype(str).tolist()
    folds = (
        load_folds(result.directory)
        .pivot_table(index="trial_id", columns="fold", values="val_fve", dropna=False)
        .reindex(ids)
    )
    configurations = read_configurations(result.directory)
    scaling = read_value(result.directory, "definition")["data.scaling"]
    params = [_params(configurations[one], scaling) for one in ids]
    found: dict[str, Any] = {"params": params}
    for name in PARAMETERS:
        values = np.empty(len(params), dtype=object)
        values[:] = [one[name] for one in params]
        found[f"param_{name}"] = np.ma.MaskedArray(values, mask=False)
    scores = folds.to_numpy(np.float64)
    for number, column in zip(folds.columns, scores.T, strict=True):
        found[f"split{number}_test_score"] = column
    mean = trials["val_fve_mean"].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        found |= {
            "mean_test_score": mean,
            "std_test_score": np.array([_std(row[np.isfinite(row)]) for row in scores]),
            "rank_test_score": pd.Series(-mean).rank(method="min", na_option="bottom").to_numpy(np.int32),
            "mean_test_mse": trials["val_mse_mean"].to_numpy(np.float64),
            "mean_fit_time": trials["fit_seconds"].to_numpy(np.float64) / settings.search.n_splits,
            "best_epoch": trials["best_epoch"].to_numpy(np.float64, na_value=np.nan),
            "trial_id": np.array(ids, dtype=object),
        }
    return found


def _std(values: np.ndarray) -> float:
    return float(values.std()) if len(values) else float("nan")


def _params(configuration: Configuration, scaling: str) -> dict[str, Any]:
    sizes = configuration.layer_sizes
    listed = {name: getattr(configuration, name) for name in (*_LISTED, "output_activation")}
    found = {"code_size": sizes[-1], "hidden": tuple(sizes[1:-1]), "scaling": scaling, **listed}
    return {name: found[name] for name in PARAMETERS}
