"""Whether a GPU computes what a CPU does: the engine's tests, then cross-validations on both, compared.

`python benchmarks/gpu_check.py [--epochs 5] [--no-tests]` in a checkout, which need not be installed. It needs torch,
NumPy, scikit-learn, jaxtyping and lazy-loader; for the tests pytest and beartype too; neither Ray nor pandas. It prints
a table, and ends with exit status 1 where something disagrees. Without a GPU it checks the CPU alone.

The yardstick is the CPU in float64; the figure is the largest relative difference of any fold's validation MSE after
any epoch. In float64 only the order of sums differs. Training makes roundings grow, most where a unit is nearly off:
over six seeds of the first two works on a CPU, float32 came to 1.3e-3, products rounded as TF32 does it to 2.3e-2.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, whether it is installed or not

from ae_model import Configuration, make_folds
from ae_model.arithmetic import arithmetic
from ae_model.cross_validation import CrossValidation

ROOT = Path(__file__).resolve().parents[1]
TESTED = ("adam", "capture", "cross_validation", "out_of_fold", "resident", "stack", "training")
TESTS = [f"tests/ae_model/test_{name}.py" for name in TESTED]
OPTIONS = {"weight_decay": 0.1, "dropout": 0.2, "noise_std": 0.1, "mask_fraction": 0.2}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Configurations that are cross-validated as one pack, as a search does it."""

    name: str
    values: np.ndarray
    value_range: tuple[float, float] | None
    configurations: list[Configuration]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Where and how precisely it is computed."""

    device: str
    dtype: torch.dtype
    fp32_precision: str = "ieee"
    tolerance: float
    """Largest relative difference from the CPU in float64."""

    def __str__(self) -> str:
        precision = f", {self.fp32_precision}" if (self.device, self.dtype) == ("cuda", torch.float32) else ""
        return f"{self.device}, {str(self.dtype).removeprefix('torch.')}{precision}"


CPU_FLOAT64 = Arithmetic(device="cpu", dtype=torch.float64, tolerance=0)
COMPARED = [
    Arithmetic(device="cpu", dtype=torch.float32, tolerance=5e-3),
    Arithmetic(device="cuda", dtype=torch.float64, tolerance=1e-8),
    Arithmetic(device="cuda", dtype=torch.float32, tolerance=5e-3),
    Arithmetic(device="cuda", dtype=torch.float32, fp32_precision="tf32", tolerance=5e-2),
]


def main() -> None:
    """Test, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--no-tests", action="store_true", help="compare only")
    arguments = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    print(
        f"torch {torch.__version__}, {torch.cuda.get_device_name() if has_gpu else 'no GPU: the CPU is checked alone'}"
    )
    faults = [] if arguments.no_tests or engine_tests_pass() else ["tests"]
    print("| work | computed by | largest relative difference | allowed | seconds | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for work in works():
        expected, _ = curves(work, CPU_FLOAT64, arguments.epochs)
        for how in (how for how in COMPARED if has_gpu or how.device == "cpu"):
            found, seconds = curves(work, how, arguments.epochs)
            again, _ = curves(work, how, arguments.epochs)
            difference = largest_difference(found, expected)
            verdict = "agrees" if difference <= how.tolerance else "DISAGREES"  # NaN disagrees
            if not np.array_equal(found, again, equal_nan=True):
                verdict = "DOES NOT REPEAT"  # to the bit
            print(f"| {work.name} | {how} | {difference:.1e} | {how.tolerance:.0e} | {seconds:.2f} | {verdict} |")
            faults += [work.name] * (verdict != "agrees")
    sys.exit(f"disagreement in: {', '.join(dict.fromkeys(faults))}" if faults else 0)


def engine_tests_pass() -> bool:
    """Run the engine's tests, those for a GPU among them where there is one; True if what they need is missing."""
    missing = [name for name in ("pytest", "beartype") if find_spec(name) is None]
    if missing:
        print(f"the engine's tests are left out: {', '.join(missing)} not installed")
        return True
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", *TESTS], cwd=ROOT, check=False).returncode == 0


def works() -> list[Work]:
    """Images as they are, wide rows whose scaling each fold fits, and a pack that loses a member on the way."""
    digits, chance = load_digits().data, np.random.default_rng(0)
    wide = np.tanh(chance.normal(size=(2003, 20)) @ chance.normal(size=(20, 784)) / 4).astype(np.float32)
    small, large = Configuration(layer_sizes=(64, 48, 16)), Configuration(layer_sizes=(784, 256, 32), batch_size=128)
    pack = [  # the last diverges in its first epoch, in float64 too
        Configuration(layer_sizes=(64, width, 8), learning_rate=rate, output_activation="linear")
        for width, rate in zip((32, 24, 16), (1e-3, 3e-3, 1e200), strict=True)
    ]
    return [
        Work(name="digits 64-48-16", values=digits, value_range=(0, 16), configurations=[small]),
        Work(name="wide 784-256-32", values=wide, value_range=None, configurations=[large]),
        Work(name="a pack, one diverges", values=digits, value_range=(0, 16), configurations=pack),
        Work(name="with options", values=digits, value_range=(0, 16), configurations=[replace(small, **OPTIONS)]),
    ]


def curves(work: Work, how: Arithmetic, epochs: int) -> tuple[np.ndarray, float]:
    """Validation MSE `(epochs, configurations, folds)`, NaN where one has diverged, and the seconds it took."""
    folds = make_folds(len(work.values), 5, seed=0)
    found = np.full((epochs, len(work.configurations), len(folds)), np.nan)
    start = time.perf_counter()
    with arithmetic(n_threads=1, fp32_precision=how.fp32_precision):
        validation = CrossValidation(
            work.values,
            work.configurations,
            folds=folds,
            max_epochs=epochs,
            seed=0,
            value_range=work.value_range,
            device=how.device,
            dtype=how.dtype,
        )
        for epoch, records in enumerate(validation):
            for number, record in records.items():
                found[epoch, number] = np.where(np.isfinite(record.val_mse), record.val_mse, np.nan)
    return found, time.perf_counter() - start


def largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative to what is expected; NaN if they have not diverged at the same places."""
    alike = np.array_equal(np.isnan(found), np.isnan(expected))
    return float(np.nanmax(np.abs(found - expected) / expected)) if alike else float("nan")


if __name__ == "__main__":
    main()
