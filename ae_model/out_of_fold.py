"""Out-of-fold errors: of every sample, by the model of the fold that has not seen it."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ae_model.configuration import EpochRecord, OutOfFold
from ae_model.folds import Fold
from ae_model.groups import Group, GroupResult
from ae_model.patience import START_GAIN


class OutOfFoldErrors:
    """Keeps the out-of-fold errors of configurations at the best epoch of each.

    Args:
        n_configurations: How many configurations there are.
        shape: The numbers of samples and of features.
        folds: The folds, which validate no sample twice.
    """

    def __init__(self, n_configurations: int, shape: tuple[int, int], folds: Sequence[Fold]) -> None:
        self._validation = [fold.validation for fold in folds]
        self._n_features = shape[1]
        self._mse = np.full((n_configurations, shape[0]), np.nan, np.float32)
        self._epochs = np.full(n_configurations, -1, np.int64)
        self._lowest = np.full(n_configurations, np.inf)

    def note(
        self, records: Mapping[int, EpochRecord], groups: Sequence[Group], results: Sequence[GroupResult]
    ) -> set[int]:
        """Take the errors of an epoch of those configurations whose best it is, and return which these are."""
        better = set()
        for c, record in records.items():
            mean = float(record.val_mse.mean()) * (1 - START_GAIN if record.epoch == 0 else 1)
            if mean < self._lowest[c]:  # NaN is not
                self._lowest[c], self._epochs[c] = mean, record.epoch
                better.add(c)
        for group, result in zip(groups, results, strict=True):
            if not any(c in better for c, _ in group.members):
                continue
            by_row = result.by_row.cpu().numpy()
            with np.errstate(over="ignore"):  # beyond float32 it is infinite
                for (c, k), row in zip(group.members, by_row, strict=True):
                    if c in better:
                        self._mse[c, self._validation[k]] = row[: len(self._validation[k])] / self._n_features
        return better

    def of(self, configuration: int) -> OutOfFold | None:
        """The errors of one configuration; None if it has had no epoch in which no fold diverged."""
        if self._epochs[configuration] < 0:
            return None
        return OutOfFold(epoch=int(self._epochs[configuration]), mse=self._mse[configuration].copy())

    def state(self) -> dict[str, Tensor]:
        """What `load` goes on from."""
        return {name: torch.from_numpy(array.copy()) for name, array in self._arrays().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            KeyError: If something is missing.
            RuntimeError: If it is of another shape.
        """
        for name, array in self._arrays().items():
            torch.from_numpy(array).copy_(state[name])

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"errors": self._mse, "errors_epochs": self._epochs, "errors_lowest": self._lowest}
