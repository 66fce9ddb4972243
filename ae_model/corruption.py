"""What is random in a training step: noise and mask of the input, dropout of hidden layers."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ae_model.configuration import Configuration
from ae_model.random_fields import field_keys, keyed_words, random_bits, standard_normal, threshold

NOISE, MASK, FIRST_LAYER = 0, 1, 2
"""The numbers of the fields: of the input's noise, of its mask, and of the first layer's dropout, with those of the
other layers after it."""


class Corruption:
    """The random numbers of the members of a stack, and what they do to inputs and hidden layers.

    Args:
        configuration: How strong they are; all members of a stack share that.
        widths: The padded widths of the input and of all layers.
        n_members: The number of members.
        device: Where the stack lives.
    """

    def __init__(
        self, configuration: Configuration, widths: Sequence[int], n_members: int, device: torch.device | str
    ) -> None:
        self._noise_std, self._mask_fraction = configuration.noise_std, configuration.mask_fraction
        self._dropout = configuration.dropout
        last, code = len(widths) - 2, len(widths) // 2 - 1
        self._dropped = [bool(self._dropout) and layer not in (code, last) for layer in range(last + 1)]
        self._n_fields = FIRST_LAYER + last
        self._units = torch.arange(max(widths), dtype=torch.int32, device=device)
        self._row_keys = torch.zeros(n_members, self._n_fields, 1, dtype=torch.int32, device=device)
        self._unit_words = torch.zeros(n_members, self._n_fields, max(widths), dtype=torch.int32, device=device)
        self._row_words = self._row_keys
        self._integers: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Tensor, Tensor]] = {}
        self._factors: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._inputs: dict[int, Tensor] = {}

    def begin_epoch(self, seed: int, folds: Sequence[int], epoch: int) -> None:
        """Take the random numbers of an epoch; in place, so that a captured step reads them too.

        Args:
            seed: The seed of the training.
            folds: The number of each member's fold.
            epoch: The number of the epoch, counted from 1.
        """
        by_fold = {k: field_keys(seed=seed, fold=k, epoch=epoch, n_fields=self._n_fields) for k in dict.fromkeys(folds)}
        keys = torch.from_numpy(np.stack([by_fold[k] for k in folds])).to(self._row_keys.device)
        self._row_keys.copy_(keys[:, :, :1])
        self._unit_words.copy_(keyed_words(self._units, keys[:, :, 1:]))

    def begin_step(self, rows: Int[Tensor, "members batch"]) -> None:
        """Take the random numbers of these rows."""
        self._row_words = keyed_words(rows[:, None, :], self._row_keys)

    def corrupted(self, x: Float[Tensor, "members batch features"]) -> Float[Tensor, "members batch features"]:
        """The input with noise and mask; x itself stays as it is. It is overwritten by the next call."""
        if not (self._noise_std or self._mask_fraction):
            return x
        if x.shape[1] not in self._inputs:
            self._inputs[x.shape[1]] = torch.empty_like(x)
        result = self._inputs[x.shape[1]]
        if self._noise_std:
            standard_normal(self._bits(NOISE, x), result)
            torch.add(x, result, alpha=self._noise_std, out=result)
        else:
            result.copy_(x)
        if self._mask_fraction:
            result.masked_fill_(self._bits(MASK, x) < threshold(self._mask_fraction), 0)
        return result

    def drops(self, layer: int) -> bool:
        """Whether units of a layer are dropped."""
        return self._dropped[layer]

    def dropped(self, layer: int, values: Float[Tensor, "members batch units"]) -> Float[Tensor, "members batch units"]:
        """What the next layer sees of a layer's values; overwritten by the next call for the layer."""
        key = layer, values.shape[1]
        if key not in self._factors:
            self._factors[key] = torch.empty_like(values), torch.empty_like(values)
        factors, result = self._factors[key]
        torch.ge(self._bits(FIRST_LAYER + layer, values), threshold(self._dropout), out=factors)
        return torch.mul(values, factors.mul_(1 / (1 - self._dropout)), out=result)

    def drop_gradient_(self, layer: int, gradient: Float[Tensor, "members batch units"]) -> None:
        """Turn the gradient in what the next layer has seen into that in the layer's values, in place."""
        factors, _ = self._factors[layer, gradient.shape[1]]
        gradient.mul_(factors)

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members alone, in this order."""
        chosen = list(members)
        self._row_keys, self._unit_words = self._row_keys[chosen], self._unit_words[chosen]
        for buffers in (self._integers, self._factors, self._inputs):
            buffers.clear()

    def _bits(self, field: int, like: Tensor) -> Tensor:
        """The random integers of a field, one for each element, stored as those are."""
        key = tuple(like.shape), like.stride()
        if key not in self._integers:
            self._integers[key] = (
                torch.empty_like(like, dtype=torch.int32),
                torch.empty_like(like, dtype=torch.int32),
            )
        words, scratch = self._integers[key]
        return random_bits(self._row_words[:, field], self._unit_words[:, field, : like.shape[2]], words, scratch)


def corruption(
    configuration: Configuration, widths: Sequence[int], n_members: int, device: torch.device | str
) -> Corruption | None:
    """The `Corruption` of a stack; None where nothing in its steps is random."""
    strengths = configuration.dropout, configuration.noise_std, configuration.mask_fraction
    return Corruption(configuration, widths, n_members, device) if any(strengths) else None
