"""ae_model.padding: which configurations share a stack, and what that costs."""

from itertools import pairwise

import pytest

from ae_model import Configuration
from ae_model.padding import padded_sizes, padding_share, stack_kind


def test_padding_share_by_hand() -> None:
    """(8, 4, 2) has 98 parameters and (8, 2, 2) has 54: padded, both have 98, and 44 of 196 are padding."""
    assert padded_sizes([(8, 4, 2), (8, 2, 2)]) == (8, 4, 2)
    assert padding_share([(8, 4, 2), (8, 2, 2)]) == pytest.approx(44 / 196)
    assert padding_share([(8, 4, 2)] * 3) == 0


@pytest.mark.parametrize(
    ("fields", "like"),
    [
        ({"layer_sizes": (8, 5, 3)}, True),
        ({"learning_rate": 0.1}, True),
        ({"layer_sizes": (8, 3)}, False),
        ({"layer_sizes": (9, 4, 2)}, False),
        ({"batch_size": 32}, False),
        ({"code_activation": "linear"}, False),
        ({"output_activation": "linear"}, False),
        ({"hidden_activation": "tanh"}, False),
        ({"weight_decay": 0.1}, True),
        ({"learning_rate_schedule": "cosine", "schedule_epochs": 9}, True),
        ({"dropout": 0.1}, False),
        ({"noise_std": 0.1}, False),
        ({"mask_fraction": 0.1}, False),
    ],
)
def test_what_a_stack_shares(fields: dict[str, object], like: bool) -> None:
    """Input size, depth, batch size, activations and what is random in a step; not widths, nor what Adam does."""
    one = Configuration(layer_sizes=(8, 4, 2))
    other = Configuration(**{"layer_sizes": (8, 4, 2), **fields})  # type: ignore[arg-type]  # of the right kinds
    assert (stack_kind(one) == stack_kind(other)) == like


def test_widths_too_where_padding_would_not_stay_zero() -> None:
    """Sigmoid is 1/2 at 0."""
    sizes = [(8, 4, 2), (8, 5, 2), (8, 4, 2)]
    kinds = [stack_kind(Configuration(layer_sizes=s, hidden_activation="sigmoid")) for s in sizes]
    assert [a == b for a, b in pairwise(kinds)] == [False, False]
    assert kinds[0] == kinds[2]
