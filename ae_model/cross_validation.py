"""k-fold cross-validation with all folds in lock-step: after every epoch there is a complete k-fold estimate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from ae_model.configuration import Configuration, EpochRecord, count_parameters
from ae_model.errors import UserError
from ae_model.folds import Fold, fold_scalings
from ae_model.padding import padded_sizes, stack_kind
from ae_model.patience import Patience, after_epoch
from ae_model.pca_start import member_starts, starts_at_pca
from ae_model.resident import ResidentData
from ae_model.scaling import Scaling
from ae_model.stack import AutoencoderStack
from ae_model.training import Step, batch_order, evaluate_members, initial_generator, train_epoch, training_step

MAX_STACK_STATE_BYTES = 16 * 2**20
"""Weights, gradients and Adam's moments of one stack on a CPU: about what stays in the cache of one core."""
MIN_STACK_STATE_BYTES = 2 * 2**20
"""A stack that holds this much is fast; it takes narrower members only if they are nearly as large."""
MAX_MEMBER_PADDING = 0.1
"""The part of a member that may be padding, where it could as well be in another stack."""


def cross_validate(
    values: Num[np.ndarray, "samples features"],
    configuration: Configuration,
    *,
    folds: Sequence[Fold],
    max_epochs: int,
    seed: int,
    value_range: tuple[float, float] | None = None,
    scaling: str = "range",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Iterator[EpochRecord]:
    """Train one configuration on every fold; yields a record after every epoch.

    The last one comes where `max_epochs` or the configuration's schedule ends, or a fold diverges.

    Training that starts at PCA has a record of its start too, as epoch 0.

    Args:
        values: Development samples in their own units; read, never written.
        configuration: The architecture and how it is optimised.
        folds: What `make_folds` returned.
        max_epochs: The number of passes over each fold's training rows, >= 1.
        seed: The seed of initial weights, batch order, dropout, noise and mask; with the fold's number it determines
            them, whatever is trained.
        value_range: The values' fixed range, as in `Dataset`; if None, each fold fits it on its own training rows.
        scaling: How the values are scaled, as in `fit_scaling`, which each fold fits on its own training rows; the
            output activation must be able to give what comes out.
        device: Where to train.
        dtype: The type of the weights, in which everything is computed.

    Example:
        >>> values = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
        >>> configuration = Configuration(layer_sizes=(8, 3), code_activation="linear")
        >>> records = cross_validate(values, configuration, folds=make_folds(100, 5, seed=0), max_epochs=2, seed=0)
        >>> [record.val_mse.shape for record in records]
        [(5,), (5,)]
    """
    for records in CrossValidation(
        values,
        [configuration],
        folds=folds,
        max_epochs=max_epochs,
        seed=seed,
        value_range=value_range,
        scaling=scaling,
        device=device,
        dtype=dtype,
    ):
        yield records[0]


class CrossValidation:
    """`cross_validate` for several configurations at once, as an iterator that can be stopped and continued.

    After every epoch it yields a record for each configuration, under the configuration's number; before the first,
    as epoch 0, for those that start at PCA. One that diverges (a validation MSE that is not finite), whose schedule
    ends (`Configuration.schedule_epochs`), or whose mean validation MSE has had no gain for too long, is yielded one
    last time and then trained no further.

    Args:
        values: The samples, as in `cross_validate`; so are all arguments but the next and the last.
        configurations: The configurations, all of one kind (`padding.stack_kind`).
        folds: What `make_folds` returned.
        max_epochs: The number of passes over each fold's training rows, >= 1.
        seed: The seed of initial weights, batch order, dropout, noise and mask.
        value_range: The values' fixed range.
        scaling: How the values are scaled.
        device: Where to train.
        dtype: The type of the weights, in which everything is computed.
        patience: How long a configuration without a schedule may go without a gain; for ever if None.
        state: What `state()` returned between two epochs, to go on from there, to the bit, with the same arguments.

    Raises:
        UserError: If the state does not fit these configurations; other activations or another seed go unnoticed.
    """

    def __init__(
        self,
        values: Num[np.ndarray, "samples features"],
        configurations: Sequence[Configuration],
        *,
        folds: Sequence[Fold],
        max_epochs: int,
        seed: int,
        value_range: tuple[float, float] | None = None,
        scaling: str = "range",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        patience: Patience | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._folds, self._max_epochs, self._seed = folds, max_epochs, seed
        self._patience = patience
        self._batch_size, self._n_configurations = configurations[0].batch_size, len(configurations)
        self._schedule_ends = [c.schedule_epochs for c in configurations]
        scalings = fold_scalings(values, folds, value_range, scaling)
        totals = np.array([_total_sum_of_squares(values, fold, s) for fold, s in zip(folds, scalings, strict=True)])
        self._totals = np.where(totals > 0, totals, np.nan)
        self._n_train_values = np.array([len(fold.train) for fold in folds]) * values.shape[1]
        self._n_validation_values = np.array([len(fold.validation) for fold in folds]) * values.shape[1]
        self._groups = _make_groups(values, configurations, folds, scalings, seed, torch.device(device), dtype)
        self._from_pca = {c for c, configuration in enumerate(configurations) if starts_at_pca(configuration)}
        self._best, self._without_gain = np.full(len(configurations), np.inf), np.zeros(len(configurations), np.int64)
        self._epoch = -1  # the start is still to be looked at
        if state is not None:
            self._load(state)

    def __iter__(self) -> Iterator[dict[int, EpochRecord]]:
        return self

    def __next__(self) -> dict[int, EpochRecord]:
        if self._epoch < 0:
            self._epoch = 0
            if self._from_pca:
                return self._start()
        if self._epoch >= self._max_epochs or not self._groups:
            raise StopIteration
        self._epoch += 1
        orders = [batch_order(f.train, seed=self._seed, fold=k, epoch=self._epoch) for k, f in enumerate(self._folds)]
        for group in self._groups:
            group.stack.begin_epoch(seed=self._seed, folds=[k for _, k in group.members], epoch=self._epoch)
        results = [_train_and_evaluate(group, self._folds, orders, self._batch_size) for group in self._groups]
        records = self._records(self._groups, results, self.configurations_left())
        self._drop({c for c, record in records.items() if self._has_ended(c, record)})
        return records

    def configurations_left(self) -> list[int]:
        """The numbers of the configurations that are still trained, rising."""
        return sorted({c for group in self._groups for c, _ in group.members})

    def state(self) -> dict[str, Tensor]:
        """Everything that the coming epochs depend on, on the CPU: weights, Adam's state, epoch, who is left.

        Batch orders, dropout, noise and mask follow from the arguments, so there is no random state.
        """
        state = {
            "epoch": torch.tensor(self._epoch),
            "configurations": torch.tensor(self.configurations_left()),
            "best": torch.from_numpy(self._best.copy()),
            "without_gain": torch.from_numpy(self._without_gain.copy()),
        }
        for number, group in enumerate(self._groups):
            state[f"{number}.members"] = torch.tensor(group.members)
            state |= {f"{number}.{name}": tensor.cpu() for name, tensor in group.stack.state().items()}
        return state

    def _load(self, state: Mapping[str, Tensor]) -> None:
        try:
            self._epoch = int(state["epoch"])
            self._best, self._without_gain = (state[name].numpy().copy() for name in ("best", "without_gain"))
            self._drop(set(range(self._n_configurations)) - set(state["configurations"].tolist()))
            for number, group in enumerate(self._groups):
                if state[f"{number}.members"].tolist() != [list(member) for member in group.members]:
                    raise UserError("the state is that of another grouping.")
                group.stack.load_state({name: state[f"{number}.{name}"] for name in group.stack.state()})
        except (KeyError, RuntimeError) as error:
            raise UserError(f"the state is not one of these configurations' ({error}).") from error

    def _start(self) -> dict[int, EpochRecord]:
        """The records of epoch 0: what PCA's weights give before the first step."""
        groups = [group for group in self._groups if self._from_pca.intersection(c for c, _ in group.members)]
        # Patience begins after the first epoch: Adam's first steps lead away from PCA, often for several epochs.
        return self._records(groups, [_evaluate(group, self._folds) for group in groups], sorted(self._from_pca))

    def _records(
        self, groups: Sequence["_Group"], results: Sequence[Tensor], configurations: Sequence[int]
    ) -> dict[int, EpochRecord]:
        sums = np.full((3, self._n_configurations, len(self._folds)), np.nan)
        for group, result in zip(groups, results, strict=True):  # the epoch's only wait for the device
            sums[:, *np.array(group.members).T] = result.cpu().numpy()
        return {c: self._record(*sums[:, c]) for c in configurations}

    def _has_ended(self, configuration: int, record: EpochRecord) -> bool:
        """Take note of an epoch; whether the configuration diverged in it, or its schedule or patience has ended."""
        if not np.isfinite(record.val_mse).all() or self._schedule_ends[configuration] == record.epoch:
            return True
        if self._patience is None or self._schedule_ends[configuration] is not None:
            return False
        best, without_gain = float(self._best[configuration]), int(self._without_gain[configuration])
        best, without_gain = after_epoch(best, without_gain, float(record.val_mse.mean()), self._patience.min_gain)
        self._best[configuration], self._without_gain[configuration] = best, without_gain
        return without_gain >= self._patience.epochs

    def _drop(self, configurations: set[int]) -> None:
        if configurations:
            kept = (_without(group, configurations, self._batch_size) for group in self._groups)
            self._groups = [group for group in kept if group is not None]

    def _record(self, train_sse: np.ndarray, val_sse: np.ndarray, dead: np.ndarray) -> EpochRecord:
        with np.errstate(invalid="ignore", over="ignore"):  # folds that diverge or do not vary
            return EpochRecord(
                epoch=self._epoch,
                train_mse=train_sse / self._n_train_values,
                val_mse=val_sse / self._n_validation_values,
                val_fve=1 - val_sse / self._totals,
                dead_code_units=dead.astype(np.int64),
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """Members that are computed as one stack; a member is (number of the configuration, number of the fold)."""

    members: list[tuple[int, int]]
    stack: AutoencoderStack
    data: ResidentData
    step: Step


def _train_and_evaluate(
    group: _Group, folds: Sequence[Fold], orders: Sequence[np.ndarray], batch_size: int
) -> Float[Tensor, "3 members"]:
    """One epoch: sums of squared errors in training and validation, and dead code units, on the device."""
    squared_errors = train_epoch(group.step, group.data, [orders[k] for _, k in group.members], batch_size)
    result = _evaluate(group, folds)
    result[0] = squared_errors.double().sum(0)
    return result


def _evaluate(group: _Group, folds: Sequence[Fold]) -> Float[Tensor, "3 members"]:
    """The same without training, where there is no error in training."""
    validation = [folds[k].validation for _, k in group.members]
    squared_error, dead = evaluate_members(group.stack, group.data, validation)
    return torch.stack([torch.full_like(squared_error, torch.nan), squared_error, dead.double()])


def _without(group: _Group, configurations: set[int], batch_size: int) -> _Group | None:
    """The group without the members of these configurations; None if nobody is left."""
    kept = [j for j, (c, _) in enumerate(group.members) if c not in configurations]
    if not kept or len(kept) == len(group.members):
        return group if kept else None
    group.stack.keep(kept)
    data = group.data.scaled_for(kept)
    step = training_step(group.stack, data, batch_size)
    return _Group(members=[group.members[j] for j in kept], stack=group.stack, data=data, step=step)


def _make_groups(
    values: np.ndarray,
    configurations: Sequence[Configuration],
    folds: Sequence[Fold],
    scalings: Sequence[Scaling],
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> list[_Group]:
    first = configurations[0]
    assert len({stack_kind(c) for c in configurations}) == 1, "the configurations must be of one kind"
    n_batches = [-(-len(fold.train) // first.batch_size) for fold in folds]
    resident = ResidentData(values, scalings, device=device, dtype=dtype)
    starts = member_starts(values, configurations, folds, scalings)
    groups = []
    for members in _group_members(configurations, len(folds), device, dtype):
        chosen = sorted(members, key=lambda member: _adam_order(configurations[member[0]], n_batches[member[1]]))
        stack = AutoencoderStack(
            [configurations[c] for c, _ in chosen],
            n_batches=[n_batches[k] for _, k in chosen],
            generators=[initial_generator(seed, k) for _, k in chosen],
            starts=[starts[k] for _, k in chosen],
            device=device,
            dtype=dtype,
        )
        data = resident.scaled_for([k for _, k in chosen])
        step = training_step(stack, data, first.batch_size)
        groups.append(_Group(members=chosen, stack=stack, data=data, step=step))
    return groups


def _adam_order(configuration: Configuration, n_batches: int) -> tuple[object, ...]:
    """Sorts members so that those that step together stand side by side."""
    c = configuration
    return n_batches, c.learning_rate, c.weight_decay, c.learning_rate_schedule, c.schedule_epochs or 0


def _group_members(
    configurations: Sequence[Configuration], n_splits: int, device: torch.device, dtype: torch.dtype
) -> list[list[tuple[int, int]]]:
    """The members of each stack: all in one on a GPU; on a CPU, from large to small, as the constants above say."""
    sizes = [c.layer_sizes for c in configurations]
    order = sorted(range(len(sizes)), key=lambda c: -count_parameters(sizes[c]))
    groups: list[list[tuple[int, int]]] = [[]]
    for c, k in ((c, k) for c in order for k in range(n_splits)):
        widest = padded_sizes([*(sizes[other] for other, _ in groups[-1]), sizes[c]])
        state_bytes = 4 * dtype.itemsize * count_parameters(widest)
        padding = 1 - count_parameters(sizes[c]) / count_parameters(widest)
        n = len(groups[-1])
        full = (n + 1) * state_bytes > MAX_STACK_STATE_BYTES
        large_enough = n * state_bytes >= MIN_STACK_STATE_BYTES and padding > MAX_MEMBER_PADDING
        if n and device.type == "cpu" and (full or large_enough):
            groups.append([])
        groups[-1].append((c, k))
    return groups


def _total_sum_of_squares(values: np.ndarray, fold: Fold, scaling: Scaling) -> float:
    """The sum of squares of the validation rows about the training rows' mean, in scaled units."""
    deviation: np.ndarray = values[fold.validation] - values[fold.train].mean(axis=0, dtype=np.float64)
    deviation *= scaling.scale  # in place: the array can be large
    return float(np.einsum("ij,ij->", deviation, deviation))
