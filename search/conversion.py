"""A trained model applied to files: encode, decode, reconstruct."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ae_model.errors import UserError
from ae_model.persistence import TrainedAutoencoder, load_model
from ae_model.readers import read_samples
from search.files import replace_file

Operation = Literal["encode", "decode", "reconstruct"]


def convert(operation: Operation, model_dir: str | Path, source: str | Path, output: str | Path) -> tuple[int, ...]:
    """Apply a model to the samples or codes in a file, and write what comes out into another.

    Args:
        operation: "encode" samples to codes, "decode" codes to samples, or "reconstruct" samples.
        model_dir: A model directory.
        source: A .npy, .npz, .csv or .parquet file, or a folder of images. Where the columns have names, those are read
            that the model was trained on, or code_0, code_1, ... to decode; others may be there.
        output: A .npy, .csv or .parquet file; it is replaced if it exists.

    Returns:
        The shape of what was written.

    Raises:
        UserError: If a file cannot be read or written, or does not fit the model.
    """
    output = Path(output)
    if output.suffix.lower() not in (".npy", ".csv", ".parquet"):
        raise UserError(f"{output}: the suffix of OUTPUT must be .npy, .csv or .parquet. Give another name.")
    trained = load_model(model_dir)
    expected = trained.code_names if operation == "decode" else trained.feature_names
    samples = read_samples(source, features=expected)
    given = samples.values  # noqa: PD011  # not pandas' own
    if samples.test_values is not None and Path(source).is_dir():  # every image, not those of train/ alone
        given = np.concatenate([given, samples.test_values])
    try:
        values = _apply(trained, operation, given)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    names = (
        trained.code_names
        if operation == "encode"
        else trained.feature_names or [f"f{i}" for i in range(values.shape[1])]
    )
    try:
        replace_file(output, lambda path: _write(values, names, output.suffix.lower(), path))
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error}). Give another OUTPUT.") from error
    return values.shape


def _apply(trained: TrainedAutoencoder, operation: Operation, values: np.ndarray) -> np.ndarray:
    if operation == "encode":
        return trained.encode(values)
    return trained.decode(values) if operation == "decode" else trained.reconstruct(values)


def _write(values: np.ndarray, names: Sequence[str], suffix: str, path: Path) -> None:
    if suffix == ".npy":
        with path.open("wb") as file:  # np.save would add its suffix to the temporary name
            np.save(file, values)
    elif suffix == ".csv":
        pd.DataFrame(values, columns=list(names)).to_csv(path, index=False)
    else:
        pd.DataFrame(values, columns=list(names)).to_parquet(path, index=False)
