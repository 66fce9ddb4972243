"""Codes of some test samples, with what they can be coloured by: kept beside a model, for pictures of its code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from jaxtyping import Num, Shaped

from ae_model.errors import UserError
from search.files import replace_file

MAX_ROWS = 2000
"""So many samples fill a picture."""
MAX_FEATURES = 30
"""So many columns of a table are kept to colour by: the first ones."""
_CODE, _FEATURE = "code_", "feature_"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TestCodes:
    """The content of `test_codes.parquet`; row i of everything is the same sample."""

    __test__ = False  # not a test, whatever pytest makes of the name

    code: Num[np.ndarray, "rows code_size"]
    mse: Num[np.ndarray, " rows"]
    """Of each sample, in scaled units squared."""
    labels: Shaped[np.ndarray, " rows"] | None
    features: dict[str, np.ndarray]
    """Columns of a table by their names, in their own units; none of images."""

    @classmethod
    def read(cls, model_dir: Path) -> Self:
        """What lies in a model's directory.

        Raises:
            UserError: If there is none, or it cannot be read.
        """
        path = model_dir / "test_codes.parquet"
        try:
            table = pd.read_parquet(path)
            names = [str(name) for name in table.columns]
            return cls(
                code=table[[name for name in names if name.startswith(_CODE)]].to_numpy(),
                mse=table["mse"].to_numpy(),
                labels=table["label"].to_numpy() if "label" in table else None,
                features={
                    name.removeprefix(_FEATURE): table[name].to_numpy() for name in names if name.startswith(_FEATURE)
                },
            )
        except (OSError, ValueError, LookupError) as error:
            raise UserError(f"{path}: cannot be read ({error}). Evaluate the model again.") from error

    def write(self, model_dir: Path) -> None:
        """Write `test_codes.parquet` into a model's directory."""
        table = pd.DataFrame({f"{_CODE}{n}": column for n, column in enumerate(self.code.T)})
        table["mse"] = self.mse
        if self.labels is not None:
            table["label"] = self.labels if self.labels.dtype.kind in "iufb" else self.labels.astype(str)
        of_features = pd.DataFrame({f"{_FEATURE}{name}": column for name, column in self.features.items()})
        table = pd.concat([table, of_features], axis=1)
        replace_file(model_dir / "test_codes.parquet", lambda path: table.to_parquet(path, index=False))


def some_test_codes(
    code: Num[np.ndarray, "samples code_size"],
    mse: Num[np.ndarray, " samples"],
    labels: np.ndarray | None,
    samples: Num[np.ndarray, "samples features"],
    feature_names: tuple[str, ...] | None,
) -> TestCodes:
    """The codes of at most `MAX_ROWS` samples, spread evenly.

    Args:
        code: The codes of all.
        mse: Their errors, in scaled units squared.
        labels: Their labels, if there are any.
        samples: The samples themselves.
        feature_names: The names of their columns; None where they are no table's.
    """
    rows = np.unique(np.linspace(0, len(code) - 1, min(len(code), MAX_ROWS)).round().astype(int))
    return TestCodes(
        code=code[rows],
        mse=mse[rows],
        labels=None if labels is None else labels[rows],
        features={name: samples[rows, n] for n, name in enumerate((feature_names or ())[:MAX_FEATURES])},
    )
