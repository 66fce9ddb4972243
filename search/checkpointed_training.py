"""A training on all development rows that shows how far it is, and goes on where it was when it was killed."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from search.files import replace_file

CHECKPOINT = "training.safetensors"
"""Where a model's directory keeps a training that is not at its end."""
INTERVAL_S = 10.0
"""So long, and ten times as long as saving takes, passes between two checkpoints."""


class Trainable(Protocol):
    """What can be trained epoch by epoch, and go on from a state."""

    @property
    def epoch(self) -> int:
        """How many epochs it has been trained for."""

    def train_epoch(self) -> None:
        """Train for one more epoch."""

    def state(self) -> dict[str, Tensor]:
        """All that the coming epochs depend on."""


T = TypeVar("T", bound=Trainable)


def train_to(
    epochs: int,
    begin: Callable[[Mapping[str, Tensor] | None], T],
    *,
    target: Path,
    identity: Mapping[str, Any],
    advance: Callable[[int], None],
) -> T:
    """Train for so many epochs, from the checkpoint of the same training if there is one.

    Args:
        epochs: How many, in all.
        begin: Makes the training, from its state if one is given.
        target: The model's directory, where the checkpoint lies; `forget` deletes it. A checkpoint that cannot be
            written is left out.
        identity: What the numbers depend on, as JSON values: a checkpoint of anything else is not used.
        advance: Is told how many more epochs are done.
    """
    path = target / CHECKPOINT
    training = _continued(path, identity, epochs, begin) or begin(None)
    advance(training.epoch)
    pause = INTERVAL_S
    saved_at = time.monotonic()
    while training.epoch < epochs:
        training.train_epoch()
        advance(1)
        if time.monotonic() - saved_at >= pause and training.epoch < epochs:
            begun = time.monotonic()
            _save(path, training.state(), identity)
            saved_at = time.monotonic()
            pause = max(INTERVAL_S, 10 * (saved_at - begun))
    return training


def forget(target: Path) -> None:
    """Delete the checkpoint of a model's directory, once the model is written."""
    with suppress(OSError):
        (target / CHECKPOINT).unlink()


def _continued(
    path: Path, identity: Mapping[str, Any], epochs: int, begin: Callable[[Mapping[str, Tensor] | None], T]
) -> T | None:
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("identity") != _text(identity):
                return None
            training = begin({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118  # it is no dict
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):  # there is none, or it is damaged
        return None
    return training if training.epoch <= epochs else None


def _save(path: Path, state: Mapping[str, Tensor], identity: Mapping[str, Any]) -> None:
    content = safetensors.torch.save({name: t.contiguous() for name, t in state.items()}, {"identity": _text(identity)})
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda temporary: temporary.write_bytes(content))


def _text(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)
