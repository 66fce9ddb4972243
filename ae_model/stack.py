"""Several autoencoders of one depth as one batched model, with the gradients of the mean squared error written out."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ae_model.activations import activation
from ae_model.adam import AdamCall, adam_rule
from ae_model.autoencoder import SymmetricAutoencoder, initial_linear, layer_activations
from ae_model.configuration import Configuration, check_training_options, checked_layer_sizes, layer_sizes_text
from ae_model.corruption import Corruption, corruption
from ae_model.errors import UserError
from ae_model.matrices import Pair, as_matrices, pair, product, stored_shape, sums_of_squares
from ae_model.padding import padded_sizes, stack_kind
from ae_model.pca_start import PcaStart, start_parameters, starts_at_pca


class AutoencoderStack:
    """g autoencoders, the *members*, that are trained side by side by Adam on the mean squared error.

    Each layer's weights are one tensor `(g, in, out)`, stored with the longer side innermost, so that a step is a
    handful of batched matrix products whatever g is. Members may have different widths: narrower ones are padded with
    zero weights, which stay zero where f(0) = 0, so that a padded member computes what it would alone. Every member has
    its own learning rate, schedule, weight decay and number of batches per epoch: a member that has no batch takes no
    Adam step. What is random in a step, noise, mask and dropout, all members share, but not its random numbers.

    Gradients are computed by hand, without autograd: for linear layers and elementwise activations they are the
    textbook's backpropagation (Goodfellow, Bengio, Courville, Deep Learning, 2016, section 6.5).

    Args:
        configurations: The configurations, one for each member, all of one kind (`padding.stack_kind`).
        n_batches: The number of batches per epoch of each member. Members with equal learning rate, schedule, weight
            decay and number of batches that stand side by side share one Adam call, so sorted members are faster.
        generators: The source of the initial weights of each member.
        starts: PCA of the training rows of each member whose training starts there (`Configuration.init`).
        device: Where the stack lives.
        dtype: The type of the weights, in which everything is computed.

    Raises:
        UserError: If the configurations are of several kinds, or one has impossible layer sizes, activations or
            training options.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        *,
        n_batches: Sequence[int],
        generators: Sequence[torch.Generator],
        starts: Sequence[PcaStart | None] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        first = configurations[0]
        for other in configurations:
            check_training_options(other)
            if stack_kind(other) != stack_kind(first):
                raise UserError(
                    "the configurations of a stack must share input size, depth, batch size, activations, dropout, "
                    "noise and mask, and all widths where an activation has f(0) != 0, but got "
                    f"{first} and {other}. Train them apart."
                )
        self.members = [checked_layer_sizes(c.layer_sizes) for c in configurations]
        self.names = first.hidden_activation, first.code_activation, first.output_activation
        widths = padded_sizes(self.members)
        self._layers = list(pairwise((*widths, *widths[-2::-1])))
        self._activations = [activation(name) for name in layer_activations(len(widths) - 1, *self.names)]
        self._code_layer = len(widths) - 2
        self.code_sizes = torch.tensor([sizes[-1] for sizes in self.members], device=device)

        g = len(self.members)
        n_parameters = sum(a * b + b for a, b in self._layers)
        self._flat, self._flat_gradient, self._exp_avg, self._exp_avg_sq = (
            torch.zeros(g * n_parameters, device=device, dtype=dtype) for _ in range(4)
        )
        self._make_views()
        for j, (sizes, generator) in enumerate(zip(self.members, generators, strict=True)):
            initial = [initial_linear(n_in, n_out, generator) for n_in, n_out in pairwise((*sizes, *sizes[-2::-1]))]
            if starts_at_pca(configurations[j]):
                start = None if starts is None else starts[j]
                assert start is not None, f"member {j} starts at PCA, which must be given"
                initial = self._started(start, initial)
            for layer, (weight, bias) in enumerate(initial):
                n_out, n_in = weight.shape
                self.weights[layer][j, :n_in, :n_out] = weight.T
                self.biases[layer][j, 0, :n_out] = bias
        self._adam_rules = [adam_rule(c, n) for c, n in zip(configurations, n_batches, strict=True)]
        self._adam_calls = self._make_adam_calls([0.0] * g)
        self._corruption = corruption(first, (*widths, *widths[-2::-1]), g, device)
        self._buffers: dict[int, tuple[list[Pair], list[Pair]]] = {}

    def begin_epoch(self, *, seed: int, folds: Sequence[int], epoch: int) -> None:
        """Take the random numbers of an epoch; must come before its steps where dropout, noise or mask is not 0.

        Args:
            seed: The seed of the training.
            folds: The number of each member's fold.
            epoch: The number of the epoch, counted from 1.
        """
        if self._corruption is not None:
            self._corruption.begin_epoch(seed, folds, epoch)

    def forward(
        self, x: Float[Tensor, "members batch input"]
    ) -> tuple[Float[Tensor, "members batch input"], Float[Tensor, "members batch code"]]:
        """Reconstructions and codes of each member's own batch; both are overwritten by the next call."""
        values, _ = self._forward(pair(x))
        return values[-1][0], values[self._code_layer][0]

    def train_step(
        self,
        x: Float[Tensor, "members batch input"],
        rows: Float[Tensor, "members 1 1"] | int,
        mask: Float[Tensor, "members batch 1"] | None = None,
        batch: int = 0,
        index: Int[Tensor, "members batch"] | None = None,
    ) -> Float[Tensor, " members"]:
        """One Adam step of every member on its own batch.

        Args:
            x: Scaled samples.
            rows: How many of the rows of x count: one number, or one for each member (0 counts as 1).
            mask: 1 for rows that count, 0 for padding; None if all count.
            batch: The index of the batch within the epoch: members with fewer batches take no step.
            index: The numbers of the samples, which dropout, noise and mask follow from; not read without them.

        Returns:
            Each member's sum of squared errors over the rows that count, before the step.
        """
        random = self._corruption
        if random is None:
            values, seen = self._forward(pair(x))
        else:
            assert index is not None, "dropout, noise and mask need the numbers of the samples"
            random.begin_step(index)
            values, seen = self._forward(pair(random.corrupted(x)), random)
        preactivations, gradients = self._buffers[x.shape[1]]
        gradient = gradients[-1]
        errors = torch.sub(values[-1][0], x, out=gradient[0])
        if mask is not None:
            errors.mul_(mask)
        squared_error = sums_of_squares(errors)
        # d mse / d reconstruction = 2 (reconstruction - x) / (rows * features)
        errors.mul_(2 / (rows * x.shape[2]))
        for layer in reversed(range(len(self._layers))):
            chosen = self._activations[layer]
            if random is not None and random.drops(layer):
                random.drop_gradient_(layer, gradient[0])
            chosen.backward(gradient[0], (values if chosen.from_output else preactivations)[layer][0])
            product(seen[layer][::-1], gradient, out=self._weight_gradient_pairs[layer])
            torch.sum(gradient[0], 1, keepdim=True, out=self._bias_gradients[layer])
            if layer:
                gradient = product(gradient, self._weight_pairs[layer][::-1], out=gradients[layer - 1])
        self._adam_step(batch)
        return squared_error

    @property
    def n_common_batches(self) -> int:
        """Batches of an epoch in which every member takes a step."""
        return min(call.n_batches for call in self._adam_calls)

    @property
    def has_schedule(self) -> bool:
        """Whether the learning rate of a member changes from step to step."""
        return any(rule.schedule_epochs is not None for rule in self._adam_rules)

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members alone, in this order; each keeps its weights and its Adam state.

        Args:
            members: The numbers of the members to keep, at least one.
        """
        chosen = list(members)
        steps = self.state()["steps"].tolist()
        states = [
            torch.cat([tensor[chosen].reshape(-1) for tensor in self._tensors(state)])
            for state in (self._flat, self._flat_gradient, self._exp_avg, self._exp_avg_sq)
        ]
        self.members = [self.members[j] for j in chosen]
        self.code_sizes = self.code_sizes[chosen]
        self._flat, self._flat_gradient, self._exp_avg, self._exp_avg_sq = states
        self._make_views()
        self._adam_rules = [self._adam_rules[j] for j in chosen]
        self._adam_calls = self._make_adam_calls([steps[j] for j in chosen])
        if self._corruption is not None:
            self._corruption.keep(chosen)
        self._buffers.clear()

    def state(self) -> dict[str, Tensor]:
        """What the coming steps depend on: parameters, Adam's moments (flat, as stored, not copied), step counts."""
        steps = [call.steps_taken for call in self._adam_calls for _ in range(call.n_members)]
        return {
            "parameters": self._flat,
            "exp_avg": self._exp_avg,
            "exp_avg_sq": self._exp_avg_sq,
            "steps": torch.tensor(steps, dtype=torch.float64),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned of a stack made with the same arguments.

        Raises:
            ValueError: If the state is another stack's.
        """
        own = self.state()
        if any(state[name].shape != own[name].shape or state[name].dtype != own[name].dtype for name in own):
            raise ValueError("the state is that of another stack.")
        for name in ("parameters", "exp_avg", "exp_avg_sq"):
            own[name].copy_(state[name])
        self._adam_calls = self._make_adam_calls(state["steps"].tolist())

    def parameters_of(self, member: int) -> list[Tensor]:
        """A copy of a member's weights `(in, out)` and biases `(out,)`, layer by layer, where the stack lives."""
        sizes = self.members[member]
        parameters = []
        layers = pairwise((*sizes, *sizes[-2::-1]))
        for (n_in, n_out), weight, bias in zip(layers, self.weights, self.biases, strict=True):
            parameters += [weight[member, :n_in, :n_out].clone(), bias[member, 0, :n_out].clone()]
        return parameters

    def to_model(self, member: int) -> SymmetricAutoencoder:
        """A copy of one member as a module on the CPU."""
        hidden, code, output = self.names
        return SymmetricAutoencoder.from_parameters(
            self.members[member],
            self.parameters_of(member),
            hidden_activation=hidden,
            code_activation=code,
            output_activation=output,
        )

    def load_model(self, member: int, model: SymmetricAutoencoder) -> None:
        """Give a member the weights of a module, as `to_model` returns it.

        Raises:
            UserError: If the module has other layer sizes or activations.
        """
        wanted = self.members[member], self.names
        found = model.layer_sizes, (model.hidden_activation, model.code_activation, model.output_activation)
        # The hidden activation of a model without hidden layers says nothing.
        kinds = [(sizes, layer_activations(len(sizes) - 1, *names)) for sizes, names in (wanted, found)]
        if kinds[0] != kinds[1]:
            raise UserError(
                "the initial model must have the layer sizes and the activations (hidden, code, output) "
                f"{layer_sizes_text(wanted[0])} and {', '.join(wanted[1])}, but has "
                f"{layer_sizes_text(found[0])} and {', '.join(found[1])}. Give another."
            )
        with torch.no_grad():
            for linear, weight, bias in zip(model.linear_layers(), self.weights, self.biases, strict=True):
                weight[member, : linear.in_features, : linear.out_features] = linear.weight.T
                bias[member, 0, : linear.out_features] = linear.bias

    def _started(self, start: PcaStart, initial: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """A member's parameters that start at PCA, given its random ones."""
        layers = start_parameters(
            start,
            [(weight.numpy(), bias.numpy()) for weight, bias in initial],
            hidden=self.names[0],
            code=self.names[1],
        )
        return [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in layers]

    def _forward(self, x: Pair, random: Corruption | None = None) -> tuple[list[Pair], list[Pair]]:
        """The value of every layer for x, and what every layer sees, in buffers that are kept for each batch size."""
        g, rows, _ = x[0].shape
        if rows not in self._buffers:
            # The last layer's values meet x, element by element, and so are stored as x is.
            shapes = [stored_shape((g, rows, n_out)) for _, n_out in self._layers[:-1]] + [tuple(x[0].shape)]
            outputs, gradients = (
                [pair(as_matrices(torch.empty(shape, device=x[0].device, dtype=x[0].dtype), rows)) for shape in shapes]
                for _ in range(2)
            )
            self._buffers[rows] = outputs, gradients
        outputs, _ = self._buffers[rows]
        values: list[Pair] = []
        seen = [x]
        for weight, bias, chosen, out in zip(
            self._weight_pairs, self._bias_pairs, self._activations, outputs, strict=True
        ):
            product(seen[-1], weight, bias, out=out)
            value = chosen.apply(out[0])
            values.append(out if value is out[0] else pair(value))
            if random is not None and random.drops(layer := len(values) - 1):
                seen.append(pair(random.dropped(layer, value)))
            else:
                seen.append(values[-1])
        return values, seen

    def _make_views(self) -> None:
        """Make the views of the flat tensors; they must be made again where these are replaced."""
        self.weights, self.biases = self._views(self._flat)
        self._weight_pairs, self._bias_pairs = [pair(w) for w in self.weights], [pair(b) for b in self.biases]
        weight_gradients, self._bias_gradients = self._views(self._flat_gradient)
        self._weight_gradient_pairs = [pair(w) for w in weight_gradients]

    def _views(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Weights `(g, in, out)` and biases `(g, 1, out)` of each layer as views of one flat tensor."""
        tensors = self._tensors(flat)
        weights = [as_matrices(w, n_in) for w, (n_in, _) in zip(tensors[::2], self._layers, strict=True)]
        return weights, tensors[1::2]

    def _tensors(self, flat: Tensor) -> list[Tensor]:
        """Weight and bias of each layer as they are stored, one after the other."""
        g = len(self.members)
        shapes = [shape for n_in, n_out in self._layers for shape in (stored_shape((g, n_in, n_out)), (g, 1, n_out))]
        return [part.view(s) for part, s in zip(torch.split(flat, [math.prod(s) for s in shapes]), shapes, strict=True)]

    def _make_adam_calls(self, steps_taken: Sequence[float]) -> list[AdamCall]:
        """One call for each run of members that always step together; a single run is one flat tensor."""
        rules = self._adam_rules
        starts = [j for j, rule in enumerate(rules) if j == 0 or rule != rules[j - 1]]
        states = self._flat, self._flat_gradient, self._exp_avg, self._exp_avg_sq
        calls = []
        for start, end in pairwise([*starts, len(rules)]):
            if len(starts) == 1:
                parts = [[state] for state in states]
            else:
                parts = [[tensor[start:end] for tensor in self._tensors(state)] for state in states]
            calls.append(AdamCall(rules[start], end - start, steps_taken[start], *parts))
        return calls

    def _adam_step(self, batch: int) -> None:
        for call in self._adam_calls:
            if batch < call.n_batches:
                call.step()
