"""Checkpoints of long trials: a pack's state between two epochs, where its next worker finds it."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from pyarrow import fs
from safetensors import SafetensorError

from ae_model.errors import UserError, first_line
from search.execution.packs import Pack
from search.execution.records import WorkerOptions

if TYPE_CHECKING:
    from torch import Tensor

MAX_KEPT_BYTES = 2**30
"""How many bytes of checkpoints may stay when a search has ended."""
_SUFFIX = ".safetensors"
_UNUSABLE = (OSError, ValueError, ImportError)
"""What Arrow raises for a place that is missing or impossible, or that needs a library that is not installed."""


class CheckpointFile:
    """The checkpoint of one pack; a safetensors file, so nothing that is read is ever executed.

    A place that cannot be read or written costs the checkpoint, not the trial: then nothing is saved or found.

    Args:
        folder: Absolute path or URI (such as `s3://bucket/folder`) of the search's folder of checkpoints, as made by
            `make_folder`. Where a worker does not see it, nothing is saved.
        trial_ids: The trials of the pack.
        arithmetic: Whatever else the numbers depend on, such as the device and the version of this package: a file
            made with other values is not found.
    """

    def __init__(self, folder: str, trial_ids: Sequence[str], arithmetic: Mapping[str, Any]) -> None:
        content = json.dumps([list(trial_ids), dict(arithmetic)], sort_keys=True)
        self.name = hashlib.sha256(content.encode()).hexdigest()[:16] + _SUFFIX
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

    def reached(self) -> tuple[int, list[int]] | None:
        """The epoch of what was saved, and the numbers of the configurations in it, without reading the rest."""
        try:
            filesystem, folder = fs.FileSystem.from_uri(self._folder)
            with filesystem.open_input_file(f"{folder}/{self.name}") as file:
                length = int.from_bytes(file.read(8), "little")
                if length > file.size():
                    return None
                header = json.loads(file.read(length))

                def integers(name: str) -> list[int]:
                    assert header[name]["dtype"] == "I64"
                    begin, end = header[name]["data_offsets"]
                    file.seek(8 + length + begin)
                    return [int(value) for value in np.frombuffer(file.read(end - begin), "<i8")]

                return integers("epoch")[0], integers("configurations")
        except (*_UNUSABLE, LookupError, AssertionError, TypeError, OverflowError, MemoryError):
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


def checkpoint_file(pack: Pack, options: WorkerOptions) -> CheckpointFile:
    """The checkpoint of a pack, as a worker with these options makes it."""
    # What counted as a gain is part of the state; how long to wait for one is not.
    gain = {} if pack.patience is None else {"min_gain": pack.patience.min_gain}
    repeat = {"first_fold": pack.first_fold} if pack.is_repeat else {}
    return CheckpointFile(options.checkpoint_folder, list(pack.trials), {**options.arithmetic(), **gain, **repeat})


def subfolder(folder: str, name: str) -> str:
    """A folder in another.

    Args:
        folder: Path or URI, which may end with options of the store.
        name: The folder's name.

    Examples:
        >>> subfolder("s3://bucket/ae?region=eu-central-1", "a1")
        's3://bucket/ae/a1?region=eu-central-1'
    """
    path, mark, options = folder.partition("?") if "://" in folder else (folder, "", "")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def make_folder(folder: str) -> None:
    """Make a folder of checkpoints.

    Raises:
        UserError: If it cannot be made.
    """
    try:
        filesystem, path = fs.FileSystem.from_uri(folder)
        filesystem.create_dir(path)
    except _UNUSABLE as error:
        raise UserError(
            f"resources.storage_path: {folder} cannot be used ({first_line(error)}). Give an absolute path or a URI."
        ) from error


def clear_checkpoints(options: WorkerOptions, packs: Sequence[Pack], *, recorded: Mapping[str, int]) -> None:
    """Delete what no coming pack can use.

    Args:
        options: Where the checkpoints lie, and what they depend on.
        packs: All packs of the search. A trial that has no target keeps the others company, or may be asked for more
            epochs later.
        recorded: The last recorded epoch by trial id: a copied or restored ledger may be older than a checkpoint, and
            what comes before the checkpoint is not reported again.
    """
    keep = set()
    there = _names(options.checkpoint_folder)  # all at once: each question to a store takes a while
    if there is None:
        return
    for pack in packs:
        trial_ids = list(pack.trials)
        file = checkpoint_file(pack, options)
        if file.name in there and (saved := file.reached()) is not None:
            wanted = [(number, trial_id) for number, trial_id in enumerate(trial_ids) if trial_id in pack.targets]
            epoch, going = saved
            if all(number in going and recorded.get(trial_id, 0) >= epoch for number, trial_id in wanted):
                keep.add(file.name)
    _delete(options.checkpoint_folder, lambda info: info.base_name not in keep)


def trim_folder(folder: str) -> None:
    """Keep the checkpoints of a search that has ended, for more epochs, as far as there is room for them."""
    room = MAX_KEPT_BYTES
    with suppress(*_UNUSABLE):
        filesystem, path = fs.FileSystem.from_uri(folder)
        too_many = set()
        for info in sorted(filesystem.get_file_info(fs.FileSelector(path)), key=lambda info: info.size or 0):
            room -= info.size or 0
            if room < 0 or not info.base_name.endswith(_SUFFIX):
                too_many.add(info.base_name)
        _delete(folder, lambda info: info.base_name in too_many)


def _names(folder: str) -> set[str] | None:
    """What is in a folder; None if that cannot be told."""
    try:
        filesystem, path = fs.FileSystem.from_uri(folder)
        return {info.base_name for info in filesystem.get_file_info(fs.FileSelector(path))}
    except _UNUSABLE:
        return None


def _delete(folder: str, unwanted: Callable[[fs.FileInfo], bool]) -> None:
    with suppress(*_UNUSABLE):
        filesystem, path = fs.FileSystem.from_uri(folder)
        for info in filesystem.get_file_info(fs.FileSelector(path)):
            if unwanted(info):
                filesystem.delete_file(info.path)
