"""Configurations -> packs: small ones of a kind share a Tune trial and are trained as one batched model.

A pack saves what a Tune trial costs, and a batched step costs less than its members' steps one by one. Which
configurations share a pack follows from the search's configurations alone, so that numbers repeat to the bit wherever,
and in however many pieces, a search is run. (In a search that was widened they may differ in the last bits.)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ae_model.configuration import ZERO_AT_ZERO, Configuration, count_parameters

MAX_PACK_FLOP = 1e11
"""Two seconds or so of one core: enough to make a Tune trial's own cost small, little enough to keep all slots busy."""
MAX_PADDING = 0.25
"""Part of a pack's work that may be spent on padding."""


def make_packs(trials: Mapping[str, Configuration], *, sample_epochs: int) -> list[list[str]]:
    """Trial ids grouped into packs, the pack with the most work first.

    Args:
        trials: Configuration of each trial id.
        sample_epochs: Training samples times folds times epochs: what each parameter is multiplied with.
    """
    kinds: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for trial_id, configuration in trials.items():
        kinds[_kind(configuration)].append(trial_id)
    packs = []
    for ids in kinds.values():
        ids.sort(key=lambda trial_id: (-count_parameters(trials[trial_id].layer_sizes), trial_id))
        pack: list[str] = []
        for trial_id in ids:
            candidate = [*pack, trial_id]
            sizes = [trials[member].layer_sizes for member in candidate]
            if pack and (_flop(sizes, sample_epochs) > MAX_PACK_FLOP or _padding(sizes) > MAX_PADDING):
                packs.append(pack)
                candidate = [trial_id]
            pack = candidate
        packs.append(pack)
    return sorted(packs, key=lambda pack: -_flop([trials[member].layer_sizes for member in pack], sample_epochs))


def _kind(configuration: Configuration) -> tuple[object, ...]:
    """What members of a pack must share: widths too, where an activation does not keep padding at zero."""
    c = configuration
    can_be_padded = {c.hidden_activation, c.code_activation} <= ZERO_AT_ZERO
    shape = len(c.layer_sizes) if can_be_padded else c.layer_sizes
    return shape, c.batch_size, c.hidden_activation, c.code_activation, c.output_activation


def _flop(layer_sizes: Sequence[Sequence[int]], sample_epochs: int) -> float:
    """Floating-point operations of a pack: two for each of three passes, with padding."""
    return 6.0 * sample_epochs * len(layer_sizes) * count_parameters(_widest(layer_sizes))


def _padding(layer_sizes: Sequence[Sequence[int]]) -> float:
    """Part of a pack's parameters that is padding."""
    padded = len(layer_sizes) * count_parameters(_widest(layer_sizes))
    return 1 - sum(map(count_parameters, layer_sizes)) / padded


def _widest(layer_sizes: Sequence[Sequence[int]]) -> list[int]:
    return [max(widths) for widths in zip(*layer_sizes, strict=True)]
