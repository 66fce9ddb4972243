"""Data set -> the code sizes that PCA proposes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ae_model.data import Dataset
from ae_model.errors import UserError
from ae_model.pca import code_size_for, explained_variance_ratio
from ae_model.scaling import fit_scaling
from search.files import replace_file
from search.settings import BottleneckSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodeSizes:
    """PCA's proposal for the code size."""

    ratio: np.ndarray
    """Explained variance ratio of each component."""
    code_sizes: list[int]
    """One for each target, or those the settings list."""

    def reached(self, code_size: int) -> float:
        """Cumulative explained variance ratio of that many components."""
        return float(self.ratio[:code_size].sum())

    def text(self) -> str:
        """The code sizes and what they explain, in a line."""
        return "; ".join(
            f"code size {size}, with which PCA explains {self.reached(size):.2%} of the variance"
            for size in self.code_sizes
        )


def propose_code_sizes(dataset: Dataset, settings: BottleneckSettings | None = None) -> CodeSizes:
    """PCA of the development set, and the code sizes it proposes.

    Raises:
        ValueError: If the samples do not vary.
    """
    settings = settings or BottleneckSettings()
    try:
        ratio = explained_variance_ratio(dataset.development, fit_scaling(dataset.development, dataset.value_range))
    except UserError as error:
        raise UserError(f"{dataset.name}: {error}") from error
    listed = settings.code_sizes or [code_size_for(target, ratio) for target in settings.explained_variance]
    return CodeSizes(ratio=ratio, code_sizes=list(dict.fromkeys(listed)))


def write_code_sizes(proposal: CodeSizes, directory: Path) -> None:
    """Write `bottleneck.csv` and `bottleneck.png`."""
    table = pd.DataFrame(
        {
            "n_components": range(1, len(proposal.ratio) + 1),
            "explained_variance_ratio": proposal.ratio,
            "cumulative": proposal.ratio.cumsum(),
            "chosen": [n in proposal.code_sizes for n in range(1, len(proposal.ratio) + 1)],
        }
    )
    replace_file(directory / "bottleneck.csv", lambda path: table.to_csv(path, index=False))
    marks = [(size, proposal.reached(size)) for size in proposal.code_sizes]
    from search import plots  # matplotlib is slow to import, and only needed here

    plots.explained_variance(proposal.ratio, marks, directory / "bottleneck.png")
