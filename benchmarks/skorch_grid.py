"""skorch with scikit-learn's GridSearchCV in two processes."""

from typing import Any, Self

import numpy as np
import recipes
import space
import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetRegressor
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ae_model import SymmetricAutoencoder
from ae_model.training import derived_seed


class Reconstruction(nn.Module):
    """An autoencoder that returns the reconstruction alone, as skorch wants it."""

    def __init__(self, hidden: tuple[int, ...] = (), code_activation: str = "relu") -> None:
        super().__init__()
        torch.set_num_threads(1)
        self.autoencoder = SymmetricAutoencoder(space.layer_sizes(hidden), code_activation=code_activation)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of scaled samples."""
        return self.autoencoder(x)[0]


class SeededRegressor(NeuralNetRegressor):  # type: ignore[misc]  # skorch is untyped
    """Draws weights and batch order as the recipes do: a seed for each fold, the same for all configurations."""

    def fit(self, X: np.ndarray, y: np.ndarray, **parameters: object) -> Self:  # noqa: N803
        """Train on the training rows of one of the folds."""
        values, folds = space.samples()
        self.number_ = next(k for k, fold in enumerate(folds) if np.array_equal(X, scale(values[fold.train])))
        torch.manual_seed(derived_seed(recipes.SEED, self.number_))
        fitted: Self = super().fit(X, y, **parameters)
        return fitted

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of a data set."""
        if not training:
            return super().get_iterator(dataset, training=False)
        order = recipes.SeededOrder(len(dataset), self.number_)
        return DataLoader(dataset, batch_size=self.batch_size, sampler=order)


def scale(values: np.ndarray) -> np.ndarray:
    """Digits as float32 in [-1, 1]."""
    return (values / 8 - 1).astype(np.float32)


if __name__ == "__main__":
    task = space.task()
    values, folds = space.samples()
    scaled = scale(values)
    net = SeededRegressor(
        Reconstruction,
        max_epochs=task.epochs,
        batch_size=space.BATCH_SIZE,
        optimizer=torch.optim.Adam,
        train_split=None,
        verbose=0,
    )
    grid = {
        "module__hidden": list(dict.fromkeys(hidden for hidden, _, _ in task.points)),
        "module__code_activation": space.CODE_ACTIVATIONS,
        "lr": space.LEARNING_RATES,
    }
    search = GridSearchCV(
        net,
        grid,
        cv=[(fold.train, fold.validation) for fold in folds],
        scoring="neg_mean_squared_error",
        n_jobs=2,
        refit=False,
    )
    search.fit(scaled, scaled)
    result = search.cv_results_
    by_fold = -np.array([result[f"split{k}_test_score"] for k in range(len(folds))]).T
    space.write_table(
        task.table,
        [
            ((p["module__hidden"], p["module__code_activation"], p["lr"]), list(losses))
            for p, losses in zip(result["params"], by_fold, strict=True)
        ],
    )
