"""Weights with which an autoencoder computes PCA's reconstruction before its first training step.

Layer by layer, some units carry the components' scores z exactly or nearly, and the next layer reads z from them. All
other units keep their random incoming weights and begin with outgoing weights 0: they change nothing at first, and
learn (Chen, Goodfellow, Shlens, Net2Net, 2016, whose wider layers preserve the function in the same way).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num

from ae_model.configuration import INIT_NAMES, PCA_OUTPUTS, Configuration
from ae_model.errors import UserError
from ae_model.folds import Fold
from ae_model.scaling import Scaling

Layer = tuple[np.ndarray, np.ndarray]
"""Weight `(out, in)` and bias `(out,)`."""

_TANH_CLIP = 0.95
"""Where the targets of a tanh output end: of 0.7 to 0.97, what served most data sets best."""
_MARGIN = 0.1
"""How far beyond the training rows' scores a shifted unit stays linear, as a part of their range."""
_BEYOND = {"relu": 0.0, "leaky_relu": 0.0, "elu": 0.0, "gelu": 5.0, "silu": 15.0}
"""Above what f(z) = z: exactly, or within 1.5e-6 (gelu) and 4.6e-6 (silu)."""
_PAIR_SLOPE = {"relu": 1.0, "leaky_relu": 1.01, "gelu": 1.0, "silu": 1.0}
"""f(z) - f(-z) = slope * z, for every z."""
_TANH_ALONE, _TANH_PAIR = 0.2, 0.6
"""The greatest |v| for which tanh(v), or a pair of them, stands for its tangent: off by at most 1.4 % there."""
_TANH_BEND = float(np.arctanh(np.sqrt(1 / 3)))
"""Where tanh''' = 0 and tanh' = 2/3: tanh(v + bend) + tanh(v - bend) = 4/3 v + O(v^5), as the even terms cancel."""
_BLOCK = 64
"""Components that are computed at a time: the bits of one must not depend on how many are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PcaStart:
    """PCA of training rows x in scaled units, with scores z = components @ x - offset, and the output that follows."""

    components: Float[np.ndarray, "components features"]
    """Orthonormal rows, in falling order of variance; no more than the rows' rank."""
    offset: Float[np.ndarray, " components"]
    """The components times the mean of the rows."""
    low: Float[np.ndarray, " components"]
    """The least score of a training row."""
    high: Float[np.ndarray, " components"]
    """The greatest."""
    output_activation: str
    """What the reconstruction goes through: output_activation(z @ output_weight + output_bias)."""
    output_weight: Float[np.ndarray, "components features"]
    """With a linear output, the components."""
    output_bias: Float[np.ndarray, " features"]
    """With a linear output, the mean."""


def fit_pca_start(
    values: Num[np.ndarray, "samples features"],
    scaling: Scaling,
    n_components: int,
    *,
    output_activation: str = "linear",
) -> PcaStart:
    """PCA of training rows, for `SymmetricAutoencoder.start_at`.

    With a linear output, a network starts at PCA's reconstruction. With tanh it cannot: there, the output's weights are
    the least-squares fit of artanh(x), x clipped to +-0.95, to the scores. The MSE at the start over that of PCA, on
    rows that were not fitted: digits (28 components) 0.99, wine (6) 1.04, diabetes (6) 1.08, breast cancer (8) 1.38;
    made tables: saturated 0.50, log-normal 0.72, linear with normal noise 1.72.

    Args:
        values: Training rows, at least one, in their own units.
        scaling: Maps them to the units that the model is trained in.
        n_components: The width of the narrowest layer, >= 1. Fewer are found where the rows have a lower rank.
        output_activation: The output activation of the network that is to start: "linear" or "tanh".

    Returns:
        The start, which is the same to the bit however many threads there are and components are asked for.

    Raises:
        UserError: If no start is known for this output activation, or no component is asked for.
    """
    check_output(output_activation)
    if n_components < 1:
        raise UserError(f"n_components must be at least 1, but is {n_components}.", argument="n_components")
    from threadpoolctl import threadpool_limits  # with scikit-learn, which takes a second to import

    from ae_model.pca import fit_pca

    values = np.ascontiguousarray(values)
    with threadpool_limits(1, user_api="blas"):  # several threads add up in another order
        pca = fit_pca(values, scaling, min(values.shape))
        components, mean = np.ascontiguousarray(pca.components_), pca.mean_
        target = scaling.transform(values)
        blocks = [slice(start, start + _BLOCK) for start in range(0, min(n_components, len(components)), _BLOCK)]
        offset = np.concatenate([components[b] @ mean for b in blocks])
        scores = [target @ components[b].T - offset[b] for b in blocks]
        low, high = (np.concatenate([f(z, axis=0) for z in scores]) for f in (np.min, np.max))
        sums_of_squares = np.concatenate([np.square(z).sum(axis=0) for z in scores])
        if output_activation == "tanh":
            np.arctanh(np.clip(target, -_TANH_CLIP, _TANH_CLIP, out=target), out=target)
            bias = target.mean(axis=0)
            # The scores are centred and uncorrelated, so that each component has its own regression.
            weight = np.concatenate([z.T @ target for z in scores])
            weight /= np.where(sums_of_squares > 0, sums_of_squares, 1)[:, None]
        else:
            weight, bias = components, mean
    # Variance that is rounding alone: of the scores, or of the rows if all are equal.
    noise = max(1e-12 * sums_of_squares[0], 1e-24 * len(values) * float(np.square(mean).sum()))
    n = min(n_components, int(np.count_nonzero(sums_of_squares > noise)))
    return PcaStart(
        components=components[:n].copy(),
        offset=offset[:n],
        low=low[:n],
        high=high[:n],
        output_activation=output_activation,
        output_weight=weight[:n].copy(),
        output_bias=bias,
    )


def check_output(output_activation: str) -> None:
    """Refuse an output activation that no start at PCA is known for.

    Raises:
        UserError: If it is one.
    """
    if output_activation not in PCA_OUTPUTS:
        raise UserError(
            f'init="pca" needs output_activation {" or ".join(map(repr, PCA_OUTPUTS))}, but it is '
            f'{output_activation!r}. Change it, or use init="random".'
        )


_latest: tuple[bytes, int, list[PcaStart]] | None = None
"""The folds' starts that were computed last, for how many components, and a hash of what they follow from: the packs
that a process trains one after the other share them."""


def member_starts(
    values: Num[np.ndarray, "samples features"],
    configurations: Sequence[Configuration],
    folds: Sequence[Fold],
    scalings: Sequence[Scaling],
) -> list[PcaStart | None]:
    """Where the training of each fold's members starts; None for each fold if all configurations start at random.

    Args:
        values: Development samples in their own units.
        configurations: All with one output activation.
        folds: Whose training rows are used.
        scalings: The scaling of each fold.

    Raises:
        UserError: If an `init` is unknown, or no start is known for the output activation.
    """
    global _latest  # a process trains several packs, and PCA of wide samples takes seconds
    n_components = max((min(c.layer_sizes[1:]) for c in configurations if starts_at_pca(c)), default=0)
    if not n_components:
        return [None] * len(folds)
    output = configurations[0].output_activation
    check_output(output)
    key = _hash(values, folds, scalings, output)
    if _latest is None or _latest[0] != key or _latest[1] < n_components:
        starts = [
            fit_pca_start(values[fold.train], scaling, n_components, output_activation=output)
            for fold, scaling in zip(folds, scalings, strict=True)
        ]
        _latest = key, n_components, starts
    return list(_latest[2])


def starts_at_pca(configuration: Configuration) -> bool:
    """Whether training starts at PCA, and not at random.

    Raises:
        UserError: If `init` is neither.
    """
    if configuration.init not in INIT_NAMES:
        raise UserError(
            f"init must be one of {', '.join(INIT_NAMES)}, but got {configuration.init!r}.", argument="init"
        )
    return configuration.init == "pca"


def _hash(values: np.ndarray, folds: Sequence[Fold], scalings: Sequence[Scaling], output_activation: str) -> bytes:
    """Of the content: an address would not tell that somebody wrote into the array."""
    digest = hashlib.blake2b(f"{values.shape} {values.dtype} {output_activation}".encode())
    digest.update(np.ascontiguousarray(values).data)
    for fold, scaling in zip(folds, scalings, strict=True):
        for array in (np.array(len(fold.train)), fold.train, scaling.scale, scaling.shift):
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def start_parameters(start: PcaStart, initial: Sequence[Layer], *, hidden: str, code: str) -> list[Layer]:
    """An autoencoder's parameters that make it reconstruct as PCA does, with as many components as its layers carry.

    With V the components of q units that each layer has, m the mean and z = V(x - m), and a linear output:

    * no hidden layer: encoder weight V and bias -Vm, decoder weight V' and bias m;
    * linear units: z;
    * ReLU, with 2q units or more: z = relu(z) - relu(-z). So with leaky ReLU, whose difference is (1 + slope) z, and
      with GELU and SiLU, where f(z) - f(-z) = z;
    * fewer units, the code's, and ELU: z = f(z + c) - c, with c so large that f is linear on the training rows' scores
      and 10 % of their range around;
    * tanh, nearly: z = tanh(sz) / s with s max|z| = 0.2, or with 2q units z = (tanh(sz + u) + tanh(sz - u)) 3 / (4s)
      with tanh'''(u) = 0 and s max|z| = 0.6; sigmoid(2z) = (tanh(z) + 1) / 2. Each such layer takes off at most
      1.4 % of a score of a training row, so h of them leave an MSE of PCA's + (0.014 h)^2 of the explained variance
      at most, and much less where most scores are well within their range.

    Args:
        start: PCA of the training rows.
        initial: The random weights and biases, first encoder layer first.
        hidden: The activation of the hidden layers.
        code: The activation of the code.

    Returns:
        Weights and biases in float64. What only adds zeros to one product has the same bits in any order.
    """
    n = min(len(start.components), *(len(bias) for _, bias in initial[:-1]))
    n_hidden = len(initial) // 2 - 1
    names = [*[hidden] * n_hidden, code, *[hidden] * n_hidden]
    read, shift = start.components[:n], -start.offset[:n]  # z = read @ values of the layer below + shift
    layers = []
    for number, ((random_weight, random_bias), name) in enumerate(zip(initial[:-1], names, strict=True)):
        weight, bias = random_weight.astype(np.float64), random_bias.astype(np.float64)
        room = len(bias) if number != n_hidden else n  # a code has one unit for each component
        units = _carrier(name, room, start.low[:n], start.high[:n])
        used = len(units.bias)
        weight[:used], bias[:used] = units.weight @ read, units.weight @ shift + units.bias
        layers.append((weight, bias))
        read, shift = np.zeros((n, len(bias))), units.shift
        read[:, :used] = units.read
    weight = start.output_weight[:n]
    layers.append((weight.T @ read, (weight * shift[:, None]).sum(axis=0) + start.output_bias))
    return layers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Units:
    """Units h = f(weight @ z + bias) from which z = read @ h + shift."""

    weight: Float[np.ndarray, "units components"]
    bias: Float[np.ndarray, " units"]
    read: Float[np.ndarray, "components units"]
    shift: Float[np.ndarray, " components"]


def _carrier(name: str, width: int, low: np.ndarray, high: np.ndarray) -> _Units:
    """The units that carry scores between low and high through an activation, in a layer of this width."""
    n = len(low)
    one = np.eye(n)
    is_pair = width >= 2 * n
    if name == "linear":
        return _Units(weight=one, bias=np.zeros(n), read=one, shift=np.zeros(n))
    if name in _PAIR_SLOPE and is_pair:
        read = np.hstack([one, -one]) / _PAIR_SLOPE[name]
        return _Units(weight=np.vstack([one, -one]), bias=np.zeros(2 * n), read=read, shift=np.zeros(n))
    if name in _BEYOND:
        c = _BEYOND[name] - low + _MARGIN * (high - low)
        return _Units(weight=one, bias=c, read=one, shift=-c)
    assert name in ("tanh", "sigmoid"), name
    s = (_TANH_PAIR if is_pair else _TANH_ALONE) / np.maximum(np.abs(low), np.abs(high))
    if is_pair:
        weight, bias = np.vstack([one, one]) * s, np.repeat([_TANH_BEND, -_TANH_BEND], n)
        read, shift = np.hstack([one, one]) / s[:, None] * 0.75, np.zeros(n)
    else:
        weight, bias, read, shift = one * s, np.zeros(n), one / s[:, None], np.zeros(n)
    if name == "sigmoid":  # tanh(v) = 2 sigmoid(2v) - 1
        return _Units(weight=2 * weight, bias=2 * bias, read=2 * read, shift=-read.sum(axis=1))
    return _Units(weight=weight, bias=bias, read=read, shift=shift)
