"""A model directory -> what lies in it: a model, or an ensemble of several."""

import os
from pathlib import Path

from ae_model import ensemble
from ae_model.persistence import TrainedAutoencoder, load_single


def load_model(directory: str | Path) -> TrainedAutoencoder:
    """The model that `save_model` wrote into a directory, or the ensemble that `retrain(..., ensemble="folds")` did.

    Raises:
        UserError: If there is no model, or its files are damaged, another program's, or of a newer format.
    """
    is_ensemble = os.path.isfile(Path(directory) / ensemble.FILE)  # unlike Path.is_file, false for impossible names
    return ensemble.load_ensemble(directory) if is_ensemble else load_single(directory)
