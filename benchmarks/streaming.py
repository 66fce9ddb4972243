"""What `encode` and `reconstruct` of a large file cost beside the matrix products alone: time, and memory at its peak.

`python benchmarks/streaming.py [--rows 1000000] [--threads 1] [--repeats 3] [--suffix .npy] [--json FILE]` needs no
Ray. It writes a file of random float32 samples of 784 features (3.1 GB, in a temporary folder, which needs twice as
much) and converts it by models of several sizes, random ones. Products are those of the same layers, as many rows at a
time, with the same number of threads, each into memory that is there already, on one batch that stays in memory: no
file, no scaling, no activation. Both take turns. Each conversion is a process of its own, whose start (imports, a first
few rows) is not in its time, but in its memory. The ratio is the products' time / the conversion's, of the least times
of all repeats.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training import environment

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, save_model
from ae_model.persistence import ROWS_PER_PASS

SIZES = ((784, 154), (784, 1000, 500, 250, 30), (784, 2500, 154))
OPERATIONS = ("encode", "reconstruct")
CONVERSION = """
import json, resource, sys, time
import torch
from search.conversion import convert
operation, model_dir, few, source, output, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
convert(operation, model_dir, few, output)
begun = time.perf_counter()
convert(operation, model_dir, source, output)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))
"""
"""ru_maxrss is in KiB on Linux; a process of its own, because the peak is that of a process' whole life."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--suffix", default=".npy", choices=[".npy", ".csv", ".parquet"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"x{arguments.suffix}"
        write_samples(source, arguments.rows)
        write_samples(few_rows(source), ROWS_PER_PASS)
        print("| layers | command | products, s | conversion, s | ratio | peak, MB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for sizes in SIZES:
            model_dir = Path(folder) / "-".join(map(str, sizes))
            save_model(model_dir, random_model(sizes))
            for operation in OPERATIONS:
                runs = [
                    {
                        "products_s": products(sizes, operation, arguments.rows),
                        **conversion(operation, model_dir, source, arguments.threads),
                    }
                    for _ in range(arguments.repeats)
                ]
                found.append({"layer_sizes": sizes, "operation": operation, "runs": runs})
                print(line(sizes, operation, runs), flush=True)
    if arguments.json:
        content = {"environment": environment(arguments.threads), "rows": arguments.rows, "conversions": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def write_samples(path: Path, n_rows: int) -> None:
    """Random samples in [0, 1), block by block."""
    from ae_model.samples import Block
    from search.block_files import write_csv, write_npy, write_parquet

    chance = np.random.default_rng(0)
    blocks = (
        Block(values=chance.random((min(ROWS_PER_PASS, n_rows - first), SIZES[0][0]), np.float32))
        for first in range(0, n_rows, ROWS_PER_PASS)
    )
    names = [f"f{number}" for number in range(SIZES[0][0])]
    if path.suffix == ".npy":
        write_npy(path, blocks, len(names))
    elif path.suffix == ".parquet":
        write_parquet(path, blocks, names, None)
    else:
        with path.open("wb") as file:
            write_csv(file, blocks, names, None)


def few_rows(source: Path) -> Path:
    """A small file beside the large one."""
    return source.with_name(f"few{source.suffix}")


def random_model(sizes: tuple[int, ...]) -> TrainedAutoencoder:
    """A model with the defaults of a search for these layers."""
    model = SymmetricAutoencoder(
        sizes, code_activation="linear", output_activation="linear", generator=torch.Generator().manual_seed(0)
    )
    scaling = Scaling(scale=np.full(sizes[0], 2.0), shift=np.full(sizes[0], -1.0))
    return TrainedAutoencoder(model=model.eval(), scaling=scaling, metadata={})


def products(sizes: tuple[int, ...], operation: str, n_rows: int) -> float:
    """Seconds of the matrix products alone."""
    through = list(pairwise(sizes if operation == "encode" else (*sizes, *sizes[-2::-1])))
    weights = [torch.rand(n_out, n_in).t() for n_in, n_out in through]
    n_passes = -(-n_rows // ROWS_PER_PASS)
    rows = torch.rand(min(ROWS_PER_PASS, n_rows), sizes[0])
    outs = [torch.empty(len(rows), n_out) for _, n_out in through]
    begun = time.perf_counter()
    for _ in range(n_passes):
        result = rows
        for weight, out in zip(weights, outs, strict=True):
            result = torch.mm(result, weight, out=out)
    return (time.perf_counter() - begun) * n_rows / (n_passes * len(rows))  # the last pass is a part of one


def conversion(operation: str, model_dir: Path, source: Path, n_threads: int) -> dict[str, float]:
    """Seconds and the peak of the memory, in 10^6 bytes, of a conversion to a file of the same kind."""
    output = model_dir / f"out{source.suffix}"
    arguments = [operation, str(model_dir), str(few_rows(source)), str(source), str(output), str(n_threads)]
    done = subprocess.run(
        [sys.executable, "-c", CONVERSION, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    output.unlink()
    result: dict[str, float] = json.loads(done.stdout)
    return result


def line(sizes: tuple[int, ...], operation: str, runs: list[dict[str, float]]) -> str:
    """The least times, because others on a machine only make them longer, and the ratio of these."""
    peak = max(run["peak_mb"] for run in runs)
    of_products, of_conversion = (min(run[key] for run in runs) for key in ("products_s", "seconds"))
    return (
        f"| {'-'.join(map(str, sizes))} | {operation} | {of_products:.1f} | {of_conversion:.1f} | "
        f"{of_products / of_conversion:.2f} | {peak:.0f} |"
    )


if __name__ == "__main__":
    main()
