"""Checkpoints of long trials: a pack's state between two epochs, where its next worker finds it."""

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pyarrow import fs
from safetensors import SafetensorError

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
        raise ValueError(
            f"resources.storage_path: {folder} cannot be used ({reason}). Give an absolute path or a URI."
        ) from error


def remove_folder(folder: str) -> None:
    """Delete a folder of checkpoints, if it is there."""
    with suppress(*_UNUSABLE):
        filesystem, path = fs.FileSystem.from_uri(folder)
        filesystem.delete_dir(path)


def clear_folder(folder: str, *, keep: Collection[str]) -> None:
    """Delete all files of a folder of checkpoints but those of these names."""
    with suppress(*_UNUSABLE):
        filesystem, path = fs.FileSystem.from_uri(folder)
        for info in filesystem.get_file_info(fs.FileSelector(path)):
            if info.base_name not in keep:
                filesystem.delete_file(info.path)
