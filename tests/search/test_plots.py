"""search.plots: every picture is a PNG with something on it, also for the smallest and the largest tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from search import plots


def _check(path: Path) -> np.ndarray:
    """The pixels of a PNG that is neither blank nor alone with a temporary file."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return pixels


def _trials(n_trials: int, *, wide: bool = False) -> pd.DataFrame:
    """A table of trials as far as the picture needs it; the last one has diverged."""
    generator = np.random.default_rng(0)
    means = np.sort(generator.random(n_trials)) * (1000 if wide else 0.1) + 0.01
    trials = pd.DataFrame(
        {
            "number": range(1, n_trials + 1),
            "layer_sizes": [f"64-{n}-8" for n in range(n_trials)],
            "hidden_depth": 1,
            "hidden_activation": "relu",
            "code_activation": generator.choice(["relu", "linear"], n_trials),
            "learning_rate": 0.001,
            "batch_size": 64,
            "val_mse_mean": means,
            "val_mse_se": means / 10,
            "pca_val_mse_mean": 0.05,
            "rank": pd.array([*range(1, n_trials), pd.NA] if n_trials > 1 else [1], dtype="Int64"),
        }
    )
    if n_trials > 1:
        trials.loc[n_trials - 1, ["val_mse_mean", "val_mse_se"]] = np.nan
    return trials


@pytest.mark.parametrize(("n_trials", "wide"), [(1, False), (5, True), (60, False)])
def test_validation_mse(tmp_path: Path, n_trials: int, wide: bool) -> None:
    """One trial or sixty, near one another or over many decades."""
    plots.validation_mse(_trials(n_trials, wide=wide), tmp_path / "mse.png")
    _check(tmp_path / "mse.png")


def test_validation_mse_without_a_baseline(tmp_path: Path) -> None:
    """PCA's values may be missing."""
    plots.validation_mse(_trials(3).assign(pca_val_mse_mean=np.nan), tmp_path / "mse.png")
    _check(tmp_path / "mse.png")


@pytest.mark.parametrize("ratio", [[1.0], [0.7, 0.3], list(np.full(784, 1 / 784))])
def test_explained_variance(tmp_path: Path, ratio: list[float]) -> None:
    """One component or many, with the code sizes marked or none."""
    values = np.array(ratio)
    plots.explained_variance(values, [], tmp_path / "plain.png")
    plain = _check(tmp_path / "plain.png")
    (tmp_path / "plain.png").unlink()
    sizes = sorted({1, max(1, len(ratio) // 2), len(ratio)})
    plots.explained_variance(values, [(n, float(values[:n].sum())) for n in sizes], tmp_path / "marked.png")
    assert not np.array_equal(_check(tmp_path / "marked.png"), plain)


@pytest.mark.parametrize(("n_epochs", "n_batches"), [(1, 1), (30, 7)])
def test_training_loss(tmp_path: Path, n_epochs: int, n_batches: int) -> None:
    """One epoch of one batch, or many; with a validation curve of a search that ran longer, or none."""
    losses = pd.DataFrame(
        {
            "step": range(1, n_epochs * n_batches + 1),
            "epoch": np.repeat(np.arange(1, n_epochs + 1), n_batches),
            "mse": 1 / np.arange(1, n_epochs * n_batches + 1),
        }
    )
    epochs = np.arange(1, n_epochs + 4)
    validation = pd.DataFrame({"epoch": epochs, "mean": 0.5 / epochs, "se": 0.4 / epochs})
    plots.training_loss(losses, validation, tmp_path / "loss.png")
    _check(tmp_path / "loss.png")
    plots.training_loss(losses, validation.head(0), tmp_path / "loss.png")
    _check(tmp_path / "loss.png")


def test_training_loss_of_a_trial_that_diverged_later(tmp_path: Path) -> None:
    """Epochs without a mean are gaps in the curve."""
    losses = pd.DataFrame({"step": [1, 2], "epoch": [1, 2], "mse": [1.0, 0.5]})
    validation = pd.DataFrame({"epoch": [1, 2, 3], "mean": [1.0, 0.6, np.nan], "se": [0.1, 0.7, np.nan]})
    plots.training_loss(losses, validation, tmp_path / "loss.png")
    _check(tmp_path / "loss.png")


@pytest.mark.parametrize(
    ("shape", "value_range"), [((4, 12), (0.0, 255.0)), ((8, 8, 1), None), ((8, 8, 3), (0.0, 255.0))]
)
def test_reconstructions(tmp_path: Path, shape: tuple[int, ...], value_range: tuple[float, float] | None) -> None:
    """Grey and colour images, also where a reconstruction leaves the range."""
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (4, int(np.prod(shape)))).astype(np.float32)
    outputs = inputs + generator.normal(size=inputs.shape) * 50
    plots.reconstructions(inputs, outputs, shape, value_range, tmp_path / "images.png")
    pixels = _check(tmp_path / "images.png")
    colourful = (pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 30).any()
    assert colourful == (shape[-1] == 3)


def test_reconstructions_are_what_was_given(tmp_path: Path) -> None:
    """White above, black below: the upper half of the picture is brighter."""
    white, black = np.full((3, 64), 255.0), np.zeros((3, 64))
    plots.reconstructions(white, black, (8, 8), (0.0, 255.0), tmp_path / "images.png")
    pixels = _check(tmp_path / "images.png").astype(float)
    upper, lower = np.array_split(pixels, 2)
    assert upper.mean() > lower.mean() + 50


def test_one_blank_image(tmp_path: Path) -> None:
    """An image of one value without a stated range is drawn as well."""
    plots.reconstructions(np.ones((1, 16)), np.zeros((1, 16)), (4, 4), None, tmp_path / "images.png")
    _check(tmp_path / "images.png")


@pytest.mark.parametrize("n_features", [1, 6, 200])
def test_feature_errors(tmp_path: Path, n_features: int) -> None:
    """One feature or two hundred, with long names."""
    names = [f"feature {i} {'long ' * 20}" for i in range(n_features)]
    plots.feature_errors(np.random.default_rng(0).random(n_features), names, tmp_path / "errors.png")
    _check(tmp_path / "errors.png")


@pytest.mark.parametrize("name", ["paid in $, # or $", "$a_b$", "a_b^c", "%s {} <b>", "Größe"])
def test_any_column_name(tmp_path: Path, name: str) -> None:
    """What a formula or a format would give a meaning is a character like any other in the name of a feature."""
    plots.feature_errors(np.array([0.1, 0.2]), [name, "plain"], tmp_path / "errors.png")
    _check(tmp_path / "errors.png")


def test_feature_errors_of_a_perfect_model(tmp_path: Path) -> None:
    """Bars of no length are drawn without complaint."""
    plots.feature_errors(np.zeros(3), list("abc"), tmp_path / "errors.png")
    _check(tmp_path / "errors.png")
