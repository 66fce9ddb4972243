"""k-fold cross-validation with all folds in lock-step: after every epoch there is a complete k-fold estimate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor

from ae_model.autoencoder import SymmetricAutoencoder
from ae_model.configuration import Configuration, EpochRecord, OutOfFold
from ae_model.errors import UserError
from ae_model.folds import Fold, fold_scalings
from ae_model.groups import Group, GroupResult, evaluate, make_groups, train_and_evaluate, without
from ae_model.kept_models import KeptModels
from ae_model.out_of_fold import OutOfFoldErrors
from ae_model.patience import Patience, after_epoch
from ae_model.pca_start import starts_at_pca
from ae_model.scaling import Scaling
from ae_model.training import batch_order


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

    Examples:
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
        max_epochs: The number of passes over each fold's training rows, >= 1; a number for each configuration where
            some are to be trained no further than others.
        seed: The seed of initial weights, batch order, dropout, noise and mask.
        value_range: The values' fixed range.
        scaling: How the values are scaled.
        device: Where to train.
        dtype: The type of the weights, in which everything is computed.
        patience: How long a configuration without a schedule may go without a gain; for ever if None.
        first_fold: The number of the first of these folds, which with the seed determines weights and orders: not 0
            where others come before them.
        keep_models: Which models `kept_models` returns, if any: those of each configuration's best epoch so far, or of
            its last. It takes a copy of the weights.
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
        max_epochs: int | Sequence[int],
        seed: int,
        value_range: tuple[float, float] | None = None,
        scaling: str = "range",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        patience: Patience | None = None,
        first_fold: int = 0,
        keep_models: Literal["best", "last"] | None = None,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._folds, self._seed, self._first_fold = folds, seed, first_fold
        self._patience = patience
        self._batch_size, self._n_configurations = configurations[0].batch_size, len(configurations)
        self._last_epochs = [max_epochs] * len(configurations) if isinstance(max_epochs, int) else list(max_epochs)
        self._schedule_ends = [c.schedule_epochs for c in configurations]
        self.scalings = scalings = fold_scalings(values, folds, value_range, scaling)
        """The scaling of each fold."""
        totals = np.array([_total_sum_of_squares(values, fold, s) for fold, s in zip(folds, scalings, strict=True)])
        self._totals = np.where(totals > 0, totals, np.nan)
        self._n_train_values = np.array([len(fold.train) for fold in folds]) * values.shape[1]
        self._n_validation_values = np.array([len(fold.validation) for fold in folds]) * values.shape[1]
        self._groups = make_groups(
            values, configurations, folds, scalings, seed, torch.device(device), dtype, first_fold=first_fold
        )
        self._from_pca = {c for c, configuration in enumerate(configurations) if starts_at_pca(configuration)}
        self._best, self._without_gain = np.full(len(configurations), np.inf), np.zeros(len(configurations), np.int64)
        self._out_of_fold = OutOfFoldErrors(len(configurations), values.shape, folds)
        self._keeps_last = keep_models == "last"
        self._kept_models = KeptModels(configurations, len(folds)) if keep_models else None
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
        # Those that end here are dropped as late as this: in the state of the last epoch there are still all of them,
        # so that any of them can go on from it.
        if self._epoch < max(self._last_epochs):
            self._drop({c for c in self.configurations_left() if self._last_epochs[c] <= self._epoch})
        if self._epoch >= max(self._last_epochs) or not self._groups:
            raise StopIteration
        self._epoch += 1
        numbers = range(self._first_fold, self._first_fold + len(self._folds))
        orders = [
            batch_order(fold.train, seed=self._seed, fold=number, epoch=self._epoch)
            for number, fold in zip(numbers, self._folds, strict=True)
        ]
        for group in self._groups:
            group.stack.begin_epoch(seed=self._seed, folds=[numbers[k] for _, k in group.members], epoch=self._epoch)
        results = [train_and_evaluate(group, self._folds, orders, self._batch_size) for group in self._groups]
        records = self._records(self._groups, results, self.configurations_left())
        self._drop({c for c, record in records.items() if self._has_ended(c, record)})
        return records

    def out_of_fold(self, configuration: int) -> OutOfFold | None:
        """The error of every sample by the model that has not seen it, at the configuration's best epoch so far.

        Args:
            configuration: Its number.

        Returns:
            None if there has been no epoch in which no fold diverged.
        """
        return self._out_of_fold.of(configuration)

    def kept_models(self, configuration: int) -> list[SymmetricAutoencoder] | None:
        """The models of all folds at the configuration's best epoch so far, or its last, as `keep_models` says.

        They are on the CPU, and take scaled samples.

        Args:
            configuration: Its number.

        Returns:
            None if there has been no epoch in which no fold diverged, or `keep_models` was None.
        """
        return None if self._kept_models is None else self._kept_models.of(configuration)

    @property
    def epoch(self) -> int:
        """The number of the last epoch, 0 before the first."""
        return max(self._epoch, 0)

    def configurations_left(self) -> list[int]:
        """The numbers of the configurations that are still trained, rising."""
        return sorted({c for group in self._groups for c, _ in group.members})

    def state(self) -> dict[str, Tensor]:
        """All that the coming epochs depend on, on the CPU: weights, Adam's state, epoch, who is left, the best so far.

        Batch orders, dropout, noise and mask follow from the arguments, so there is no random state.
        """
        state = {
            "epoch": torch.tensor(self._epoch),
            "configurations": torch.tensor(self.configurations_left()),
            "best": torch.from_numpy(self._best.copy()),
            "without_gain": torch.from_numpy(self._without_gain.copy()),
            **self._out_of_fold.state(),
            **({} if self._kept_models is None else self._kept_models.state()),
        }
        for number, group in enumerate(self._groups):
            state[f"{number}.members"] = torch.tensor(group.members)
            state |= {f"{number}.{name}": tensor.cpu() for name, tensor in group.stack.state().items()}
        return state

    def _load(self, state: Mapping[str, Tensor]) -> None:
        try:
            self._epoch = int(state["epoch"])
            self._best, self._without_gain = (state[name].numpy().copy() for name in ("best", "without_gain"))
            self._out_of_fold.load(state)
            if self._kept_models is not None:
                self._kept_models.load(state)
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
        return self._records(groups, [evaluate(group, self._folds) for group in groups], sorted(self._from_pca))

    def _records(
        self, groups: Sequence[Group], results: Sequence[GroupResult], configurations: Sequence[int]
    ) -> dict[int, EpochRecord]:
        sums = np.full((3, self._n_configurations, len(self._folds)), np.nan)
        for group, result in zip(groups, results, strict=True):  # the epoch's only wait for the device
            sums[:, *np.array(group.members).T] = result.sums.cpu().numpy()
        records = {c: self._record(*sums[:, c]) for c in configurations}
        better = self._out_of_fold.note(records, groups, results)
        if self._kept_models is not None:
            self._kept_models.note(records if self._keeps_last else better, groups)
        return records

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
            kept = (without(group, configurations, self._batch_size) for group in self._groups)
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


def _total_sum_of_squares(values: np.ndarray, fold: Fold, scaling: Scaling) -> float:
    """The sum of squares of the validation rows about the training rows' mean, in scaled units."""
    deviation: np.ndarray = values[fold.validation] - values[fold.train].mean(axis=0, dtype=np.float64)
    deviation *= scaling.scale  # in place: the array can be large
    return float(np.einsum("ij,ij->", deviation, deviation))
