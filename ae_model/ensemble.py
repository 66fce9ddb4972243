"""Several autoencoders as one: its code is theirs, one beside the other, its reconstruction the mean of theirs.

It is written as a directory with a model directory for each, and `ensemble.json` and `ensemble.safetensors` for what
they share.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ae_model.arrays import DataFrame, samples_from_data_frame
from ae_model.errors import UserError
from ae_model.linear_baseline import LinearBaseline
from ae_model.persistence import FORMAT_VERSION, TrainedAutoencoder, load_single, save_model
from ae_model.samples import checked_values
from ae_model.scaling import Scaling

FILE = "ensemble.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedEnsemble(TrainedAutoencoder):
    """Autoencoders of one architecture, each with its own scaling, used as one.

    What it has of `TrainedAutoencoder`: `model` is that of the first member; `scaling` and `pca` are those of all
    samples, in whose units its error is measured.
    """

    members: tuple[TrainedAutoencoder, ...]

    @property
    def n_models(self) -> int:
        """How many models it is made of."""
        return len(self.members)

    @property
    def code_names(self) -> tuple[str, ...]:
        """What the columns of a table of codes are called: those of the first member, the second, and so on."""
        return tuple(f"code_{i}" for i in range(self.n_models * self.model.layer_sizes[-1]))

    def encode(self, x: Num[np.ndarray, "samples features"] | DataFrame) -> Float[np.ndarray, "samples code"]:
        """The codes of all members side by side, float32; as `TrainedAutoencoder.encode`."""
        return np.concatenate([member.encode(x) for member in self.members], axis=1)

    def decode(self, code: Num[np.ndarray, "samples code"] | DataFrame) -> Float[np.ndarray, "samples features"]:
        """The mean of what the members make of their codes, float32; as `TrainedAutoencoder.decode`."""
        size = self.model.layer_sizes[-1]
        if isinstance(code, DataFrame):
            code = samples_from_data_frame(code, "code", None, self.code_names).values
        codes = checked_values(np.asarray(code), "code")
        if codes.shape[1] != self.n_models * size:
            raise UserError(
                f"code must have {self.n_models * size} columns for this ensemble, but has {codes.shape[1]}. Check its "
                "columns.",
                argument="code",
            )
        parts = (codes[:, k * size : (k + 1) * size] for k in range(self.n_models))
        total = np.zeros((len(codes), self.model.layer_sizes[0]), np.float64)
        for member, part in zip(self.members, parts, strict=True):
            total += member.decode(part)
        return (total / self.n_models).astype(np.float32)


def save_ensemble(
    directory: str | Path,
    members: Sequence[TrainedAutoencoder],
    *,
    scaling: Scaling,
    pca: LinearBaseline,
    metadata: Mapping[str, Any],
) -> None:
    """Write an ensemble into a directory, which is made if it is missing.

    Args:
        directory: Where it is written; member k as a model directory `fold-k`, from 1.
        members: The models, of one architecture.
        scaling: In whose units its error is measured.
        pca: PCA of all samples.
        metadata: Where it comes from; plain JSON values.

    Raises:
        OSError: If it cannot be written; what was there before is then damaged or whole, and never taken for it.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FILE).unlink(missing_ok=True)
    names = [f"fold-{number}" for number in range(1, len(members) + 1)]
    for name, member in zip(names, members, strict=True):
        save_model(directory / name, member)
    tensors = {
        "scaling.scale": scaling.scale,
        "scaling.shift": scaling.shift,
        "pca.mean": pca.mean,
        "pca.components": np.ascontiguousarray(pca.components),
    }
    (directory / "ensemble.safetensors").write_bytes(save(tensors))
    description = {
        "format": "ae-search ensemble",
        "format_version": FORMAT_VERSION,
        "members": names,
        "metadata": dict(metadata),
    }
    new = directory / f"{FILE}.new"
    try:  # last: where it is, all is
        new.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        new.replace(directory / FILE)
    finally:
        with suppress(OSError):
            new.unlink()


def load_ensemble(directory: str | Path) -> TrainedEnsemble:
    """What `save_ensemble` wrote; `loading.load_model` calls it where it finds one.

    Raises:
        UserError: If its files are damaged, or of a newer format.
    """
    directory = Path(directory)
    try:
        description = json.loads((directory / FILE).read_text(encoding="utf-8"))
        version, names = int(description["format_version"]), [str(name) for name in description["members"]]
        metadata = dict(description["metadata"])
        if not names or any(Path(name).name != name for name in names):
            raise ValueError(f"members are {names}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{directory / FILE}: cannot be read ({' '.join(str(error).split())}). Retrain it.") from error
    if version > FORMAT_VERSION:
        raise UserError(
            f"{directory}: the ensemble has format {version}, but this version reads up to {FORMAT_VERSION}. "
            "Upgrade ae-search."
        )
    members = tuple(load_single(directory / name) for name in names)
    first = members[0]
    if any(member.model.layer_sizes != first.model.layer_sizes for member in members):
        raise UserError(f"{directory}: the ensemble's models are of several architectures. Retrain it.")
    try:
        tensors = load_file(directory / "ensemble.safetensors")
        scaling = Scaling(scale=tensors["scaling.scale"], shift=tensors["scaling.shift"])
        pca = LinearBaseline(mean=tensors["pca.mean"], components=tensors["pca.components"])
        if scaling.scale.shape != first.scaling.scale.shape or pca.mean.shape != first.scaling.scale.shape:
            raise ValueError("its shapes are not those of the models")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{directory / 'ensemble.safetensors'}: cannot be read ({' '.join(str(error).split())}). Retrain it."
        ) from error
    return TrainedEnsemble(
        model=first.model,
        scaling=scaling,
        image_shape=first.image_shape,
        feature_names=first.feature_names,
        pca=pca,
        metadata=metadata,
        members=members,
    )


def check_is_one(trained: TrainedAutoencoder, directory: str | Path, what: str) -> None:
    """Raise UserError for an ensemble where a single model is needed.

    Args:
        trained: What was loaded.
        directory: Where from.
        what: What needs it, as the beginning of the sentence.
    """
    if trained.n_models > 1:
        raise UserError(
            f"{what} takes one model, but {directory} is an ensemble of {trained.n_models}. Give one of them, such as "
            f"{Path(directory) / 'fold-1'}."
        )
