"""A search as event files of TensorBoard: a run for each trial."""

import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from search.tracking.records import EpochMeans, TrackedTrial

_EPOCHS = "mse/validation"
_RESULT, _TEST = "result/", "test/"
_PICTURE = "picture/"


class TensorBoardTracker:
    """Writes event files.

    What is there is read back once, from the files themselves, so that neither a killed writer nor a second run leaves
    a gap or writes a point twice.

    Args:
        folder: Where the event files lie; each trial has a folder in it.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._last_epochs: dict[str, int] = {}
        self._written: dict[str, dict[str, tuple[int, float]]] = {}
        """The last step and value of each figure, by the trial's name."""
        self._pictures: dict[str, set[str]] = {}
        for run in sorted(folder.iterdir()) if folder.is_dir() else ():
            self._read_back(run)

    def last_epochs(self) -> Mapping[str, int]:
        """See `Tracker`."""
        return self._last_epochs

    def write_epochs(self, trial: TrackedTrial, epochs: Sequence[EpochMeans]) -> None:
        """See `Tracker`."""
        writer = self._writer(trial)
        for e in epochs:
            writer.add_scalar("fve/validation", e.val_fve, e.epoch)
            writer.add_scalar("mse/training", e.train_mse, e.epoch)
            if trial.pca_val_mse is not None:
                writer.add_scalar("mse/validation of PCA", trial.pca_val_mse, e.epoch)
            writer.add_scalar(_EPOCHS, e.val_mse, e.epoch)  # last: where it is, all of the epoch is
            self._last_epochs[trial.trial_id] = e.epoch
        writer.flush()

    def write_result(self, trial: TrackedTrial, status: str, epochs: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        if self._are_written(trial, _RESULT, epochs, figures):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own call of NumPy
            self._writer(trial).add_hparams(
                {**trial.parameters, "status": status},
                {f"{_RESULT}{name}": value for name, value in figures.items()},
                run_name=".",
                global_step=epochs,
            )
        self._note(trial, _RESULT, epochs, figures)
        self._writers.pop(trial.name).close()  # each holds a file open

    def write_winner(self, trial: TrackedTrial, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """See `Tracker`."""
        writer = self._writer(trial)
        step = self._last_epochs.get(trial.trial_id, 0)
        is_new = not self._are_written(trial, _TEST, step, figures)
        for picture in pictures:
            tag = f"{_PICTURE}{picture.stem}"
            if is_new or tag not in self._pictures.get(trial.name, ()):
                with Image.open(picture) as image:
                    writer.add_image(tag, np.asarray(image.convert("RGB")), step, dataformats="HWC")
                self._pictures.setdefault(trial.name, set()).add(tag)
        if is_new:
            for name, value in figures.items():
                writer.add_scalar(f"{_TEST}{name}", value, step)
            self._note(trial, _TEST, step, figures)
        writer.flush()

    def close(self) -> None:
        """See `Tracker`."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, trial: TrackedTrial) -> SummaryWriter:
        if trial.name not in self._writers:
            self._writers[trial.name] = SummaryWriter(str(self._folder / trial.name))
        return self._writers[trial.name]

    def _are_written(self, trial: TrackedTrial, group: str, step: int, figures: Mapping[str, float]) -> bool:
        written = self._written.get(trial.name, {})
        return all(written.get(f"{group}{name}") == (step, _rounded(value)) for name, value in figures.items())

    def _note(self, trial: TrackedTrial, group: str, step: int, figures: Mapping[str, float]) -> None:
        written = self._written.setdefault(trial.name, {})
        written |= {f"{group}{name}": (step, _rounded(value)) for name, value in figures.items()}

    def _read_back(self, run: Path) -> None:
        """Take note of what a trial's folder has."""
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray

        trial_id = run.name.rpartition("_")[2]
        for path in sorted(run.glob("events.out.tfevents.*")):
            for event in EventFileLoader(str(path)).Load():  # it ends where a file was cut off
                for value in event.summary.value:
                    if value.tag == _EPOCHS:
                        self._last_epochs[trial_id] = max(event.step, self._last_epochs.get(trial_id, 0))
                    elif value.tag.startswith((_RESULT, _TEST)) and value.HasField("tensor"):
                        number = float(make_ndarray(value.tensor))
                        self._written.setdefault(run.name, {})[value.tag] = event.step, number
                    elif value.tag.startswith(_PICTURE):
                        self._pictures.setdefault(run.name, set()).add(value.tag)


def _rounded(value: float) -> float:
    """As an event file keeps it: in single precision."""
    number: float = struct.unpack("f", struct.pack("f", value))[0]
    return number
