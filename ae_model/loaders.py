"""Plain functions for any model and any DataLoader or Dataset: train, evaluate, cross-validate."""

import secrets
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from ae_model.errors import UserError
from ae_model.folds import make_folds
from ae_model.training import derived_seed


def train_autoencoder(
    model: nn.Module,
    device: torch.device | str,
    train_loader: DataLoader[object],
    optimizer: torch.optim.Optimizer,
    num_epochs: int,
    criterion: nn.Module | None = None,
) -> list[float]:
    """Train a model on any DataLoader whose batches are tensors, or tuples that begin with one.

    Args:
        model: Maps a batch to `(reconstruction, code)`; it is moved to the device and left in training mode.
        device: Where to train.
        train_loader: Batches of scaled samples `(batch, input)`.
        optimizer: The optimizer of the model's parameters.
        num_epochs: The number of passes over the loader.
        criterion: The loss of (reconstruction, input); `nn.MSELoss()` if None.

    Returns:
        The loss of every batch, in order.
    """
    criterion = criterion or nn.MSELoss()
    model.to(device).train()
    losses = []
    for _ in range(num_epochs):
        for batch in train_loader:
            x = _inputs(batch).to(device)
            loss = criterion(model(x)[0], x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses).tolist() if losses else []


@torch.no_grad()
def evaluate_autoencoder(
    model: nn.Module,
    device: torch.device | str,
    loader: DataLoader[object],
    criterion: nn.Module | None = None,
) -> float:
    """Mean loss per sample over a DataLoader; a short last batch counts by its size.

    Args:
        model: Maps a batch to `(reconstruction, code)`; it is moved to the device and left in evaluation mode.
        device: Where to evaluate.
        loader: Batches of scaled samples `(batch, input)`, at least one.
        criterion: The mean loss of (reconstruction, input) over a batch; `nn.MSELoss()` if None.

    Raises:
        UserError: If the loader is empty.
    """
    criterion = criterion or nn.MSELoss()
    model.to(device).eval()
    total, n_samples = torch.zeros((), dtype=torch.float64), 0
    for batch in loader:
        x = _inputs(batch).to(device)
        total += criterion(model(x)[0], x).double().cpu() * len(x)
        n_samples += len(x)
    if n_samples == 0:
        raise UserError(
            "loader must yield at least one batch, but yields none. Check its data set and drop_last.",
            argument="loader",
        )
    return float(total / n_samples)


def k_fold_cross_validation(
    k: int,
    dataset: Dataset[object],
    model_factory: Callable[[], nn.Module],
    device: torch.device | str,
    criterion: nn.Module | None,
    batch_size: int,
    learning_rate: float,
    num_epochs: int,
    seed: int | None = None,
) -> list[float]:
    """Plain k-fold cross-validation of any model on any Dataset, one fold after the other.

    Args:
        k: The number of folds, at least 2 and at most `len(dataset)`.
        dataset: Samples, or tuples that begin with one, in scaled units.
        model_factory: Makes a fresh model that maps a batch to `(reconstruction, code)`.
        device: Where to train.
        criterion: The loss of (reconstruction, input); `nn.MSELoss()` if None.
        batch_size: How many samples a step takes.
        learning_rate: Adam's learning rate.
        num_epochs: The number of passes over each fold's training samples.
        seed: The seed of folds, initial weights and batch order; if None, they are different in every call.

    Returns:
        Mean validation loss per sample of each fold.

    Raises:
        UserError: If k does not fit the number of samples.
    """
    n_samples = len(dataset)  # type: ignore[arg-type]  # map-style: has a length
    if not 2 <= k <= n_samples:
        raise UserError(
            f'"2 <= k <= len(dataset)" must hold, but got k={k}, len(dataset)={n_samples}. '
            "Change k or use more samples.",
            argument="k",
        )
    if seed is None:
        seed = secrets.randbits(32)
    losses = []
    for number, fold in enumerate(make_folds(n_samples, k, seed)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, number))
            model = model_factory().to(device)
            train = DataLoader(Subset(dataset, fold.train.tolist()), batch_size=batch_size, shuffle=True)
            optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
            train_autoencoder(model, device, train, optimizer, num_epochs, criterion)
            validation = DataLoader(Subset(dataset, fold.validation.tolist()), batch_size=batch_size)
            losses.append(evaluate_autoencoder(model, device, validation, criterion))
    return losses


def _inputs(batch: object) -> Tensor:
    first = batch[0] if isinstance(batch, list | tuple) else batch
    if not isinstance(first, Tensor):
        raise TypeError(
            f"a batch must be a tensor or begin with one, but got {type(first).__name__}. Change the Dataset."
        )
    return first
