"""How the data of a search is scaled: the kind that settings and data ask for, and columns that it does not suit."""

from math import inf

import numpy as np

from ae_model.configuration import ACTIVATION_RANGES
from ae_model.data import Dataset
from ae_model.scaling import fit_scaling
from search.settings import SearchSettings

LEAST_IQR = 0.01
"""A column whose interquartile range is less than this, in scaled units, is squeezed by its extreme values."""
MOST_IQRS = 1000
"""A value so many interquartile ranges from the median outweighs all that is usual, where these are the unit."""
MOST_OF_VARIANCE = 0.2
"""A value that makes more of a column's variance than this, far away and in few rows, is an error or a placeholder."""
FAR_IQRS = 20
"""So many interquartile ranges from the median is far."""
FARTHER = 4
"""A value so many times as far from the median as the next one does not belong to a long tail."""
FEW_ROWS = 0.01
"""So small a part of all rows is few."""
_MAX_ROWS = 5000
"""So many rows say what the quartiles of a column are."""
_MAX_NAMED = 3


def resolved_scaling(settings: SearchSettings, dataset: Dataset) -> str:
    """The kind of scaling, as in `fit_scaling`: the settings' own, or what suits data and output activation.

    Images are left in proportion. A table's columns are brought to one spread, where the output activation is without
    limits and so can follow.
    """
    if settings.data.scaling is not None:
        return settings.data.scaling
    without_limits = ACTIVATION_RANGES[settings.space.output_activation or "linear"] == (-inf, inf)
    return "standard" if without_limits and not is_images(dataset) else "range"


def squeezed_columns(dataset: Dataset, scaling: str) -> list[str]:
    """Notes on the columns of a table whose bulk is squeezed into next to nothing by a few extreme values.

    What is squeezed so hardly counts in any error, and is not learned. By "robust", where the bulk keeps its size, the
    extreme values count for more than all else; by "standard", a single value may be a large part of the column's
    variance, and so of its error. Three columns are named and the others counted.
    There is no note on images, nor on a column whose middle half is one value, such as sparse counts.

    Args:
        dataset: The samples.
        scaling: The kind of scaling, as in `fit_scaling`.
    """
    if scaling == "none" or is_images(dataset):
        return []
    values = dataset.development
    scale = fit_scaling(values, scaling=scaling).scale
    some = values
    if len(values) > _MAX_ROWS:
        some = values[np.random.default_rng(0).choice(len(values), _MAX_ROWS, replace=False)]
    low, median, high = np.percentile(some.astype(np.float64), (25, 50, 75), axis=0)
    if scaling == "robust":
        largest = np.abs(np.stack([values.min(axis=0), values.max(axis=0)]) - median).max(axis=0)
        squeezed = np.flatnonzero((high > low) & (largest * scale > MOST_IQRS))
    else:
        squeezed = np.flatnonzero((high > low) & ((high - low) * scale < LEAST_IQR))
    said = {
        int(column): _squeezed(values[:, column], median[column], high[column] - low[column], scaling)
        for column in squeezed
    }
    if scaling == "standard":
        said = _dominated(values, median, high - low) | said
    names = dataset.feature_names
    notes = []
    for column in sorted(said)[:_MAX_NAMED]:
        name = f"{column} (counted from 0)" if names is None else repr(names[column])
        notes.append(f"{dataset.name}, column {name}: {said[column]}")
    if len(said) > _MAX_NAMED:
        more = len(said) - _MAX_NAMED
        notes.append(f"{dataset.name}: extreme values do so in {more} more column{'s' * (more > 1)}.")
    return notes


def _squeezed(values: np.ndarray, median: float, iqr: float, scaling: str) -> str:
    of_column = values.astype(np.float64)
    extreme = of_column[np.abs(of_column - median).argmax()]
    percent = 100 * iqr / np.ptp(of_column)
    part = f"{percent:.1g}" if percent >= 0.001 else "less than 0.001"
    do = (
        "outweigh all other columns"
        if scaling == "robust"
        else f"squeeze the middle half of all into {part} % of its range"
    )
    return f"a few extreme values (such as {extreme:.3g}) {do}. Clean them, or leave the column out."


def _dominated(values: np.ndarray, median: np.ndarray, iqr: np.ndarray) -> dict[int, str]:
    """Columns of whose variance one value is a large part, far from all others and in few rows: what to say of it."""
    n_rows = len(values)
    lowest, highest = values.min(axis=0), values.max(axis=0)
    extreme = np.where(median - lowest > highest - median, lowest, highest)
    distance = np.abs(extreme - median)
    said = {}
    for column in np.flatnonzero((iqr > 0) & (distance > FAR_IQRS * iqr)):
        of_column = values[:, column].astype(np.float64)
        n_extreme = int((of_column == extreme[column]).sum())
        part = n_extreme * (extreme[column] - of_column.mean()) ** 2 / (n_rows * of_column.var())
        others = np.abs(of_column[of_column != extreme[column]] - median[column]).max()
        is_apart = distance[column] > FARTHER * others
        if is_apart and n_extreme <= max(FEW_ROWS * n_rows, 1) and part > MOST_OF_VARIANCE:
            rows = "one row" if n_extreme == 1 else f"{n_extreme} rows"
            said[int(column)] = (
                f"the value {extreme[column]:.5g}, in {rows}, makes {100 * part:.0f} % of its variance. "
                "If it stands for what is missing or wrong, clean it, or leave the column out."
            )
    return said


def is_images(dataset: Dataset) -> bool:
    """Whether samples are images, whose values have limits by their nature."""
    return dataset.image_shape is not None or dataset.value_range is not None
