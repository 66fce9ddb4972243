"""Seeds, batch order, the training loop and `fit_autoencoder` against an obvious loop with autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ae_model import (
    Configuration,
    Fold,
    SymmetricAutoencoder,
    UserError,
    cross_validate,
    fit_autoencoder,
    fit_scaling,
)
from ae_model.metrics import dead_code_units
from ae_model.resident import ResidentData
from ae_model.scaling import Scaling
from ae_model.stack import AutoencoderStack
from ae_model.training import (
    EVALUATION_ROWS,
    Training,
    batch_order,
    derived_seed,
    evaluate_members,
    initial_generator,
    train_epoch,
    training_step,
)

CONFIGURATION = Configuration(
    layer_sizes=(6, 5, 3), hidden_activation="elu", code_activation="relu", learning_rate=1e-2, batch_size=8
)


def samples(n_samples: int) -> np.ndarray:
    """A small table."""
    return np.random.default_rng(4).normal(size=(n_samples, 6))


def make_stack(n_batches: list[int]) -> AutoencoderStack:
    """One member of `CONFIGURATION` for each number of batches, from the seeds of folds 0, 1, ..."""
    return AutoencoderStack(
        [CONFIGURATION] * len(n_batches),
        n_batches=n_batches,
        generators=[initial_generator(0, k) for k in range(len(n_batches))],
        dtype=torch.float64,
    )


def resident(values: np.ndarray, scaling: Scaling) -> ResidentData:
    """On the CPU, in float64, for members that share a scaling."""
    return ResidentData(values, [scaling], device="cpu", dtype=torch.float64)


def test_derived_seeds_depend_on_every_part_and_their_order() -> None:
    """No two of a few thousand neighbouring tuples share a seed, and a seed repeats."""
    parts = [(a, b) for a in range(40) for b in range(40)] + [
        (a, b, c) for a in range(9) for b in range(9) for c in (1, 2)
    ]
    assert len({derived_seed(*p) for p in parts}) == len(parts)
    assert derived_seed(1, 2, 3) == derived_seed(1, 2, 3)


def test_batch_order_is_a_permutation_that_follows_from_its_arguments() -> None:
    """Equal arguments give equal orders; another seed, fold or epoch gives another."""
    rows = np.arange(100, 150)
    order = batch_order(rows, seed=1, fold=2, epoch=3)
    np.testing.assert_array_equal(np.sort(order), rows)
    np.testing.assert_array_equal(order, batch_order(rows, seed=1, fold=2, epoch=3))
    for other in ({"seed": 2}, {"fold": 3}, {"epoch": 4}):
        assert (order != batch_order(rows, **({"seed": 1, "fold": 2, "epoch": 3} | other))).any()


def test_batch_order_leaves_the_global_generators_alone() -> None:
    """Neither torch's nor NumPy's state moves."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  # it is read only
    batch_order(np.arange(9), seed=0, fold=0, epoch=1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002  # it is read only


@pytest.mark.parametrize("n_samples", [40, 43, 5], ids=["even", "short last batch", "less than a batch"])
def test_fit_autoencoder_equals_the_obvious_loop(n_samples: int) -> None:
    """Weights and every batch's MSE equal autograd and torch.optim.Adam over three epochs, in float64."""
    values = samples(n_samples)
    scaling = fit_scaling(values)
    model, losses = fit_autoencoder(values, scaling, CONFIGURATION, epochs=3, seed=7, dtype=torch.float64)

    x = torch.from_numpy(scaling.transform(values))
    expected = SymmetricAutoencoder((6, 5, 3), hidden_activation="elu", generator=initial_generator(7, 0)).double()
    optimizer = torch.optim.Adam(expected.parameters(), lr=1e-2)
    expected_losses = []
    for epoch in range(1, 4):
        for batch in x[batch_order(np.arange(n_samples), seed=7, fold=0, epoch=epoch)].split(8):
            loss = torch.nn.functional.mse_loss(expected(batch)[0], batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected_losses.append(loss.item())
    assert losses.shape == (3, -(-n_samples // 8))
    np.testing.assert_allclose(losses.ravel(), expected_losses, rtol=1e-9)
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-9, atol=1e-12)


OPTIONS = replace(
    CONFIGURATION,
    weight_decay=0.1,
    learning_rate_schedule="cosine",
    schedule_epochs=25,
    dropout=0.1,
    noise_std=0.05,
    mask_fraction=0.1,
)


def test_fit_autoencoder_with_options_equals_a_fold_that_trains_on_the_same_rows() -> None:
    """The first fold of a cross-validation has the same seeds: the losses of its epochs are equal."""
    values = samples(43)
    folds = [Fold(train=np.arange(43), validation=np.arange(5))]
    records = cross_validate(values, OPTIONS, folds=folds, max_epochs=4, seed=7, dtype=torch.float64)
    _, losses = fit_autoencoder(values, fit_scaling(values), OPTIONS, epochs=4, seed=7, dtype=torch.float64)
    by_epoch = losses @ np.diff([*range(0, 43, 8), 43]) / 43
    np.testing.assert_allclose(by_epoch, [record.train_mse[0] for record in records], rtol=1e-10)


@pytest.mark.parametrize(("configuration", "part"), [(CONFIGURATION, 0.5), (OPTIONS, 0.7)])
def test_fit_autoencoder_repeats_to_the_bit_and_learns(configuration: Configuration, part: float) -> None:
    """Also in float32, which is the default; the loss falls."""
    values = samples(64).astype(np.float32)
    scaling = fit_scaling(values)
    (model, losses), (again, _) = (fit_autoencoder(values, scaling, configuration, epochs=20, seed=1) for _ in range(2))
    for parameter, other in zip(model.parameters(), again.parameters(), strict=True):
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, other)
    assert losses[-1].mean() < part * losses[0].mean()


def test_train_epoch_gives_the_squared_errors_of_every_batch() -> None:
    """Members with 16, 11 and 8 rows: (batches, members), 0 where a member has no batch; sums before the step."""
    values = samples(30)
    scaling = fit_scaling(values)
    orders = [np.arange(16), np.arange(5, 16), np.arange(20, 28)]
    stack = make_stack([2, 2, 1])
    first = [stack.to_model(member) for member in range(3)]
    data = resident(values, scaling)
    squared_errors = train_epoch(training_step(stack, data, 8), data, orders, 8)
    assert squared_errors.shape == (2, 3)
    assert squared_errors[1, 2] == 0
    x = torch.from_numpy(scaling.transform(values))
    for member, model in enumerate(first):
        batch = x[orders[member][:8]]
        expected = (model(batch)[0] - batch).square().sum().item()
        assert squared_errors[0, member].item() == pytest.approx(expected, rel=1e-12)


def test_evaluate_members_equals_the_modules_on_their_own_rows() -> None:
    """Squared errors and dead units, over more rows than one batch holds and with members of different numbers."""
    values = samples(EVALUATION_ROWS + 300)
    scaling = fit_scaling(values)
    stack = make_stack([1, 1, 1])
    with torch.no_grad():
        stack.biases[1][1, 0, :2] = -100.0
        stack.biases[1][2, 0, 0] = -100.0
    rows = [np.arange(EVALUATION_ROWS + 300), np.arange(0, EVALUATION_ROWS + 250), np.arange(7, 20)]
    squared_error, by_row, dead = evaluate_members(stack, resident(values, scaling), rows)
    assert squared_error.dtype == torch.float64
    assert by_row.shape == (3, EVALUATION_ROWS + 300)
    x = torch.from_numpy(scaling.transform(values))
    for member, own in enumerate(rows):
        reconstruction, code = stack.to_model(member)(x[own])
        expected = (reconstruction - x[own]).square().sum(1).detach()
        assert squared_error[member].item() == pytest.approx(expected.sum().item(), rel=1e-12)
        torch.testing.assert_close(by_row[member, : len(own)], expected, rtol=1e-12, atol=0)
        assert not by_row[member, len(own) :].any()
        assert dead[member] == dead_code_units(code.detach().numpy())
    assert dead[1] >= 2


@pytest.mark.parametrize("configuration", [CONFIGURATION, OPTIONS, replace(CONFIGURATION, init="pca")])
def test_a_training_goes_on_from_its_state_to_the_bit(configuration: Configuration) -> None:
    """Stopped after two of five epochs: weights and losses are those of an undisturbed one."""
    values = samples(43).astype(np.float32)
    scaling = fit_scaling(values)
    expected, losses = fit_autoencoder(values, scaling, configuration, epochs=5, seed=1)
    training = Training(values, scaling, configuration, seed=1)
    for _ in range(2):
        training.train_epoch()
    state = {name: tensor.clone() for name, tensor in training.state().items()}
    going_on = Training(values, scaling, configuration, seed=1, state=state)
    assert going_on.epoch == 2
    for _ in range(3):
        going_on.train_epoch()
    np.testing.assert_array_equal(going_on.losses(), losses)
    for parameter, other in zip(going_on.model().parameters(), expected.parameters(), strict=True):
        assert torch.equal(parameter, other)
    with pytest.raises(ValueError, match="another stack"):
        Training(values, scaling, replace(configuration, layer_sizes=(6, 5, 2)), seed=1, state=state)


def test_a_training_starts_with_the_weights_of_a_model() -> None:
    """Whatever `init` says: with no epoch they are the model's own, and the first batch has the model's error."""
    values = samples(40)
    scaling = fit_scaling(values)
    configuration = replace(CONFIGURATION, init="pca")
    model, _ = fit_autoencoder(values, scaling, CONFIGURATION, epochs=9, seed=1, dtype=torch.float64)
    same, _ = fit_autoencoder(values, scaling, configuration, epochs=0, seed=2, initial=model, dtype=torch.float64)
    for parameter, other in zip(same.parameters(), model.parameters(), strict=True):
        assert torch.equal(parameter, other)
    _, losses = fit_autoencoder(values, scaling, configuration, epochs=1, seed=2, initial=model, dtype=torch.float64)
    first = torch.from_numpy(scaling.transform(values)[batch_order(np.arange(40), seed=2, fold=0, epoch=1)[:8]])
    np.testing.assert_allclose(losses[0, 0], torch.nn.functional.mse_loss(model(first)[0], first).item(), rtol=1e-9)
    with pytest.raises(UserError, match=r"6-5-2 .* but has 6-5-3"):
        fit_autoencoder(values, scaling, replace(configuration, layer_sizes=(6, 5, 2)), epochs=1, seed=1, initial=model)
