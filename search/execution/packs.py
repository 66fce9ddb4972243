"""Configurations -> packs: small ones of a kind share a Tune trial and are trained as one batched model.

A pack saves what a Tune trial costs, and a batched step costs less than its members' steps one by one. Which
configurations share a pack follows from the search's configurations, and from whether a GPU trains them, alone: so
numbers repeat to the bit wherever, in however many pieces, and for however many epochs a search is run. (In a search
that was widened they may differ in the last bits.)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ae_model.configuration import Configuration, count_parameters
from ae_model.padding import padded_sizes, padding_share, stack_kind
from ae_model.patience import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLimits:
    """How large packs may become."""

    max_flop: float
    """The most work of a pack in an epoch, unless one configuration has more."""
    max_padding: float
    """The part of a pack's work that may be spent on padding."""


ON_CPU = PackLimits(max_flop=2e9, max_padding=0.25)
"""A hundred epochs take some seconds of one core: enough to make a Tune trial's own cost small, little enough to keep
all slots busy."""
ON_GPU = PackLimits(max_flop=1e11, max_padding=0.75)
"""So much takes an H100 some 20 ms, while a step takes as long for one small model as for fifty, padded or not."""
HALVED = 4
"""So many times as much work may a pack have that is trained for a few epochs at a time, and shrinks."""
SECONDS_PER_STEP, SECONDS_PER_FLOP = 4e-5, 2.5e-11
"""About what one core takes for a member's step besides its products, and for products at half of the best speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Trials that are trained together, as one Tune trial."""

    trials: Mapping[str, Configuration]
    """All of the pack's trials by their ids: what it consists of never changes, or numbers would."""
    targets: Mapping[str, int]
    """The epoch that each wanted trial is to reach; trials that have none only keep the others company."""
    ends: Mapping[str, int] = field(default_factory=dict)
    """The epoch after which a trial keeps the others company no longer; that of the last target where it is missing."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """The epoch after which a trial is finished; that of its target where it is missing."""
    patience: Patience | None = None
    """How long each trial may go without a gain; for ever if None."""
    first_fold: int = 0
    """The number of the first fold: 0, or that of the first of the repeats'."""
    deadline: float | None = None
    """The time, in seconds since the epoch, after which no further epoch begins; none if None."""

    @property
    def max_epochs(self) -> int:
        """The epoch in which the last of the wanted trials has reached its target."""
        return max(self.targets.values())

    @property
    def last_epochs(self) -> list[int]:
        """The last epoch of each trial, in their order."""
        return [min(self.ends.get(t, self.max_epochs), self.max_epochs) for t in self.trials]

    @property
    def is_repeat(self) -> bool:
        """Whether it trains the repeats' folds."""
        return self.first_fold > 0


def make_packs(
    trials: Mapping[str, Configuration], *, n_rows: int, limits: PackLimits = ON_CPU
) -> list[dict[str, Configuration]]:
    """Trials grouped into packs, the pack with the most work first.

    Args:
        trials: The configurations by trial id.
        n_rows: The number of training rows of all folds together: what each parameter is multiplied with in an epoch.
        limits: How large packs may become.

    Returns:
        Each pack's configurations by trial id.
    """
    kinds: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for trial_id, configuration in trials.items():
        # A schedule of another length is another trial: it must not change who the others are together with.
        kinds[stack_kind(configuration), configuration.schedule_epochs].append(trial_id)
    packs = []
    for ids in kinds.values():
        ids.sort(key=lambda trial_id: (-trials[trial_id].n_parameters, trial_id))
        pack: list[str] = []
        for trial_id in ids:
            candidate = [*pack, trial_id]
            sizes = [trials[member].layer_sizes for member in candidate]
            too_much = _flop(sizes, n_rows) > limits.max_flop or padding_share(sizes) > limits.max_padding
            if pack and too_much:
                packs.append(pack)
                candidate = [trial_id]
            pack = candidate
        packs.append(pack)
    packs.sort(key=lambda pack: -_flop([trials[member].layer_sizes for member in pack], n_rows))
    return [{trial_id: trials[trial_id] for trial_id in pack} for pack in packs]


def epoch_seconds(pack: Pack, n_rows: int) -> float:
    """About how long an epoch of a pack takes one core: to compare packs with, not to plan a day by.

    Args:
        pack: The pack.
        n_rows: The number of training rows of all folds together.
    """
    sizes = [c.layer_sizes for c in pack.trials.values()]
    batch_size = next(iter(pack.trials.values())).batch_size
    n_steps = n_rows / batch_size  # of one member; a stack steps all folds at once, which makes up for several stacks
    return n_steps * SECONDS_PER_STEP + _flop(sizes, n_rows) * SECONDS_PER_FLOP


def _flop(layer_sizes: Sequence[Sequence[int]], n_rows: int) -> float:
    """Floating-point operations of a pack in an epoch: two for each of three passes, with padding."""
    return 6.0 * n_rows * len(layer_sizes) * count_parameters(padded_sizes(layer_sizes))
