"""search.execution.watch and native_stderr: whatever of Ray's dies, whenever, a line of ours is the last one."""

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from search import SearchSettings, load_trials
from search.execution.native_stderr import native_stderr_in
from search.settings_files import to_toml

COMMAND = [str(Path(sys.executable).with_name("ae-search")), "run", "settings.toml", "--name", "found"]
STARTING = [
    pytest.param(name, delay, marks=pytest.mark.slow, id=f"{name} {delay:g} s after it was started")
    for name in ("gcs_server", "raylet")
    for delay in (0.0, 0.5, 1.5)
]
AT_WORK = [  # the raylet's sudden end is also one of test_runner.py's
    pytest.param("gcs_server", None, marks=pytest.mark.slow, id="gcs_server while workers train"),
    pytest.param("raylet", None, marks=pytest.mark.slow, id="raylet while workers train"),
]


@pytest.mark.parametrize(("victim", "delay_s"), [*STARTING, *AT_WORK])
def test_a_killed_ray(victim: str, delay_s: float | None, settings: SearchSettings, tmp_path: Path) -> None:
    """The search ends within seconds, with status 1 and a last line that says why; no process is left.

    The same command run again gives the table.
    """
    epochs = 30 if delay_s is not None else 100_000
    text = to_toml(settings.model_copy(update={"search": settings.search.model_copy(update={"max_epochs": epochs})}))
    (tmp_path / "settings.toml").write_text(text)
    with subprocess.Popen(COMMAND, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as search:
        process = _wait_for(victim if delay_s is not None else "ImplicitFunc", search)
        time.sleep(1 if delay_s is None else delay_s)
        if delay_s is None:
            process = _wait_for(victim, search)
        killed = time.monotonic()
        process.kill()
        errors = search.communicate(timeout=90)[1]  # it takes seconds where the machine does nothing else
    last = errors.splitlines()[-1]
    assert search.returncode == 1, errors
    assert re.match(f"ae-search: Ray's own ({victim} was killed|processes failed or were killed)", last), errors
    assert last.endswith("What was finished is kept; run the same command again.")
    assert not [line for line in errors.splitlines() if ".cc:" in line or line.startswith("*** ")], errors
    log = tmp_path / "results" / "found" / "ray.log"
    assert "(its words are in results/found/ray.log)" in last
    assert log.read_text()
    give_up = time.monotonic() + 90  # what looks for a GCS that is gone does so for long
    while left := _session(search.pid):
        busy = [name for name in left if "ImplicitFunc" in name or name in ("raylet", "gcs_server", "ae-search")]
        assert not busy or time.monotonic() < killed + 80, left
        assert time.monotonic() < give_up, left
        time.sleep(0.1)
    if delay_s is None:
        text = to_toml(settings)
    (tmp_path / "settings.toml").write_text(text)
    again = [*COMMAND, *(["--fresh"] if delay_s is None else [])]
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (load_trials(tmp_path / "results" / "found")["status"] == "finished").all()
    assert not log.exists()


def _wait_for(name: str, search: "subprocess.Popen[str]") -> psutil.Process:
    """The process of that name below the search's."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        assert search.poll() is None, search.communicate()[1]
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(search.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if name in process.name():
                        return process
        time.sleep(0.01)
    pytest.fail(f"no {name} was started")


def _session(number: int) -> list[str]:
    """Names of the processes of a session, which keep it when their parents are gone."""
    found = []
    for process in psutil.process_iter(["name", "status"]):
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == number and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["name"])
    return found


_WRITE = """
import os, sys, logging
from pathlib import Path
from search.execution.native_stderr import native_stderr_in
print("before", file=sys.stderr)
with native_stderr_in(Path("log")) as stderr:
    os.write(2, b"native\\n")
    print("within", file=sys.stderr)
    stderr.stream.write(f"note{stderr.log_note()}\\n")
os.write(2, b"native after\\n")
print("after", file=sys.stderr)
with native_stderr_in(Path("empty")) as stderr:
    print("nothing" + stderr.log_note(), file=sys.stderr)
"""


def test_what_is_written_past_python(tmp_path: Path) -> None:
    """Lies in the log, and Python's own lines go where they went, in their order; an empty log is removed."""
    done = subprocess.run([sys.executable, "-c", _WRITE], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = ["before", "within", "note (its words are in log)", "native after", "after", "nothing"]
    assert done.stderr.splitlines() == lines
    assert (tmp_path / "log").read_text() == "native\n"
    assert not (tmp_path / "empty").exists()


def test_a_closed_standard_error(tmp_path: Path) -> None:
    """Its descriptor may be another file's by then, which is left alone."""
    code = (
        "import os, sys; from pathlib import Path; from search.execution.native_stderr import native_stderr_in\n"
        "handle = os.open('mine', os.O_WRONLY | os.O_CREAT)\n"
        "while handle < 2: handle = os.dup(handle)\n"
        "with native_stderr_in(Path('log')) as stderr: os.write(2, b'mine'); assert stderr.stream is None\n"
    )
    command = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "log").exists()


def test_a_log_that_nobody_named(capfd: pytest.CaptureFixture[str]) -> None:
    """Is a temporary file that is there as long as it has something to say."""
    with native_stderr_in(None) as stderr:
        pass
    assert stderr.log is not None
    assert not stderr.log.exists()
    with native_stderr_in(None) as stderr:
        os.write(2, b"native\n")
    assert stderr.log is not None
    assert stderr.log.read_text() == "native\n"
    stderr.log.unlink()
    assert capfd.readouterr() == ("", "")
