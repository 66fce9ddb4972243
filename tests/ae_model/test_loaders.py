"""The plain functions on any DataLoader and Dataset."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from ae_model import (
    SymmetricAutoencoder,
    evaluate_autoencoder,
    k_fold_cross_validation,
    make_folds,
    train_autoencoder,
)


def samples(n_samples: int) -> Tensor:
    """Uniform in [-1, 1]."""
    return 2 * torch.rand(n_samples, 6, generator=torch.Generator().manual_seed(0)) - 1


def make_model(seed: int = 0) -> SymmetricAutoencoder:
    """A small model that the seed determines."""
    return SymmetricAutoencoder((6, 4, 2), code_activation="linear", generator=torch.Generator().manual_seed(seed))


def unseeded_model() -> SymmetricAutoencoder:
    """A small model from torch's global generator."""
    return SymmetricAutoencoder((6, 4, 2))


class WithDropout(nn.Module):
    """A model whose outputs depend on its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = make_model()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction, code)."""
        return self.inner(self.dropout(x))


def tensors_in_tuples(x: Tensor) -> TensorDataset:
    """Each sample with a label."""
    return TensorDataset(x, torch.arange(len(x)))


@pytest.mark.parametrize("in_tuples", [False, True], ids=["plain tensors", "tuples"])
@pytest.mark.parametrize("criterion", [None, nn.L1Loss()], ids=["default", "L1"])
def test_train_autoencoder_equals_the_obvious_loop(in_tuples: bool, criterion: nn.Module | None) -> None:
    """Losses of every batch in order, and the weights, for two epochs of batches of 8, 8 and 4."""
    x = samples(20)
    loader = DataLoader(tensors_in_tuples(x) if in_tuples else x, batch_size=8)
    model = make_model()
    losses = train_autoencoder(model, "cpu", loader, torch.optim.SGD(model.parameters(), lr=0.1), 2, criterion)

    expected, loss_of = make_model(), criterion or nn.MSELoss()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1)
    expected_losses = []
    for batch in (*x.split(8), *x.split(8)):
        loss = loss_of(expected(batch)[0], batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected_losses.append(loss.item())
    assert losses == pytest.approx(expected_losses, rel=1e-6)
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, other)


def test_train_autoencoder_trains_in_training_mode() -> None:
    """A model that comes in evaluation mode is switched, and stays so."""
    model = WithDropout().eval()
    loader = DataLoader(samples(8), batch_size=8)
    first, second = train_autoencoder(model, "cpu", loader, torch.optim.SGD(model.parameters(), lr=0.0), 2)
    assert first != second
    assert model.training


def test_train_autoencoder_for_no_epochs_returns_no_losses() -> None:
    """An empty list."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert train_autoencoder(model, "cpu", DataLoader(samples(8)), optimizer, 0) == []


@pytest.mark.parametrize("criterion", [None, nn.L1Loss()], ids=["default", "L1"])
@pytest.mark.parametrize("batch_size", [20, 8, 19, 1])
def test_evaluate_autoencoder_weights_batches_by_their_size(batch_size: int, criterion: nn.Module | None) -> None:
    """The mean over all samples, whatever the size of the last batch."""
    x, model = samples(20), make_model()
    got = evaluate_autoencoder(model, "cpu", DataLoader(tensors_in_tuples(x), batch_size=batch_size), criterion)
    expected = (criterion or nn.MSELoss())(model(x)[0], x).item()
    assert got == pytest.approx(expected, rel=1e-6)


def test_evaluate_autoencoder_evaluates_in_evaluation_mode() -> None:
    """Dropout is off, and no gradient is kept."""
    x, model = samples(20), WithDropout().train()
    got = evaluate_autoencoder(model, "cpu", DataLoader(x, batch_size=8))
    assert got == pytest.approx(nn.functional.mse_loss(model.inner(x)[0], x).item(), rel=1e-6)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("n_samples", [0, 3])
def test_evaluate_autoencoder_refuses_an_empty_loader(n_samples: int) -> None:
    """No samples, or drop_last drops all of them."""
    loader = DataLoader(samples(n_samples), batch_size=4, drop_last=True)
    with pytest.raises(
        ValueError, match=r"^loader must yield at least one batch, but yields none\. Check its data set and drop_last"
    ):
        evaluate_autoencoder(make_model(), "cpu", loader)


def k_fold(seed: int | None, criterion: nn.Module | None = None, k: int = 3, num_epochs: int = 2) -> list[float]:
    """Losses of 20 samples in tuples."""
    data = tensors_in_tuples(samples(20))
    return k_fold_cross_validation(k, data, unseeded_model, "cpu", criterion, 8, 1e-2, num_epochs, seed)


def test_k_fold_repeats_with_a_seed() -> None:
    """One loss per fold; equal for equal seeds, whatever torch's global generator stands at."""
    torch.manual_seed(1)
    first = k_fold(5)
    torch.manual_seed(2)
    assert k_fold(5) == first
    assert len(first) == 3
    assert k_fold(6) != first


def test_k_fold_without_a_seed_does_not_repeat() -> None:
    """Even where the caller has seeded torch."""
    torch.manual_seed(1)
    first = k_fold(None)
    torch.manual_seed(1)
    assert k_fold(None) != first


@pytest.mark.parametrize("seed", [0, None])
def test_k_fold_leaves_the_global_generators_alone(seed: int | None) -> None:
    """Torch's and NumPy's states after the call are those before."""
    torch.manual_seed(1)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  # it is read only
    k_fold(seed)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002  # it is read only


@pytest.mark.parametrize("criterion", [None, nn.L1Loss()], ids=["default", "L1"])
def test_k_fold_loss_is_that_of_the_validation_samples(criterion: nn.Module | None) -> None:
    """Untrained models show it: the criterion's mean over each fold's own validation samples, here plain tensors."""
    x = samples(20)
    losses = k_fold_cross_validation(3, Subset(x, range(20)), make_model, "cpu", criterion, 4, 1e-2, 0, seed=9)
    loss_of = criterion or nn.MSELoss()
    expected = [loss_of(make_model()(x[f.validation])[0], x[f.validation]).item() for f in make_folds(20, 3, seed=9)]
    assert losses == pytest.approx(expected, rel=1e-6)


class TinyLoss(nn.Module):
    """A loss so small that Adam's steps vanish below its epsilon."""

    def forward(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """The mean squared error times 1e-12."""
        return 1e-12 * nn.functional.mse_loss(reconstruction, x)


def test_k_fold_trains_by_the_criterion() -> None:
    """Models stay as they were under a criterion without gradients to speak of, and change under the default."""
    untrained = k_fold(0, num_epochs=0)
    assert [1e12 * loss for loss in k_fold(0, TinyLoss(), num_epochs=20)] == pytest.approx(untrained, rel=1e-3)
    assert k_fold(0, num_epochs=20) != pytest.approx(untrained, rel=1e-2)


@pytest.mark.parametrize("k", [0, 1, 21])
def test_k_fold_refuses_a_k_that_does_not_fit(k: int) -> None:
    """Fewer than two folds, or more than samples."""
    with pytest.raises(ValueError, match=rf"must hold, but got k={k}, len\(dataset\)=20"):
        k_fold(0, k=k)
