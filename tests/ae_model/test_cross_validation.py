"""Lock-step cross-validation against the slow obvious loop: one fold after the other, autograd, torch.optim.Adam."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from ae_model import (
    Configuration,
    EpochRecord,
    Fold,
    SymmetricAutoencoder,
    UserError,
    cross_validate,
    fit_scaling,
    make_folds,
    pca_baseline,
)
from ae_model import groups as module
from ae_model.activations import ACTIVATIONS
from ae_model.autoencoder import layer_activations
from ae_model.cross_validation import CrossValidation
from ae_model.patience import Patience, epochs_without_gain
from ae_model.random_fields import field_keys, keyed_words, random_bits
from ae_model.training import batch_order, initial_generator

CONFIGURATION = Configuration(layer_sizes=(4, 5, 2), code_activation="relu", learning_rate=1e-2)
FIELDS = ("train_mse", "val_mse", "val_fve", "dead_code_units")
IMAGE_RANGE = (0.0, 255.0)


def table(n_samples: int, n_features: int = 4) -> np.ndarray:
    """Correlated float32 samples, their features of different size."""
    rng = np.random.default_rng(6)
    mixed = rng.normal(size=(n_samples, n_features)) @ rng.normal(size=(n_features, n_features))
    return (mixed * 10.0 ** np.arange(n_features) + 3).astype(np.float32)


def images(n_samples: int, n_features: int = 4) -> np.ndarray:
    """Random uint8 pixels."""
    return np.random.default_rng(7).integers(0, 256, (n_samples, n_features), np.uint8)


def stacked(records: Sequence[EpochRecord]) -> dict[str, np.ndarray]:
    """Each field as `(epochs, n_splits)`."""
    return {field: np.stack([getattr(record, field) for record in records]) for field in FIELDS}


def run(
    values: np.ndarray, configuration: Configuration, folds: Sequence[Fold], **options: object
) -> dict[str, np.ndarray]:
    """`cross_validate` in float64 for two epochs."""
    arguments = {"max_epochs": 2, "seed": 3, "dtype": torch.float64} | options
    return stacked(list(cross_validate(values, configuration, folds=folds, **arguments)))


def slow_optimizer(
    model: torch.nn.Module, c: Configuration, n_batches: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    """Those of torch, AdamW in every case: without decay it is Adam."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=c.learning_rate, weight_decay=c.weight_decay)
    if c.schedule_epochs is None:
        return optimizer, None
    n_steps = c.schedule_epochs * n_batches
    if c.learning_rate_schedule == "cosine":
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    # One step more than there are: after the last one the scheduler is stepped too.
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, c.learning_rate, n_steps, cycle_momentum=False)
    optimizer.register_step_post_hook(lambda *_: setattr(one_cycle, "total_steps", n_steps + 1))
    return optimizer, one_cycle


def slow_training_output(
    model: SymmetricAutoencoder, c: Configuration, batch: torch.Tensor, index: torch.Tensor, keys: torch.Tensor
) -> torch.Tensor:
    """The reconstruction in training: of the corrupted batch, with dropout after every hidden layer's activation."""

    def uniform(field: int, n_units: int) -> torch.Tensor:
        row_words = keyed_words(index[None], keys[None, field, :1])
        unit_words = keyed_words(torch.arange(n_units), keys[None, field, 1:])
        words = torch.empty(1, len(index), n_units, dtype=torch.int32)
        (bits,) = random_bits(row_words, unit_words, words, torch.empty_like(words))
        return (bits.double() + 2**31) / 2**32

    n_features = batch.shape[1]
    noise = torch.special.ndtri((torch.floor(uniform(0, n_features) * 2**24) + 0.5) / 2**24)
    value = torch.where(uniform(1, n_features) < c.mask_fraction, 0, batch + c.noise_std * noise)
    linear = model.linear_layers()
    names = layer_activations(len(c.layer_sizes) - 1, c.hidden_activation, c.code_activation, c.output_activation)
    for layer, name in enumerate(names):
        value = ACTIVATIONS[name].module()(linear[layer](value))
        if layer not in (len(c.layer_sizes) - 2, len(names) - 1):
            kept = uniform(2 + layer, value.shape[1]) >= c.dropout
            value = value * kept / (1 - c.dropout)
    return value


def slow_fold(
    values: np.ndarray,
    configuration: Configuration,
    fold: Fold,
    number: int,
    value_range: tuple[float, float] | None = None,
    max_epochs: int = 2,
    seed: int = 3,
    scaling: str = "range",
) -> np.ndarray:
    """`FIELDS` of one fold as `(4, epochs)`."""
    x = torch.from_numpy(fit_scaling(values[fold.train], value_range, scaling).transform(values))
    model = SymmetricAutoencoder(
        configuration.layer_sizes,
        hidden_activation=configuration.hidden_activation,
        code_activation=configuration.code_activation,
        output_activation=configuration.output_activation,
        generator=initial_generator(seed, number),
    ).double()
    optimizer, scheduler = slow_optimizer(model, configuration, -(-len(fold.train) // configuration.batch_size))
    validation, train_mean = x[fold.validation], x[fold.train].mean(0)
    rows = []
    for epoch in range(1, max_epochs + 1):
        train_sse = 0.0
        keys = torch.from_numpy(field_keys(seed=seed, fold=number, epoch=epoch, n_fields=20))
        order = torch.from_numpy(batch_order(fold.train, seed=seed, fold=number, epoch=epoch))
        for index in order.split(configuration.batch_size):
            batch = x[index]
            loss = torch.nn.functional.mse_loss(slow_training_output(model, configuration, batch, index, keys), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            train_sse += loss.item() * batch.numel()
        reconstruction, code = (output.detach() for output in model(validation))
        sse = (reconstruction - validation).square().sum()
        sst = (validation - train_mean).square().sum()
        dead = (code == 0).all(0).sum()
        rows.append([train_sse / x[fold.train].numel(), sse / validation.numel(), 1 - sse / sst, dead])
    return np.array(rows).T


def slow_cross_validation(
    values: np.ndarray, configuration: Configuration, folds: Sequence[Fold], **options: object
) -> dict[str, np.ndarray]:
    """What `cross_validate` promises, in the most obvious way."""
    columns = [slow_fold(values, configuration, fold, k, **options) for k, fold in enumerate(folds)]
    return dict(zip(FIELDS, np.stack(columns, axis=-1), strict=True))


def assert_equal(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], rtol: float) -> None:
    """All fields; counts exactly."""
    for field in FIELDS:
        np.testing.assert_allclose(got[field], expected[field], rtol=rtol, err_msg=field)
    np.testing.assert_array_equal(got["dead_code_units"], expected["dead_code_units"])


@pytest.mark.parametrize("scaling", ["standard", "robust", "none"])
def test_other_scalings(scaling: str) -> None:
    """Each fold fits its own, as for the range."""
    values, folds = table(60), make_folds(60, 3, seed=0)
    linear = replace(CONFIGURATION, output_activation="linear")
    got = run(values, linear, folds, scaling=scaling)
    assert_equal(got, slow_cross_validation(values, linear, folds, scaling=scaling), rtol=1e-9)


@pytest.mark.parametrize("value_range", [None, IMAGE_RANGE], ids=["table", "images"])
@pytest.mark.parametrize(
    ("n_samples", "n_splits", "batch_size", "max_epochs"),
    [
        pytest.param(160, 5, 64, 2, id="equal folds"),
        pytest.param(161, 5, 64, 2, id="128 and 129 rows: two and three batches"),
        pytest.param(92, 7, 13, 2, id="78 and 79 rows: six and seven batches"),
        pytest.param(93, 7, 39, 2, id="79 and 80 rows: tails of one and two"),
        pytest.param(11, 11, 64, 2, id="leave one out"),
        pytest.param(10_007, 7, 1072, 1, id="8577 and 8578 rows: tails of one and two"),
    ],
)
def test_equals_the_slow_obvious_loop(
    n_samples: int, n_splits: int, batch_size: int, max_epochs: int, value_range: tuple[float, float] | None
) -> None:
    """Every field of every epoch and fold, in float64, also where folds differ in size and number of batches."""
    values = table(n_samples) if value_range is None else images(n_samples)
    folds = make_folds(n_samples, n_splits, seed=1)
    configuration = replace(CONFIGURATION, batch_size=batch_size)
    got = run(values, configuration, folds, value_range=value_range, max_epochs=max_epochs)
    expected = slow_cross_validation(values, configuration, folds, value_range=value_range, max_epochs=max_epochs)
    assert_equal(got, expected, rtol=1e-9)


def test_dead_code_units_are_counted_on_validation_rows() -> None:
    """A learning rate that kills ReLU code units: numbers equal the slow loop's, and some are not 0."""
    values, folds = table(60), make_folds(60, 4, seed=0)
    configuration = replace(CONFIGURATION, layer_sizes=(4, 8, 6), learning_rate=0.3, batch_size=8)
    got = run(values, configuration, folds, max_epochs=5)["dead_code_units"]
    np.testing.assert_array_equal(
        got, slow_cross_validation(values, configuration, folds, max_epochs=5)["dead_code_units"]
    )
    assert got.any()
    assert got.dtype == np.int64


def test_float32_stays_close_to_float64() -> None:
    """The default arithmetic differs by rounding alone."""
    values, folds = table(161), make_folds(161, 5, seed=1)
    got, expected = (run(values, CONFIGURATION, folds, dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert_equal(got, expected, rtol=1e-4)


@pytest.mark.parametrize("stack_bytes", [1, 2 * 4 * 8 * 59], ids=["one at a time", "two at a time"])
def test_grouping_changes_rounding_alone(stack_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All folds as one stack, or in smaller ones."""
    values, folds = table(161), make_folds(161, 5, seed=1)
    together = run(values, CONFIGURATION, folds, max_epochs=5)
    monkeypatch.setattr(module, "MAX_STACK_STATE_BYTES", stack_bytes)
    assert_equal(run(values, CONFIGURATION, folds, max_epochs=5), together, rtol=1e-10)


@pytest.fixture(scope="module")
def alone() -> dict[Configuration, dict[str, np.ndarray]]:
    """Different widths, code sizes and learning rates, and what each configuration gives alone."""
    values, folds = table(161), make_folds(161, 5, seed=1)
    configurations = [
        replace(CONFIGURATION, layer_sizes=sizes, learning_rate=learning_rate)
        for sizes, learning_rate in [((4, 6, 2), 1e-2), ((4, 3, 3), 1e-3), ((4, 5, 1), 1e-2), ((4, 6, 2), 3e-3)]
    ]
    return {configuration: run(values, configuration, folds) for configuration in configurations}


@pytest.mark.parametrize(("stack_bytes", "enough_bytes"), [(1, 2**24), (10_000, 2**24), (2**24, 2**24), (2**24, 1)])
def test_a_pack_equals_its_configurations_alone(
    stack_bytes: int,
    enough_bytes: int,
    alone: dict[Configuration, dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Different widths, code sizes and learning rates side by side, in the order they came in."""
    values, folds = table(161), make_folds(161, 5, seed=1)
    monkeypatch.setattr(module, "MAX_STACK_STATE_BYTES", stack_bytes)
    monkeypatch.setattr(module, "MIN_STACK_STATE_BYTES", enough_bytes)
    pack = list(CrossValidation(values, list(alone), folds=folds, max_epochs=2, seed=3, dtype=torch.float64))
    assert all(list(records) == [0, 1, 2, 3] for records in pack)
    for c, expected in enumerate(alone.values()):
        assert_equal(stacked([records[c] for records in pack]), expected, rtol=1e-10)


def test_records_come_one_by_one_and_are_numbered_from_one() -> None:
    """Stopping early gives the same records as the full run; each has one value per fold."""
    values, folds = table(40), make_folds(40, 3, seed=0)
    full = list(cross_validate(values, CONFIGURATION, folds=folds, max_epochs=4, seed=0))
    assert [record.epoch for record in full] == [1, 2, 3, 4]
    first = next(cross_validate(values, CONFIGURATION, folds=folds, max_epochs=100, seed=0))
    for field in FIELDS:
        assert getattr(first, field).shape == (3,)
        np.testing.assert_array_equal(getattr(first, field), getattr(full[0], field))


def test_the_seed_determines_the_result_to_the_bit() -> None:
    """In float32; another seed gives other values, and the global generator is not used."""
    values, folds = table(40), make_folds(40, 3, seed=0)
    first, again, other = (
        run(values, CONFIGURATION, folds, seed=seed, dtype=torch.float32)["val_mse"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("value_range", [None, IMAGE_RANGE], ids=["table", "images"])
def test_data_is_never_written(value_range: tuple[float, float] | None) -> None:
    """A read-only array works, and its bytes stay what they were."""
    values = table(50) if value_range is None else images(50)
    before = values.tobytes()
    values.flags.writeable = False
    folds = make_folds(50, 4, seed=0)
    run(values, CONFIGURATION, folds, value_range=value_range)
    assert values.tobytes() == before
    values.flags.writeable = True
    run(values, CONFIGURATION, folds, value_range=value_range)
    assert values.tobytes() == before


@pytest.mark.parametrize(
    ("wild", "dtype", "max_epochs"),
    [
        pytest.param(1e30, torch.float64, 3, id="1e30"),
        pytest.param(-3.4e38, torch.float32, 1, id="a no-data value that overflows when it is scaled"),
    ],
)
@pytest.mark.parametrize("n_samples", [161, 162])
def test_training_of_a_fold_sees_none_of_its_validation_rows(
    n_samples: int, wild: float, dtype: torch.dtype, max_epochs: int
) -> None:
    """Wild values there leave its training errors as they were, to the bit, also where a batch of it is padded."""
    values = 1e-3 * table(n_samples)
    seed = next(seed for seed in range(100) if 0 in make_folds(n_samples, 5, seed)[0].validation)
    folds = make_folds(n_samples, 5, seed)
    for k, fold in enumerate(folds):
        changed = values.copy()
        changed[fold.validation] = wild
        expected, got = (
            run(v, CONFIGURATION, folds, dtype=dtype, max_epochs=max_epochs)["train_mse"][:, k]
            for v in (values, changed)
        )
        assert np.isfinite(expected).all()
        np.testing.assert_array_equal(got, expected)


def test_samples_that_do_not_vary_have_no_fraction_explained() -> None:
    """NaN, as in `metrics.fve`, and no warning."""
    got = run(np.ones((20, 4), np.float32), CONFIGURATION, make_folds(20, 4, seed=0))
    assert np.isfinite(got["val_mse"]).all()
    assert np.isnan(got["val_fve"]).all()


LINEAR = replace(CONFIGURATION, code_activation="linear", output_activation="linear")
DIVERGING = replace(LINEAR, learning_rate=1e50)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_diverged_configuration_ends_with_a_complete_record(dtype: torch.dtype) -> None:
    """Its last record has a validation MSE that is not finite, and there is no warning."""
    records = list(
        cross_validate(table(40), DIVERGING, folds=make_folds(40, 4, seed=0), max_epochs=9, seed=0, dtype=dtype)
    )
    *before, last = (np.isfinite(record.val_mse).all() for record in records)
    assert all(before)
    assert not last
    assert len(records) < 9
    assert records[-1].val_fve.shape == records[-1].dead_code_units.shape == (4,)


@pytest.mark.parametrize("stack_bytes", [1, 10_000, 2**24])
def test_a_diverged_configuration_leaves_its_pack(stack_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported that one time more; the others go on as they would alone."""
    monkeypatch.setattr(module, "MAX_STACK_STATE_BYTES", stack_bytes)
    values, folds = table(161), make_folds(161, 5, seed=1)
    others = [LINEAR, replace(LINEAR, layer_sizes=(4, 3, 1), learning_rate=1e-3)]
    pack = list(
        CrossValidation(
            values, [others[0], DIVERGING, others[1]], folds=folds, max_epochs=4, seed=3, dtype=torch.float64
        )
    )
    n_diverging = sum(1 in records for records in pack)
    assert [sorted(records) for records in pack] == [[0, 1, 2]] * n_diverging + [[0, 2]] * (4 - n_diverging)
    assert not np.isfinite(pack[n_diverging - 1][1].val_mse).all()
    for c, configuration in zip((0, 2), others, strict=True):
        expected = run(values, configuration, folds, max_epochs=4)
        assert_equal(stacked([records[c] for records in pack]), expected, rtol=1e-10)


FROM_PCA = Configuration(layer_sizes=(4, 5, 2), code_activation="linear", output_activation="linear", init="pca")


def test_the_start_at_pca_is_epoch_0() -> None:
    """Its errors are PCA's in each fold; a random start has none, also beside it in a stack."""
    values, folds = table(60), make_folds(60, 4, seed=0)
    both = [FROM_PCA, replace(FROM_PCA, init="random")]
    validation = CrossValidation(values, both, folds=folds, max_epochs=2, seed=3, dtype=torch.float64)
    records = list(validation)
    assert [sorted(r) for r in records] == [[0], [0, 1], [0, 1]]
    assert [r[0].epoch for r in records] == [0, 1, 2]
    np.testing.assert_allclose(records[0][0].val_mse, pca_baseline(values, folds, [2])[0], rtol=1e-9)
    assert np.isnan(records[0][0].train_mse).all()
    alone = list(cross_validate(values, both[0], folds=folds, max_epochs=2, seed=3, dtype=torch.float64))
    for got, expected in zip((r[0] for r in records), alone, strict=True):
        np.testing.assert_allclose(got.val_mse, expected.val_mse, rtol=1e-9)


def noisy(seed: int = 0) -> np.ndarray:
    """Few rows without structure, which every network learns by heart."""
    return np.random.default_rng(seed).normal(size=(30, 6)).astype(np.float32)


def _means(run: Sequence[dict[int, EpochRecord]], number: int) -> list[float]:
    """The mean validation MSE of a configuration after each epoch; a gain on PCA, its start, is not asked for."""
    return [records[number].val_mse.mean() for records in run if number in records and records[number].epoch > 0]


def test_a_configuration_ends_when_its_patience_does() -> None:
    """It is yielded until `patience` epochs had no gain, counted by hand; the others go on as if it were alone."""
    values, folds = noisy(), make_folds(30, 3, seed=0)
    configurations = [
        Configuration(
            layer_sizes=(6, width, 2), output_activation="linear", learning_rate=rate, batch_size=8, init=init
        )
        for width, rate, init in ((40, 0.01, "random"), (40, 0.01, "pca"), (20, 1e-3, "random"))
    ]
    arguments = {"folds": folds, "max_epochs": 40, "seed": 0, "dtype": torch.float64}
    patience = Patience(epochs=4, min_gain=0.001)
    whole = list(CrossValidation(values, configurations, **arguments))
    ended = list(CrossValidation(values, configurations, patience=patience, **arguments))
    for number in range(3):
        curve = _means(whole, number)
        lengths = [n for n in range(1, len(curve) + 1) if epochs_without_gain(curve[:n], 0.001) >= 4]
        expected = curve[: min(lengths, default=len(curve))]
        got = _means(ended, number)
        np.testing.assert_allclose(got, expected, rtol=1e-9)
    lasts = [max(records[n].epoch for records in ended if n in records) for n in range(3)]
    assert lasts[1] < lasts[0] < 40 == lasts[2], "two of them end early, one does not"


def test_patience_is_continued_from_a_state() -> None:
    """Stopped between any two epochs and continued, the rest of the records is the same, to the bit."""
    values, folds = noisy(), make_folds(30, 3, seed=0)
    configurations = [replace(FROM_PCA, layer_sizes=(6, width, 2), learning_rate=0.01) for width in (10, 40)]
    arguments = {"folds": folds, "max_epochs": 12, "seed": 0, "patience": Patience(epochs=3, min_gain=0.01)}
    whole = list(CrossValidation(values, configurations, **arguments))
    assert len(whole) < 13
    for stop in range(1, len(whole)):
        first = CrossValidation(values, configurations, **arguments)
        for _ in range(stop):
            next(first)
        rest = list(CrossValidation(values, configurations, state=first.state(), **arguments))
        assert [sorted(r) for r in rest] == [sorted(r) for r in whole[stop:]]
        for got, expected in zip(rest, whole[stop:], strict=True):
            assert all((got[c].val_mse == expected[c].val_mse).all() for c in got)


OPTIONS = {
    "decay": {"weight_decay": 0.1},
    "cosine": {"learning_rate_schedule": "cosine", "schedule_epochs": 3},
    "one-cycle": {"learning_rate_schedule": "one-cycle", "schedule_epochs": 3},
    "dropout": {"dropout": 0.3},
    "noise": {"noise_std": 0.2},
    "mask": {"mask_fraction": 0.4},
}
EVERYTHING = OPTIONS["decay"] | OPTIONS["one-cycle"] | OPTIONS["dropout"] | OPTIONS["noise"] | OPTIONS["mask"]


def pack_with_options() -> list[Configuration]:
    """Different widths, rates, decays and schedules; what is random in a step is of one strength."""
    random = {"dropout": 0.3, "noise_std": 0.2, "mask_fraction": 0.4}
    deep = replace(CONFIGURATION, layer_sizes=(4, 6, 5, 2), batch_size=39, hidden_activation="gelu", **random)
    return [
        replace(deep, **EVERYTHING),
        replace(deep, layer_sizes=(4, 3, 7, 3)),
        replace(deep, layer_sizes=(4, 2, 2, 1), weight_decay=0.5, learning_rate=3e-3),
        replace(deep, **OPTIONS["cosine"]),
        replace(deep, layer_sizes=(4, 6, 6, 2), weight_decay=0.1, learning_rate_schedule="cosine", schedule_epochs=2),
    ]


@pytest.mark.parametrize("layer_sizes", [(4, 5, 2), (4, 7, 5, 3, 2), (4, 2)], ids=str)
@pytest.mark.parametrize("option", [*OPTIONS, "all"])
def test_options_equal_the_slow_obvious_loop(option: str, layer_sizes: tuple[int, ...]) -> None:
    """AdamW and schedulers of torch, random numbers applied by hand; two and three batches, the last one short."""
    values, folds = table(93), make_folds(93, 7, seed=1)
    fields = EVERYTHING if option == "all" else OPTIONS[option]
    configuration = replace(CONFIGURATION, layer_sizes=layer_sizes, batch_size=39, **fields)
    got = run(values, configuration, folds, max_epochs=3)
    assert_equal(got, slow_cross_validation(values, configuration, folds, max_epochs=3), rtol=1e-8)
    plain = run(values, replace(CONFIGURATION, layer_sizes=layer_sizes, batch_size=39), folds, max_epochs=3)
    differs = (got["train_mse"] != plain["train_mse"]).any()
    assert differs == (option != "dropout" or len(layer_sizes) > 2), "without hidden layers nothing is dropped"


@pytest.fixture(scope="module")
def slow_pack() -> list[tuple[int, dict[str, np.ndarray]]]:
    """How many epochs each configuration of `pack_with_options` is trained, and what the slow loop makes of it."""
    values, folds = table(93), make_folds(93, 7, seed=1)
    lengths = [(configuration, configuration.schedule_epochs or 4) for configuration in pack_with_options()]
    return [(length, slow_cross_validation(values, c, folds, max_epochs=length)) for c, length in lengths]


@pytest.mark.parametrize("stack_bytes", [1, 10_000, 2**24])
def test_a_pack_with_options_equals_the_slow_obvious_loop(
    stack_bytes: int, slow_pack: list[tuple[int, dict[str, np.ndarray]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each member has its own decay and schedule, and its random numbers; where a schedule ends, so does training."""
    monkeypatch.setattr(module, "MAX_STACK_STATE_BYTES", stack_bytes)
    values, folds, configurations = table(93), make_folds(93, 7, seed=1), pack_with_options()
    pack = list(CrossValidation(values, configurations, folds=folds, max_epochs=4, seed=3, dtype=torch.float64))
    for c, (length, expected) in enumerate(slow_pack):
        records = [found[c] for found in pack if c in found]
        assert [record.epoch for record in records] == list(range(1, length + 1))
        assert_equal(stacked(records), expected, rtol=1e-8)


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_options_go_on_from_a_state_to_the_bit(stopped_after: int) -> None:
    """In float32: the schedules' rates and the random numbers too, also after members have left."""
    values, folds, configurations = table(93), make_folds(93, 7, seed=1), pack_with_options()

    def start(**options: object) -> CrossValidation:
        return CrossValidation(values, configurations, folds=folds, max_epochs=5, seed=3, **options)

    whole, interrupted = list(start()), start()
    for _ in range(stopped_after):
        next(interrupted)
    state = {name: tensor.clone() for name, tensor in interrupted.state().items()}
    rest = list(start(state=state))
    assert len(rest) == 5 - stopped_after
    for got, expected in zip(rest, whole[stopped_after:], strict=True):
        assert list(got) == list(expected)
        for c in got:
            for field in FIELDS:
                np.testing.assert_array_equal(getattr(got[c], field), getattr(expected[c], field))


def test_a_diverged_configuration_leaves_a_pack_with_options() -> None:
    """The others keep their decay, schedule and random numbers."""
    values, folds = table(93), make_folds(93, 7, seed=1)
    others = [replace(c, code_activation="linear", output_activation="linear") for c in pack_with_options()[:2]]
    configurations = [others[0], replace(others[0], learning_rate=1e60), others[1]]
    pack = list(CrossValidation(values, configurations, folds=folds, max_epochs=3, seed=3, dtype=torch.float64))
    assert list(pack[-1]) == [0, 2], "it has diverged"
    for c, configuration in zip((0, 2), others, strict=True):
        expected = slow_cross_validation(values, configuration, folds, max_epochs=3)
        assert_equal(stacked([records[c] for records in pack]), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight_decay": -0.1}, r"weight_decay must be a finite number >= 0, but is -0\.1"),
        ({"noise_std": float("nan")}, "noise_std must be a finite number >= 0, but is nan"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), but is 1\.0"),
        ({"mask_fraction": -1e-9}, r"mask_fraction must be in \[0, 1\), but is -1e-09"),
        ({"learning_rate_schedule": "linear"}, "must be one of constant, cosine, one-cycle, but is 'linear'"),
        ({"schedule_epochs": 3}, "schedule_epochs must be None with learning_rate_schedule='constant', but is 3"),
        ({"learning_rate_schedule": "cosine"}, "schedule_epochs must be a number of epochs >= 1 .* but is None"),
        ({"learning_rate_schedule": "cosine", "schedule_epochs": 0}, "schedule_epochs must be .* >= 1 .* but is 0"),
    ],
)
def test_options_out_of_their_range_are_refused(fields: dict[str, object], words: str) -> None:
    """With the rule and what came."""
    with pytest.raises(UserError, match=words):
        run(table(40), replace(CONFIGURATION, **fields), make_folds(40, 4, seed=0))


def test_a_schedule_is_followed_to_its_end_whatever_the_patience() -> None:
    """One-cycle's gains come last: only the member without a schedule ends early."""
    values, folds = noisy(), make_folds(30, 3, seed=0)
    constant = Configuration(layer_sizes=(6, 40, 2), output_activation="linear", learning_rate=0.01, batch_size=8)
    scheduled = replace(constant, learning_rate_schedule="one-cycle", schedule_epochs=20)
    arguments = {"folds": folds, "max_epochs": 40, "seed": 0, "patience": Patience(epochs=2, min_gain=0.001)}
    records = list(CrossValidation(values, [constant, scheduled], **arguments))
    assert [max(r[n].epoch for r in records if n in r) == 20 for n in range(2)] == [False, True]
    assert len(records) == 20
    assert epochs_without_gain([r[1].val_mse.mean() for r in records], 0.001) >= 2, "otherwise this tests nothing"
