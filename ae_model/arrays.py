"""Arrays and DataFrames in memory -> `Samples`; a DataFrame is known by what it can do, and pandas is not imported."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ae_model.columns import counting_notes, feature_columns, numbers_from_cells
from ae_model.errors import UserError, first_line
from ae_model.samples import Samples, checked_feature_names, checked_image_shape, checked_labels, checked_values


@runtime_checkable
class DataFrame(Protocol):
    """What pandas' and polars' DataFrames have in common, as far as it is used here."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""

    def to_numpy(self) -> np.ndarray:
        """All values in one array."""

    def __getitem__(self, name: Any, /) -> Any:
        """The column of that name."""

    def __len__(self) -> int:
        """The number of rows."""


def samples_from_arrays(
    x: object,
    name: str,
    *,
    test: object = None,
    labels: object = None,
    test_labels: object = None,
    label_column: str | None = None,
    ignored: Sequence[str] = (),
    image_shape: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    feature_names: Sequence[str] | None = None,
) -> Samples:
    """Samples from what is in memory already, checked as those of a file are; a test split is copied.

    The arguments are those of `dataset_from_arrays`; `ignored` are the columns that are neither features nor labels.

    Raises:
        UserError: If the arguments do not fit together, or a value is not a finite number.
    """
    samples = _part(x, name, label_column, None, labels, ignored)
    n_features = samples.values.shape[1]
    if samples.feature_names is not None and feature_names is not None:
        raise UserError(
            f"{name}: feature_names is for arrays, but x has columns with names. Leave it out.",
            argument="feature_names",
        )
    shape = checked_image_shape(name, None if image_shape is None else np.asarray(image_shape), n_features)
    samples = replace(
        samples,
        image_shape=shape,
        feature_names=samples.feature_names or checked_feature_names(name, feature_names, n_features),
        value_range=(0.0, 255.0) if shape is not None and samples.values.dtype == np.uint8 else None,
    )
    if test is not None:
        place = f"{name}: the test split"
        framed = isinstance(test, DataFrame)
        names = samples.feature_names if framed and isinstance(x, DataFrame) else None
        of_test = _part(test, place, label_column if framed else None, names, test_labels)
        if of_test.values.shape[1] != n_features:
            raise UserError(
                f"{place}: must have as many features as x, but they have {of_test.values.shape[1]} and {n_features}. "
                "Give both the same."
            )
        # Copies: what is done to the arrays later must not change the data set.
        samples = replace(
            samples, values=samples.values.copy(), test_values=of_test.values.copy(), test_labels=of_test.labels
        )
    elif test_labels is not None:
        raise UserError(f"{name}: labels of a test split are given, but no test split. Give both or neither.")
    return samples if value_range is None else _within(samples, name, value_range)


def _part(
    x: object,
    place: str,
    label_column: str | None,
    features: Sequence[str] | None,
    labels: object,
    ignored: Sequence[str] = (),
) -> Samples:
    if label_column is not None and labels is not None:
        raise UserError(
            f"{place}: labels come from label_column or are given, but here are both. Leave one out.",
            argument="label_column",
        )
    if isinstance(x, DataFrame):
        samples = samples_from_data_frame(x, place, label_column, features, ignored)
    elif ignored:
        raise UserError(
            f"{place}: ignore_columns is for DataFrames alone, but x is an array. Leave it out.",
            argument="ignore_columns",
        )
    elif label_column is not None:
        raise UserError(
            f"{place}: label_column is for DataFrames alone, but x is an array. Give labels instead.",
            argument="label_column",
        )
    else:
        samples = Samples(values=checked_values(_array(x, place), place))
    if labels is None:
        return samples
    return replace(samples, labels=checked_labels(place, "labels", np.array(labels), len(samples.values)))


def _array(x: object, place: str) -> np.ndarray:
    if type(x).__module__.startswith("scipy.sparse"):
        raise UserError(f"{place}: is a sparse matrix, but samples must be dense. Give its .toarray().")
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors on another device, ...
        raise UserError(f"{place}: must be an array ({first_line(error)}). Convert it to NumPy's.") from error


def samples_from_data_frame(
    frame: DataFrame,
    place: str,
    label_column: str | None,
    features: Sequence[str] | None,
    ignored: Sequence[str] = (),
) -> Samples:
    """The columns as features, in their order or that of `features`; the index is left alone."""
    keys = {str(key): key for key in frame.columns}
    names = feature_columns(place, [str(key) for key in frame.columns], len(frame), label_column, features, ignored)
    values = np.stack([_numbers(place, name, frame[keys[name]].to_numpy()) for name in names], axis=1)
    return Samples(
        values=checked_values(values, place, names),
        labels=None if label_column is None else _labels(frame[keys[label_column]].to_numpy()),
        feature_names=tuple(names),
        notes=tuple(counting_notes(place, names, values)) if features is None else (),
    )


def _labels(column: np.ndarray) -> np.ndarray:
    # Texts come as objects, and become what they are where a file is read.
    return np.array(column.tolist() if column.dtype == object else column)


def _numbers(place: str, name: str, column: np.ndarray) -> np.ndarray:
    if column.dtype.kind in "buif":
        return column
    if column.dtype.kind not in "OUST":
        raise UserError(
            f"{place}: column {name!r}: values must be real numbers, but have the type {column.dtype}. "
            f"Convert them, leave the column out with ignore_columns=[{name!r}], or make it the label_column.",
            argument="label_column",
        )
    return numbers_from_cells(place, name, column.tolist())


def _within(samples: Samples, place: str, value_range: tuple[float, float]) -> Samples:
    """The samples with their range, if it is a range and holds them all."""
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(
            f"{place}: value_range must be two finite numbers, the lower first, but is {value_range}. Fix it.",
            argument="value_range",
        )
    parts = [samples.values] if samples.test_values is None else [samples.values, samples.test_values]
    lowest, highest = min(part.min() for part in parts), max(part.max() for part in parts)
    if lowest < np.float32(low) or highest > np.float32(high):
        raise UserError(
            f"{place}: value_range = {value_range} must hold all values, but the lowest is {lowest} and the highest "
            f"{highest}. Widen it, or leave it out.",
            argument="value_range",
        )
    return replace(samples, value_range=(float(low), float(high)))
