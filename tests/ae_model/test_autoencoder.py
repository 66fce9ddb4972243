"""The module: its layers, where its activations stand, its initial weights."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ae_model import SymmetricAutoencoder, count_parameters
from ae_model.autoencoder import layer_activations


def linears(model: nn.Module) -> list[nn.Linear]:
    """Its linear layers, from the input on."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("layer_sizes", [(5, 2), (8, 6, 3), (4, 9, 7, 2), (3, 3)])
def test_decoder_mirrors_encoder(layer_sizes: tuple[int, ...]) -> None:
    """Linear layers run through the sizes and back; the outputs have the shapes of input and code."""
    model = SymmetricAutoencoder(layer_sizes)
    widths = (*layer_sizes, *layer_sizes[-2::-1])
    assert [(linear.in_features, linear.out_features) for linear in linears(model)] == list(pairwise(widths))

    x = torch.rand(7, layer_sizes[0])
    reconstruction, code = model(x)
    assert reconstruction.shape == x.shape
    assert code.shape == (7, layer_sizes[-1])
    assert torch.equal(code, model.encode(x))
    assert torch.equal(reconstruction, model.decode(code))


def by_hand(linear: list[nn.Linear], activations: list[nn.Module]) -> nn.Sequential:
    """Each linear layer followed by its activation."""
    return nn.Sequential(*(module for pair in zip(linear, activations, strict=True) for module in pair))


def test_activations_stand_where_they_should() -> None:
    """Hidden after hidden layers on both sides, code after the code, output at the end; nothing else."""
    model = SymmetricAutoencoder(
        (6, 5, 4, 3), hidden_activation="elu", code_activation="silu", output_activation="sigmoid"
    )
    activations = [nn.ELU(), nn.ELU(), nn.SiLU(), nn.ELU(), nn.ELU(), nn.Sigmoid()]
    expected = by_hand(linears(model), activations)
    x = torch.randn(9, 6)
    reconstruction, code = model(x)
    assert torch.equal(reconstruction, expected(x))
    assert torch.equal(code, expected[:6](x))
    assert layer_activations(3, "h", "c", "o") == ["h", "h", "c", "h", "h", "o"]


def test_defaults_are_the_reference_design() -> None:
    """ReLU in hidden layers and code, tanh at the output."""
    model = SymmetricAutoencoder((6, 5, 3))
    expected = by_hand(linears(model), [nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.Tanh()])
    x = torch.randn(9, 6)
    assert torch.equal(model(x)[0], expected(x))


@pytest.mark.parametrize(
    ("layer_sizes", "message"),
    [
        ((), r"at least an input and a code size, but got \(\)"),
        ((8,), r"at least an input and a code size, but got \(8,\)"),
        ((8, 0), r"positive integers, but got 0 in \(8, 0\)"),
        ((8, -3, 2), r"positive integers, but got -3 in \(8, -3, 2\)"),
        ((8, True), r"positive integers, but got True"),
    ],
)
def test_impossible_sizes_are_refused(layer_sizes: tuple[int, ...], message: str) -> None:
    """Fewer than two sizes, or a size that is no positive integer, is an error that shows it."""
    with pytest.raises(ValueError, match=message):
        SymmetricAutoencoder(layer_sizes)


@pytest.mark.parametrize("role", ["hidden_activation", "code_activation", "output_activation"])
@pytest.mark.parametrize("layer_sizes", [(8, 4, 2), (8, 2)])
def test_unknown_activation_is_refused(layer_sizes: tuple[int, ...], role: str) -> None:
    """In every role, and also where no layer would use it."""
    chosen: dict[str, Any] = {role: "rellu"}
    with pytest.raises(ValueError, match=r"one of linear, relu.* but got 'rellu'"):
        SymmetricAutoencoder(layer_sizes, **chosen)


def parameters(seed: int) -> list[Tensor]:
    """Of a model whose generator has this seed."""
    return list(SymmetricAutoencoder((7, 5, 2), generator=torch.Generator().manual_seed(seed)).parameters())


def test_generator_determines_the_initial_weights() -> None:
    """Equal seeds give equal weights, other seeds others, and torch's global generator is not touched."""
    state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(parameters(3), parameters(3), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(parameters(3), parameters(4), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_weights_follow_the_rule_of_nn_linear() -> None:
    """With torch's global generator the weights are those that nn.Linear itself would draw."""
    torch.manual_seed(5)
    model = SymmetricAutoencoder((30, 20, 10))
    torch.manual_seed(5)
    for linear in linears(model):
        expected = nn.Linear(linear.in_features, linear.out_features)
        torch.testing.assert_close(linear.weight, expected.weight)
        torch.testing.assert_close(linear.bias, expected.bias)
        assert linear.weight.abs().max() <= 1 / math.sqrt(linear.in_features)


@pytest.mark.parametrize("layer_sizes", [(5, 2), (8, 6, 3), (784, 100, 32)])
def test_count_parameters_counts_what_the_module_has(layer_sizes: tuple[int, ...]) -> None:
    """The formula equals the sum over the module's parameters."""
    expected = sum(p.numel() for p in SymmetricAutoencoder(layer_sizes).parameters())
    assert count_parameters(layer_sizes) == expected
