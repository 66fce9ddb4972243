"""search.execution.listener: a search of which no worker can start says why, at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search import SearchSettings
from search.settings_files import to_toml

COMMAND = [str(Path(sys.executable).with_name("ae-search")), "run", "settings.toml"]
IN_WORKERS = "import os, sys\nif any('default_worker.py' in argument for argument in sys.orig_argv):\n    "


@pytest.mark.parametrize(
    ("module", "content", "reason"),
    [
        ("torch", "raise ImportError('libcudart.so.99: cannot open shared object file')", "libcudart.so.99: cannot"),
        pytest.param(
            "sitecustomize",
            IN_WORKERS + "sys.modules['search'] = None",
            "'search' is not a package",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["a broken torch", "a host without ae-search"],
)
def test_workers_that_cannot_import(
    module: str, content: str, reason: str, settings: SearchSettings, tmp_path: Path
) -> None:
    """The first failure ends the search with status 1; the line ends with the last line of the worker's own error.

    It takes seconds; two minutes are for a machine that does other things too.
    """
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{module}.py").write_text(content + "\n")
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    folders = [str(tmp_path / "modules"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        COMMAND, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("ae-search: no worker can be started: "), done.stderr
    assert reason in done.stderr.splitlines()[-1]
