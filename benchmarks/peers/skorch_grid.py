"""skorch with scikit-learn's GridSearchCV in two processes."""

import numpy as np
import space
import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetRegressor
from torch import Tensor, nn

from ae_model import SymmetricAutoencoder


class Reconstruction(nn.Module):
    """An autoencoder that returns the reconstruction alone, as skorch wants it."""

    def __init__(self, hidden: tuple[int, ...] = (), code_activation: str = "relu") -> None:
        super().__init__()
        torch.set_num_threads(1)
        self.autoencoder = SymmetricAutoencoder(space.layer_sizes(hidden), code_activation=code_activation)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of scaled samples."""
        return self.autoencoder(x)[0]


if __name__ == "__main__":
    values, folds = space.samples()
    scaled = (values / 8 - 1).astype(np.float32)
    net = NeuralNetRegressor(
        Reconstruction,
        max_epochs=space.EPOCHS,
        batch_size=space.BATCH_SIZE,
        optimizer=torch.optim.Adam,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    grid = {
        "module__hidden": space.HIDDEN,
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
        [
            ((p["module__hidden"], p["module__code_activation"], p["lr"]), list(losses))
            for p, losses in zip(result["params"], by_fold, strict=True)
        ]
    )
