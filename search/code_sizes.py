"""Data set -> the code sizes that PCA proposes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ae_model.data import Dataset
from ae_model.errors import UserError
from ae_model.pca import code_size_for, explained_variance_ratio
from ae_model.scaling import fit_scaling
from search.files import is_current, replace_file
from search.scaling import resolved_scaling
from search.settings import BottleneckSettings, LogUniform, SearchSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodeSizes:
    """PCA's proposal for the code size."""

    ratio: np.ndarray
    """The explained variance ratio of each principal component, in falling order."""
    code_sizes: list[int]
    """The code sizes, each once: one for each fraction of the variance, or those that the settings list; the ends of
    their range, where they have one."""
    searched_range: LogUniform[int] | None = None
    """The range that code sizes are drawn from, if they are not listed."""

    @property
    def searched(self) -> Sequence[int] | LogUniform[int]:
        """What a search takes its code sizes from."""
        return self.searched_range or self.code_sizes

    def code_size_for(self, explained_variance: float) -> int:
        """The smallest number of components that explain this fraction of the variance, which is in (0, 1]."""
        return code_size_for(explained_variance, self.ratio)

    def reached(self, code_size: int) -> float:
        """The fraction of the variance that so many components explain."""
        return float(self.ratio[:code_size].sum())

    def text(self) -> str:
        """The code sizes and what they explain, in one line."""
        explained = [
            f"{size}, with which PCA explains {self.reached(size):.2%} of the variance" for size in self.code_sizes
        ]
        if self.searched_range is not None:
            return f"code sizes from {', to '.join(explained)}"
        return "; ".join(f"code size {text}" for text in explained)


def propose_code_sizes(dataset: Dataset, settings: BottleneckSettings | SearchSettings | None = None) -> CodeSizes:
    """Fit PCA to the development set and propose code sizes.

    Args:
        dataset: The data set, as `load_dataset` returns it.
        settings: All settings of a search, or only what the code sizes are to explain; all defaults if None. The data
            is scaled as a search with them does.

    Raises:
        UserError: If the samples do not vary, or an argument is of another type.

    Examples:
        >>> propose_code_sizes(load_dataset("digits")).code_sizes
        [28]
    """
    if not isinstance(dataset, Dataset):
        raise UserError(
            f"dataset must be a Dataset, but is of type {type(dataset).__name__}. "
            "Make one with load_dataset, which reads named sources and files.",
            argument="dataset",
        )
    if not isinstance(settings, SearchSettings):
        # A copy, because a range of code sizes is refused with the algorithm of the defaults.
        settings = SearchSettings().model_copy(update={"bottleneck": settings or BottleneckSettings()})
    wanted = settings.bottleneck
    scaling = fit_scaling(dataset.development, dataset.value_range, resolved_scaling(settings, dataset))
    try:
        ratio = explained_variance_ratio(dataset.development, scaling)
    except UserError as error:
        raise UserError(f"{dataset.name}: {error}") from error
    if isinstance(wanted.code_sizes, LogUniform):
        ends = [wanted.code_sizes.low, wanted.code_sizes.high]
        return CodeSizes(ratio=ratio, code_sizes=ends, searched_range=wanted.code_sizes)
    listed = wanted.code_sizes or [code_size_for(fraction, ratio) for fraction in wanted.explained_variance]
    return CodeSizes(ratio=ratio, code_sizes=list(dict.fromkeys(listed)))


def write_code_sizes(proposal: CodeSizes, directory: Path) -> None:
    """Write `bottleneck.csv` and `bottleneck.png` into a search's directory."""
    table = pd.DataFrame(
        {
            "n_components": range(1, len(proposal.ratio) + 1),
            "explained_variance_ratio": proposal.ratio,
            "cumulative": proposal.ratio.cumsum(),
            "chosen": [n in proposal.code_sizes for n in range(1, len(proposal.ratio) + 1)],
        }
    )
    path, picture = directory / "bottleneck.csv", directory / "bottleneck.png"
    replace_file(path, lambda temporary: table.to_csv(temporary, index=False))
    if is_current(picture, path):
        return
    marks = [(size, proposal.reached(size)) for size in proposal.code_sizes]
    from search import plots  # matplotlib is slow to import, and only needed here

    plots.explained_variance(proposal.ratio, marks, picture)
