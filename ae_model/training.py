"""The training loop over resident data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ae_model.autoencoder import SymmetricAutoencoder
from ae_model.capture import CapturedStep
from ae_model.configuration import Configuration
from ae_model.matrices import sums_of_squares
from ae_model.pca_start import fit_pca_start, starts_at_pca
from ae_model.resident import Batch, ResidentData, batches
from ae_model.scaling import Scaling
from ae_model.stack import AutoencoderStack

EVALUATION_ROWS = 1024
"""Rows per batch where nothing is learned: bounds the memory, and does not change the result beyond rounding."""


Step = Callable[[Batch, int], Tensor]
"""Trains on a batch, given its number within the epoch; returns each member's sum of squared errors `(members,)`."""


def derived_seed(*parts: int) -> int:
    """A seed that depends on every part and on their order (NumPy's SeedSequence)."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def initial_generator(seed: int, fold: int) -> torch.Generator:
    """The source of the initial weights of a fold's member."""
    return torch.Generator().manual_seed(derived_seed(seed, fold))


def batch_order(rows: Int[np.ndarray, " rows"], *, seed: int, fold: int, epoch: int) -> Int[np.ndarray, " rows"]:
    """`rows` in the order in which a fold's member sees them in that epoch.

    It follows from the arguments alone, so every configuration sees the same batches and a continued training needs no
    stored random state.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, fold, epoch))
    order: np.ndarray = rows[torch.randperm(len(rows), generator=generator).numpy()]
    return order


def training_step(stack: AutoencoderStack, data: ResidentData, batch_size: int) -> Step:
    """The function that gathers a batch and trains on it.

    On a GPU, full batches are replayed as a CUDA graph, unless a learning rate follows a schedule.

    Args:
        stack: The members; after `stack.keep` a new step must be made.
        data: Their samples.
        batch_size: How many rows a full batch has.
    """
    # A learning rate is a number in the graph: one that changes would stay what it was when the step was captured.
    if data.device.type == "cuda" and not stack.has_schedule:
        return CapturedStep(stack, data, batch_size)
    return lambda batch, number: stack.train_step(data.gather(batch.index), batch.rows, batch.mask, number, batch.index)


def train_epoch(
    step: Step, data: ResidentData, orders: Sequence[Int[np.ndarray, " _"]], batch_size: int
) -> Float[Tensor, "batches members"]:
    """One pass of every member over its own rows.

    Args:
        step: What `training_step` returned.
        data: The samples.
        orders: For each member the rows it trains on, in order.
        batch_size: How many rows a full batch has.

    Returns:
        Each member's sum of squared errors in each batch, taken before the batch's step, on the device; 0 where a
        member has no batch.
    """
    squared_errors = [step(batch, number) for number, batch in enumerate(batches(data, orders, batch_size))]
    return torch.stack(squared_errors)


def evaluate_members(
    stack: AutoencoderStack, data: ResidentData, rows: Sequence[Int[np.ndarray, " _"]]
) -> tuple[Float[Tensor, " members"], Float[Tensor, "members longest"], Int[Tensor, " members"]]:
    """Each member's sum of squared errors (float64) over its own rows, that of each row, its number of dead code units.

    The rows' sums are in the order of the rows, with zeros at the end for members with fewer rows than the longest.
    """
    squared_error = torch.zeros(len(rows), dtype=torch.float64, device=data.device)
    by_row = []
    activity = torch.zeros((), dtype=data.dtype, device=data.device)
    for batch in batches(data, rows, EVALUATION_ROWS):
        x = data.gather(batch.index)
        reconstruction, code = stack.forward(x)
        errors = x.sub_(reconstruction)
        if batch.mask is not None:
            errors.mul_(batch.mask)
        squared_error += sums_of_squares(errors)
        by_row.append(torch.linalg.vector_norm(errors, dim=2).square_())
        activity = activity + code.abs_().sum(1)
    real = torch.arange(activity.shape[1], device=data.device) < stack.code_sizes[:, None]
    return squared_error, torch.cat(by_row, 1), ((activity == 0) & real).sum(1)


def fit_autoencoder(
    values: np.ndarray,
    scaling: Scaling,
    configuration: Configuration,
    *,
    epochs: int,
    seed: int,
    initial: SymmetricAutoencoder | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[SymmetricAutoencoder, Float[np.ndarray, "epochs batches"]]:
    """Train one autoencoder on all of `values`.

    Args:
        values: Samples `(n_samples, n_features)` in their own units.
        scaling: Maps them to the units the model is trained in.
        configuration: The architecture and how it is optimised.
        epochs: The number of passes over the data; 0 leaves the model as it starts. A schedule that is longer is
            followed that far.
        seed: The seed of the initial weights, the batch order, and what is random in a step.
        initial: The model whose weights it starts with, instead of the configuration's `init`.
        device: Where to train.
        dtype: The type of the weights, in which everything is computed.

    Returns:
        The model, on the CPU, and the training MSE of every batch of every epoch, in scaled units squared.

    Raises:
        UserError: If the initial model has other layer sizes or activations than the configuration.
    """
    training = Training(values, scaling, configuration, seed=seed, initial=initial, device=device, dtype=dtype)
    while training.epoch < epochs:
        training.train_epoch()
    return training.model(), training.losses()


class Training:
    """`fit_autoencoder`, whose arguments these are, epoch by epoch: it can be stopped and continued, to the bit.

    Args:
        values: The samples.
        scaling: Maps them to the units the model is trained in.
        configuration: The architecture and how it is optimised.
        seed: The seed of the initial weights, the batch order, and what is random in a step.
        initial: The model whose weights it starts with.
        device: Where to train.
        dtype: The type of the weights.
        state: What `state()` returned, to go on from there with the same arguments.

    Raises:
        UserError: If the initial model has other layer sizes or activations than the configuration.
        ValueError: If the state is another training's.
    """

    def __init__(
        self,
        values: np.ndarray,
        scaling: Scaling,
        configuration: Configuration,
        *,
        seed: int,
        initial: SymmetricAutoencoder | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        n_samples, self._n_features = values.shape
        self._seed, self._batch_size = seed, configuration.batch_size
        self._rows = np.arange(n_samples)
        self._counts = _rows_per_batch(n_samples, configuration.batch_size)
        is_new = initial is None and state is None
        if not is_new and starts_at_pca(configuration):
            configuration = replace(configuration, init="random")  # all its weights are replaced
        start = None
        if starts_at_pca(configuration):
            n_components = min(configuration.layer_sizes[1:])
            start = fit_pca_start(values, scaling, n_components, output_activation=configuration.output_activation)
        self._stack = AutoencoderStack(
            [configuration],
            n_batches=[len(self._counts)],
            generators=[initial_generator(seed, 0)],
            starts=[start],
            device=device,
            dtype=dtype,
        )
        if initial is not None:
            self._stack.load_model(0, initial)
        self._squared_errors: list[Tensor] = []
        if state is not None:
            self._stack.load_state(state)
            self._squared_errors = list(state["squared_errors"].to(device))
        self._data = ResidentData(values, [scaling], device=device, dtype=dtype)
        self._step = training_step(self._stack, self._data, configuration.batch_size)

    @property
    def epoch(self) -> int:
        """How many epochs it has been trained for."""
        return len(self._squared_errors)

    def train_epoch(self) -> None:
        """Train for one more epoch."""
        epoch = self.epoch + 1
        order = batch_order(self._rows, seed=self._seed, fold=0, epoch=epoch)
        self._stack.begin_epoch(seed=self._seed, folds=[0], epoch=epoch)
        self._squared_errors.append(train_epoch(self._step, self._data, [order], self._batch_size))

    def model(self) -> SymmetricAutoencoder:
        """A copy of the model as it is now, on the CPU."""
        return self._stack.to_model(0)

    def losses(self) -> Float[np.ndarray, "epochs batches"]:
        """The training MSE of every batch of every epoch so far, in scaled units squared."""
        if not self._squared_errors:
            return np.empty((0, len(self._counts)))
        squared_errors = torch.stack(self._squared_errors)[:, :, 0].cpu().double().numpy()
        losses: np.ndarray = squared_errors / (self._counts * self._n_features)
        return losses

    def state(self) -> dict[str, Tensor]:
        """All that the coming epochs and `losses` depend on, on the CPU, for after the first epoch."""
        state = {name: tensor.cpu() for name, tensor in self._stack.state().items()}
        return {**state, "squared_errors": torch.stack(self._squared_errors).cpu()}


def _rows_per_batch(n_rows: int, batch_size: int) -> Int[np.ndarray, " batches"]:
    return np.diff(np.append(np.arange(0, n_rows, batch_size), n_rows))
