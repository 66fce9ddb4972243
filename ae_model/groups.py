"""The members of a cross-validation as groups: which are computed as one stack, and an epoch of a group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ae_model.configuration import Configuration, count_parameters
from ae_model.folds import Fold
from ae_model.padding import padded_sizes, stack_kind
from ae_model.pca_start import member_starts
from ae_model.resident import ResidentData
from ae_model.scaling import Scaling
from ae_model.stack import AutoencoderStack
from ae_model.training import Step, evaluate_members, initial_generator, train_epoch, training_step

MAX_STACK_STATE_BYTES = 16 * 2**20
"""Weights, gradients and Adam's moments of one stack on a CPU: about what stays in the cache of one core."""
MIN_STACK_STATE_BYTES = 2 * 2**20
"""A stack that holds this much is fast; it takes narrower members only if they are nearly as large."""
MAX_MEMBER_PADDING = 0.1
"""The part of a member that may be padding, where it could as well be in another stack."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Members that are computed as one stack; a member is (number of the configuration, number of the fold)."""

    members: list[tuple[int, int]]
    stack: AutoencoderStack
    data: ResidentData
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupResult:
    """What an epoch of a group has given, on the device."""

    sums: Float[Tensor, "3 members"]
    """Sums of squared errors in training and validation, and dead code units."""
    by_row: Float[Tensor, "members longest"]
    """The sum of squared errors of each validation row, as `evaluate_members` returns it."""


def train_and_evaluate(
    group: Group, folds: Sequence[Fold], orders: Sequence[np.ndarray], batch_size: int
) -> GroupResult:
    """One epoch."""
    squared_errors = train_epoch(group.step, group.data, [orders[k] for _, k in group.members], batch_size)
    result = evaluate(group, folds)
    result.sums[0] = squared_errors.double().sum(0)
    return result


def evaluate(group: Group, folds: Sequence[Fold]) -> GroupResult:
    """The same without training, where there is no error in training."""
    validation = [folds[k].validation for _, k in group.members]
    total, by_row, dead = evaluate_members(group.stack, group.data, validation)
    return GroupResult(sums=torch.stack([torch.full_like(total, torch.nan), total, dead.double()]), by_row=by_row)


def without(group: Group, configurations: set[int], batch_size: int) -> Group | None:
    """The group without the members of these configurations; None if nobody is left."""
    kept = [j for j, (c, _) in enumerate(group.members) if c not in configurations]
    if not kept or len(kept) == len(group.members):
        return group if kept else None
    group.stack.keep(kept)
    data = group.data.scaled_for(kept)
    step = training_step(group.stack, data, batch_size)
    return Group(members=[group.members[j] for j in kept], stack=group.stack, data=data, step=step)


def make_groups(
    values: np.ndarray,
    configurations: Sequence[Configuration],
    folds: Sequence[Fold],
    scalings: Sequence[Scaling],
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    *,
    first_fold: int = 0,
) -> list[Group]:
    """The groups of all folds of configurations of one kind.

    Args:
        values: Development samples in their own units.
        configurations: The configurations, all of one kind (`padding.stack_kind`).
        folds: The folds of the cross-validation.
        scalings: The scaling of each fold.
        seed: The seed of the initial weights.
        device: Where to train.
        dtype: The type of the weights.
        first_fold: The number of the first fold, from which initial weights follow.
    """
    first = configurations[0]
    assert len({stack_kind(c) for c in configurations}) == 1, "the configurations must be of one kind"
    n_batches = [-(-len(fold.train) // first.batch_size) for fold in folds]
    resident = ResidentData(values, scalings, device=device, dtype=dtype)
    starts = member_starts(values, configurations, folds, scalings)
    groups = []
    for members in _group_members(configurations, len(folds), device, dtype):
        chosen = sorted(members, key=lambda member: _adam_order(configurations[member[0]], n_batches[member[1]]))
        stack = AutoencoderStack(
            [configurations[c] for c, _ in chosen],
            n_batches=[n_batches[k] for _, k in chosen],
            generators=[initial_generator(seed, first_fold + k) for _, k in chosen],
            starts=[starts[k] for _, k in chosen],
            device=device,
            dtype=dtype,
        )
        data = resident.scaled_for([k for _, k in chosen])
        step = training_step(stack, data, first.batch_size)
        groups.append(Group(members=chosen, stack=stack, data=data, step=step))
    return groups


def _adam_order(configuration: Configuration, n_batches: int) -> tuple[object, ...]:
    """Sorts members so that those that step together stand side by side."""
    c = configuration
    return n_batches, c.learning_rate, c.weight_decay, c.learning_rate_schedule, c.schedule_epochs or 0


def _group_members(
    configurations: Sequence[Configuration], n_splits: int, device: torch.device, dtype: torch.dtype
) -> list[list[tuple[int, int]]]:
    """The members of each stack: all in one on a GPU; on a CPU, from large to small, as the constants above say."""
    sizes = [c.layer_sizes for c in configurations]
    order = sorted(range(len(sizes)), key=lambda c: -count_parameters(sizes[c]))
    groups: list[list[tuple[int, int]]] = [[]]
    for c, k in ((c, k) for c in order for k in range(n_splits)):
        widest = padded_sizes([*(sizes[other] for other, _ in groups[-1]), sizes[c]])
        state_bytes = 4 * dtype.itemsize * count_parameters(widest)
        padding = 1 - count_parameters(sizes[c]) / count_parameters(widest)
        n = len(groups[-1])
        full = (n + 1) * state_bytes > MAX_STACK_STATE_BYTES
        large_enough = n * state_bytes >= MIN_STACK_STATE_BYTES and padding > MAX_MEMBER_PADDING
        if n and device.type == "cpu" and (full or large_enough):
            groups.append([])
        groups[-1].append((c, k))
    return groups
