"""search.execution.connection: what surrounds a search must not reach it."""

import subprocess
import sys
from pathlib import Path

import pytest

from search import SearchSettings, load_trials
from search.execution import connection
from search.settings_files import to_toml

AE_SEARCH = str(Path(sys.executable).with_name("ae-search"))
NAMES = ("search/__init__.py", "ae_model/__init__.py", "torch.py", "data.py", "numpy.py", "ray.py", "settings.py")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder of modules named like ours and those that we need, none of which can be imported."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"raise ImportError('{name} of the working directory was imported')\n")
    return tmp_path


def test_what_lies_in_the_working_directory(settings: SearchSettings, strangers: Path) -> None:
    """Is not imported by workers, whatever it is called; a relative folder of results is still of that directory."""
    (strangers / "settings.toml").write_text(to_toml(settings))
    command = [AE_SEARCH, "run", "settings.toml", "--results-dir", "found", "--name", "here"]
    done = subprocess.run(command, cwd=strangers, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (load_trials(strangers / "found" / "here")["status"] == "finished").all()


@pytest.mark.slow
def test_what_lies_in_the_working_directory_of_a_cluster(settings: SearchSettings, strangers: Path) -> None:
    """The same where a Ray is joined that runs already."""
    (strangers / "settings.toml").write_text(to_toml(settings))
    code = (
        "import subprocess, sys, ray\n"
        "context = ray.init('local', num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "address = ['--address', context.address_info['address']]\n"
        "sys.exit(subprocess.run([*sys.argv[2:], *address], cwd=sys.argv[1]).returncode)"
    )
    command = [sys.executable, "-c", code, str(strangers), AE_SEARCH, "run", "settings.toml"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_the_other_side_raises_is_told() -> None:
    """Its own words, at the end of its traceback, and not the line before."""
    text = "Failure from server:\nTraceback (most recent call last):\n  x\nRuntimeError: it is full. Sorry.\n"
    assert "(RuntimeError: it is full)" in connection._refusal(text, "")
    assert "could be joined. Check" in connection._refusal("", "")
