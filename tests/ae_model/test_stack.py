"""The batched model against separate modules that are trained by autograd and torch.optim.Adam, in float64."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ae_model import Configuration, SymmetricAutoencoder
from ae_model.configuration import ACTIVATION_NAMES
from ae_model.padding import ZERO_AT_ZERO
from ae_model.stack import AutoencoderStack


def make_stack(
    members: Sequence[tuple[int, ...]],
    activations: tuple[str, str, str] = ("relu", "linear", "tanh"),
    learning_rates: Sequence[float] | None = None,
    n_batches: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> AutoencoderStack:
    """A float64 stack; member j starts from seed j unless told otherwise."""
    return AutoencoderStack(
        [
            Configuration(
                layer_sizes=sizes,
                hidden_activation=activations[0],
                code_activation=activations[1],
                output_activation=activations[2],
                learning_rate=rate,
            )
            for sizes, rate in zip(members, learning_rates or [1e-2] * len(members), strict=True)
        ],
        n_batches=n_batches or [1] * len(members),
        generators=[torch.Generator().manual_seed(seed) for seed in seeds or range(len(members))],
        dtype=torch.float64,
    )


def make_model(
    layer_sizes: tuple[int, ...], seed: int, activations: tuple[str, str, str] = ("relu", "linear", "tanh")
) -> SymmetricAutoencoder:
    """The float64 module that starts from the same weights as a member of that seed."""
    return SymmetricAutoencoder(
        layer_sizes,
        hidden_activation=activations[0],
        code_activation=activations[1],
        output_activation=activations[2],
        generator=torch.Generator().manual_seed(seed),
    ).double()


def train_with_torch(model: nn.Module, batches: Sequence[Tensor], learning_rate: float = 1e-2) -> list[float]:
    """Sum of squared errors of each batch, before its step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    squared_errors = []
    for x in batches:
        squared_error = (model(x)[0] - x).square().sum()
        optimizer.zero_grad()
        (squared_error / x.numel()).backward()
        optimizer.step()
        squared_errors.append(squared_error.item())
    return squared_errors


def random_batches(n_batches: int, *shape: int) -> Tensor:
    """Uniform in [-1, 1]."""
    return 2 * torch.rand(n_batches, *shape, generator=torch.Generator().manual_seed(99), dtype=torch.float64) - 1


def assert_same_parameters(model: nn.Module, expected: nn.Module, rtol: float = 1e-10, err_msg: str = "") -> None:
    """Every weight and bias to a relative `rtol`, and to `rtol / 100` of one where it is near zero."""
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(parameter.detach(), other.detach(), rtol=rtol, atol=rtol / 100, err_msg=err_msg)


@pytest.mark.parametrize("code", ACTIVATION_NAMES)
@pytest.mark.parametrize("hidden", ACTIVATION_NAMES)
def test_steps_equal_autograd_and_torch_adam(hidden: str, code: str) -> None:
    """Hand-written gradients are right for every combination of activations: two Adam steps."""
    for output in ACTIVATION_NAMES:
        activations = hidden, code, output
        stack, model = make_stack([(5, 4, 3)], activations), make_model((5, 4, 3), 0, activations)
        batches = random_batches(2, 1, 6, 5)
        squared_errors = [stack.train_step(x, rows=6).item() for x in batches]
        np.testing.assert_allclose(squared_errors, train_with_torch(model, batches[:, 0]), rtol=1e-10, err_msg=output)
        assert_same_parameters(stack.to_model(0), model, err_msg=output)


def test_gradients_have_the_size_of_the_members_own_mean() -> None:
    """Where gradients are as small as Adam's epsilon the step shows their size, which otherwise cancels."""
    linear = "linear", "linear", "linear"  # torch's tanh and the stack's differ in the 16th decimal, which is much here
    stack, alone = make_stack([(4, 3, 2)] * 3, linear), [make_model((4, 3, 2), seed, linear) for seed in range(3)]
    x = 1e-7 * random_batches(1, 3, 5, 4)
    with torch.no_grad():
        for bias in (*stack.biases, *(b for model in alone for n, b in model.named_parameters() if "bias" in n)):
            bias.mul_(1e-7)
    stack.train_step(x[0], rows=5)
    for member, model in enumerate(alone):
        train_with_torch(model, x[:, member])
        trained = dict(stack.to_model(member).named_parameters())
        for name, parameter in model.named_parameters():
            if "bias" in name:
                torch.testing.assert_close(trained[name], parameter, rtol=1e-8, atol=0)


def test_members_start_from_the_weights_of_the_module() -> None:
    """A generator gives a member the weights that it gives a SymmetricAutoencoder, whatever its neighbours' widths."""
    members = [(6, 5, 2), (6, 3, 4)]
    stack = make_stack(members, seeds=[7, 8])
    for member, (sizes, seed) in enumerate(zip(members, [7, 8], strict=True)):
        assert_same_parameters(stack.to_model(member), make_model(sizes, seed), rtol=0)


def test_forward_equals_the_modules() -> None:
    """Each member reconstructs its own batch, and codes fill the first columns."""
    members = [(6, 5, 2), (6, 3, 4)]
    stack = make_stack(members)
    x = random_batches(1, 2, 7, 6)[0]
    reconstruction, code = stack.forward(x)
    for member, sizes in enumerate(members):
        expected_reconstruction, expected_code = stack.to_model(member)(x[member])
        torch.testing.assert_close(reconstruction[member], expected_reconstruction.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(code[member, :, : sizes[-1]], expected_code.detach(), rtol=1e-12, atol=1e-14)
        assert not code[member, :, sizes[-1] :].any()


def test_to_model_is_a_copy() -> None:
    """Further training of the stack leaves the model as it was, and keeps names and dtype."""
    stack = make_stack([(5, 4, 3)], ("elu", "relu", "sigmoid"))
    model = stack.to_model(0)
    assert (model.layer_sizes, model.hidden_activation, model.code_activation, model.output_activation) == (
        (5, 4, 3),
        "elu",
        "relu",
        "sigmoid",
    )
    before = [parameter.clone() for parameter in model.parameters()]
    stack.train_step(random_batches(1, 1, 6, 5)[0], rows=6)
    assert all(torch.equal(p, b) and p.dtype == torch.float64 for p, b in zip(model.parameters(), before, strict=True))


def test_fifty_steps_grouped_equal_one_at_a_time() -> None:
    """Grouping changes rounding alone."""
    learning_rates = [1e-2, 1e-2, 3e-3, 1e-3, 1e-3]
    batches = random_batches(50, 5, 8, 6)
    grouped = make_stack([(6, 5, 3)] * 5, learning_rates=learning_rates)
    for x in batches:
        grouped.train_step(x, rows=8)
    for member, learning_rate in enumerate(learning_rates):
        alone = make_stack([(6, 5, 3)], learning_rates=[learning_rate], seeds=[member])
        for x in batches[:, member : member + 1]:
            alone.train_step(x, rows=8)
        assert_same_parameters(grouped.to_model(member), alone.to_model(0))


@pytest.mark.parametrize("code", sorted(ZERO_AT_ZERO))
@pytest.mark.parametrize("hidden", sorted(ZERO_AT_ZERO))
def test_padded_members_equal_members_alone(hidden: str, code: str) -> None:
    """Members of different widths compute what they would alone, and their padding stays exactly zero."""
    members = [(6, 5, 2, 3), (6, 2, 4, 2), (6, 4, 4, 1)]
    activations = hidden, code, "tanh"
    stack = make_stack(members, activations)
    batches = random_batches(10, 3, 8, 6)
    for x in batches:
        stack.train_step(x, rows=8)
    for member, sizes in enumerate(members):
        alone = make_model(sizes, member, activations)
        train_with_torch(alone, batches[:, member])
        assert_same_parameters(stack.to_model(member), alone)
        for layer, (n_in, n_out) in enumerate(pairwise((*sizes, *sizes[-2::-1]))):
            weight, bias = stack.weights[layer][member].clone(), stack.biases[layer][member].clone()
            weight[:n_in, :n_out] = 0
            bias[:, :n_out] = 0
            assert not weight.any()
            assert not bias.any()


@pytest.mark.parametrize("learning_rates", [[1e-3, 1e-3, 3e-2, 3e-2], [1e-3, 3e-2, 1e-3, 3e-2]])
def test_every_member_has_its_own_learning_rate(learning_rates: list[float]) -> None:
    """Whether members with equal rates stand side by side or not."""
    stack = make_stack([(5, 3)] * 4, learning_rates=learning_rates)
    batches = random_batches(5, 4, 6, 5)
    for x in batches:
        stack.train_step(x, rows=6)
    for member, learning_rate in enumerate(learning_rates):
        alone = make_model((5, 3), member)
        train_with_torch(alone, batches[:, member], learning_rate)
        assert_same_parameters(stack.to_model(member), alone)


def test_a_member_without_a_batch_takes_no_step() -> None:
    """Nor do its moments and its step count move: over three epochs it equals training on its own batches alone."""
    n_batches = [1, 2, 2, 3]
    stack = make_stack([(5, 4, 3)] * 4, n_batches=n_batches)
    batches = random_batches(9, 4, 6, 5)
    for step, x in enumerate(batches):
        before = stack.to_model(0)
        stack.train_step(x, rows=6, batch=step % 3)
        if step % 3:
            assert_same_parameters(stack.to_model(0), before, rtol=0)
    for member, own in enumerate(n_batches):
        alone = make_model((5, 4, 3), member)
        train_with_torch(alone, [x[member] for step, x in enumerate(batches) if step % 3 < own])
        assert_same_parameters(stack.to_model(member), alone)


def test_masked_rows_do_not_count() -> None:
    """Members with 4, 2 and 0 rows in a padded batch: sums and gradients are those of the rows alone."""
    stack = make_stack([(5, 4, 3)] * 3, n_batches=[1, 1, 0])
    x = random_batches(1, 3, 4, 5)[0]
    counts = torch.tensor([4, 2, 0])
    mask = (torch.arange(4) < counts[:, None]).double()[:, :, None]
    before = stack.to_model(2)
    squared_errors = stack.train_step(x, counts.clamp(min=1).double()[:, None, None], mask)
    for member, count in enumerate([4, 2]):
        alone = make_model((5, 4, 3), member)
        expected = train_with_torch(alone, [x[member, :count]])
        assert squared_errors[member].item() == pytest.approx(expected[0], rel=1e-12)
        assert_same_parameters(stack.to_model(member), alone)
    assert squared_errors[2] == 0
    assert_same_parameters(stack.to_model(2), before, rtol=0)


def test_a_diverged_member_does_not_disturb_the_others() -> None:
    """One member's infinities and NaNs stay its own."""
    stack = make_stack([(5, 4, 3)] * 2, ("linear", "linear", "linear"), learning_rates=[1e200, 1e-2])
    batches = random_batches(4, 2, 6, 5)
    for x in batches:
        stack.train_step(x, rows=6)
    assert not all(parameter.isfinite().all() for parameter in stack.to_model(0).parameters())
    alone = make_model((5, 4, 3), 1, ("linear", "linear", "linear"))
    train_with_torch(alone, batches[:, 1])
    assert_same_parameters(stack.to_model(1), alone)


def test_batch_sizes_may_alternate() -> None:
    """A short last batch does not disturb the buffers of the full ones."""
    stack, alone = make_stack([(5, 4, 3)]), make_model((5, 4, 3), 0)
    batches = [x[:, :rows] for x, rows in zip(random_batches(4, 1, 6, 5), [6, 2, 6, 2], strict=True)]
    for x in batches:
        stack.train_step(x, rows=x.shape[1])
    train_with_torch(alone, [x[0] for x in batches])
    assert_same_parameters(stack.to_model(0), alone)


@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [3, 1], [2]])
def test_kept_members_go_on_as_if_alone(kept: list[int]) -> None:
    """In the order that was asked for, with weights, learning rate, batches per epoch, moments and step count."""
    members, learning_rates, n_batches = (
        [(6, 4, 3), (6, 2, 3), (6, 4, 3), (6, 3, 1)],
        [1e-2, 1e-2, 3e-3, 1e-3],
        [1, 1, 2, 2],
    )
    stack = make_stack(members, learning_rates=learning_rates, n_batches=n_batches)
    batches = random_batches(8, 4, 6, 6)
    for step, x in enumerate(batches):
        if step == 4:
            stack.keep(kept)
        stack.train_step(x if step < 4 else x[kept], rows=6, batch=step % 2)
    assert stack.members == [members[j] for j in kept]
    assert stack.code_sizes.tolist() == [members[j][-1] for j in kept]
    for position, j in enumerate(kept):
        alone = make_model(members[j], j)
        own = [x[j] for step, x in enumerate(batches) if step % 2 < n_batches[j]]
        train_with_torch(alone, own, learning_rates[j])
        assert_same_parameters(stack.to_model(position), alone)


@pytest.mark.parametrize("other", [(6, 3), (6, 4, 3, 2), (5, 4, 3)])
def test_members_of_different_depth_or_input_are_refused(other: tuple[int, ...]) -> None:
    """The message shows the members."""
    with pytest.raises(ValueError, match=r"share input size, depth, .* but got .*\(6, 4, 3\)"):
        make_stack([(6, 4, 3), other])


@pytest.mark.parametrize("activations", [("sigmoid", "linear", "tanh"), ("relu", "sigmoid", "tanh")])
def test_different_widths_are_refused_where_padding_would_not_stay_zero(activations: tuple[str, str, str]) -> None:
    """Sigmoid is 1/2 at zero; equal widths, and sigmoid at the output, are no problem."""
    with pytest.raises(ValueError, match=r"all widths where .* f\(0\) != 0, but got .*'sigmoid'"):
        make_stack([(6, 4, 3), (6, 5, 3)], activations)
    make_stack([(6, 4, 3), (6, 4, 3)], activations)
    make_stack([(6, 4, 3), (6, 5, 3)], ("relu", "linear", "sigmoid"))
