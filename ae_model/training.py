"""The training loop over resident data."""

from collections.abc import Callable, Sequence

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
        device: Where to train.
        dtype: The type of the weights, in which everything is computed.

    Returns:
        The model, on the CPU, and the training MSE of every batch of every epoch, in scaled units squared.
    """
    n_samples, n_features = values.shape
    everything = np.arange(n_samples)
    counts = _rows_per_batch(n_samples, configuration.batch_size)
    start = None
    if starts_at_pca(configuration):
        n_components = min(configuration.layer_sizes[1:])
        start = fit_pca_start(values, scaling, n_components, output_activation=configuration.output_activation)
    stack = AutoencoderStack(
        [configuration],
        n_batches=[len(counts)],
        generators=[initial_generator(seed, 0)],
        starts=[start],
        device=device,
        dtype=dtype,
    )
    data = ResidentData(values, [scaling], device=device, dtype=dtype)
    step = training_step(stack, data, configuration.batch_size)
    squared_errors = []
    for epoch in range(1, epochs + 1):
        order = batch_order(everything, seed=seed, fold=0, epoch=epoch)
        stack.begin_epoch(seed=seed, folds=[0], epoch=epoch)
        squared_errors.append(train_epoch(step, data, [order], configuration.batch_size))
    if not squared_errors:
        return stack.to_model(0), np.empty((0, len(counts)))
    losses = torch.stack(squared_errors)[:, :, 0].cpu().double().numpy() / (counts * n_features)
    return stack.to_model(0), losses


def _rows_per_batch(n_rows: int, batch_size: int) -> Int[np.ndarray, " batches"]:
    return np.diff(np.append(np.arange(0, n_rows, batch_size), n_rows))
