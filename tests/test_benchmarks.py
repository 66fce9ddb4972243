"""Every benchmark command of benchmarks/README.md runs to its end, on a load so small that its figures mean nothing."""

import ast
import json
import re
import shlex
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
SMALL_SEARCH = "--repeats 1 --hidden 1 --every 4 --epochs 1"
SMALL = {
    "training.py": "--repeats 1 --samples 150 --configurations 2 --folds 2",
    "end_to_end.py": SMALL_SEARCH,
    "ray_overhead.py": "--repeats 1 --counts 1 2",
    "scaling.py": "--slots 2 --per-slot 2 --many 20 --repeats 1",
    "default_quality.py": "--only iris --epochs 1",
    "anomalies.py": "--only wine --splits 2",
    "fold_ensemble.py": "--only wine --epochs 3",
    "mnist_code.py": "--libraries ours PCA --epochs 1",
    "other_autoencoders.py": "--only iris --libraries MLPRegressor",
    "search_quality.py": "--only iris --seeds 0 --hidden 8 --epochs 6",
    "pruned_search.py": "--only iris --seeds 0 --epochs 6",
    "no_structure.py": "--seeds 0 --steps 20",
    "smallest_code.py": "--kinds linear --dimensions 3 --seeds 0 --steps 20",
    "streaming.py": "--rows 3000 --repeats 1",
    "gpu_check.py": "--epochs 1 --no-tests",
    "tpe_against_random.py": "--seeds 1",
}
"""What makes each script's load small."""
SLOW = ("training.py", "ray_overhead.py", "scaling.py", "default_quality.py", "pruned_search.py")
"""Scripts that start Ray, or measure much."""
PACKAGES = {"skorch": "skorch", "Optuna": "optuna"}
"""The packages of those searches that need one which the project does not."""


def commands() -> Iterator[object]:
    """The README's commands, each search end to end apart, with a mark where it takes a while."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"`python benchmarks/(\w+\.py)([^`]*)`", text)
    compared: set[str] = set()
    for script, options in dict.fromkeys(found):
        command = f"{script}{options}"
        if script == "end_to_end.py":
            for name in searches():
                slow = [pytest.mark.slow] if name in ("ours", "Ray Tune", "pool") or name in compared else []
                compared.add(name)
                yield pytest.param(f"{command} --only {shlex.quote(name)}", marks=slow, id=f"{command} {name}")
        else:
            yield pytest.param(command, marks=[pytest.mark.slow] if script in SLOW else [], id=command)


def searches() -> list[str]:
    """The names of the searches that are compared end to end."""
    (peers,) = re.findall(r"^PEERS = (.*)$", (FOLDER / "end_to_end.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return ["ours", *ast.literal_eval(peers)]


@pytest.mark.parametrize("command", list(commands()))
def test_a_command_runs(command: str, tmp_path: Path) -> None:
    """To exit status 0; it prints a table, and writes its raw values where it is asked to."""
    script, *options = shlex.split(command.replace("[", "").replace("]", ""))
    for name, package in PACKAGES.items():
        if name in options and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if "cuda" in options and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    options += shlex.split(SMALL[script])
    if script in ("training.py", "mnist_code.py"):
        write_mnist(tmp_path)
        options += ["--data-dir", str(tmp_path)]
    raw = tmp_path / "raw.json"
    if script == "tpe_against_random.py":
        write_curves(tmp_path)
        options[options.index("FOLDER")] = str(tmp_path)
    has_raw_values = script != "gpu_check.py" and "--profile" not in options
    if has_raw_values:
        options += ["--json", str(raw)]
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| --- |^-{20}", done.stdout, flags=re.MULTILINE), done.stdout
    if has_raw_values:
        assert "environment" in json.loads(raw.read_text(encoding="utf-8"))


def test_the_gpu_check_needs_neither_ray_nor_an_installed_package(tmp_path: Path) -> None:
    """A machine with a GPU may have little else: it runs from the checkout where what a search needs is missing."""
    missing = (
        "ray pandas pyarrow torchvision matplotlib pydantic typer rich safetensors torchinfo psutil tomli_w beartype"
    )
    code = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({missing.split()}))
sys.path = [folder for folder in sys.path if folder != {str(FOLDER.parent)!r}]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.argv = ["gpu_check.py", "--epochs", "1", "--no-tests"]
runpy.run_path({str(FOLDER / "gpu_check.py")!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| agrees |" in done.stdout


def write_mnist(data_dir: Path) -> None:
    """Noise in the form of MNIST's files: magic number, shape, bytes (http://yann.lecun.com/exdb/mnist)."""
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for part, n in (("train", 150), ("t10k", 10)):
        for kind, shape in (("images-idx3", (n, 28, 28)), ("labels-idx1", (n,))):
            header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + chance.integers(0, 10, shape, np.uint8).tobytes())


def write_curves(folder: Path) -> None:
    """Noise for each configuration of the space that is searched, one of which diverges."""
    hidden = ["", "32", "64", "128", "256", "512", "128-64", "256-128"]
    labels = [
        f"{'-'.join(filter(None, ('64', layers, '28')))} {init} {rate:g}"
        for layers in hidden
        for init in ("pca", "random")
        for rate in (3e-4, 1e-3, 3e-3, 1e-2)
    ]
    curves = np.random.default_rng(0).uniform(1, 2, (len(labels), 4, 5))
    curves[5] = np.nan
    np.savez(folder / "noise-0.npz", labels=labels, curves=curves)


def local_imports(path: Path) -> set[str]:
    """Top-level names of our modules that a file imports anywhere, found by their files' names."""
    ours = {other.stem for other in FOLDER.rglob("*.py")} | {other.name for other in FOLDER.iterdir() if other.is_dir()}
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a script has no package to be relative to"
            names.add(str(node.module).partition(".")[0])
    return names & ours


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_finds_its_modules_in_its_own_folder(script: Path) -> None:
    """Python looks in the folder of the script that is started, for what its modules import too, and nowhere else."""
    seen: set[Path] = set()
    to_visit = [script]
    while to_visit:
        path = to_visit.pop()
        seen.add(path)
        for name in local_imports(path):
            module = script.parent / f"{name}.py"
            assert module.is_file(), f"{path.name}, started by {script.name}, imports {name}, which is not beside it"
            to_visit += {module} - seen


def test_each_script_is_in_a_command() -> None:
    """No script is forgotten: a README has its command, or the comparison end to end starts it."""
    readmes = (FOLDER / "README.md", FOLDER.parent / "results" / "mnist-reference" / "README.md")
    text = "".join(readme.read_text(encoding="utf-8") for readme in readmes)
    started = set(re.findall(r"`python benchmarks/(\w+\.py)", text))
    started |= set(re.findall(r'"(\w+\.py)"', (FOLDER / "end_to_end.py").read_text(encoding="utf-8")))
    assert {script.name for script in SCRIPTS} == started
