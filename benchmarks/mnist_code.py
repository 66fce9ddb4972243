"""MNIST with a code of 32 units, by several libraries: equal epochs, comparable widths, each tuned alike.

`python benchmarks/mnist_code.py [--data-dir data] [--libraries ...] [--seeds 0] [--json FILE]` needs `pip install pyod
pythae tqdm` for these two. All have one hidden layer of 512 units, batches of 128 and Adam. Each chooses among its
candidates by the validation error of others of the training images, trained for a quarter of the epochs; the best is
then trained on all, and reconstructs the test images once. Errors are of pixels in [0, 1]. What has `TUNED` is all that
was tuned.
"""

import argparse
import io
import json
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from training import environment

from ae_model import Configuration, fit_autoencoder, fit_scaling, load_dataset

CODE_SIZE, WIDTH, BATCH = 32, 512, 128
TUNING, VALIDATION = 12_000, 3_000
"""Images that candidates are trained on, and compared on."""

Reconstruct = Callable[[np.ndarray], np.ndarray]
"""Images in [0, 1], `(n, 784)`, to what a model makes of them."""


def ours(x: np.ndarray, epochs: int, seed: int, *, init: str, rate: float) -> Reconstruct:
    """As a trial of a search trains it, with the output that a search chooses for these images."""
    scaling = fit_scaling(x, (0.0, 1.0), "range")
    configuration = Configuration(
        layer_sizes=(784, WIDTH, CODE_SIZE),
        code_activation="linear",
        output_activation="tanh",
        learning_rate=rate,
        batch_size=BATCH,
        init=init,
    )
    model, _ = fit_autoencoder(x, scaling, configuration, epochs=epochs, seed=seed)
    model.eval()

    def reconstruct(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return scaling.inverse(model(torch.from_numpy(scaling.transform(images)).float())[0].numpy())

    return reconstruct


def pyod(x: np.ndarray, epochs: int, seed: int, *, plain: bool, rate: float) -> Reconstruct:
    """PyOD's detector, with its batch normalisation and dropout or without."""
    from pyod.models.auto_encoder import AutoEncoder

    options: dict[str, Any] = {"batch_norm": False, "dropout_rate": 0.0} if plain else {}
    detector = AutoEncoder(
        hidden_neuron_list=[WIDTH, CODE_SIZE],
        lr=rate,
        epoch_num=epochs,
        batch_size=BATCH,
        preprocessing=False,
        random_state=seed,
        verbose=0,
        device="cpu",
        **options,
    )
    detector.fit(x)

    def reconstruct(images: np.ndarray) -> np.ndarray:
        detector.model.eval()
        with torch.no_grad():
            return detector.model(torch.from_numpy(images)).numpy()

    return reconstruct


def pythae(x: np.ndarray, epochs: int, seed: int, *, rate: float) -> Reconstruct:
    """Pythae's `AE` with its own networks, which have one layer of 512 units and end in a sigmoid."""
    from pythae.models import AE, AEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    shape = (1, 28, 28)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as scratch:
        config = BaseTrainerConfig(
            output_dir=scratch,
            num_epochs=epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=rate,
            seed=seed,
            no_cuda=True,
        )
        model = AE(AEConfig(input_dim=shape, latent_dim=CODE_SIZE))
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # its bars, for every epoch
            TrainingPipeline(training_config=config, model=model)(train_data=x.reshape(-1, *shape))
        (folder,) = Path(scratch).glob("*/final_model")
        best = AE.load_from_folder(str(folder)).eval()

    def reconstruct(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return best.reconstruct(torch.from_numpy(images.reshape(-1, *shape))).reshape(-1, 784).numpy()

    return reconstruct


def pca(x: np.ndarray, _epochs: int, _seed: int) -> Reconstruct:
    """scikit-learn's, which has nothing to tune."""
    found = PCA(CODE_SIZE).fit(x)
    return lambda images: found.inverse_transform(found.transform(images))


RATES = (1e-2, 3e-3, 1e-3)
LIBRARIES: dict[str, Callable[..., Reconstruct]] = {"ours": ours, "PyOD": pyod, "pythae": pythae, "PCA": pca}
TUNED: dict[str, list[dict[str, Any]]] = {
    "ours": [
        {"init": init, "rate": rate}
        for init, rate in (("pca", 3e-3), ("pca", 1e-3), ("pca", 3e-4), ("random", 3e-3), ("random", 1e-3))
    ],
    "PyOD": [{"plain": plain, "rate": rate} for plain in (False, True) for rate in RATES],
    "pythae": [{"rate": rate} for rate in (*RATES, 3e-4)],
    "PCA": [{}],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset("mnist", data_dir=arguments.data_dir, download=False)
    training, test = (np.divide(x, 255, dtype=np.float32) for x in (dataset.development, dataset.test))
    found: list[dict[str, Any]] = []
    print("| library | chosen | test MSE | FVE | s, training |\n| --- | --- | --- | --- | --- |")
    for seed in arguments.seeds:
        for library in arguments.libraries:
            one = measure(library, training, test, arguments.epochs, seed)
            found.append(one)
            chosen = ", ".join(f"{name} {value}" for name, value in one["chosen"].items())
            print(f"| {library} | {chosen} | {one['mse']:.5f} | {one['fve']:.3f} | {one['seconds']:.0f} |", flush=True)
            if arguments.json:
                content = {"environment": environment(1), "epochs": arguments.epochs, "results": found}
                arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def measure(library: str, training: np.ndarray, test: np.ndarray, epochs: int, seed: int) -> dict[str, Any]:
    """Choose among the candidates, train the best on all, and look at the test images."""
    fit, candidates = LIBRARIES[library], TUNED[library]
    order = np.random.default_rng(seed).permutation(len(training))
    n_validation = min(VALIDATION, len(training) // 4)
    validation, some = training[order[:n_validation]], training[order[n_validation:][:TUNING]]
    tuned = []
    for candidate in candidates if len(candidates) > 1 else []:
        reconstruct = fit(some, -(-epochs // 4), seed, **candidate)
        tuned.append(candidate | {"val_mse": _mse(reconstruct, validation)})
    best = min(range(len(tuned)), key=lambda i: tuned[i]["val_mse"]) if tuned else 0
    begun = time.perf_counter()
    reconstruct = fit(training, epochs, seed, **candidates[best])
    seconds = time.perf_counter() - begun
    mse = _mse(reconstruct, test)
    spread = float(np.square(test - training.mean(axis=0)).mean())
    return {
        "library": library,
        "seed": seed,
        "tuned": tuned,
        "chosen": candidates[best],
        "mse": mse,
        "fve": 1 - mse / spread,
        "seconds": seconds,
    }


def _mse(reconstruct: Reconstruct, images: np.ndarray) -> float:
    return float(np.square(reconstruct(images) - images, dtype=np.float64).mean())


if __name__ == "__main__":
    main()
