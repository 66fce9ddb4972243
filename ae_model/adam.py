"""Adam (Kingma, Ba, 2015) as one call for all tensors of members that step together."""

import torch
from torch import Tensor


class AdamCall:
    """torch's fused Adam for members that share a learning rate and a step count.

    Args:
        learning_rate: Adam's learning rate, > 0; everything else is torch's default.
        n_batches: The number of batches of an epoch in which these members take a step; kept for the caller.
        n_members: The number of these members; kept for the caller.
        steps_taken: How many Adam steps these members have taken before.
        parameters: The parameters of all members, in as few tensors as their memory allows.
        gradients: Their gradients, in tensors of the same shapes; read at each step.
        exp_avgs: Adam's first moments.
        exp_avg_sqs: Adam's second moments.
    """

    def __init__(
        self,
        learning_rate: float,
        n_batches: int,
        n_members: int,
        steps_taken: float,
        parameters: list[Tensor],
        gradients: list[Tensor],
        exp_avgs: list[Tensor],
        exp_avg_sqs: list[Tensor],
    ) -> None:
        self.n_batches = n_batches
        self.n_members = n_members
        self._learning_rate = learning_rate
        self._tensors = parameters, gradients, exp_avgs, exp_avg_sqs
        self._step = torch.full((), steps_taken, device=parameters[0].device)

    @property
    def steps_taken(self) -> float:
        """How many Adam steps these members have taken."""
        return float(self._step)

    def step(self) -> None:
        """One step, in place."""
        self._step += 1
        parameters, gradients, exp_avgs, exp_avg_sqs = self._tensors
        # What torch.optim.Adam(fused=True) calls in the end, after 25 microseconds of counting and sorting.
        torch._fused_adam_(
            parameters,
            gradients,
            exp_avgs,
            exp_avg_sqs,
            [],
            [self._step] * len(parameters),
            lr=self._learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
