"""A trained model applied to files to find what is unusual: errors, alarms, and the features that they come from."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from jaxtyping import Float

from ae_model.anomalies import Drift, Threshold, drift, expected_alarms, p_values, threshold
from ae_model.errors import UserError
from ae_model.loading import load_model
from ae_model.persistence import ROWS_PER_PASS, TrainedAutoencoder
from ae_model.readers import read_blocks
from ae_model.samples import Block
from search.block_files import header_line
from search.files import replace_file
from search.row_progress import rows_done, say
from search.usual_errors import read_usual_errors

if TYPE_CHECKING:
    import pyarrow

N_FEATURES = 3
"""So many features are named of each row: those with the largest part of its squared error."""
OTHER_RATES = (0.05, 0.1)
"""Higher false-alarm rates at which alarms are counted: where a few usual rows have enormous errors, a low rate finds
those alone."""
_GROUP_ROWS = 64 * ROWS_PER_PASS
"""Rows that are written at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """What the out-of-fold errors, which are the usual ones, say of the errors in a file."""

    usual_mse_median: float
    threshold: Threshold
    n: int
    """How many rows gave one."""
    expected: tuple[float, int, int]
    """How many would if all were like the rows of the search: mean, and limits of 95 % of cases."""
    at_other_rates: tuple[tuple[float, int, float], ...]
    """Higher false-alarm rates, each with how many rows would give an alarm there, and how many usual ones would."""
    drift: Drift
    """The errors of all rows together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was found in a file; errors are in scaled units squared."""

    n_rows: int
    mse_median: float
    alarms: Alarms | None
    """None where there are no out-of-fold errors beside the model."""


def score(
    model_dir: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    false_alarm_rate: float | None = None,
    verbose: bool = False,
) -> Score:
    """Write how unusual the samples in a file are: a table with one row for each, in their order.

    Its columns are `mse`, in scaled units squared; `p_value`, the probability of an error as great among rows like
    those that the model was trained on; `alarm`, whether it is at most the false-alarm rate; and `feature_1`,
    `share_1`, `feature_2`, ...: the three features with the largest parts of the row's squared error. Pixels are called
    y0x0, y0x1, ..., of colour images y0x0c0. Names of rows come first, as `convert` keeps them. `p_value` and `alarm`
    need the out-of-fold errors beside the model, and are left out where there are none.

    Args:
        model_dir: A model directory, such as the `best` of a search.
        source: As `convert` takes it.
        output: A .csv or .parquet file, which is replaced if it exists, once all is written; "-" is standard output,
            for a CSV text.
        false_alarm_rate: In (0, 1): the part of rows like those trained on that may give an alarm. If None 0.01, or the
            lowest that there are out-of-fold errors enough for.
        verbose: Whether notes go to standard error, and there is a bar where standard error is a terminal.

    Raises:
        UserError: If a file cannot be read or written, or does not fit the model; or the rate is out of range, or lower
            than the number of out-of-fold errors allows.
        BrokenPipeError: If nobody reads standard output any more.
    """
    suffix = "-" if str(output) == "-" else Path(output).suffix.lower()
    if suffix not in ("-", ".csv", ".parquet"):
        raise UserError(f"{output}: the suffix of OUTPUT must be .csv or .parquet. Give another name.")
    trained, usual = load_model(model_dir), read_usual_errors(model_dir)
    if usual is None and false_alarm_rate is not None:
        raise UserError(
            f"{model_dir}: false_alarm_rate needs out_of_fold.csv beside the model, which is missing. Leave it out, or "
            "search again: `ae-search run` keeps these errors.",
            argument="false_alarm_rate",
        )
    at = None if usual is None else threshold(usual, false_alarm_rate)
    samples = read_blocks(source, features=trained.feature_names, n_rows=ROWS_PER_PASS)
    names = np.array(_feature_names(trained), dtype=object)
    errors: list[np.ndarray] = []
    with rows_done(samples.n_samples, suffix, verbose) as advance:

        def tables() -> Iterator["pyarrow.Table"]:
            place = "standard input" if str(source) == "-" else str(source)
            for block in samples.blocks:
                try:
                    squared = _squared_errors(trained, block.values)
                except UserError as error:
                    raise UserError(f"{place}: {error}") from None
                errors.append(squared.mean(axis=1))
                yield _table(block, squared, names, usual, at, samples.names_are)
                advance(len(squared))

        try:
            _write(suffix, output, tables())
        except BrokenPipeError:
            raise
        except OSError as error:
            place = "standard output" if suffix == "-" else output
            raise UserError(f"{place}: cannot be written ({error.strerror or error}). Give another OUTPUT.") from error
    if verbose:
        say(samples.notes)
    mse = np.concatenate(errors)
    alarms = None if usual is None or at is None else _alarms(usual, at, mse)
    return Score(n_rows=len(mse), mse_median=float(np.median(mse)), alarms=alarms)


def _squared_errors(trained: TrainedAutoencoder, values: np.ndarray) -> Float[np.ndarray, "rows features"]:
    scaling = trained.scaling
    differences = scaling.transform(values) - scaling.transform(trained.reconstruct(values))
    squared: np.ndarray = np.square(differences, dtype=np.float64)
    return squared


def _feature_names(trained: TrainedAutoencoder) -> Sequence[str]:
    if trained.feature_names is not None:
        return trained.feature_names
    if trained.image_shape is None:
        return [f"f{number}" for number in range(trained.model.layer_sizes[0])]
    return [
        "".join(f"{axis}{i}" for axis, i in zip("yxc", place, strict=False))
        for place in np.ndindex(*trained.image_shape)
    ]


def _table(
    block: Block,
    squared: np.ndarray,
    names: np.ndarray,
    usual: np.ndarray | None,
    at: Threshold | None,
    names_are: str | None,
) -> "pyarrow.Table":
    import pyarrow

    mse = squared.mean(axis=1)
    columns: dict[str, Any] = {} if names_are is None else {names_are: pyarrow.array(block.names, pyarrow.string())}
    columns["mse"] = mse.astype(np.float32)
    if usual is not None and at is not None:
        columns["p_value"] = p_values(usual, mse).astype(np.float32)
        columns["alarm"] = mse > at.mse
    n = min(N_FEATURES, squared.shape[1])
    most = np.argpartition(squared, -n, axis=1)[:, -n:]
    order = np.argsort(-np.take_along_axis(squared, most, axis=1), axis=1, kind="stable")
    most = np.take_along_axis(most, order, axis=1)
    with np.errstate(invalid="ignore"):
        shares = np.nan_to_num(np.take_along_axis(squared, most, axis=1) / squared.sum(axis=1, keepdims=True))
    for place in range(n):
        columns[f"feature_{place + 1}"] = pyarrow.array(names[most[:, place]], pyarrow.string())
        columns[f"share_{place + 1}"] = shares[:, place].astype(np.float32)
    return pyarrow.table(columns)


def _write(suffix: str, output: str | Path, tables: Iterable["pyarrow.Table"]) -> None:
    if suffix == "-":
        if sys.stdout is None:
            raise UserError("OUTPUT must be a file where standard output is closed. Give a name.")
        _write_csv(sys.stdout.buffer, tables)
        sys.stdout.buffer.flush()
    elif suffix == ".csv":

        def write_csv(path: Path) -> None:
            with path.open("wb") as file:
                _write_csv(file, tables)

        replace_file(Path(output), write_csv)
    else:
        replace_file(Path(output), lambda path: _write_parquet(path, tables))


def _write_csv(file: BinaryIO, tables: Iterable["pyarrow.Table"]) -> None:
    from pyarrow import csv

    header_is_written = False
    for table in tables:
        if not header_is_written:  # not before the first block has been read: what is wrong with it comes first
            file.write(header_line(table.column_names))
            header_is_written = True
        csv.write_csv(table, file, csv.WriteOptions(include_header=False))


def _write_parquet(path: Path, tables: Iterable["pyarrow.Table"]) -> None:
    import pyarrow
    from pyarrow import parquet

    tables = iter(tables)
    first = next(tables)
    with parquet.ParquetWriter(path, first.schema) as writer:
        waiting = [first]
        for table in tables:
            waiting.append(table)
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting))


def _alarms(usual: np.ndarray, at: Threshold, mse: np.ndarray) -> Alarms:
    others = [threshold(usual, rate) for rate in OTHER_RATES if len(usual) >= 1 / rate and rate > at.false_alarm_rate]
    return Alarms(
        usual_mse_median=float(np.median(usual)),
        threshold=at,
        n=int((mse > at.mse).sum()),
        expected=expected_alarms(len(mse), at),
        at_other_rates=tuple(
            (other.false_alarm_rate, int((mse > other.mse).sum()), len(mse) * other.false_alarm_rate)
            for other in others
        ),
        drift=drift(usual, mse),
    )
