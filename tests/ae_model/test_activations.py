"""Each activation's value and derivative against torch's own module and autograd."""

import math

import pytest
import torch

from ae_model.activations import ACTIVATIONS, activation
from ae_model.configuration import ACTIVATION_NAMES, ACTIVATION_RANGES
from ae_model.padding import ZERO_AT_ZERO


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_equal_the_module_and_autograd(name: str) -> None:
    """`apply` computes what the module computes, `backward` what autograd derives from it, kinks included; in place."""
    chosen = ACTIVATIONS[name]
    z = torch.cat([torch.linspace(-30, 30, 41), torch.tensor([-1e-3, 0.0, 1e-3])]).double().requires_grad_()
    gradient = torch.linspace(-2, 3, len(z), dtype=torch.float64)
    expected = chosen.module()(z)
    (expected_gradient,) = torch.autograd.grad(expected, z, gradient)

    before = z.detach().clone()
    value = chosen.apply(before)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-14)
    assert (value is before) == chosen.from_output
    chosen.backward(gradient, value if chosen.from_output else before)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-14)


def test_every_name_has_its_activation() -> None:
    """The names that are known without torch are those that torch's functions are given for."""
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_ranges_are_those_of_the_functions(name: str) -> None:
    """Each end is approached and not passed; where it is infinite, no bound is in sight."""
    points = torch.cat([torch.linspace(-10, 10, 20_001), torch.tensor([-1e5, 1e5])]).double()
    values = ACTIVATIONS[name].module()(points)
    for end, found in zip(ACTIVATION_RANGES[name], (values.min().item(), values.max().item()), strict=True):
        assert abs(found) > 100 if math.isinf(end) else abs(found - end) < 1e-3


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_zero_at_zero_says_whether_the_function_is_zero_at_zero(name: str) -> None:
    """Padding is permitted exactly where f(0) = 0."""
    assert (name in ZERO_AT_ZERO) == (ACTIVATIONS[name].module()(torch.zeros(1)).item() == 0)


def test_unknown_name_is_refused() -> None:
    """The message holds the name that came and those that exist."""
    with pytest.raises(ValueError, match=r"one of linear, relu, .*silu, but got 'softmax'"):
        activation("softmax")
