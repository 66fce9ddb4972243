"""The autoencoder as a transformer of scikit-learn: for pipelines, grids, and people who need no search."""

import copy
from math import ceil, inf, isnan, nan
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ae_model.arithmetic import arithmetic
from ae_model.configuration import Configuration, check_training_options, checked_layer_sizes, default_learning_rate
from ae_model.cross_validation import CrossValidation
from ae_model.ensemble import check_is_one
from ae_model.errors import UserError
from ae_model.folds import Fold
from ae_model.loading import load_model
from ae_model.metrics import fve
from ae_model.patience import START_GAIN, Patience
from ae_model.pca import code_size_for, explained_variance_ratio, fit_baseline
from ae_model.persistence import TrainedAutoencoder
from ae_model.scaling import fit_scaling
from ae_model.training import fit_autoencoder

EXPLAINED_VARIANCE = 0.95
"""What part of the variance the principal components explain that the code is as large as, where no size is given."""
PATIENCE_PART, MIN_GAIN = 4, 0.001
"""Training ends when a part of `max_steps` has gone by without an epoch that is lower by so much, as in a search."""
_KEPT = ("init", "scaling", "learning_rate", "batch_size", "weight_decay", "dropout", "noise_std", "mask_fraction")
"""What a model directory says of how its model was trained, by the names of this class."""
_ROWS = 4096
"""Rows that are computed at a time: bounds the memory."""


class AutoencoderTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A symmetric autoencoder that takes samples to codes and back.

    The number of epochs is chosen on a part of the rows (`early_stopping`); then the model is trained on all of them
    for as long, by one thread. With `init="pca"` training starts at PCA of the rows, and ends there where it gains
    nothing: the model is then not worse than PCA.

    Args:
        code_size: Number of code units, >= 1; if None, as many as the principal components that explain 95 % of the
            variance.
        hidden: Widths of the hidden layers between input and code, from the input on; the decoder mirrors them.
        init: Where training starts: "pca", or "random" weights.
        hidden_activation: Of hidden layers, one of `ae_model.configuration.ACTIVATION_NAMES`.
        code_activation: Of the code.
        output_activation: Of the output; it must be able to give what the scaling makes of the data.
        scaling: How features are scaled, as in `fit_scaling`: "standard", "range", "robust" or "none".
        learning_rate: Adam's, > 0; if None, one that falls with the root of the number of features.
        batch_size: Samples per step, >= 1.
        weight_decay: As in AdamW, >= 0.
        dropout: Of hidden units, in [0, 1).
        noise_std: Standard deviation of noise that is added to the input in training, in scaled units, >= 0.
        mask_fraction: Part of the features that is set to 0 in training, in [0, 1).
        max_steps: Training steps, >= 1: epochs times batches.
        early_stopping: Whether to choose the number of epochs on a part of the rows; if not, all steps are trained.
        validation_fraction: That part, in (0, 1).
        device: Where to train: "cpu", or "cuda".
        random_state: Seed of that part, the initial weights, the order of batches and whatever is random in a step; an
            int gives the same model each time.

    Attributes:
        code_size_: The number of code units.
        n_epochs_: How many epochs the model was trained for; 0 is PCA itself.
        training_mse_: Training MSE by epoch, in scaled units squared, `(n_epochs_,)`.
        validation_mse_: Validation MSE by epoch, of the training that chose `n_epochs_`; None without early stopping.
            With `init="pca"` the first value is that of the start.
        trained_: The model with its scaling, as `load_model` returns it; `save_model` writes it.
        n_features_in_, feature_names_in_: What `fit` has seen.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(200, 3)) @ np.random.default_rng(1).normal(size=(3, 10))
        >>> transformer = AutoencoderTransformer(code_size=3, max_steps=100, random_state=0).fit(x)
        >>> transformer.transform(x).shape, round(transformer.score(x), 3)
        ((200, 3), 1.0)
    """

    def __init__(
        self,
        code_size: Any = None,
        hidden: Any = (),
        *,
        init: Any = "pca",
        hidden_activation: Any = "relu",
        code_activation: Any = "linear",
        output_activation: Any = "linear",
        scaling: Any = "standard",
        learning_rate: Any = None,
        batch_size: Any = 64,
        weight_decay: Any = 0.0,
        dropout: Any = 0.0,
        noise_std: Any = 0.0,
        mask_fraction: Any = 0.0,
        max_steps: Any = 2000,
        early_stopping: Any = True,
        validation_fraction: Any = 0.1,
        device: Any = "cpu",
        random_state: Any = None,
    ) -> None:  # the types are those of Args; scikit-learn wants that `fit` checks them
        self.code_size = code_size
        self.hidden = hidden
        self.init = init
        self.hidden_activation = hidden_activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.scaling = scaling
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.noise_std = noise_std
        self.mask_fraction = mask_fraction
        self.max_steps = max_steps
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    @classmethod
    def from_model(cls, directory: str | Path) -> "AutoencoderTransformer":
        """A transformer with the model that lies in a directory, such as a search's `best`; it needs no `fit`.

        It has no `n_epochs_`, `training_mse_` and `validation_mse_`: the model was not trained here. Its parameters are
        those of the model as far as the directory says, so that `clone(...).fit(X)` trains such a one.

        Raises:
            UserError: As `load_model` does.
        """
        trained = load_model(directory)
        check_is_one(trained, directory, "from_model")
        model = trained.model
        transformer = cls(
            model.layer_sizes[-1],
            tuple(model.layer_sizes[1:-1]),
            hidden_activation=model.hidden_activation,
            code_activation=model.code_activation,
            output_activation=model.output_activation,
            **{name: trained.metadata[name] for name in _KEPT if name in trained.metadata},
        )
        transformer.trained_, transformer.code_size_ = trained, model.layer_sizes[-1]
        transformer.n_features_in_ = model.layer_sizes[0]
        if trained.feature_names is not None:
            transformer.feature_names_in_ = np.array(trained.feature_names, dtype=object)
        return transformer

    def fit(self, X: Any, y: object = None) -> "AutoencoderTransformer":
        """Train on samples.

        Args:
            X: Samples `(n_samples, n_features)` in their own units, at least two; a DataFrame's columns keep their
                names.
            y: Nothing; scikit-learn's pipelines hand it over.

        Raises:
            UserError: If a parameter is out of its range, or training diverges; it is a ValueError, like the errors of
                scikit-learn's own checks of X.
        """
        x = validate_data(self, X, dtype=(np.float64, np.float32), ensure_min_samples=2)
        self._check_ranges()
        seed = int(check_random_state(self.random_state).randint(2**31))
        scaling = fit_scaling(x, scaling=self.scaling)
        configuration = self._configuration(x.shape[1], self._code_size(x))
        with arithmetic(n_threads=1, fp32_precision="ieee"):  # small models lose by more, most of all on a busy machine
            n_epochs, self.validation_mse_ = self._length(x, configuration, seed)
            model, losses = fit_autoencoder(
                x, scaling, configuration, epochs=n_epochs, seed=seed, device=torch.device(self.device)
            )
        if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
            raise UserError("training diverged. Use a smaller learning_rate, or another scaling.")
        names = getattr(self, "feature_names_in_", None)
        self.trained_ = TrainedAutoencoder(
            model=model.eval(),
            scaling=scaling,
            feature_names=None if names is None else tuple(names),
            pca=fit_baseline(x, scaling, configuration.code_size),
            metadata={
                **{name: getattr(configuration, name) for name in _KEPT if name != "scaling"},
                "epochs": n_epochs,
                "seed": seed,
                "scaling": self.scaling,
            },
        )
        self.code_size_, self.n_epochs_, self.training_mse_ = configuration.code_size, n_epochs, losses.mean(axis=1)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes of samples, `(n_samples, code_size_)`, of the type of X: float64, or float32."""
        return self._apply(self._checked_model().model.encoder, self._scaled(X))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples that codes stand for, `(n_samples, n_features_in_)`, in the data's own units.

        Args:
            X: Codes `(n_samples, code_size_)`, as `transform` gives them.
        """
        trained = self._checked_model()
        code = check_array(X, dtype=(np.float64, np.float32))
        if code.shape[1] != self.code_size_:
            raise UserError(f"X must have {self.code_size_} columns, those of a code, but has {code.shape[1]}.")
        values = trained.scaling.inverse(self._apply(trained.model.decoder, code).astype(np.float64))
        return values.astype(code.dtype)

    def score(self, X: Any, y: object = None) -> float:
        """The fraction of the variance of samples, about the training samples' mean, that is explained, <= 1."""
        scaled = self._scaled(X)
        pca = self._checked_model().pca
        if pca is None:
            raise UserError("score needs the training samples' mean, which models of old versions have not kept.")
        return fve(scaled, self._reconstructed(scaled), pca.mean)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the mean squared error of each sample's reconstruction, scaled units squared: low is unusual."""
        scaled = self._scaled(X)
        errors: np.ndarray = -np.square(scaled - self._reconstructed(scaled), dtype=np.float64).mean(axis=1)
        return errors

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """`code_0`, `code_1` and so on."""
        return np.array(self._checked_model().code_names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is to know of transformers like this one."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_ranges(self) -> None:
        for name, low in (("batch_size", 1), ("max_steps", 1)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or int(value) < low:
                raise UserError(f"{name} must be an integer >= {low}, but is {value!r}.", argument=name)
        hidden: Any = self.hidden
        if isinstance(hidden, str) or not hasattr(hidden, "__iter__"):
            raise UserError(
                f"hidden must be a sequence of widths, like (128, 64), but is {hidden!r}.", argument="hidden"
            )
        for name in ("weight_decay", "dropout", "noise_std", "mask_fraction"):
            if isnan(_number(getattr(self, name))):
                raise UserError(f"{name} must be a number, but is {getattr(self, name)!r}.", argument=name)
        for name in ("hidden_activation", "code_activation", "output_activation", "init", "scaling"):
            if not isinstance(getattr(self, name), str):
                raise UserError(f"{name} must be a name, but is {getattr(self, name)!r}.", argument=name)
        fraction, rate = self.validation_fraction, self.learning_rate
        if not 0 < _number(fraction) < 1:
            raise UserError(
                f"validation_fraction must be in (0, 1), but is {fraction!r}.", argument="validation_fraction"
            )
        if rate is not None and not 0 < _number(rate) < inf:
            raise UserError(f"learning_rate must be a finite number > 0, but is {rate!r}.", argument="learning_rate")

    def _code_size(self, x: np.ndarray) -> int:
        if self.code_size is not None:
            given: int = self.code_size
            if given > x.shape[1]:
                raise UserError(
                    f"code_size must be at most the number of features, {x.shape[1]}, but is {given}.",
                    argument="code_size",
                )
            return given
        scaling = fit_scaling(x, scaling=self.scaling)
        if not np.ptp(scaling.transform(x), axis=0).any():
            return 1
        return code_size_for(EXPLAINED_VARIANCE, explained_variance_ratio(x, scaling))

    def _configuration(self, n_features: int, code_size: int) -> Configuration:
        configuration = Configuration(
            layer_sizes=checked_layer_sizes((n_features, *self.hidden, code_size)),
            hidden_activation=self.hidden_activation,
            code_activation=self.code_activation,
            output_activation=self.output_activation,
            learning_rate=default_learning_rate(n_features) if self.learning_rate is None else self.learning_rate,
            batch_size=int(self.batch_size),
            init=self.init,
            weight_decay=self.weight_decay,
            dropout=self.dropout,
            noise_std=self.noise_std,
            mask_fraction=self.mask_fraction,
        )
        check_training_options(configuration)
        return configuration

    def _length(self, x: np.ndarray, configuration: Configuration, seed: int) -> tuple[int, np.ndarray | None]:
        """How many epochs to train for, and the validation MSE by epoch that this was chosen by."""
        if not self.early_stopping:
            return ceil(self.max_steps / ceil(len(x) / self.batch_size)), None
        n_validation = min(max(round(self.validation_fraction * len(x)), 1), len(x) - 1)
        order = np.random.default_rng(seed).permutation(len(x))
        fold = Fold(train=np.sort(order[n_validation:]), validation=np.sort(order[:n_validation]))
        epochs = ceil(self.max_steps / ceil(len(fold.train) / self.batch_size))
        records = [
            of_epoch[0]
            for of_epoch in CrossValidation(
                x,
                [configuration],
                folds=[fold],
                max_epochs=epochs,
                seed=seed,
                scaling=self.scaling,
                device=torch.device(self.device),
                patience=Patience(epochs=ceil(epochs / PATIENCE_PART), min_gain=MIN_GAIN),
            )
        ]
        mse = np.array([record.val_mse[0] for record in records])
        numbers = np.array([record.epoch for record in records])
        if not np.isfinite(mse).any():
            raise UserError("training diverged. Use a smaller learning_rate, or another scaling.")
        counted = mse * np.where(numbers == 0, 1 - START_GAIN, 1.0)
        return int(numbers[np.nanargmin(counted)]), mse

    def _checked_model(self) -> TrainedAutoencoder:
        check_is_fitted(self, "trained_")
        return self.trained_

    def _scaled(self, X: Any) -> np.ndarray:
        """Samples in scaled units, of their own type."""
        trained = self._checked_model()
        x = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return trained.scaling.transform(x).astype(x.dtype, copy=False)

    def _reconstructed(self, scaled: np.ndarray) -> np.ndarray:
        model = self._checked_model().model
        return self._apply(model.decoder, self._apply(model.encoder, scaled))

    @staticmethod
    @torch.no_grad()
    def _apply(module: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
        """In the precision of the rows, some at a time."""
        module = copy.deepcopy(module).to(torch.float64 if rows.dtype == np.float64 else torch.float32)
        blocks = (torch.from_numpy(np.array(rows[i : i + _ROWS])) for i in range(0, len(rows), _ROWS))
        return np.concatenate([module(block).numpy() for block in blocks])


def _number(value: object) -> float:
    """A number, or NaN if it is none."""
    return float(value) if isinstance(value, Real) else nan
