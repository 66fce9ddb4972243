"""`out_of_fold.csv` beside a model: what errors its configuration makes on rows that it has not seen."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from ae_model.errors import UserError
from ae_model.folds import make_folds
from search.files import replace_file
from search.ledger_reader import read_out_of_fold

FILE = "out_of_fold.csv"


def write_usual_errors(directory: Path, trial: str, n_splits: int, seed: int, model_dir: Path) -> None:
    """Write the errors of the development rows by the folds' models that had not seen them, if the search kept them.

    Args:
        directory: The search's directory.
        trial: The trial's id.
        n_splits: The search's number of folds.
        seed: The search's seed.
        model_dir: Where it is written.
    """
    kept = read_out_of_fold(directory, trial)
    if kept is None:
        return
    fold = np.empty(len(kept.mse), np.int64)
    for number, one in enumerate(make_folds(len(fold), n_splits, seed)):
        fold[one.validation] = number
    table = pd.DataFrame({"row": range(len(fold)), "fold": fold, "mse": kept.mse})
    replace_file(model_dir / FILE, lambda path: table.to_csv(path, index=False))


def read_usual_errors(model_dir: str | Path) -> Float[np.ndarray, " rows"] | None:
    """The errors beside a model, sorted; None if there are none.

    Raises:
        UserError: If the file cannot be read, or holds something else.
    """
    path = Path(model_dir) / FILE
    try:
        mse = pd.read_csv(path)["mse"].to_numpy(np.float32).astype(np.float64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}). Retrain the model.") from error
    if len(mse) == 0 or np.isnan(mse).any():
        raise UserError(f"{path}: every row must have an error, but one has none. Retrain the model.")
    return np.sort(mse)
