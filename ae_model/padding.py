"""Which configurations can be trained as one batched model, and what the padding of the narrower ones costs."""

from collections.abc import Sequence

from ae_model.configuration import ACTIVATION_NAMES, Configuration, count_parameters

ZERO_AT_ZERO = frozenset(ACTIVATION_NAMES) - {"sigmoid"}
"""Activations with f(0) = 0: a unit that is padded with zero weights stays zero."""


def stack_kind(configuration: Configuration) -> tuple[object, ...]:
    """What the members of a stack must share: configurations of one kind can be trained as one batched model.

    Depth, input size, batch size and activations; all widths where an activation does not keep padding at zero; and
    what is random in a training step: dropout, noise and mask.
    """
    c = configuration
    can_be_padded = {c.hidden_activation, c.code_activation} <= ZERO_AT_ZERO
    shape = (len(c.layer_sizes), c.layer_sizes[0]) if can_be_padded else c.layer_sizes
    activations = c.hidden_activation, c.code_activation, c.output_activation
    return shape, c.batch_size, *activations, c.dropout, c.noise_std, c.mask_fraction


def padded_sizes(layer_sizes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The widest of each layer: the sizes that all members of a stack are padded to."""
    return tuple(max(widths) for widths in zip(*layer_sizes, strict=True))


def padding_share(layer_sizes: Sequence[Sequence[int]]) -> float:
    """Part of a stack's parameters that is padding, in [0, 1)."""
    padded = len(layer_sizes) * count_parameters(padded_sizes(layer_sizes))
    return 1 - sum(map(count_parameters, layer_sizes)) / padded
