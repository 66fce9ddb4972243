"""Checkpoints of long trials: a pack's state between two epochs, where its next worker finds it."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pyarrow import fs
from safetensors import SafetensorError

from ae_model.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_VERSION = version("ae-search")
_UNUSABLE = (OSError, ValueError, ImportError)
"""What Arrow raises for a place that is not there, is no place, or needs a library that is not there."""


class CheckpointFile:
    """The checkpoint of one pack; a safetensors file, so nothing that is read is ever executed.

    A place that cannot be read or written costs the checkpoint, not the trial: then nothing is saved or found.

    Args:
        folder: Absolute path or URI (such as `s3://bucket/folder`) of the search's folder of checkpoints, as made by
            `make_folder`. Where a worker does not see it, nothing is saved.
        trial_ids: The pack.
        arithmetic: Whatever else the numbers depend on, such as the device: a file made with other values, or by
            another version of this package, is not found.
    """

    def __init__(self, folder: str, trial_ids: Sequence[str], arithmetic: Mapping[str, Any]) -> None:
        content = json.dumps([list(trial_ids), dict(arithmetic), _VERSION], sort_keys=True)
        self.name = hashlib.sha256(content.encode()).hexdigest()[:16] + ".safetensors"
        self._folder = folder

    def load(self) -> "dict[str, Tensor] | None":
        """What was saved; None if nothing was, or it cannot be read."""
        try:
            filesystem, folder = fs.FileSystem.from_uri(self._folder)
            with filesystem.open_input_file(f"{folder}/{self.name}") as file:
                content = file.read()
        except _UNUSABLE:
            return None
        import safetensors.torch  # slow with its torch, for which a driver without checkpoints need not wait

        try:
            return safetensors.torch.load(content)
        except (ValueError, SafetensorError):
            return None

    def save(self, state: "dict[str, Tensor]") -> None:
        """Replace what was saved."""
        import safetensors.torch

        with suppress(*_UNUSABLE):
            filesystem, folder = fs.FileSystem.from_uri(self._folder)
            if filesystem.get_file_info(folder).type != fs.FileType.Directory:
                return
            temporary = f"{folder}/{uuid.uuid4().hex}.tmp"
            try:
                with filesystem.open_output_stream(temporary) as file:
                    file.write(safetensors.torch.save(state))
                filesystem.move(temporary, f"{folder}/{self.name}")
            except OSError:
                filesystem.delete_file(temporary)

    def remove(self) -> None:
        """Delete what was saved, if anything was."""
        with suppress(*_UNUSABLE):
            filesystem, folder = fs.FileSystem.from_uri(self._folder)
            filesystem.delete_file(f"{folder}/{self.name}")


def checkpoint_file(folder: str, trial_ids: Sequence[str], evaluation: Mapping[str, Any]) -> CheckpointFile:
    """A pack's checkpoint; what `trial_ids` do not tell and numbers depend on are the device and its threads."""
    return CheckpointFile(folder, trial_ids, {name: evaluation[name] for name in ("device", "n_threads")})


def make_folder(folder: str) -> None:
    """Make a folder of checkpoints.

    Raises:
        ValueError: If it cannot be made.
    """
    try:
        filesystem, path = fs.FileSystem.from_uri(folder)
        filesystem.create_dir(path)
    except _UNUSABLE as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"resources.storage_path: {folder} cannot be used ({reason}). Give an absolute path or a URI."
        ) from error


def remove_folder(folder: str) -> None:
    """Delete a folder of checkpoints, if it is there."""
    with suppress(*_UNUSABLE):
        filesystem, path = fs.FileSystem.from_uri(folder)
        filesystem.delete_dir(path)


def clear_checkpoints(
    folder: str,
    packs: Iterable[Iterable[str]],
    evaluation: Mapping[str, Any],
    *,
    unfinished: Set[str],
    recorded: Mapping[str, int],
) -> None:
    """Delete what no coming trial can use.

    Args:
        folder: As in `CheckpointFile`.
        packs: Trial ids of each pack that is going to be trained.
        evaluation: As in `checkpoint_file`.
        unfinished: Trial ids that are wanted.
        recorded: Last recorded epoch by trial id: a copied or restored ledger may be older than a checkpoint, and what
            comes before the checkpoint is not reported again.
    """
    keep = set()
    for pack in packs:
        trial_ids = list(pack)
        file = checkpoint_file(folder, trial_ids, evaluation)
        state = file.load()
        if state is not None and {"epoch", "configurations"} <= state.keys():
            wanted = [(number, trial_id) for number, trial_id in enumerate(trial_ids) if trial_id in unfinished]
            going, epoch = state["configurations"].tolist(), int(state["epoch"])
            if all(number in going and recorded.get(trial_id, 0) >= epoch for number, trial_id in wanted):
                keep.add(file.name)
    with suppress(*_UNUSABLE):
        filesystem, path = fs.FileSystem.from_uri(folder)
        for info in filesystem.get_file_info(fs.FileSelector(path)):
            if info.base_name not in keep:
                filesystem.delete_file(info.path)
