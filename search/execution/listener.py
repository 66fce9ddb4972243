"""What Ray Tune tells the driver, passed on to the recorder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from ray import tune

from search.errors import SearchError
from search.execution import ray_internals
from search.execution.recorder import Recorder
from search.execution.records import Report
from search.execution.watch import NEEDED, REMEDY

_NO_WORKER = "no worker can be started"
_UNABLE = "error raised in its creation task|failed to import on the worker"
"""In what Ray says of an actor that never came to life, for an exception."""
_LOST = "actor (died|is dead)|unavailable|out of memory"
"""In what Ray says of an actor, or its host, that is there no more."""


class Listener(tune.Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """What Tune calls."""

    def __init__(self, recorder: Recorder, interrupted: Event) -> None:
        self.error: Exception | None = None
        """What ended the search, as it was raised: Tune makes a traceback's text of it."""
        self._worker_lived = False
        self._report_came = False
        self._recorder = recorder
        self._interrupted = interrupted
        self._over: list[Any] = []

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune pickles its callbacks into its own state, which is never read

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        """A worker begins with a pack."""
        self._worker_lived = True
        with self._noted():
            self._recorder.start(trial.config["pack"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:  # noqa: ARG002
        """A worker has sent a report."""
        self._report_came = True
        report: Report = result["report"]
        with self._noted():
            if report.unfit is not None:
                raise SearchError(f"{report.unfit}, or take the node away; then run the same command again.")
            self._recorder.record(trial.config["pack"], report)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        """A pack is trained."""
        self._over.append(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        """A worker was lost, and the pack gets another."""
        with self._noted():
            self._stop_if_all_would_fail(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        """A pack was given up."""
        if self.error is None:
            with self._noted():
                self._stop_if_all_would_fail(trial)
                if not self._worker_lived:
                    raise SearchError(f"{_NO_WORKER}: {_last_line(_last_failure(trial))}")
                self._recorder.fail(trial.config["pack"], _failure(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:  # noqa: ARG002
        """Tune has handled an event, or waited for one in vain for a moment."""
        while self._over:  # and no earlier: Tune has done what it does with a trial that is over
            ray_internals.forget(self._over.pop())
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if dead := " and ".join(sorted(ray_internals.dead_processes() & set(NEEDED))):
            # Ray itself would end this process seconds later, with pages of its own log.
            raise SearchError(f"Ray's own {dead} was killed. {REMEDY}")

    def _stop_if_all_would_fail(self, trial: Any) -> None:
        """Raise SearchError if this trial failed of what would come to any other: a module missing, for instance."""
        text = _last_failure(trial)
        # What a trial can fail of, `train_pack` reports; so the first error of its own is one of the workers.
        if re.search(_UNABLE, text) or (text and not self._report_came and not _is_loss(text)):
            raise SearchError(f"{_NO_WORKER}: {_last_line(text)}")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise


def _failure(trial: Any) -> str:
    """Why Tune gave a trial up."""
    text = _last_failure(trial)
    return "its worker was lost too often" if not text or _is_loss(text) else _last_line(text)


def _is_loss(text: str) -> bool:
    """Whether a worker is gone without an exception of its own."""
    return bool(re.search(_LOST, text)) and "Traceback (most recent" not in text


def _last_line(text: str) -> str:
    """That of the last exception in a text, if there is any."""
    lines = text.splitlines() or ["Ray does not say why"]
    return next((line for line in reversed(lines) if re.match(r"[A-Za-z_][\w.]*: ", line)), lines[-1].strip())


def _last_failure(trial: Any) -> str:
    """The text of a trial's last failure, in the file that Tune keeps of them; empty if there is none."""
    path = trial.error_file  # not `trial.get_error`, which looks where Tune copies the file to, hours later
    text = Path(path).read_text(encoding="utf-8") if path is not None and Path(path).exists() else ""
    return text.rpartition("Failure #")[2].strip()
