"""Random numbers that are computed from what they are for, not drawn one after the other.

A *field* has one number for every row and unit. It follows from seed, fold, epoch and the field's own number, and each
number in it from the row's and the unit's: so neither batch size, order, grouping nor device change it, and a narrower
layer has the first units of a wider one (counter-based generators: Salmon and others, Parallel random numbers, 2011).

The numbers of row and unit are keyed and mixed, added, and mixed again, by a bijection of 32-bit integers in which
every bit that goes in changes every bit that comes out with a probability near a half (lowbias32: Wellons, Prospecting
for hash functions, 2018). torch multiplies such integers modulo 2^32, but shifts copies of the sign in.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

_ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32), (16, None))
"""lowbias32: xor with itself shifted right by so many bits, then multiply by a number, given as a signed one."""


def field_keys(*, seed: int, fold: int, epoch: int, n_fields: int) -> Int[np.ndarray, "fields 2"]:
    """The keys of the fields of an epoch, one for rows and one for units; more fields begin with the same keys.

    Args:
        seed: The seed of the training.
        fold: The number of the fold.
        epoch: The number of the epoch, counted from 1.
        n_fields: How many fields there are.
    """
    # The last word tells it from the seeds of weights and batch orders: trailing zeros would not.
    sequence = np.random.SeedSequence((seed, fold, epoch, 1))
    keys: np.ndarray = sequence.generate_state(2 * n_fields, np.uint32).view(np.int32).reshape(n_fields, 2)
    return keys


def keyed_words(numbers: Int[Tensor, "..."], keys: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """The numbers of rows or units as 32 random bits under keys, which broadcast with them; distinct stay distinct."""
    words = numbers.to(torch.int32) ^ keys
    return mix_(words, torch.empty_like(words))


def mix_(words: Int[Tensor, "..."], scratch: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Mix the bits of 32-bit integers, in place; `scratch` is of the same shape, and is overwritten."""
    for shift, factor in _ROUNDS:
        torch.bitwise_right_shift(words, shift, out=scratch).bitwise_and_(2 ** (32 - shift) - 1)
        words.bitwise_xor_(scratch)
        if factor is not None:
            words.mul_(factor)
    return words


def random_bits(
    row_words: Int[Tensor, "members batch"],
    unit_words: Int[Tensor, "members units"],
    words: Int[Tensor, "members batch units"],
    scratch: Int[Tensor, "members batch units"],
) -> Int[Tensor, "members batch units"]:
    """A field's random 32-bit integers, uniform over all of them.

    Args:
        row_words: The numbers of the rows, by `keyed_words`.
        unit_words: The numbers of the units.
        words: Where the integers go.
        scratch: Is overwritten.
    """
    torch.add(row_words[:, :, None], unit_words[:, None, :], out=words)
    return mix_(words, scratch)


def threshold(probability: float) -> int:
    """The integer below which so large a part of all 32-bit integers lies."""
    return min(round(probability * 2**32), 2**32 - 1) - 2**31


def standard_normal(bits: Int[Tensor, "..."], out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Random integers as standard normal numbers, by the inverse of the distribution function; `bits` is overwritten.

    The upper 24 bits are used, as many as float32 has: so none is infinite, and the largest is 5.42.
    """
    torch.add(bits.bitwise_right_shift_(8), 0.5, out=out)
    return out.mul_(2.0**-23).erfinv_().mul_(2**0.5)
