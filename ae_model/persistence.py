"""A model directory: weights, scaling and PCA as safetensors, the rest as JSON; nothing is ever unpickled."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Num
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from ae_model.arrays import DataFrame, samples_from_data_frame
from ae_model.autoencoder import SymmetricAutoencoder
from ae_model.configuration import checked_layer_sizes
from ae_model.errors import UserError
from ae_model.linear_baseline import LinearBaseline
from ae_model.samples import checked_values
from ae_model.scaling import Scaling

FORMAT_VERSION = 1
ROWS_PER_PASS = 1024
"""Rows that go through a model at a time: what is between two layers stays in the caches. Samples that are given in
parts of so many, or of a multiple, give the same codes as all at once, to the bit: the order of a product's sums can
depend on its shape."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedAutoencoder:
    """A model with the scaling it was trained in: takes and gives samples in the data's own units."""

    model: SymmetricAutoencoder
    """The model, in evaluation mode and on the CPU; it works in scaled units."""
    scaling: Scaling
    image_shape: tuple[int, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    pca: LinearBaseline | None = None
    """PCA of the same development set with as many components as the code has units; None in older directories."""
    metadata: Mapping[str, Any]
    """Where the model comes from; plain JSON values."""

    @property
    def n_models(self) -> int:
        """How many models it is made of: one, unless it is an ensemble."""
        return 1

    @property
    def code_names(self) -> tuple[str, ...]:
        """What the columns of a table of codes are called."""
        return tuple(f"code_{i}" for i in range(self.model.layer_sizes[-1]))

    def encode(self, x: Num[np.ndarray, "samples features"] | DataFrame) -> Float[np.ndarray, "samples code"]:
        """The code of samples, float32.

        Args:
            x: Samples in the data's own units. Of a DataFrame, the columns called `feature_names` are taken, in
                whatever order they stand, and others are ignored; without `feature_names`, its columns as they stand.

        Raises:
            UserError: If x is not `(n_samples, n_features)` of finite numbers with the model's number of features, or a
                column is missing.
        """
        return _apply(
            self.model.encoder, _checked(x, self.feature_names, self.model.layer_sizes[0], "x"), self.scaling.transform
        )

    def decode(self, code: Num[np.ndarray, "samples code"] | DataFrame) -> Float[np.ndarray, "samples features"]:
        """The samples that codes stand for, float32.

        Args:
            code: Codes, as `encode` returns them. Of a DataFrame, the columns called `code_names` are taken.

        Raises:
            UserError: If code is not `(n_samples, code_size)` of finite numbers, or a column is missing.
        """
        scaled = _apply(self.model.decoder, _checked(code, self.code_names, self.model.layer_sizes[-1], "code"))
        return self.scaling.inverse(scaled, out=scaled)

    def reconstruct(self, x: Num[np.ndarray, "samples features"] | DataFrame) -> Float[np.ndarray, "samples features"]:
        """`decode(encode(x))`."""
        return self.decode(self.encode(x))


def _checked(values: Any, names: Sequence[str] | None, n_columns: int, argument: str) -> np.ndarray:
    if names is not None and isinstance(values, DataFrame):
        array = samples_from_data_frame(values, argument, None, names).values
    else:
        array = checked_values(np.asarray(values), argument)
    if array.shape[1] != n_columns:
        raise UserError(
            f"{argument} must have {n_columns} columns for this model, but has {array.shape[1]}. Check its columns.",
            argument=argument,
        )
    return array


def _copy(rows: np.ndarray, out: np.ndarray) -> None:
    out[...] = rows


@torch.no_grad()
def _apply(
    module: torch.nn.Module, rows: np.ndarray, scale: Callable[[np.ndarray, np.ndarray], object] = _copy
) -> Float[np.ndarray, "samples out"]:
    """What a module gives for rows, float32; `scale` writes a batch of them, scaled, into an array of its own."""
    dtype = next(module.parameters()).dtype
    results = []
    for start in range(0, len(rows), ROWS_PER_PASS):
        part = rows[start : start + ROWS_PER_PASS]
        batch = torch.empty(part.shape, dtype=dtype)  # torch's own memory: a product may depend on how it is aligned
        scale(part, batch.numpy())
        results.append(module(batch).float().numpy())
    return results[0] if len(results) == 1 else np.concatenate(results)


def save_model(directory: str | Path, trained: TrainedAutoencoder) -> None:
    """Write `model.safetensors` and `model.json` into a directory, which is made if it is missing.

    Raises:
        OSError: If they cannot be written; a model that was there before is then still whole.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model = trained.model
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    tensors |= {
        "scaling.scale": torch.from_numpy(trained.scaling.scale),
        "scaling.shift": torch.from_numpy(trained.scaling.shift),
    }
    if trained.pca is not None:
        tensors |= {
            "pca.mean": torch.from_numpy(trained.pca.mean),
            "pca.components": torch.from_numpy(trained.pca.components).contiguous(),
        }
    description = {
        "format": "ae-search model",
        "format_version": FORMAT_VERSION,
        "layer_sizes": list(model.layer_sizes),
        "hidden_activation": model.hidden_activation,
        "code_activation": model.code_activation,
        "output_activation": model.output_activation,
        "image_shape": trained.image_shape,
        "feature_names": trained.feature_names,
        "metadata": dict(trained.metadata),
    }
    new = directory / "model.safetensors.new", directory / "model.json.new"
    try:
        new[0].write_bytes(to_bytes(tensors))
        new[1].write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        (directory / "model.json").unlink(missing_ok=True)  # so that no instant has the one model's beside the other's
        for path in new:
            path.replace(path.with_suffix(""))
    finally:
        for path in new:
            with suppress(OSError):
                path.unlink()


def load_single(directory: str | Path) -> TrainedAutoencoder:
    """The model that `save_model` wrote into a directory.

    Raises:
        UserError: If there is no model, or its files are damaged, another program's, or of a newer format.
    """
    directory = Path(directory)
    for name in ("model.json", "model.safetensors"):
        if not os.path.isfile(directory / name):  # unlike Path.is_file, false for a name that no file can have
            raise UserError(f"{directory}: is not a model directory, {name} is missing. Check the path.")
    try:
        description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        with safe_open(directory / "model.safetensors", framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(f"{directory}: the model cannot be read ({_one_line(error)}). Retrain it.") from error
    if not isinstance(description, dict) or description.get("format") != "ae-search model":
        raise UserError(f"{directory / 'model.json'}: is not the description of a model of ae-search. Check the path.")
    version = description.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise UserError(
            f"{directory}: the model has format {version!r}, but this version reads up to {FORMAT_VERSION}. "
            "Upgrade ae-search."
        )
    try:
        # Before anything is allocated: what model.json says could be any size.
        _check_shapes(checked_layer_sizes(description["layer_sizes"]), shapes)
        return _assemble(description, load_file(directory / "model.safetensors"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{directory}: model.json and model.safetensors do not fit together ({_one_line(error)}). Retrain it."
        ) from error


def _check_shapes(layer_sizes: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError if the tensors in a file are not those of a model of these sizes."""
    expected: dict[str, tuple[int, ...]] = {}
    for part, sizes in (("encoder", layer_sizes), ("decoder", layer_sizes[::-1])):
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            expected[f"model.{part}.{2 * i}.weight"] = (n_out, n_in)  # each layer is followed by its activation
            expected[f"model.{part}.{2 * i}.bias"] = (n_out,)
    surplus = [name for name in shapes if name.startswith("model.") and name not in expected]
    if surplus:
        raise ValueError(f"layer_sizes {layer_sizes} have no {surplus[0]}")
    expected |= dict.fromkeys(("scaling.scale", "scaling.shift"), layer_sizes[:1])
    if "pca.mean" in shapes or "pca.components" in shapes:
        n_components = min(shapes.get("pca.components", (0,))[0], layer_sizes[-1])
        expected |= {"pca.mean": layer_sizes[:1], "pca.components": (max(n_components, 1), layer_sizes[0])}
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            raise ValueError(f"{name} must have the shape {shape}, but has {shapes.get(name)}")


def _assemble(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> TrainedAutoencoder:
    """A model from the content of its files, whose shapes are checked; raises anything where it is not one."""
    model = SymmetricAutoencoder(
        description["layer_sizes"],
        hidden_activation=description["hidden_activation"],
        code_activation=description["code_activation"],
        output_activation=description["output_activation"],
    )
    parameters = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    model.to(next(iter(parameters.values())).dtype).load_state_dict(parameters)
    n_features = model.layer_sizes[0]
    shape, names, metadata = description["image_shape"], description["feature_names"], description["metadata"]
    if shape is not None and (len(shape) not in (2, 3) or min(shape) < 1 or math.prod(shape) != n_features):
        raise ValueError(f"image_shape is {shape}, but there are {n_features} features")
    if names is not None and len(names) != n_features:
        raise ValueError(f"there are {len(names)} feature_names, but {n_features} features")
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata is {metadata!r}")
    pca = None
    if "pca.mean" in tensors:
        pca = LinearBaseline(mean=tensors["pca.mean"].numpy(), components=tensors["pca.components"].numpy())
    return TrainedAutoencoder(
        model=model.eval(),
        scaling=Scaling(scale=tensors["scaling.scale"].numpy(), shift=tensors["scaling.shift"].numpy()),
        image_shape=None if shape is None else tuple(shape),
        feature_names=None if names is None else tuple(names),
        pca=pca,
        metadata=metadata,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
