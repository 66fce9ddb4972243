"""A model directory: weights and scaling as safetensors, the rest as JSON; nothing is ever unpickled."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Num
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from ae_model.autoencoder import SymmetricAutoencoder
from ae_model.samples import checked_values
from ae_model.scaling import Scaling

FORMAT_VERSION = 1
_ROWS = 4096  # rows per pass through the model: bounds memory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedAutoencoder:
    """A model with the scaling it was trained in: takes and gives samples in the data's own units."""

    model: SymmetricAutoencoder
    """In evaluation mode, on the CPU; works in scaled units."""
    scaling: Scaling
    image_shape: tuple[int, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    metadata: Mapping[str, Any]
    """Where the model comes from; plain JSON values."""

    def encode(self, x: Num[np.ndarray, "samples features"]) -> Float[np.ndarray, "samples code"]:
        """The code of samples, float32.

        Raises:
            ValueError: If x is not `(n_samples, n_features)` of finite numbers with the model's number of features.
        """
        scaled = self.scaling.transform(self._checked(x, self.model.layer_sizes[0], "x"))
        return _apply(self.model.encoder, scaled)

    def decode(self, code: Float[np.ndarray, "samples code"]) -> Float[np.ndarray, "samples features"]:
        """The samples that codes stand for, float32.

        Raises:
            ValueError: If code is not `(n_samples, code_size)` of finite numbers.
        """
        scaled = _apply(self.model.decoder, self._checked(code, self.model.layer_sizes[-1], "code"))
        return self.scaling.inverse(scaled).astype(np.float32)

    def reconstruct(self, x: Num[np.ndarray, "samples features"]) -> Float[np.ndarray, "samples features"]:
        """`decode(encode(x))`."""
        return self.decode(self.encode(x))

    def _checked(self, values: Any, n_columns: int, name: str) -> np.ndarray:
        array = checked_values(np.asarray(values), name)
        if array.shape[1] != n_columns:
            raise ValueError(
                f"{name} must have {n_columns} columns for this model, but has {array.shape[1]}. Check its columns."
            )
        return array


@torch.no_grad()
def _apply(module: torch.nn.Module, rows: np.ndarray) -> Float[np.ndarray, "samples out"]:
    dtype = next(module.parameters()).dtype
    batches = (torch.from_numpy(rows[start : start + _ROWS]).to(dtype) for start in range(0, len(rows), _ROWS))
    return np.concatenate([module(batch).float().numpy() for batch in batches])


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
        for path in new:
            path.replace(path.with_suffix(""))
    finally:
        for path in new:
            with suppress(OSError):
                path.unlink()


def load_model(directory: str | Path) -> TrainedAutoencoder:
    """The model that `save_model` wrote into a directory.

    Raises:
        ValueError: If there is none, or its files are damaged, not ours, or of a newer format.
    """
    directory = Path(directory)
    for name in ("model.json", "model.safetensors"):
        if not os.path.isfile(directory / name):  # unlike Path.is_file, false for a name that no file can have
            raise ValueError(f"{directory}: is no model directory, {name} is missing. Check the path.")
    try:
        description = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        tensors = load_file(directory / "model.safetensors")
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{directory}: the model cannot be read ({_one_line(error)}). Retrain it.") from error
    if not isinstance(description, dict) or description.get("format") != "ae-search model":
        raise ValueError(f"{directory / 'model.json'}: is not the description of a model of ae-search. Check the path.")
    version = description.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"{directory}: the model has format {version!r}, but this version reads up to {FORMAT_VERSION}. "
            "Upgrade ae-search."
        )
    try:
        return _assemble(description, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{directory}: model.json and model.safetensors do not fit together ({_one_line(error)}). Retrain."
        ) from error


def _assemble(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> TrainedAutoencoder:
    """A model from the content of its files; raises anything where they do not fit together."""
    model = SymmetricAutoencoder(
        description["layer_sizes"],
        hidden_activation=description["hidden_activation"],
        code_activation=description["code_activation"],
        output_activation=description["output_activation"],
    )
    parameters = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    model.to(next(iter(parameters.values())).dtype if parameters else None).load_state_dict(parameters)
    scaling = Scaling(scale=tensors["scaling.scale"].numpy(), shift=tensors["scaling.shift"].numpy())
    if scaling.scale.shape != (model.layer_sizes[0],) or scaling.shift.shape != scaling.scale.shape:
        raise ValueError(f"scaling has the shapes {scaling.scale.shape} and {scaling.shift.shape}")
    shape, names, metadata = description["image_shape"], description["feature_names"], description["metadata"]
    if shape is not None and math.prod(shape) != model.layer_sizes[0]:
        raise ValueError(f"image_shape is {shape}, but there are {model.layer_sizes[0]} features")
    if names is not None and len(names) != model.layer_sizes[0]:
        raise ValueError(f"there are {len(names)} feature_names, but {model.layer_sizes[0]} features")
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata is {metadata!r}")
    return TrainedAutoencoder(
        model=model.eval(),
        scaling=scaling,
        image_shape=None if shape is None else tuple(shape),
        feature_names=None if names is None else tuple(names),
        metadata=metadata,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
