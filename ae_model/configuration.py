"""What is trained, and what an epoch of it gives: plain data, without torch, so that reading tables need not wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np
from jaxtyping import Float, Int

from ae_model.errors import UserError

ACTIVATION_RANGES = {
    "linear": (-inf, inf),
    "relu": (0.0, inf),
    "leaky_relu": (-inf, inf),
    "elu": (-1.0, inf),
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "gelu": (-0.17, inf),
    "silu": (-0.279, inf),
}
"""The ends of the values that each activation can give, which it may only approach; gelu's and silu's are rounded."""
ACTIVATION_NAMES = tuple(ACTIVATION_RANGES)
INIT_NAMES = ("random", "pca")
SCHEDULE_NAMES = ("constant", "cosine", "one-cycle")
PCA_OUTPUTS = ("linear", "tanh")
"""Activations of the output with which training can start at PCA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What defines a trained autoencoder besides data, seed and number of epochs."""

    layer_sizes: tuple[int, ...]
    """The encoder's widths, input first, code last."""
    hidden_activation: str = "relu"
    code_activation: str = "relu"
    output_activation: str = "tanh"
    learning_rate: float = 1e-3
    """Adam's learning rate, > 0."""
    batch_size: int = 64
    """Samples per step, >= 1; the last batch of an epoch may be smaller."""
    init: str = "random"
    """Where training starts: "random" weights, or "pca", which reconstruct as PCA of the training rows does."""
    weight_decay: float = 0.0
    """The decay of all parameters, decoupled from the gradients as in AdamW, >= 0: at each step they lose this part of
    themselves, times the learning rate."""
    learning_rate_schedule: str = "constant"
    """How the learning rate changes from step to step, one of `SCHEDULE_NAMES`; `ae_model.schedules` has the formulas.
    """
    schedule_epochs: int | None = None
    """The length of the schedule in epochs, >= 1, after which training ends; None exactly for "constant"."""
    dropout: float = 0.0
    """The probability, in [0, 1), with which a unit of a hidden layer, in encoder or decoder, is dropped in training;
    those that stay are scaled by 1 / (1 - dropout)."""
    noise_std: float = 0.0
    """The standard deviation, >= 0, of normal noise that is added to the input in training, in scaled units; the target
    stays as it is."""
    mask_fraction: float = 0.0
    """The part of the input's features, in [0, 1), that is set to 0 in training; the target stays as it is."""

    @property
    def text(self) -> str:
        """The layer sizes as people write them: "784-500-32"."""
        return layer_sizes_text(self.layer_sizes)

    @property
    def code_size(self) -> int:
        """Number of code units."""
        return self.layer_sizes[-1]

    @property
    def hidden_depth(self) -> int:
        """Number of hidden layers between input and code."""
        return len(self.layer_sizes) - 2

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases, encoder and decoder together."""
        return count_parameters(self.layer_sizes)

    @property
    def compression_ratio(self) -> float:
        """Features per code unit."""
        return self.layer_sizes[0] / self.layer_sizes[-1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EpochRecord:
    """What one epoch gave, for each fold."""

    epoch: int
    """The number of the epoch, counted from 1; 0 is the start, before any step, of a training that starts at PCA."""
    train_mse: Float[np.ndarray, " n_splits"]
    """Mean squared error over the epoch's samples, each taken before its own batch's step, with dropout, noise and mask
    where there are any; scaled units squared. NaN for the start."""
    val_mse: Float[np.ndarray, " n_splits"]
    """Mean squared error over the fold's validation rows, after the epoch; scaled units squared."""
    val_fve: Float[np.ndarray, " n_splits"]
    """Fraction of the validation rows' variance about the training mean that is explained."""
    dead_code_units: Int[np.ndarray, " n_splits"]
    """The number of code units that are zero for every validation row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutOfFold:
    """The out-of-fold errors of a configuration at its best epoch."""

    epoch: int
    """The best so far: that of the lowest mean validation MSE; the start, unless a later one is lower by 1 %."""
    mse: Float[np.ndarray, " samples"]
    """Of each sample, in scaled units squared; NaN for samples that no fold validates."""


def checked_layer_sizes(layer_sizes: Sequence[int]) -> tuple[int, ...]:
    """`layer_sizes` as a tuple.

    Raises:
        UserError: If there are fewer than two sizes, or one is not a positive integer.
    """
    sizes = tuple(layer_sizes)
    if len(sizes) < 2:
        raise UserError(f"layer_sizes must hold at least an input and a code size, but got {sizes}.")
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
            raise UserError(f"layer_sizes must be positive integers, but got {size!r} in {sizes}.")
    return tuple(map(int, sizes))


def check_training_options(configuration: Configuration) -> None:
    """Check the ranges of weight decay, schedule, dropout, noise and mask.

    Raises:
        UserError: If one is out of its range.
    """
    c = configuration
    for name, high in (("weight_decay", inf), ("noise_std", inf), ("dropout", 1.0), ("mask_fraction", 1.0)):
        value = getattr(c, name)
        if not 0 <= value < high:  # nor is NaN
            limit = "a finite number >= 0" if high == inf else "in [0, 1)"
            raise UserError(f"{name} must be {limit}, but is {value}.", argument=name)
    if c.learning_rate_schedule not in SCHEDULE_NAMES:
        raise UserError(
            f"learning_rate_schedule must be one of {', '.join(SCHEDULE_NAMES)}, but is {c.learning_rate_schedule!r}.",
            argument="learning_rate_schedule",
        )
    is_constant = c.learning_rate_schedule == "constant"
    if (c.schedule_epochs is None) != is_constant or (c.schedule_epochs is not None and c.schedule_epochs < 1):
        rule = "None" if is_constant else "a number of epochs >= 1"
        raise UserError(
            f"schedule_epochs must be {rule} with learning_rate_schedule={c.learning_rate_schedule!r}, "
            f"but is {c.schedule_epochs}.",
            argument="schedule_epochs",
        )


def default_learning_rate(input_size: int) -> float:
    """The learning rate where none is named: 0.001, and less where there are more than 64 features.

    A step of Adam changes each weight by about the rate, and so a unit with many inputs by more: training that starts
    at PCA leaves it in the wrong direction where that is too much. By the root of the number of features the rate is
    near the best of those measured with 64 to 4,096 of them (`benchmarks/README.md`).

    Examples:
        >>> default_learning_rate(13), default_learning_rate(784)
        (0.001, 0.00029)
    """
    return float(f"{1e-3 * min(1.0, (64 / input_size) ** 0.5):.2g}")


def layer_sizes_text(layer_sizes: Sequence[int]) -> str:
    """`(784, 500, 32)` as "784-500-32"."""
    return "-".join(map(str, layer_sizes))


def count_parameters(layer_sizes: Sequence[int]) -> int:
    """Number of weights and biases of the autoencoder of these sizes, encoder and decoder together.

    Examples:
        >>> count_parameters((64, 16))  # 64 * 16 weights twice, 16 and 64 biases
        2128
    """
    return sum(2 * a * b + a + b for a, b in pairwise(layer_sizes))
