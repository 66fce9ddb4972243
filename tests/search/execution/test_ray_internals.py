"""search.execution.ray_internals: what this Ray must have, and that nobody else relies on it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import search
from search.execution import ray_internals

SOURCES = sorted(Path(search.__path__[0]).rglob("*.py"))


@pytest.mark.parametrize("name", ray_internals.PRIVATE_NAMES)
def test_this_ray_has(name: str) -> None:
    """Each private name by itself: the one that a new Ray drops is the one that fails."""
    assert ray_internals.find(name)[1] == name.rpartition(".")[2]


def test_a_name_that_ray_has_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named where it is used, with Ray's version."""
    import ray

    monkeypatch.delattr("ray._private.utils.set_sigterm_handler")
    words = rf"ray\._private\.utils\.set_sigterm_handler is needed, but Ray {re.escape(ray.__version__)} does not"
    with pytest.raises(RuntimeError, match=words), ray_internals.no_sigterm_handlers():
        pass


@pytest.mark.parametrize("path", SOURCES, ids=[path.name for path in SOURCES])
def test_nobody_else_relies_on_private_names(path: Path) -> None:
    """Outside that file no module names what Ray keeps to itself; in it, every such name is one of the list."""
    texts = {ast.unparse(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))}
    names = {text.strip("'") for text in texts if re.fullmatch(r"'?ray\.[\w.]*'?", text)}
    private = {name for name in names if re.search(r"\._(?!_)", name) or name in ray_internals.PRIVATE_NAMES}
    if path.name == "ray_internals.py":
        assert private == set(ray_internals.PRIVATE_NAMES)
    else:
        assert not private


_IMPORT_ALL = """
import os, pkgutil, importlib
before = dict(os.environ)
import ae_model, search
for package in (ae_model, search):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
after = dict(os.environ)
assert after.pop("RAY_CLIENT_MODE", "0") == "0"
before.pop("RAY_CLIENT_MODE", None)
assert after == before, set(after.items()) ^ set(before.items())
"""


def test_importing_sets_no_environment_variable() -> None:
    """Of all our modules; RAY_CLIENT_MODE=0 is what `import ray` itself leaves, in whatever program."""
    subprocess.run([sys.executable, "-c", _IMPORT_ALL], check=True)


_CONNECT_TWICE = """
import os
from search.execution.connection import connected_ray
from search.settings import ResourceSettings
os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "77"
before = dict(os.environ)
for _ in range(2):
    with connected_ray(None, ResourceSettings(max_concurrent_trials=1)):
        import ray
        read = lambda: dict(__import__("os").environ)
        within = ray.get(ray.remote(read).remote())
        assert (within["TUNE_GLOBAL_CHECKPOINT_S"], within["RAY_CHDIR_TO_TRIAL_DIR"]) == ("77", "0")
    assert dict(os.environ) == before
"""


def test_environment_variables_end_with_the_connection() -> None:
    """While it lasts, workers have them too, and the user's own come first; a second connection works as the first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    subprocess.run([sys.executable, "-c", _CONNECT_TWICE], check=True, env=environment)


def test_workers_look_in_no_folder_of_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But where our packages lie; whatever lies beside the data or the user's script is not theirs to import."""
    monkeypatch.chdir(tmp_path)
    folders = {Path(folder).resolve() for folder in ray_internals.job_config(same_files=True)._py_driver_sys_path}
    assert folders <= {Path(search.__path__[0]).resolve().parent}
    assert ray_internals.job_config(same_files=False)._py_driver_sys_path == []
