"""What Ray Tune tells the driver, passed on to the recorder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import ray
from ray import tune

from search.execution.recorder import Recorder


class Listener(tune.Callback):  # type: ignore[misc]  # Ray's classes are untyped
    """What Tune calls."""

    def __init__(self, recorder: Recorder, interrupted: Event) -> None:
        self.error: Exception | None = None
        """What ended the search, as it was raised: Tune makes a traceback's text of it."""
        self._recorder = recorder
        self._interrupted = interrupted

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune pickles its callbacks into its own state, which is never read

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        """A worker begins with a pack."""
        with self._noted():
            self._recorder.start(trial.config["pack"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:  # noqa: ARG002
        """A worker has sent a report."""
        with self._noted():
            self._recorder.record(trial.config["pack"], result["report"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        """A pack was given up."""
        if self.error is None:
            with self._noted():
                self._recorder.fail(trial.config["pack"], _failure(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:  # noqa: ARG002
        """Tune has handled an event, or waited for one in vain for a moment."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if dead := _dead_processes():
            # Ray itself would end this process seconds later, with pages of its own log.
            raise RuntimeError(f"Ray's own {dead} was killed. What was finished is kept; run the same command again.")

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            self.error = error
            raise


def _failure(trial: Any) -> str:
    """Why Tune gave a trial up, from the text that it keeps of the last failure."""
    last = str(trial.get_error() or "").rpartition("Failure #")[2].strip()
    if not last or re.search("actor (died|is dead)|unavailable|out of memory", last):
        return "its worker was lost too often"
    return last.splitlines()[-1]


def _dead_processes() -> str:
    """Those processes of the local Ray without which it cannot go on, and which have died; empty for a cluster."""
    node = ray._private.worker._global_node  # there is no public way to ask
    died = {kind for kind, _process in node.dead_processes()} if node is not None else set()
    return " and ".join(sorted(died & {"raylet", "gcs_server"}))
