"""Adam (Kingma, Ba, 2015) as one call for all tensors of members that step together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ae_model.configuration import Configuration
from ae_model.schedules import scheduled_rate

_TENSORS_OF_A_LAUNCH, _ELEMENTS_OF_A_BLOCK = 36, 65_536
"""On a GPU torch's fused Adam gives each so many elements of a tensor to one block of threads, which takes 70
microseconds for them on an H100, and so many tensors to one launch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamRule:
    """What decides a member's Adam steps: members with equal rules step together.

    Attributes:
        learning_rate: Adam's learning rate, > 0, or the highest of its schedule.
        weight_decay: The decoupled decay of AdamW (Loshchilov, Hutter, 2019), >= 0; everything else is torch's default.
        schedule: How the rate changes from step to step, as in `scheduled_rate`.
        schedule_epochs: The length of the schedule in epochs; None for "constant".
        n_batches: The number of batches of an epoch in which such a member takes a step.
    """

    learning_rate: float
    weight_decay: float
    schedule: str
    schedule_epochs: int | None
    n_batches: int


def adam_rule(configuration: Configuration, n_batches: int) -> AdamRule:
    """The rule of a configuration's member that has so many batches in an epoch."""
    return AdamRule(
        learning_rate=configuration.learning_rate,
        weight_decay=configuration.weight_decay,
        schedule=configuration.learning_rate_schedule,
        schedule_epochs=configuration.schedule_epochs,
        n_batches=n_batches,
    )


class AdamCall:
    """torch's fused Adam for members that share a rule and a step count.

    Args:
        rule: What the members share.
        n_members: The number of these members; kept for the caller.
        steps_taken: How many Adam steps these members have taken before.
        parameters: The parameters of all members, in as few tensors as their memory allows.
        gradients: Their gradients, in tensors of the same shapes; read at each step.
        exp_avgs: Adam's first moments.
        exp_avg_sqs: Adam's second moments.
    """

    def __init__(
        self,
        rule: AdamRule,
        n_members: int,
        steps_taken: float,
        parameters: list[Tensor],
        gradients: list[Tensor],
        exp_avgs: list[Tensor],
        exp_avg_sqs: list[Tensor],
    ) -> None:
        self.rule = rule
        self.n_batches = rule.n_batches
        self.n_members = n_members
        self._tensors = tuple(map(_pieces, (parameters, gradients, exp_avgs, exp_avg_sqs)))
        self._step = torch.full((), steps_taken, device=parameters[0].device)
        self._learning_rate = rule.learning_rate
        # Counted here too for schedules alone: asking a GPU for the number would make every step wait for it.
        self._scheduled_steps = int(steps_taken)
        # With no decay both compute the same, and this one for a little less.
        self._update = torch._fused_adamw_ if rule.weight_decay else torch._fused_adam_

    @property
    def steps_taken(self) -> float:
        """How many Adam steps these members have taken."""
        return float(self._step)

    def step(self) -> None:
        """One step, in place."""
        self._step += 1
        if self.rule.schedule_epochs is not None:
            self._learning_rate = self._next_rate(self.rule.schedule_epochs * self.n_batches)
        parameters, gradients, exp_avgs, exp_avg_sqs = self._tensors
        # What torch.optim.Adam(fused=True) calls in the end, after 25 microseconds of counting and sorting.
        self._update(
            parameters,
            gradients,
            exp_avgs,
            exp_avg_sqs,
            [],
            [self._step] * len(parameters),
            lr=self._learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.rule.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def _next_rate(self, n_steps: int) -> float:
        rate = scheduled_rate(self.rule.schedule, self.rule.learning_rate, self._scheduled_steps, n_steps)
        self._scheduled_steps += 1
        return rate


def _pieces(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same elements as more tensors, on a GPU, where a small one would leave most of it idle."""
    n_elements = sum(tensor.numel() for tensor in tensors)
    is_small = n_elements < _TENSORS_OF_A_LAUNCH * _ELEMENTS_OF_A_BLOCK
    if tensors[0].device.type == "cpu" or not is_small or len(tensors) >= _TENSORS_OF_A_LAUNCH:
        return list(tensors)
    length = -(-n_elements // (_TENSORS_OF_A_LAUNCH - len(tensors)))  # at most one piece of each is shorter
    length = max(-(-length // 4) * 4, 2048)  # four are read at once, and a block's threads take this many at a time
    return [piece for tensor in tensors for piece in torch.split(tensor.view(-1), length)]
