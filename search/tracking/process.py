"""The process that writes for TensorBoard and MLflow, as the driver sees it: started, and at the end waited for."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import search
from ae_model.errors import UserError
from search.ledger import Ledger
from search.monitor import Monitor
from search.settings import TrackingSettings

CATCH_UP_S = 60.0
"""Seconds that trackers have at a search's end for what they have not written yet."""
_INTERRUPTED_S = 2.0
"""The same where the search did not come to its end: whoever interrupts it wants to have it ended."""
_NEEDED = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
"""The modules that each setting needs; the extra has the setting's name."""
_ENVIRONMENT = {
    # It tells nobody what it does, and leaves GPU and cores to the search.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
}
_PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own would try for some minutes before it says that no server is there; those that are set stay."""
_CODE = (
    "import os, sys; os.nice(19); sys.path.append(sys.argv.pop(1)); from search.tracking.follow import script; script()"
)


def check_tracking(settings: TrackingSettings) -> None:
    """Raise UserError where a package is missing that the settings ask for."""
    for name, modules in _NEEDED.items():
        if getattr(settings, name) and not all(importlib.util.find_spec(module) for module in modules):
            raise UserError(f"tracking.{name} needs packages that are not installed: pip install 'ae-search[{name}]'")


@contextmanager
def tracked(settings: TrackingSettings, directory: Path, ledger: Ledger, progress: Monitor) -> Iterator[None]:
    """While the block runs, a process of low priority writes what the settings ask for.

    It reads the ledger as any reader does, so the search does nothing for it, and whatever becomes of it is told in a
    line. At the block's end it has `CATCH_UP_S` seconds for the rest; it ends by itself if this process dies.

    Args:
        settings: What is to be written.
        directory: The search's directory.
        ledger: Its ledger.
        progress: The monitor that is told what goes wrong.
    """
    if not settings.tensorboard and settings.mlflow is None:
        yield
        return
    log = directory / "tracking.log"
    arguments = [str(directory.resolve()), settings.model_dump(), ledger.search_id(), CATCH_UP_S]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            # -P: neither the working directory nor a script's folder is searched for modules.
            [sys.executable, "-P", "-c", _CODE, str(Path(search.__file__).parents[1]), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**_PATIENT, **os.environ, **_ENVIRONMENT},
            start_new_session=True,  # Ctrl-C is for the driver, which ends this one
        )
    reader = threading.Thread(target=_pass_on, args=(process, progress), daemon=True)
    reader.start()
    patience_s, word = _INTERRUPTED_S, b""
    try:
        yield
        patience_s, word = CATCH_UP_S, b"finished"
    finally:
        _end(process, word, patience_s, progress)
        reader.join()  # its pipe ends with the process
        with suppress(OSError):
            if not log.stat().st_size:
                log.unlink()


def _pass_on(process: "subprocess.Popen[bytes]", progress: Monitor) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            progress.warn(line.decode(errors="replace").rstrip("\n"))


def _end(process: "subprocess.Popen[bytes]", word: bytes, patience_s: float, progress: Monitor) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # it has ended
        process.stdin.write(word)
        process.stdin.close()
    try:
        status = process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        progress.warn(f"Tracking was not done after {patience_s:.0f} s; the same command run again completes it")
    except BaseException:
        process.kill()
        process.wait()
        raise
    else:
        if status:
            progress.warn("Tracking ended early: see tracking.log; the same command run again completes it")
