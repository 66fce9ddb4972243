"""A trained model applied to files, block by block: encode, decode, reconstruct."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ae_model.errors import UserError
from ae_model.loading import load_model
from ae_model.persistence import ROWS_PER_PASS, TrainedAutoencoder
from ae_model.readers import read_blocks
from ae_model.samples import Block, SampleBlocks
from search.block_files import write_csv, write_names, write_npy, write_parquet
from search.files import replace_file
from search.image_files import write_images
from search.row_progress import rows_done, say

Operation = Literal["encode", "decode", "reconstruct"]
_SUFFIXES = (".npy", ".csv", ".parquet")


def convert(
    operation: Operation, model_dir: str | Path, source: str | Path, output: str | Path, *, verbose: bool = False
) -> tuple[int, ...]:
    """Apply a model to the samples or codes in a file, and write what comes out into another.

    Both are gone through block by block, so that neither need fit into memory (but an .npz). The numbers are those of
    `TrainedAutoencoder` for all samples at once, to the bit.

    Where the rows of `source` have names, these are kept: images have their paths, tables a column without a name, as
    pandas writes its index, or a first column `file` or `row` that is no feature. In tables they are the first column
    of `output`, called `file` or `row`; beside NAME.npy they are the only column of NAME.rows.csv. Rows without names
    get none: the rows of `output` are those of `source`, in their order.

    Args:
        operation: "encode" samples to codes, "decode" codes to samples, or "reconstruct" samples.
        model_dir: A model directory.
        source: A .npy, .npz, .csv or .parquet file, or a folder of images. Where the columns have names, those are read
            that the model was trained on, or code_0, code_1, ... to decode; others may be there. Of what is split
            already, test samples come after the others. "-" is standard input, with a CSV text.
        output: A .npy, .csv or .parquet file, which is replaced if it exists, once all is written. "-" is standard
            output, for a CSV text. A name that ends in "/" or has no suffix, or a directory, is a folder for the
            samples of a model of images: PNG files with the names of the rows, or numbers. Values are in the data's own
            units, and are rounded and clipped to 0 to 255.
        verbose: Whether notes go to standard error, and there is a bar where standard error is a terminal.

    Returns:
        The shape of what was written.

    Raises:
        UserError: If a file cannot be read or written, or does not fit the model.
        BrokenPipeError: If nobody reads standard output any more.
    """
    kind = _kind(output)
    trained = load_model(model_dir)
    if kind == "folder":
        _check_images(operation, trained, source, output)
    if kind == ".npy" and Path(source).resolve() == _beside(Path(output)).resolve():
        raise UserError(f"{output}: the rows' names would replace INPUT, {source}. Give another OUTPUT.")
    samples = read_blocks(
        source, features=trained.code_names if operation == "decode" else trained.feature_names, n_rows=ROWS_PER_PASS
    )
    columns = trained.code_names if operation == "encode" else _sample_names(trained)
    notes = list(samples.notes)
    n_written = 0
    with rows_done(samples.n_samples, kind, verbose) as advance:

        def results() -> Iterator[Block]:
            nonlocal n_written
            place = "standard input" if str(source) == "-" else str(source)
            for block in samples.blocks:
                try:
                    values = _apply(trained, operation, block.values)
                except UserError as error:
                    raise UserError(f"{place}: {error}") from None
                yield Block(values=values, names=block.names)
                n_written += len(values)
                advance(len(values))

        try:
            notes += _write(kind, output, results(), columns, samples, trained.image_shape)
        except BrokenPipeError:
            raise
        except OSError as error:
            place = "standard output" if kind == "-" else output
            reason = error.strerror or error
            raise UserError(f"{place}: cannot be written ({reason}). Give another OUTPUT.") from error
    if verbose:
        say(notes)
    return n_written, len(columns)


def _kind(output: str | Path) -> str:
    """The suffix of a file, "-" or "folder"."""
    if str(output) == "-":
        return "-"
    suffix = Path(output).suffix.lower()
    if str(output).endswith(("/", os.sep)) or not suffix or os.path.isdir(output):
        return "folder"
    if suffix not in _SUFFIXES:
        raise UserError(
            f"{output}: the suffix of OUTPUT must be .npy, .csv or .parquet, or none for a folder of images. "
            "Give another name."
        )
    return suffix


def _check_images(operation: Operation, trained: TrainedAutoencoder, source: str | Path, output: str | Path) -> None:
    shape = trained.image_shape
    if operation == "encode" or shape is None:
        what = "codes are no images" if operation == "encode" else "this model's samples are no images"
        raise UserError(f"{output}: a folder is for images, but {what}. Give a .npy, .csv or .parquet file.")
    if len(shape) == 3 and shape[2] not in (1, 3):
        raise UserError(
            f"{output}: images in a folder must have 1 or 3 channels, but this model's have {shape[2]}. "
            "Give a .npy, .csv or .parquet file."
        )
    if Path(source).is_dir() and Path(source).resolve() == Path(output).resolve():
        raise UserError(f"{output}: must be another folder than INPUT, whose images it would replace. Give another.")


def _sample_names(trained: TrainedAutoencoder) -> Sequence[str]:
    return trained.feature_names or [f"f{number}" for number in range(trained.model.layer_sizes[0])]


def _apply(trained: TrainedAutoencoder, operation: Operation, values: np.ndarray) -> np.ndarray:
    if operation == "encode":
        return trained.encode(values)
    return trained.decode(values) if operation == "decode" else trained.reconstruct(values)


def _write(
    kind: str,
    output: str | Path,
    blocks: Iterator[Block],
    columns: Sequence[str],
    samples: SampleBlocks,
    image_shape: tuple[int, ...] | None,
) -> list[str]:
    """Write all blocks; what is to be said of it."""
    path, names_are = Path(output), samples.names_are
    match kind:
        case "-":
            if sys.stdout is None:
                raise UserError("OUTPUT must be a file where standard output is closed. Give a name.")
            write_csv(sys.stdout.buffer, blocks, columns, names_are)
            sys.stdout.buffer.flush()
        case "folder":
            assert image_shape is not None
            highest = write_images(path, blocks, image_shape)
            if highest <= 1:
                return [f"{output}: no value is above 1, so the images are black; the data's units are not 0 to 255"]
        case ".npy":
            replace_file(path, lambda temporary: _write_npy(temporary, path, blocks, len(columns), names_are))
        case ".csv":
            replace_file(path, lambda temporary: _write_csv(temporary, blocks, columns, names_are))
        case ".parquet":
            replace_file(path, lambda temporary: write_parquet(temporary, blocks, columns, names_are))
    return []


def _write_csv(path: Path, blocks: Iterator[Block], columns: Sequence[str], names_are: str | None) -> None:
    with path.open("wb") as file:
        write_csv(file, blocks, columns, names_are)


def _write_npy(temporary: Path, path: Path, blocks: Iterator[Block], n_columns: int, names_are: str | None) -> None:
    """The array, and the rows' names beside it; names that an earlier run left there go."""
    names: list[Sequence[str]] = []
    write_npy(temporary, _keeping_names(blocks, names), n_columns)
    beside = _beside(path)
    if names_are is not None:
        replace_file(beside, lambda place: write_names(place, names, names_are))
    elif beside.is_file() and _is_of_names(beside):
        beside.unlink()


def _beside(path: Path) -> Path:
    """Where the names of an array's rows are."""
    return path.with_name(f"{path.stem}.rows.csv")


def _keeping_names(blocks: Iterable[Block], names: list[Sequence[str]]) -> Iterator[Block]:
    for block in blocks:
        if block.names is not None:
            names.append(block.names)
        yield block


def _is_of_names(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(10).rstrip(b"\n") in (b"file", b"row")
