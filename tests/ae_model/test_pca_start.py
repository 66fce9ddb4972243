"""ae_model.pca_start: before the first step a network computes what scikit-learn's PCA does."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from ae_model import (
    Configuration,
    PcaStart,
    Scaling,
    SymmetricAutoencoder,
    UserError,
    cross_validate,
    fit_autoencoder,
    fit_pca_start,
    fit_scaling,
    make_folds,
)
from ae_model import pca_start as module
from ae_model.configuration import ACTIVATION_NAMES
from ae_model.cross_validation import CrossValidation
from ae_model.folds import fold_scalings
from ae_model.pca_start import member_starts
from ae_model.stack import AutoencoderStack

FEATURES = 12
LATENT = np.random.default_rng(1).normal(size=(120, 5))
VALUES = LATENT @ np.random.default_rng(2).normal(size=(5, FEATURES)) + np.random.default_rng(3).normal(
    size=(120, FEATURES)
)
"""Five strong directions in noise, in units of their own."""
SCALING = fit_scaling(VALUES)
EXACT = ("linear", "relu", "leaky_relu", "elu")
NEARLY_EXACT = ("gelu", "silu")
TANGENT = ("tanh", "sigmoid")


def by_pca(values: np.ndarray, scaling: Scaling, n: int) -> np.ndarray:
    """The oracle: scikit-learn's reconstruction of scaled rows, in float64."""
    scaled = scaling.transform(values)
    with np.errstate(invalid="ignore"):  # rows that do not vary
        pca = PCA(min(n, *values.shape), svd_solver="full").fit(scaled)
    reconstruction: np.ndarray = pca.inverse_transform(pca.transform(scaled))
    return reconstruction


def started(
    values: np.ndarray, scaling: Scaling, layer_sizes: Sequence[int], hidden: str = "relu", code: str = "linear"
) -> SymmetricAutoencoder:
    """A float64 module with a linear output that starts at PCA of all rows."""
    model = SymmetricAutoencoder(
        layer_sizes,
        hidden_activation=hidden,
        code_activation=code,
        output_activation="linear",
        generator=torch.Generator().manual_seed(5),
    ).double()
    model.start_at(fit_pca_start(values, scaling, min(layer_sizes[1:])))
    return model


def reconstruct(model: SymmetricAutoencoder, values: np.ndarray, scaling: Scaling) -> np.ndarray:
    """What a float64 module makes of rows, in scaled units."""
    with torch.no_grad():
        reconstruction: np.ndarray = model(torch.from_numpy(scaling.transform(values)))[0].numpy()
    return reconstruction


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference."""
    return float(np.square(a - b).mean())


@pytest.mark.parametrize("code", EXACT)
@pytest.mark.parametrize("hidden", EXACT)
@pytest.mark.parametrize(
    "layer_sizes",
    [
        (FEATURES, 4),
        (FEATURES, 8, 4),  # 2q units: pairs
        (FEATURES, 30, 4),  # units to spare
        (FEATURES, 7, 4),  # fewer than 2q: a shift
        (FEATURES, 4, 4),
        (FEATURES, 30, 6, 4),
        (FEATURES, 5, 30, 8, 4),
        (FEATURES, 3, 4),  # narrower than the code: three components
        (FEATURES, 30, 2, 9, 4),
        (FEATURES, 30, 1),
    ],
)
def test_the_start_is_pca(layer_sizes: tuple[int, ...], hidden: str, code: str) -> None:
    """With activations that are linear somewhere, training rows are reconstructed as by PCA, at any depth and width."""
    model = started(VALUES, SCALING, layer_sizes, hidden, code)
    expected = by_pca(VALUES, SCALING, min(layer_sizes[1:]))
    np.testing.assert_allclose(reconstruct(model, VALUES, SCALING), expected, rtol=0, atol=1e-12)


def test_pairs_are_pca_everywhere() -> None:
    """Pairs carry scores far beyond those of the training rows."""
    far = 100 * VALUES
    pca = PCA(4, svd_solver="full").fit(SCALING.transform(VALUES))
    expected = pca.inverse_transform(pca.transform(SCALING.transform(far)))
    for hidden in ("relu", "leaky_relu", "gelu", "silu"):
        model = started(VALUES, SCALING, (FEATURES, 20, 8, 4), hidden)
        np.testing.assert_allclose(reconstruct(model, far, SCALING), expected, rtol=1e-10, err_msg=hidden)


def test_a_shift_has_a_margin() -> None:
    """Rows whose scores lie 5 % of the range outside are still reconstructed as by PCA."""
    pca = PCA(4, svd_solver="full").fit(SCALING.transform(VALUES))
    scores = pca.transform(SCALING.transform(VALUES))
    width = np.ptp(scores, axis=0)
    scaled = pca.inverse_transform(np.stack([scores.min(axis=0) - 0.05 * width, scores.max(axis=0) + 0.05 * width]))
    model = started(VALUES, SCALING, (FEATURES, 6, 4), code="relu")
    with torch.no_grad():
        np.testing.assert_allclose(model(torch.from_numpy(scaled))[0], scaled, rtol=0, atol=1e-12)


def test_a_relu_code_is_never_below_zero_and_one_unit_for_each_component() -> None:
    """Code k is score k plus a constant, also where the code has room for pairs."""
    scaled = SCALING.transform(VALUES)
    scores = PCA(2, svd_solver="full").fit_transform(scaled)
    with torch.no_grad():
        code = started(VALUES, SCALING, (FEATURES, 2, 5), code="relu").encode(torch.from_numpy(scaled)).numpy()[:, :2]
    assert (code > 0).all()
    np.testing.assert_allclose(code - code.mean(axis=0), scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hidden", NEARLY_EXACT)
@pytest.mark.parametrize("layer_sizes", [(FEATURES, 4), (FEATURES, 30, 4), (FEATURES, 5, 4), (FEATURES, 30, 6, 5, 4)])
def test_gelu_and_silu_start_within_their_bound(hidden: str, layer_sizes: tuple[int, ...]) -> None:
    """In hidden layers and as code they are off by no more than 5e-6 for each layer and score."""
    model = started(VALUES, SCALING, layer_sizes, hidden, hidden)
    off = np.abs(reconstruct(model, VALUES, SCALING) - by_pca(VALUES, SCALING, 4))
    assert off.max() < 5e-6 * (2 * len(layer_sizes) - 3) * 4


@pytest.mark.parametrize("hidden", TANGENT)
@pytest.mark.parametrize("code", ["linear", *TANGENT])
@pytest.mark.parametrize("layer_sizes", [(FEATURES, 4), (FEATURES, 30, 4), (FEATURES, 5, 4), (FEATURES, 30, 6, 5, 4)])
def test_tanh_and_sigmoid_start_within_their_bound(hidden: str, code: str, layer_sizes: tuple[int, ...]) -> None:
    """Through h such layers at most (0.014 h)^2 of the explained variance is lost, and here 1 % of PCA's MSE."""
    scaled, expected = SCALING.transform(VALUES), by_pca(VALUES, SCALING, 4)
    reconstruction = reconstruct(started(VALUES, SCALING, layer_sizes, hidden, code), VALUES, SCALING)
    h = 2 * (len(layer_sizes) - 2) + (code != "linear")
    explained = np.square(expected - expected.mean(axis=0)).mean()
    assert mse(reconstruction, expected) <= (0.014 * h) ** 2 * explained + 1e-20
    assert mse(reconstruction, scaled) < 1.01 * mse(expected, scaled)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_float32_starts_where_float64_does(name: str) -> None:
    """Rounding of weights and values costs less than 0.1 % of PCA's MSE on digits."""
    values, scaling = load_digits().data, fit_scaling(load_digits().data)
    sizes = (64, 128, 28)
    model = started(values, scaling, sizes, name, name)
    scaled = scaling.transform(values)
    expected = mse(reconstruct(model, values, scaling), scaled)
    with torch.no_grad():
        rounded = model.float()(torch.from_numpy(scaled).float())[0].numpy()
    assert mse(rounded, scaled) == pytest.approx(expected, rel=1e-3)
    assert expected == pytest.approx(mse(by_pca(values, scaling, 28), scaled), rel=0.01)


@pytest.mark.parametrize("layer_sizes", [(FEATURES, 6), (FEATURES, 30, 6), (FEATURES, 7, 6)])
def test_rows_of_a_low_rank(layer_sizes: tuple[int, ...]) -> None:
    """Rank deficiency, constant features, fewer rows than code units, equal rows and a single row: still PCA."""
    low_rank = LATENT[:, :3] @ np.random.default_rng(2).normal(size=(3, FEATURES))
    constant = VALUES.copy()
    constant[:, ::2] = 7.3
    for values, rank in ((low_rank, 3), (constant[:, :], 6), (VALUES[:4], 3), (VALUES[[0] * 9], 0), (VALUES[:1], 0)):
        scaling = fit_scaling(values)
        assert len(fit_pca_start(values, scaling, 6).components) == rank
        for code in ("linear", "relu", "tanh"):
            reconstruction = reconstruct(started(values, scaling, layer_sizes, "relu", code), values, scaling)
            off = np.abs(reconstruction - by_pca(values, scaling, 6)).max()
            assert off < (0.05 if code == "tanh" else 1e-9), (rank, code)
    images = np.full((5, FEATURES), 7, np.uint8)  # equal rows that are not at 0 in scaled units
    assert len(fit_pca_start(images, fit_scaling(images, (0.0, 255.0)), 6).components) == 0


def test_units_to_spare_keep_their_weights_and_learn() -> None:
    """What carries nothing keeps its incoming weights, gets outgoing weights 0, and has a gradient there."""
    sizes = (FEATURES, 30, 20, 4)
    random = SymmetricAutoencoder(sizes, generator=torch.Generator().manual_seed(5)).double()
    model = started(VALUES, SCALING, sizes)
    x = torch.from_numpy(SCALING.transform(VALUES))
    (model(x)[0] - x).square().mean().backward()
    pairs = pairwise(zip(model.linear_layers(), random.linear_layers(), strict=True))
    spare = [8, 8, 4, 8, 8]  # the first unit of each layer that carries nothing
    for first, ((layer, before), (above, _)) in zip(spare, pairs, strict=True):
        assert torch.equal(layer.weight[first:], before.weight[first:])
        assert torch.equal(layer.bias[first:], before.bias[first:])
        carrying = slice(0, 12 if above is model.linear_layers()[-1] else 4)
        assert not above.weight[carrying, first:].any()
        if first < layer.out_features:
            assert above.weight.grad is not None
            assert above.weight.grad[carrying, first:].abs().max() > 0


@pytest.mark.parametrize("n", [1, 3, 10])
def test_a_component_is_the_same_however_many_are_asked_for(n: int) -> None:
    """To the bit, so that a start does not depend on what else is in a pack; also with more than a block of them."""
    wide = np.random.default_rng(0).normal(size=(150, 130))
    for output in ("linear", "tanh"):
        few, many = (fit_pca_start(wide, fit_scaling(wide), k, output_activation=output) for k in (n, 100))
        for name in ("components", "offset", "low", "high", "output_weight"):
            np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:n], err_msg=name)
        np.testing.assert_array_equal(few.output_bias, many.output_bias)


def test_the_number_of_threads_changes_no_bit() -> None:
    """A worker of Ray's has OMP_NUM_THREADS set, a notebook has not."""
    code = """
import hashlib, numpy as np
from ae_model import fit_pca_start, fit_scaling
values = np.random.default_rng(0).normal(size=(900, 300)).astype(np.float32)
start = fit_pca_start(values, fit_scaling(values), 100, output_activation="tanh")
print(hashlib.sha256(b"".join(np.ascontiguousarray(getattr(start, name)).tobytes() for name in
      ("components", "offset", "low", "high", "output_weight", "output_bias"))).hexdigest())
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    results = {
        subprocess.run(
            [sys.executable, "-c", code], env=environment | more, capture_output=True, text=True, check=True
        ).stdout
        for more in ({"OPENBLAS_NUM_THREADS": "4"}, {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    }
    assert len(results) == 1


def test_memory_layout_and_rights_change_no_bit() -> None:
    """Arrays of Ray's object store are read-only; those of users may lie in any order."""
    other = np.asfortranarray(VALUES)
    other.flags.writeable = False
    a, b = (fit_pca_start(values, SCALING, 5, output_activation="tanh") for values in (VALUES, other))
    np.testing.assert_array_equal(a.output_weight, b.output_weight)
    np.testing.assert_array_equal(a.offset, b.offset)


@pytest.mark.parametrize(("seed", "bound"), [(0, 1.15), (1, 0.7)])
def test_a_tanh_output_starts_near_pca(seed: int, bound: float) -> None:
    """Digits start within 15 % of PCA's MSE; values that saturate, which PCA is bad at, well under it."""
    values, n = load_digits().data, 28
    if seed:
        generator = np.random.default_rng(seed)
        values, n = np.tanh(generator.normal(size=(400, 5)) @ generator.normal(size=(5, 30))), 5
    scaling = fit_scaling(values)
    model = SymmetricAutoencoder((values.shape[1], 4 * n, n), code_activation="linear").double()
    model.start_at(fit_pca_start(values, scaling, n, output_activation="tanh"))
    scaled = scaling.transform(values)
    assert mse(reconstruct(model, values, scaling), scaled) < bound * mse(by_pca(values, scaling, n), scaled)


def test_a_tanh_output_is_the_regression_of_the_clipped_artanh() -> None:
    """Against NumPy's least squares with an intercept."""
    start = fit_pca_start(VALUES, SCALING, 4, output_activation="tanh")
    scaled = SCALING.transform(VALUES)
    scores = PCA(4, svd_solver="full").fit_transform(scaled)
    target = np.arctanh(np.clip(scaled, -0.95, 0.95))
    expected = np.linalg.lstsq(np.column_stack([scores, np.ones(len(scores))]), target, rcond=None)[0]
    np.testing.assert_allclose(np.vstack([start.output_weight, start.output_bias]), expected, rtol=0, atol=1e-12)


CONFIGURATION = Configuration(
    layer_sizes=(FEATURES, 20, 4),
    code_activation="linear",
    output_activation="linear",
    batch_size=16,
    init="pca",
)
FOLDS = make_folds(len(VALUES), 3, seed=0)


def make_stack(configurations: Sequence[Configuration]) -> AutoencoderStack:
    """A float64 stack, of one member for each configuration, on the first fold."""
    starts = member_starts(VALUES, configurations, FOLDS[:1], [fit_scaling(VALUES[FOLDS[0].train])])
    return AutoencoderStack(
        configurations,
        n_batches=[1] * len(configurations),
        generators=[torch.Generator().manual_seed(j) for j in range(len(configurations))],
        starts=starts * len(configurations),
        dtype=torch.float64,
    )


@pytest.mark.parametrize(
    ("hidden", "code", "output"), [("relu", "relu", "linear"), ("tanh", "silu", "tanh"), ("gelu", "tanh", "linear")]
)
def test_a_member_of_a_stack_starts_and_trains_as_alone(hidden: str, code: str, output: str) -> None:
    """Beside members of other widths and other starts, it has the module's parameters, and alone takes equal steps."""
    base = replace(CONFIGURATION, hidden_activation=hidden, code_activation=code, output_activation=output)
    sizes = [(FEATURES, 20, 9, 4), (FEATURES, 5, 30, 3), (FEATURES, 20, 9, 4), (FEATURES, 3, 7, 5)]
    inits = ["pca", "pca", "random", "pca"]
    configurations = [replace(base, layer_sizes=s, init=init) for s, init in zip(sizes, inits, strict=True)]
    stack = make_stack(configurations)
    rows = VALUES[FOLDS[0].train]
    # Not all rows: PCA is stationary there, and Adam makes steps of what is left of gradients after rounding.
    x = torch.from_numpy(fit_scaling(rows).transform(rows[:40]))
    alone = []
    for j, configuration in enumerate(configurations):
        model = SymmetricAutoencoder(
            configuration.layer_sizes,
            hidden_activation=hidden,
            code_activation=code,
            output_activation=output,
            generator=torch.Generator().manual_seed(j),
        ).double()
        if configuration.init == "pca":
            n = min(configuration.layer_sizes[1:])
            model.start_at(fit_pca_start(rows, fit_scaling(rows), n, output_activation=output))
        for own, expected in zip(stack.to_model(j).parameters(), model.parameters(), strict=True):
            assert torch.equal(own, expected)
        alone.append(model)
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-3) for model in alone]
    for _ in range(5):
        squared_errors = stack.train_step(x.expand(4, -1, -1), rows=len(x))
        for model, optimizer, squared_error in zip(alone, optimizers, squared_errors, strict=True):
            loss = (model(x)[0] - x).square()
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            torch.testing.assert_close(loss.sum(), squared_error, rtol=1e-10, atol=0)


def records(configurations: Sequence[Configuration], max_epochs: int = 3) -> list[list[np.ndarray]]:
    """Validation MSE of each configuration after each epoch from the first on, trained together."""
    run = CrossValidation(VALUES, configurations, folds=FOLDS, max_epochs=max_epochs, seed=0, dtype=torch.float64)
    epochs = [[record for _, record in sorted(epoch.items())] for epoch in run]
    return [[record.val_mse for record in epoch] for epoch in epochs if epoch[0].epoch > 0]


def test_each_fold_starts_at_pca_of_its_own_training_rows() -> None:
    """With a learning rate of next to nothing, an epoch leaves the validation MSE of PCA in every fold."""
    (epoch,) = records([replace(CONFIGURATION, learning_rate=1e-12)], 1)
    for fold, scaling, own in zip(FOLDS, fold_scalings(VALUES, FOLDS, None), epoch[0], strict=True):
        pca = PCA(4, svd_solver="full").fit(scaling.transform(VALUES[fold.train]))
        scaled = scaling.transform(VALUES[fold.validation])
        assert own == pytest.approx(mse(pca.inverse_transform(pca.transform(scaled)), scaled), rel=1e-6)


def test_configurations_trained_together_are_as_alone() -> None:
    """A start at PCA changes nothing for its random neighbours, nor they for it, to rounding; so in any order."""
    both = [replace(CONFIGURATION, layer_sizes=(FEATURES, 10, 3)), replace(CONFIGURATION, init="random")]
    together, turned = records(both), records(both[::-1])
    for c in range(2):
        for epoch, other, alone in zip(together, turned, records(both[c : c + 1]), strict=True):
            np.testing.assert_allclose(epoch[c], alone[0], rtol=1e-10)
            np.testing.assert_allclose(other[1 - c], alone[0], rtol=1e-10)


def test_a_run_repeats_to_the_bit_and_continues() -> None:
    """Whatever PCA was kept in the process, and from a state between two epochs."""
    whole = [epoch[0] for epoch in records([CONFIGURATION])]
    records([replace(CONFIGURATION, layer_sizes=(FEATURES, 20, 9))])  # more components
    np.testing.assert_array_equal([epoch[0] for epoch in records([CONFIGURATION])], whole)
    module._latest = None
    np.testing.assert_array_equal([epoch[0] for epoch in records([CONFIGURATION])], whole)

    def run(state: dict[str, torch.Tensor] | None = None) -> CrossValidation:
        return CrossValidation(
            VALUES, [CONFIGURATION], folds=FOLDS, max_epochs=3, seed=0, dtype=torch.float64, state=state
        )

    first = run()
    for rest in (whole, whole[1:]):  # after the start, after an epoch
        next(first)
        np.testing.assert_array_equal([epoch[0].val_mse for epoch in run(first.state())], rest)


def test_pca_is_kept_while_it_is_enough() -> None:
    """The next pack of a process takes the same starts; an array that was written into, or another output, does not."""
    values = VALUES.copy()
    scalings = fold_scalings(values, FOLDS, (-9.0, 9.0))

    def starts(configuration: Configuration = CONFIGURATION) -> list[PcaStart | None]:
        return member_starts(values, [configuration], FOLDS, scalings)

    first = starts()
    assert all(a is b for a, b in zip(first, starts(), strict=True))
    assert starts(replace(CONFIGURATION, init="random")) == [None] * 3
    assert starts(replace(CONFIGURATION, output_activation="tanh"))[0] is not first[0]
    more = starts(replace(CONFIGURATION, layer_sizes=(FEATURES, 9)))
    assert all(start is not None and len(start.components) == 9 for start in more)
    assert starts()[0] is more[0]
    values[:, 0] *= 0.5
    assert starts()[0] is not more[0]


@pytest.mark.parametrize("output", ["linear", "tanh"])
def test_training_on_digits_begins_at_pca(output: str) -> None:
    """After one epoch at a small rate, the validation MSE is at most 10 % above PCA's; a random start's is above 5x."""
    values = load_digits().data
    folds = make_folds(len(values), 2, seed=0)
    pca = PCA(28).fit(values[folds[0].train] / 8 - 1)
    scaled = values[folds[0].validation] / 8 - 1
    expected = mse(pca.inverse_transform(pca.transform(scaled)), scaled)
    for init, low, high in (("pca", 0, 1.1), ("random", 5, 100)):
        configuration = Configuration(
            layer_sizes=(64, 128, 28), code_activation="linear", output_activation=output, learning_rate=1e-4, init=init
        )
        *_, record = cross_validate(
            values, configuration, folds=folds[:1], max_epochs=1, seed=0, value_range=(0.0, 16.0)
        )
        assert low < record.val_mse[0] / expected < high


def test_retraining_starts_at_pca_of_all_rows() -> None:
    """fit_autoencoder's first batch has the error of PCA."""
    scaling = fit_scaling(VALUES)
    model, losses = fit_autoencoder(
        VALUES, scaling, replace(CONFIGURATION, batch_size=len(VALUES)), epochs=2, seed=0, dtype=torch.float64
    )
    scaled = scaling.transform(VALUES)
    assert losses[0, 0] == pytest.approx(mse(by_pca(VALUES, scaling, 4), scaled), rel=1e-10)
    assert losses[1, 0] < 1.5 * losses[0, 0]
    assert model.layer_sizes == CONFIGURATION.layer_sizes


@pytest.mark.parametrize("output", sorted(set(ACTIVATION_NAMES) - {"linear", "tanh"}))
def test_other_outputs_are_refused(output: str) -> None:
    """Both settings are named."""
    configuration = replace(CONFIGURATION, output_activation=output)
    with pytest.raises(UserError, match=f'init="pca" needs output_activation .* it is {output!r}'):
        fit_autoencoder(VALUES, SCALING, configuration, epochs=1, seed=0)
    with pytest.raises(UserError, match=f'init="pca" needs output_activation .* it is {output!r}'):
        next(cross_validate(VALUES, configuration, folds=FOLDS, max_epochs=1, seed=0))


def test_wrong_starts_are_refused() -> None:
    """An init that is unknown; no component; a start for another number of features or another output."""
    with pytest.raises(UserError, match="init must be one of random, pca, but got 'svd'"):
        next(cross_validate(VALUES, replace(CONFIGURATION, init="svd"), folds=FOLDS, max_epochs=1, seed=0))
    with pytest.raises(UserError, match="n_components must be at least 1, but is 0"):
        fit_pca_start(VALUES, SCALING, 0)
    start = fit_pca_start(VALUES, SCALING, 4)
    for model in (SymmetricAutoencoder((FEATURES, 4)), SymmetricAutoencoder((9, 4), output_activation="linear")):
        with pytest.raises(UserError, match=r"start must be for .* but is for 12 and 'linear'"):
            model.start_at(start)
