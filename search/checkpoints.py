"""Checkpoints of long trials: a pack's state between two epochs, where its next worker finds it."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress

import safetensors.torch
from pyarrow import fs
from safetensors import SafetensorError
from torch import Tensor


class CheckpointFile:
    """The checkpoint of one pack; a safetensors file, so nothing that is read is ever executed.

    Args:
        folder: Absolute path or URI (such as `s3://bucket/folder`) of a folder that all workers see. Where a worker
            does not see it, nothing is saved and nothing found.
        search_id: Of the ledger: only with its records is a checkpoint whole.
        trial_ids: The pack.
    """

    def __init__(self, folder: str, search_id: str, trial_ids: Sequence[str]) -> None:
        name = hashlib.sha256("\n".join((search_id, *trial_ids)).encode()).hexdigest()[:16]
        self._filesystem, self._folder = fs.FileSystem.from_uri(folder)
        self._path = f"{self._folder}/{name}.safetensors"

    def load(self) -> dict[str, Tensor] | None:
        """What was saved; None if nothing was, or it cannot be read."""
        try:
            with self._filesystem.open_input_file(self._path) as file:
                return safetensors.torch.load(file.read())
        except (OSError, SafetensorError):
            return None

    def save(self, state: dict[str, Tensor]) -> None:
        """Replace what was saved; a full disk or a lost store costs the checkpoint, not the trial."""
        with suppress(OSError):
            if self._filesystem.get_file_info(self._folder).type != fs.FileType.Directory:
                return
            with self._filesystem.open_output_stream(f"{self._path}.tmp") as file:
                file.write(safetensors.torch.save(state))
            self._filesystem.move(f"{self._path}.tmp", self._path)

    def remove(self) -> None:
        """Delete what was saved, if anything was."""
        with suppress(OSError):
            self._filesystem.delete_file(self._path)


def make_folder(folder: str) -> None:
    """Make the folder of checkpoints.

    Raises:
        ValueError: If it cannot be made.
    """
    try:
        filesystem, path = fs.FileSystem.from_uri(folder)
        filesystem.create_dir(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"resources.storage_path: {folder} cannot be used ({error}). Give an absolute path or a URI."
        ) from error
