"""What is told to a tracker, and what a tracker is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedTrial:
    """A trial, as it is shown."""

    trial_id: str
    name: str
    """Its layer sizes and its id: no other trial has this name."""
    parameters: Mapping[str, str | int | float]
    """What is searched: the configuration."""
    pca_val_mse: float | None
    """PCA's mean validation MSE with as many components as the code has units; None if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMeans:
    """An epoch of a trial: means over its first folds, which no later epoch or repeat changes."""

    epoch: int
    val_mse: float
    """Scaled units squared, like `train_mse`; NaN where a fold diverged."""
    val_fve: float
    train_mse: float


class Tracker(Protocol):
    """Where a search is written to. What is there already is not written again."""

    name: str

    def last_epochs(self) -> Mapping[str, int]:
        """The last epoch that is there, by trial id; trials without any are left out."""
        ...

    def write_epochs(self, trial: TrackedTrial, epochs: Sequence[EpochMeans]) -> None:
        """Add epochs that follow on those that are there."""
        ...

    def write_result(self, trial: TrackedTrial, status: str, epochs: int, figures: Mapping[str, float]) -> None:
        """Write what a trial that has ended gave after so many epochs; `figures` are by name, none is NaN."""
        ...

    def write_winner(self, trial: TrackedTrial, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Write the figures of the winner on the test set, and its pictures, PNG files."""
        ...

    def close(self) -> None:
        """Write what is still held back."""
        ...
