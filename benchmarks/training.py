"""Cross-validation by our engine and by the recipes people use instead, interleaved in one run.

`python benchmarks/training.py [A B C D] [--repeats 5] [--threads 1] [--data-dir DIR]` prints one table for each work,
and with `--json FILE` writes all raw values; with `--profile` it prints where our time goes. `--samples`,
`--configurations` and `--folds` make every work smaller, `--without 1` leaves recipe 1 out. `--device cuda
[--fp32-precision tf32]` measures on a GPU. It needs neither Ray nor an installation, as `gpu_check.py`.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import recipes
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, whether it is installed or not

from ae_model import Configuration, load_dataset, make_folds
from ae_model.arithmetic import arithmetic
from ae_model.configuration import EpochRecord
from ae_model.cross_validation import CrossValidation
from ae_model.folds import Fold
from search.execution.packs import make_packs

ADAM_BYTES = 28  # read parameter, gradient and two moments, write parameter and two moments, four bytes each


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One piece of work that every recipe does."""

    name: str
    source: str
    layer_sizes: list[tuple[int, ...]]
    n_samples: int
    batch_size: int
    epochs: int
    n_splits: int = 5


WORKS = {
    "A": Work(name="A", source="mnist", layer_sizes=[(784, 2500, 154)], n_samples=12_800, batch_size=128, epochs=1),
    "B": Work(name="B", source="mnist", layer_sizes=[(784, 154)], n_samples=12_800, batch_size=128, epochs=1),
    "C": Work(name="C", source="digits", layer_sizes=[(64, 48, 16)], n_samples=1437, batch_size=64, epochs=5),
    "D": Work(
        name="D",
        source="digits",
        layer_sizes=[(64, int(width), 16) for width in np.linspace(16, 128, 16).round()],
        n_samples=1437,
        batch_size=64,
        epochs=1,
    ),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", default=sorted(WORKS))
    parser.add_argument("--samples", type=int, help="at most so many samples")
    parser.add_argument("--configurations", type=int, help="only the first so many configurations")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of each work's own")
    parser.add_argument("--without", nargs="*", default=[], choices=list("1234"), help="recipes to leave out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--fp32-precision", default="ieee", choices=["ieee", "tf32"], help="of products on a GPU")
    parser.add_argument("--data-dir", default="../shared/data")
    parser.add_argument("--profile", action="store_true", help="of ours alone, instead of times")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    works = [
        reduced(WORKS[name], arguments.samples, arguments.configurations, arguments.folds, arguments.epochs)
        for name in arguments.works
    ]
    with arithmetic(n_threads=arguments.threads, fp32_precision=arguments.fp32_precision):
        if arguments.profile:
            for work in works:
                print(f"{work.name}:\n{profile(work, arguments.data_dir, arguments.device)}")
            return
        found = {}
        for work in works:
            found[work.name] = measure(work, arguments.repeats, arguments.data_dir, arguments.device, arguments.without)
            print(table(work, found[work.name]), flush=True)
    where = environment(arguments.threads)
    if arguments.device == "cuda":
        where["fp32_precision"] = arguments.fp32_precision
    result = {"environment": where, "works": found}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def reduced(work: Work, n_samples: int | None, n_configurations: int | None, n_splits: int, epochs: int | None) -> Work:
    """The work with so many folds and epochs, and no more samples and configurations than these."""
    return replace(
        work,
        n_samples=min(work.n_samples, n_samples or work.n_samples),
        layer_sizes=work.layer_sizes[:n_configurations],
        n_splits=n_splits,
        epochs=epochs or work.epochs,
    )


def measure(
    work: Work, repeats: int, data_dir: str, device: str, without: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """Seconds and final MSE of ours, of the recipes but these, and of the floor, one value a repeat, in turn."""
    dataset = load_dataset(work.source, data_dir=data_dir, max_samples=work.n_samples)
    values, value_range = dataset.development, dataset.value_range
    assert value_range is not None
    folds = make_folds(len(values), work.n_splits, seed=0)

    def peer(recipe: recipes.Recipe) -> Callable[[], float]:
        return lambda: float(
            np.mean(
                [
                    recipe(values, value_range, sizes, folds, work.epochs, work.batch_size, device)
                    for sizes in work.layer_sizes
                ]
            )
        )

    candidates: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(work, values, value_range, folds, device),
        "1 DataLoader": peer(recipes.dataloader),
        "2 in memory": peer(recipes.in_memory),
        "3 fused Adam": peer(recipes.in_memory_fused),
        "4 vmap": peer(recipes.vmap),
        "floor": lambda: floor(
            work, [len(fold.train) for fold in folds], [len(fold.validation) for fold in folds], device
        ),
    }
    candidates = {name: run for name, run in candidates.items() if name[0] not in without}
    found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "mse": []} for name in candidates}
    for repeat in range(repeats + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            value = run()
            seconds = time.perf_counter() - start
            if repeat == 0:
                continue  # warm-up
            found[name]["seconds"].append(value if name == "floor" else seconds)
            found[name]["mse"].append(float("nan") if name == "floor" else value)
    return found


def ours(work: Work, values: np.ndarray, value_range: tuple[float, float], folds: Sequence[Fold], device: str) -> float:
    """Train the work's packs one after the other, as a search does; the mean final MSE."""
    configurations = {
        str(sizes): Configuration(layer_sizes=sizes, batch_size=work.batch_size) for sizes in work.layer_sizes
    }
    packs = make_packs(configurations, n_rows=sum(len(fold.train) for fold in folds))
    last: list[EpochRecord] = []
    for pack in packs:
        chosen = list(pack.values())
        *_, records = CrossValidation(
            values, chosen, folds=folds, max_epochs=work.epochs, seed=0, value_range=value_range, device=device
        )
        last += records.values()
    return float(np.mean([record.val_mse.mean() for record in last]))


def profile(work: Work, data_dir: str, device: str) -> str:
    """Where our time goes, by operation; the profiler itself makes small ones look larger."""
    dataset = load_dataset(work.source, data_dir=data_dir, max_samples=work.n_samples)
    assert dataset.value_range is not None
    folds = make_folds(len(dataset.development), work.n_splits, 0)
    arguments = work, dataset.development, dataset.value_range, folds, device
    ours(*arguments)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA][: 1 + (device == "cuda")]
    with torch.profiler.profile(activities=activities) as profiler:
        ours(*arguments)
    by = f"self_{'cpu' if device == 'cpu' else 'device'}_time_total"
    return str(profiler.key_averages().table(sort_by=by, row_limit=14, max_name_column_width=40))


def floor(work: Work, n_train: Sequence[int], n_validation: Sequence[int], device: str) -> float:
    """Seconds that the matrix products of the work take alone, plus Adam's memory traffic at a triad's bandwidth.

    On a GPU both are replayed as CUDA graphs, so that launching them costs nothing.
    """
    seconds = 0.0
    g = len(n_train)
    n_steps = sum(work.epochs * -(-rows // work.batch_size) for rows in n_train)
    for sizes in work.layer_sizes:
        layers = list(pairwise((*sizes, *sizes[-2::-1])))
        n_parameters = sum(a * b + b for a, b in layers)
        step = _least(layers, g, work.batch_size, device, backward=True)
        validation = _least(layers, g, max(n_validation), device, backward=False)
        adam = min(_timed(_triad(ADAM_BYTES * n_parameters * n, device), device) / n for n in (1, g))
        seconds += n_steps * (step + adam) + work.epochs * g * validation
    return seconds


def _least(layers: Sequence[tuple[int, int]], g: int, rows: int, device: str, *, backward: bool) -> float:
    """Seconds per model of the products, in whichever way is fastest.

    One model at a time, or all folds batched; matrices stored by rows, or with the longer side innermost.
    """
    ways = [(n, long) for n in (1, g) for long in (False, True)]
    return min(_timed(_products(layers, n, rows, device, backward=backward, long=long), device) / n for n, long in ways)


def _products(
    layers: Sequence[tuple[int, int]], g: int, rows: int, device: str, *, backward: bool, long: bool
) -> Callable[[], None]:
    def matrices(n_rows: int, n_columns: int) -> torch.Tensor:
        if long and n_columns < n_rows:
            return torch.randn(g, n_columns, n_rows, device=device).mT
        return torch.randn(g, n_rows, n_columns, device=device)

    def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        if out.is_contiguous():
            torch.bmm(a, b, out=out)
        else:
            torch.bmm(b.mT, a.mT, out=out.mT)

    widths = [layers[0][0], *(n_out for _, n_out in layers)]
    values, outputs = ([matrices(rows, width) for width in widths] for _ in range(2))
    weights, gradients = ([matrices(*layer) for layer in layers] for _ in range(2))

    def run() -> None:
        for layer, weight in enumerate(weights):
            multiply(values[layer], weight, outputs[layer + 1])
        for layer in reversed(range(len(weights))) if backward else ():
            multiply(values[layer].mT, values[layer + 1], gradients[layer])
            if layer:
                multiply(values[layer + 1], weights[layer].mT, outputs[layer])

    return run


def _triad(n_bytes: int, device: str) -> Callable[[], object]:
    n = n_bytes // 12  # two reads and a write of four bytes
    a, b, c = (torch.rand(n, device=device) for _ in range(3))
    return lambda: torch.add(a, b, alpha=3.0, out=c)


def _timed(run: Callable[[], object], device: str) -> float:
    """Seconds of one call: the mean over some 20 ms, after a warm-up."""
    calls = 1
    if device == "cuda":
        run, calls = _captured(run)
    run()
    _wait(device)
    n, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 0.02:
        run()
        _wait(device)
        n += calls
    return elapsed / n


def _captured(run: Callable[[], object], calls: int = 50) -> tuple[Callable[[], object], int]:
    """So many calls as one CUDA graph, after a warm-up on another stream, as a capture must have."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    return graph.replay, calls


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def table(work: Work, found: dict[str, dict[str, list[float]]]) -> str:
    """The result as text: medians, spread, ratios."""
    medians = {name: float(np.median(values["seconds"])) for name, values in found.items()}
    samples = work.epochs * work.n_samples * (work.n_splits - 1) * len(work.layer_sizes)
    lines = [
        f"{work.name}: {work.source}, {len(work.layer_sizes)} configuration(s), rho = {_ratio(found, 'floor', 'ours')}"
    ]
    lines.append("| recipe | s, median (min to max) | trained samples x models / s | 1 / this | 3 / this | final MSE |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, values in found.items():
        seconds = values["seconds"]
        cells = [
            name,
            f"{medians[name]:.3f} ({min(seconds):.3f} to {max(seconds):.3f})",
            f"{samples / medians[name]:,.0f}",
            _ratio(found, "1 DataLoader", name),
            _ratio(found, "3 fused Adam", name),
            "" if name == "floor" else f"{np.median(values['mse']):.5f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _ratio(found: dict[str, dict[str, list[float]]], above: str, below: str) -> str:
    """Median over the repeats of the ratio of two times taken in the same repeat; nothing where one was left out."""
    if not {above, below} <= set(found):
        return ""
    return f"{np.median(np.divide(found[above]['seconds'], found[below]['seconds'])):.2f}"


def environment(threads: int) -> dict[str, object]:
    """Machine and versions."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model.partition(":")[2].strip() or platform.processor(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


if __name__ == "__main__":
    main()
