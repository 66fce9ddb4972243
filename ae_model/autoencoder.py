"""The symmetric autoencoder itself."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ae_model.activations import activation
from ae_model.configuration import checked_layer_sizes
from ae_model.errors import UserError
from ae_model.pca_start import PcaStart, start_parameters


class SymmetricAutoencoder(nn.Module):
    """An encoder of linear layers and a decoder that mirrors it.

    Every size after the first is a linear layer and an activation: `hidden_activation`, and `code_activation` at the
    code. The decoder runs through the same sizes backwards and ends in `output_activation`, tanh by default so that
    outputs fit data scaled to [-1, 1].

    Args:
        layer_sizes: The encoder's widths, input first, code last: at least two positive integers.
        hidden_activation: The name of the activation of the hidden layers, on both sides.
        code_activation: The name of the activation of the code. With "relu" code units can die; "linear" units cannot.
        output_activation: The name of the activation of the reconstruction.
        generator: The source of the initial weights; torch's global one if None.

    Raises:
        UserError: If there are fewer than two sizes, a size is not a positive integer, or an activation is unknown.

    Examples:
        >>> model = SymmetricAutoencoder((784, 500, 32), code_activation="linear")
        >>> reconstruction, code = model(torch.zeros(8, 784))
        >>> reconstruction.shape, code.shape
        (torch.Size([8, 784]), torch.Size([8, 32]))
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        hidden_activation: str = "relu",
        code_activation: str = "relu",
        output_activation: str = "tanh",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name in (hidden_activation, code_activation, output_activation):
            activation(name)  # refuses unknown names, also where they are not used
        self.layer_sizes = checked_layer_sizes(layer_sizes)
        self.hidden_activation = hidden_activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        n_hidden = len(self.layer_sizes) - 2
        self.encoder = _layers(self.layer_sizes, [hidden_activation] * n_hidden + [code_activation], generator)
        self.decoder = _layers(self.layer_sizes[::-1], [hidden_activation] * n_hidden + [output_activation], generator)

    @classmethod
    @torch.no_grad()
    def from_parameters(
        cls,
        layer_sizes: Sequence[int],
        parameters: Sequence[Tensor],
        *,
        hidden_activation: str,
        code_activation: str,
        output_activation: str,
    ) -> "SymmetricAutoencoder":
        """A model with given weights, on the CPU, in their type.

        Args:
            layer_sizes: As above, and so are the activations.
            parameters: Weight `(in, out)` and bias `(out,)` of each linear layer, first encoder layer first.
            hidden_activation: The name of the activation of the hidden layers.
            code_activation: The name of the activation of the code.
            output_activation: The name of the activation of the reconstruction.
        """
        model = cls(
            layer_sizes,
            hidden_activation=hidden_activation,
            code_activation=code_activation,
            output_activation=output_activation,
            generator=torch.Generator(),  # whose weights are replaced
        ).to(parameters[0].dtype)
        for linear, weight, bias in zip(model.linear_layers(), parameters[::2], parameters[1::2], strict=True):
            linear.weight.copy_(weight.T)
            linear.bias.copy_(bias)
        return model

    def forward(
        self, x: Float[Tensor, "batch input"]
    ) -> tuple[Float[Tensor, "batch input"], Float[Tensor, "batch code"]]:
        """The reconstruction of scaled samples, and their code."""
        code = self.encode(x)
        return self.decode(code), code

    def encode(self, x: Float[Tensor, "batch input"]) -> Float[Tensor, "batch code"]:
        """The code of scaled samples."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch input"]:
        """The scaled samples that a code stands for."""
        reconstruction: Tensor = self.decoder(code)
        return reconstruction

    def linear_layers(self) -> list[nn.Linear]:
        """The linear layers, first encoder layer first."""
        return [module for module in (*self.encoder, *self.decoder) if isinstance(module, nn.Linear)]

    @torch.no_grad()
    def start_at(self, start: PcaStart) -> None:
        """Change the weights so that training starts where PCA ends: the network then reconstructs as PCA does.

        A network without hidden layers takes PCA's components V and mean m as they are: `code = V(x - m)`,
        `reconstruction = V' code + m`. In others, units carry the code from layer to layer, such as
        `z = relu(z) - relu(-z)`, and the rest keep their incoming weights and get outgoing weights 0, after Net2Net
        (Chen, Goodfellow, Shlens, 2016); `pca_start.start_parameters` has every formula. The narrowest layer decides
        how many components there are.

        Args:
            start: PCA of the training rows, as `fit_pca_start` makes it for this output activation.

        Raises:
            UserError: If the start is for another number of features or another output activation.

        Examples:
            >>> values = np.random.default_rng(0).normal(size=(100, 8))
            >>> scaling = fit_scaling(values)
            >>> model = SymmetricAutoencoder((8, 20, 3), output_activation="linear").double()
            >>> model.start_at(fit_pca_start(values, scaling, 3))
            >>> scaled = scaling.transform(values)
            >>> from sklearn.decomposition import PCA
            >>> pca = PCA(3).fit(scaled)
            >>> reconstruction, code = model(torch.from_numpy(scaled))
            >>> np.allclose(reconstruction.detach(), pca.inverse_transform(pca.transform(scaled)))
            True
        """
        n_features = len(start.output_bias)
        if (n_features, start.output_activation) != (self.layer_sizes[0], self.output_activation):
            raise UserError(
                f"start must be for {self.layer_sizes[0]} features and output_activation={self.output_activation!r}, "
                f"but is for {n_features} and {start.output_activation!r}. Make another by fit_pca_start.",
                argument="start",
            )
        linears = self.linear_layers()
        initial = [(linear.weight.numpy(force=True), linear.bias.numpy(force=True)) for linear in linears]
        layers = start_parameters(start, initial, hidden=self.hidden_activation, code=self.code_activation)
        for linear, (weight, bias) in zip(linears, layers, strict=True):
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))


def layer_activations(n_layers: int, hidden: str, code: str, output: str) -> list[str]:
    """Names of the activations after each of the `2 * n_layers` linear layers, first encoder layer first."""
    return [hidden] * (n_layers - 1) + [code] + [hidden] * (n_layers - 1) + [output]


def initial_linear(n_in: int, n_out: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Initial weight `(n_out, n_in)` and bias `(n_out,)`, float32, uniform in +-1/sqrt(n_in): nn.Linear's own rule."""
    bound = 1 / math.sqrt(n_in)
    weight = torch.empty(n_out, n_in, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(n_out, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
    return weight, bias


def _layers(sizes: Sequence[int], activations: Sequence[str], generator: torch.Generator | None) -> nn.Sequential:
    modules: list[nn.Module] = []
    for (n_in, n_out), name in zip(pairwise(sizes), activations, strict=True):
        linear: nn.Linear = nn.utils.skip_init(nn.Linear, n_in, n_out)  # type: ignore[no-untyped-call]  # torch's
        with torch.no_grad():
            weight, bias = initial_linear(n_in, n_out, generator)
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        modules += [linear, activation(name).module()]
    return nn.Sequential(*modules)
