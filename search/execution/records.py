"""What passes between the driver and Ray's workers, as plain data without Ray."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

from ae_model.configuration import EpochRecord, OutOfFold
from ae_model.folds import Fold
from ae_model.probe import Probe, Probed
from search.execution.packs import Pack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValidationDesign:
    """What defines the evaluation of a trial, besides its configuration and the samples."""

    folds: Sequence[Fold]
    """The folds of the cross-validation."""
    repeated: Sequence[Fold] = ()
    """The folds of its repeats, all of them; their numbers follow."""
    seed: int
    """The seed of initial weights and batch order."""
    value_range: tuple[float, float] | None
    """Lowest and highest possible value, as in `Dataset`; if None, each fold fits it on its training rows."""
    scaling: str = "range"
    """How the samples are scaled, as in `fit_scaling`, by each fold for itself."""
    fp32_precision: str
    """The precision of matrix products on a GPU, "tf32" or "ieee"."""
    probe: Probe | None = None
    """What is predicted from the codes of finished trials; nothing if None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker computes with, and where it leaves checkpoints."""

    device: str
    """A device of torch, "cpu" or "cuda"."""
    n_threads: int
    """How many threads it computes with on the CPU, >= 1."""
    checkpoint_folder: str
    """The folder's absolute path or URI, as in `CheckpointFile`."""
    checkpoint_every_s: float
    """The least seconds between two checkpoints of a pack."""
    version: str = field(default_factory=partial(version, "ae-search"))
    """The version of this package, as the driver has it: a worker may have the modules alone."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What a worker's own versions must be, as `own_versions` names them; any if empty."""
    is_folder_shared: bool = False
    """Whether every worker must see the folder of checkpoints."""
    search_id: str = ""
    """What tells the search from others, whose checkpoints may lie in a folder of the same name."""

    def arithmetic(self) -> dict[str, object]:
        """What a pack's numbers depend on, besides its trials."""
        return {
            "device": self.device,
            "n_threads": self.n_threads,
            "version": self.version,
            "search_id": self.search_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Report:
    """What a worker tells the driver; without a repr, because Tune writes that of every result into its own state."""

    records: Mapping[str, Sequence[EpochRecord]] = field(default_factory=dict)
    """The new epochs of each trial that has any."""
    fit_seconds: float = 0.0
    """What the whole pack has taken so far."""
    ended: Sequence[str] = ()
    """The trials that are trained no further, whatever epoch they were to reach."""
    out_of_fold: Mapping[str, OutOfFold] = field(default_factory=dict)
    """The out-of-fold errors of those that have just reached their target, or ended."""
    probes: Mapping[str, Probed] = field(default_factory=dict)
    """How useful the codes are of those that have just finished."""
    error: str | None = None
    """Why the pack has failed."""
    unfit: str | None = None
    """Why no pack must be trained on this worker's node, and what to do."""
    host: str = field(default_factory=socket.gethostname)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Job:
    """What the driver tells a worker; without a repr, like `Report`."""

    pack: Pack
