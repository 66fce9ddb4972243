"""search.plots: every picture is a PNG that shows what was given and can be read, from the smallest to the largest."""

import itertools
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from ae_model import Configuration
from search import plots
from search.plots.code_sizes import SHOWN_VARIANCE, spread
from search.plots.features import feature_positions
from search.plots.figures import BLUE, MAX_BARS, three_digits
from search.plots.fve import MAX_CHOICES
from search.smallest_code_record import smallest_code
from search.tables import TRIAL_COLUMNS

DEFAULTS = Configuration(layer_sizes=(64, 8))
"""What says nothing of a trial that a picture shows."""


def _check(path: Path) -> np.ndarray:
    """The pixels of a PNG that is neither blank nor alone with a temporary file."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        pixels = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels @ np.array([1 << 16, 1 << 8, 1]))) > 3
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return pixels


def _texts(figure: Figure) -> list[Text]:
    """Every text that is drawn."""
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        if not axes.axison:
            continue
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = (tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)
            texts += [axis.get_offset_text(), *(tick.label1 for tick in shown if tick.label1.get_visible())]
    return [text for text in texts if text.get_text().strip()]


def _check_texts(figure: Figure) -> None:
    """No text lies over another or leaves the picture."""
    figure.draw_without_rendering()  # saved with more dots per inch, it has places of then
    boxes = [(text.get_text(), text.get_window_extent()) for text in _texts(figure)]
    assert boxes
    for text, box in boxes:
        assert figure.bbox.x0 - 1 <= box.x0, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 - 1 <= box.y0, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    for (text, box), (other_text, other) in itertools.combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), (text, other_text)


def _tables(means: np.ndarray, n_splits: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of trials and folds as far as the picture needs them; where the mean is NaN, the trial has diverged."""
    generator = np.random.default_rng(0)
    n = len(means)
    values = means[:, None] * (1 + 0.01 * generator.normal(size=(n, n_splits)) + 0.1 * generator.normal(size=n_splits))
    trials = pd.DataFrame(
        {
            "trial_id": [f"id{i}" for i in range(n)],
            "number": range(1, n + 1),
            "layer_sizes": [f"64-{i}-8" for i in range(n)],
            "hidden_depth": 1,
            **{name: value for name, value in asdict(DEFAULTS).items() if name in TRIAL_COLUMNS[5:]},
            "code_activation": generator.choice(["relu", "linear"], n),
            "val_mse_mean": values.mean(axis=1),
            "val_mse_se": values.std(axis=1, ddof=1) / np.sqrt(n_splits),
            "pca_val_mse_mean": 0.05,
        }
    )
    trials["rank"] = trials["val_mse_mean"].rank(method="min").astype("Int64")
    folds = pd.DataFrame(
        [
            {"trial_id": f"id{i}", "fold": fold, "repeat": 0, "val_mse": value}
            for i, row in enumerate(values)
            for fold, value in enumerate(row)
            if not np.isnan(value)
        ]
    )
    return trials, folds


def _drawn(axes: Axes) -> dict[int, tuple[float, float, float, bool]]:
    """Mean, low and high end of each interval, and whether its mark is filled, by its row."""
    intervals = {}
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        marks, _, (bars,) = container
        assert marks is not None
        filled = marks.get_markerfacecolor() == BLUE
        for (mean, row), segment in zip(np.transpose(marks.get_data()), bars.get_segments(), strict=True):
            intervals[round(row)] = (mean, segment[0, 0], segment[1, 0], filled)
    return intervals


SPREADS = {
    "one": np.array([0.02]),
    "two": np.array([0.02, 0.021]),
    "tiny": np.array([2.1, 2.2, 2.5]) * 1e-7,
    "many": 0.02 + 0.0005 * np.arange(100),
    "decades": np.geomspace(0.001, 1000, 12),
    "diverged": np.array([0.02, 0.03, np.nan]),
    "outliers": np.array([0.02, 0.0201, 0.021, 0.022, 2.0, 2.2, 3.0]),
}


@pytest.mark.parametrize("name", SPREADS)
def test_validation_mse(tmp_path: Path, name: str) -> None:
    """One trial or a hundred, near one another or over many decades: every text can be read, every trial has a row."""
    trials, folds = _tables(SPREADS[name])
    figure = plots.validation_mse(trials, folds, "id0", tmp_path / "mse.png")
    _check(tmp_path / "mse.png")
    _check_texts(figure)
    n_rows = min(int(trials["rank"].notna().sum()), MAX_BARS)
    assert len(figure.axes[0].get_yticks()) == n_rows
    assert len(_drawn(figure.axes[0])) == n_rows
    assert len(figure.axes) == (1 if n_rows == 1 else 2), "one trial differs from no other"


def test_an_autoencoder_far_from_pca(tmp_path: Path) -> None:
    """Where one of the two is a hundred times better than the other, both can be read: the axis is logarithmic."""
    for name, factor in ("two", 1.0), ("two", 100.0), ("two", 0.01):
        trials, folds = _tables(SPREADS[name])
        trials["pca_val_mse_mean"] *= factor
        axes = plots.validation_mse(trials, folds, "id0", tmp_path / "mse.png").axes[0]
        assert axes.get_xscale() == ("linear" if (name, factor) == ("two", 1.0) else "log")
        assert all(np.all(np.asarray(line.get_xdata()) > axes.get_xlim()[0]) for line in axes.lines)


@pytest.mark.parametrize("pca_mse", [0.0, 1e-31])
def test_pca_without_an_error(tmp_path: Path, pca_mse: float) -> None:
    """With as many components as features its MSE is only rounding: a mark at the edge, and no axis of 30 decades."""
    trials, folds = _tables(SPREADS["two"])
    figure = plots.validation_mse(trials.assign(pca_val_mse_mean=pca_mse), folds, "id0", tmp_path / "mse.png")
    _check_texts(figure)
    assert figure.axes[0].get_xlim()[0] > 1e-6
    assert "PCA with as many components, below the axis" in [text.get_text() for text in figure.legends[0].get_texts()]
    losses = pd.DataFrame({"step": [1, 2], "epoch": [1, 2], "mse": [1.0, 0.5]})
    figure = plots.training_loss(losses, pd.DataFrame(), tmp_path / "mse.png", pca_mse)
    _check_texts(figure)
    assert figure.axes[0].get_ylim()[0] == pytest.approx(0.0005)
    assert figure.legends[0].get_texts()[-1].get_text().endswith(f"{pca_mse:g} (below the axis)")


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.100"), (284.4, "284"), (1234.5, "1.23e+03"), (0, "0.00"), (1.2e-5, "1.20e-05")]
)
def test_three_digits(value: float, text: str) -> None:
    """Three digits, and no point without digits after it."""
    assert three_digits(value) == text
    assert three_digits(value, sign="+") == f"+{text}"


def test_validation_mse_without_a_baseline(tmp_path: Path) -> None:
    """PCA's values may be missing."""
    trials, folds = _tables(np.array([0.02, 0.03, 0.04]))
    plots.validation_mse(trials.assign(pca_val_mse_mean=np.nan), folds, "id0", tmp_path / "mse.png")
    _check(tmp_path / "mse.png")


@pytest.mark.parametrize("winner", ["id0", "id3"])
def test_differences_from_the_winner(tmp_path: Path, winner: str) -> None:
    """Beside each trial but the winner: its mean difference in the folds with the corrected 95% interval, by NumPy.

    The mark is hollow where the interval holds zero.
    """
    trials, folds = _tables(np.array([0.02, 0.02005, 0.0201, 0.0215, 0.022]), n_splits=4)
    figure = plots.validation_mse(trials, folds, winner, tmp_path / "mse.png")
    drawn = _drawn(figure.axes[1])
    order = trials.sort_values("rank")["trial_id"].tolist()
    values = {name: group.sort_values("fold")["val_mse"].to_numpy() for name, group in folds.groupby("trial_id")}
    assert sorted(drawn) == [row for row, name in enumerate(order) if name != winner]
    for row, (mean, low, high, filled) in drawn.items():
        d = values[order[row]] - values[winner]
        half = stats.t(3).ppf(0.975) * np.sqrt((1 / 4 + 1 / 3) * np.sum((d - d.mean()) ** 2) / 3)
        np.testing.assert_allclose([mean, low, high], [d.mean(), d.mean() - half, d.mean() + half])
        assert filled == (low > 0 or high < 0)
    assert {filled for *_, filled in drawn.values()} == {True, False} or winner != "id0"
    left, right = figure.axes[1].get_xlim()
    assert left < min(0, *(low for _, low, _, _ in drawn.values()))
    assert right > max(0, *(high for _, _, high, _ in drawn.values()))


def test_outliers_do_not_squeeze_the_differences(tmp_path: Path) -> None:
    """What is a hundred times worse is an arrow with its number at the edge; the others keep most of the axis."""
    trials, folds = _tables(SPREADS["outliers"])
    axes = plots.validation_mse(trials, folds, "id0", tmp_path / "mse.png").axes[1]
    means = trials["val_mse_mean"].to_numpy()
    assert sorted(_drawn(axes)) == [1, 2, 3]
    assert axes.get_xlim()[1] < 3 * (means[3] - means[0])
    arrows = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == ">"}  # type: ignore[index]
    assert sorted(arrows) == [4, 5, 6]
    assert [text.get_text() for text in axes.texts] == [f"+{means[row] - means[0]:#.3g}" for row in (4, 5, 6)]
    assert all(axes.get_xlim()[0] < line.get_xdata()[0] < axes.get_xlim()[1] for line in arrows.values())  # type: ignore[index]


def test_a_winner_that_is_not_among_the_best_has_a_row(tmp_path: Path) -> None:
    """By another rule than "best" the winner may be far down: it stands in the last row."""
    trials, folds = _tables(SPREADS["many"])
    figure = plots.validation_mse(trials, folds, "id90", tmp_path / "mse.png")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == MAX_BARS
    assert labels[-1].startswith("64-90-8")
    assert "best 39 of 100 configurations, and of the winner" in figure.texts[0].get_text()


def _spectrum(n: int, decay: float) -> np.ndarray:
    ratio = np.exp(-decay * np.arange(n))
    return ratio / ratio.sum()


@pytest.mark.parametrize(
    ("ratio", "sizes"),
    [
        (np.array([1.0]), [1]),
        (np.array([0.7, 0.3]), [1, 2]),
        (_spectrum(64, 0.1), []),
        (_spectrum(64, 0.1), [28]),
        (_spectrum(64, 0.1), [30, 28, 29]),
        (_spectrum(64, 0.1), [4, 8, 16, 28, 29, 30, 31, 64]),
        (_spectrum(64, 0.02), [57, 58, 59, 60, 61, 62, 63, 64]),
        (_spectrum(64, 0.1), list(range(1, 31))),
        (np.full(1500, 1 / 1500), [1425]),
        (_spectrum(1500, 0.3), [10]),
        (_spectrum(1500, 0.3), [2, 10, 11, 12, 1500]),
        (_spectrum(20, 0.1), [40]),  # fewer samples than a code has units
    ],
)
def test_explained_variance(tmp_path: Path, ratio: np.ndarray, sizes: list[int]) -> None:
    """Every mark is seen and has one label, right of the axes, so that none covers the curve or another."""
    marks = [(size, float(ratio[:size].sum())) for size in sizes]
    figure = plots.explained_variance(ratio, marks, tmp_path / "bottleneck.png")
    _check(tmp_path / "bottleneck.png")
    _check_texts(figure)
    (axes,) = figure.axes
    assert {line.get_xydata().tolist()[0][0] for line in axes.lines if line.get_marker() == "o"} == set(sizes)  # type: ignore[union-attr]
    assert axes.get_xlim()[1] >= max(sizes, default=1)
    labels = sorted(axes.texts, key=lambda text: text.get_window_extent().y0)
    assert [int(label.get_text().split()[0].replace(",", "")) for label in labels] == sorted(sizes)
    assert all(label.get_window_extent().x0 > axes.bbox.x1 for label in labels)


def test_the_flat_part_of_the_curve_is_cut(tmp_path: Path) -> None:
    """The axis ends where 99.9% of the variance are reached, and says so, but never before a mark."""
    ratio = _spectrum(1500, 0.3)
    needed = int((np.cumsum(ratio) < SHOWN_VARIANCE).sum()) + 1
    assert needed == 24
    for sizes, end in ([10], needed), ([10, 50], 50):
        marks = [(size, float(ratio[:size].sum())) for size in sizes]
        (axes,) = plots.explained_variance(ratio, marks, tmp_path / "bottleneck.png").axes
        assert end <= axes.get_xlim()[1] <= 1.05 * end
        assert axes.get_xlabel() == f"principal components (the first {end} of 1,500)"
        assert axes.get_xscale() == "linear"
    (axes,) = plots.explained_variance(ratio, [(10, 0.95), (1400, 1.0)], tmp_path / "bottleneck.png").axes
    assert axes.get_xscale() == "log", "else ten components would lie on the y axis"


def test_labels_are_moved_no_farther_than_they_must() -> None:
    """`spread` against a search over all positions on a grid: the same least sum of squares."""
    wanted, distance = [0.0, 0.4, 0.5, 0.9], 0.25
    grid = np.arange(-8, 9) / 20
    best = min(
        sum((a - b) ** 2 for a, b in zip(places, wanted, strict=True))
        for places in itertools.product(*(position + grid for position in wanted))
        if all(b - a >= distance - 1e-9 for a, b in itertools.pairwise(places)) and places[-1] <= 1
    )
    found = spread(wanted, distance, highest=1.0)
    assert all(b - a >= distance - 1e-9 for a, b in itertools.pairwise(found))
    assert max(found) <= 1
    assert sum((a - b) ** 2 for a, b in zip(found, wanted, strict=True)) <= best + 1e-9
    assert spread([1.0, 1.0, 1.0], 0.1, highest=1.0) == pytest.approx([0.8, 0.9, 1.0])


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
    _check_texts(plots.training_loss(losses, validation, tmp_path / "loss.png", 0.2))
    _check(tmp_path / "loss.png")
    _check_texts(plots.training_loss(losses, validation.head(0), tmp_path / "loss.png"))
    _check(tmp_path / "loss.png")


@pytest.mark.parametrize(("pca_mse", "drawn"), [(0.0157, [0.0157]), (None, []), (float("nan"), [])])
def test_training_loss_beside_pca(tmp_path: Path, pca_mse: float | None, drawn: list[float]) -> None:
    """PCA's validation MSE is a level line over all epochs with its value in the legend; none where it is not known."""
    losses = pd.DataFrame({"step": [1, 2], "epoch": [1, 2], "mse": [1.0, 0.5]})
    validation = pd.DataFrame({"epoch": [1, 2], "mean": [1.0, 0.6], "se": [0.1, 0.1]})
    figure = plots.training_loss(losses, validation, tmp_path / "loss.png", pca_mse)
    lines = [line for line in figure.axes[0].lines if "PCA" in str(line.get_label())]
    assert [list(line.get_ydata()) for line in lines] == [[value, value] for value in drawn]  # type: ignore[arg-type]
    entries = [text.get_text() for text in figure.legends[0].get_texts() if "PCA" in text.get_text()]
    assert entries == [f"validation of PCA at equal code size: {value}" for value in drawn]
    low, high = figure.axes[0].get_ylim()
    assert all(low < value < high for value in drawn)


def test_training_loss_of_a_trial_that_diverged_later(tmp_path: Path) -> None:
    """Epochs without a mean are gaps in the curve."""
    losses = pd.DataFrame({"step": [1, 2], "epoch": [1, 2], "mse": [1.0, 0.5]})
    validation = pd.DataFrame({"epoch": [1, 2, 3], "mean": [1.0, 0.6, np.nan], "se": [0.1, 0.7, np.nan]})
    plots.training_loss(losses, validation, tmp_path / "loss.png")
    _check(tmp_path / "loss.png")


@pytest.mark.parametrize(
    ("shape", "value_range", "n", "with_pca"),
    [
        ((4, 12), (0.0, 255.0), 4, True),
        ((8, 8, 1), None, 10, False),
        ((8, 8, 3), (0.0, 255.0), 10, True),
        ((1, 30), None, 5, True),
        ((30, 1, 1), None, 4, False),
    ],
)
def test_reconstructions(
    tmp_path: Path, shape: tuple[int, ...], value_range: tuple[float, float] | None, n: int, with_pca: bool
) -> None:
    """Grey and colour images, also where a reconstruction leaves the range; each with its title and its MSE."""
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (n, int(np.prod(shape)))).astype(np.float32)
    outputs = inputs + generator.normal(size=inputs.shape) * 50
    mse, titles = generator.random(n) * 1e-3, ["best, class 3", "a class with a long name, and a comma", "", "$x_1$"]
    titles += ["worst"] * (n - 4)
    figure = plots.reconstructions(
        inputs,
        outputs,
        outputs if with_pca else None,
        shape,
        value_range,
        tmp_path / "images.png",
        mse=mse,
        pca_mse=2 * mse if with_pca else None,
        titles=titles,
    )
    pixels = _check(tmp_path / "images.png")
    colourful = (pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 30).any()
    assert colourful == (shape[-1] == 3)
    _check_texts(figure)
    rows = np.array([axes for axes in figure.axes if axes.axison]).reshape(3 if with_pca else 2, n)
    assert [axes.get_ylabel() for axes in rows[:, 0]] == ["input", "autoencoder", "PCA"][: len(rows)]
    for row, errors in enumerate([mse, 2 * mse][: len(rows) - 1], start=1):
        assert [axes.get_xlabel() for axes in rows[row]] == [f"{error:#.3g}" for error in errors]
    assert rows[0, 0].get_title() == "best\nclass 3"
    np.testing.assert_allclose([float(axes.get_xlabel()) for axes in rows[1]], mse, rtol=5e-3)


def test_reconstructions_are_what_was_given(tmp_path: Path) -> None:
    """White above, black in the middle, grey below, as given; values beyond the range are its ends."""
    images = [np.full((3, 64), value) for value in (300.0, 0.0, 127.5)]
    zeros = np.zeros(3)
    figure = plots.reconstructions(
        *images, (8, 8), (0.0, 255.0), tmp_path / "images.png", mse=zeros, pca_mse=zeros, titles=["", "", ""]
    )
    shown = [float(np.asarray(axes.images[0].get_array()).mean()) for axes in figure.axes if axes.axison]
    assert shown == [1.0] * 3 + [0.0] * 3 + [0.5] * 3


def test_one_blank_image(tmp_path: Path) -> None:
    """An image of one value without a stated range is drawn as well."""
    figure = plots.reconstructions(
        np.ones((1, 16)),
        np.zeros((1, 16)),
        None,
        (4, 4),
        None,
        tmp_path / "images.png",
        mse=np.ones(1),
        pca_mse=None,
        titles=["median"],
    )
    _check(tmp_path / "images.png")
    _check_texts(figure)


@pytest.mark.parametrize("n_features", [1, 6, MAX_BARS])
def test_errors_of_a_few_features(tmp_path: Path, n_features: int) -> None:
    """Bars, the longest first, with names however long."""
    names = [f"feature {i} {'long ' * 20}" for i in range(n_features)]
    errors = np.random.default_rng(0).random(n_features)
    figure = plots.feature_errors(errors, names, tmp_path / "errors.png")
    _check(tmp_path / "errors.png")
    _check_texts(figure)
    widths = [bar.get_width() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    np.testing.assert_allclose(widths, np.sort(np.sqrt(errors) / 2)[::-1])


@pytest.mark.parametrize("kind", ["wavelengths", "numbered", "named"])
def test_errors_of_many_features(tmp_path: Path, kind: str) -> None:
    """A curve along the numbers in the names, or along the features' own numbers; the largest are named."""
    n = 1500
    generator = np.random.default_rng(0)
    errors = generator.random(n)
    positions = {"wavelengths": 1000 - 0.5 * np.arange(n), "numbered": np.arange(n), "named": np.arange(n) + 1}[kind]
    names = {
        "wavelengths": [f"{position}" for position in positions],
        "numbered": [f"f{i}" for i in range(n)],
        "named": [f"$a name of {i * 7 % n} and of others {'x' * (i % 3)}" for i in range(n)],
    }[kind]
    figure = plots.feature_errors(errors, names, tmp_path / "errors.png")
    _check(tmp_path / "errors.png")
    _check_texts(figure)
    (axes,) = figure.axes
    x, y = map(np.asarray, axes.lines[0].get_data())
    order = np.argsort(positions)
    np.testing.assert_allclose(x, positions[order])
    np.testing.assert_allclose(y, np.sqrt(errors)[order] / 2)
    assert not axes.patches
    largest = names[int(errors.argmax())].replace("$", r"\$")[:20]
    assert axes.get_title(loc="left").startswith(f"largest: {largest}")


@pytest.mark.parametrize(
    ("names", "positions", "label"),
    [
        (["400", "4.5e2", "-1"], [400, 450, -1], "feature, by its name"),
        (["400 nm", "401.5 nm"], [400, 401.5], "(400 nm to 401.5 nm)"),
        (["x-1", "x-2"], [1, 2], "(x-1 to x-2)"),
        (["nan", "inf"], [1, 2], "feature number"),
        (["f1", "g2"], [1, 2], "feature number"),
        (["a", "7"], [1, 2], "feature number"),
        (["1" * 400 + "a", "2a"], [1, 2], "feature number"),
    ],
)
def test_where_features_lie(names: list[str], positions: list[float], label: str) -> None:
    """At the numbers in their names where nothing else differs between these, else at their own."""
    found, axis = feature_positions(names)
    assert found.tolist() == positions
    assert label in axis


@pytest.mark.parametrize(
    "name", ["paid in $, # or $", "$a_b$", "a_b^c", "%s {} <b>", "Größe", "温度", "\x1b[31mred\x07\n"]
)
def test_any_column_name(tmp_path: Path, name: str) -> None:
    """What a formula or a format would give a meaning is a character like any other in the name of a feature."""
    plots.feature_errors(np.array([0.1, 0.2]), [name, "plain"], tmp_path / "errors.png")
    _check(tmp_path / "errors.png")


@pytest.mark.parametrize("n_features", [4, 60])
@pytest.mark.parametrize(
    ("kind", "label", "factor"),
    [
        ("range", "percent of the feature's range", 0.5),
        ("standard", "percent of the feature's standard deviation", 1.0),
        ("robust", "percent of the feature's spread", 1.0),
        ("none", "in the feature's own units", 1.0),
    ],
)
def test_errors_are_measured_by_what_the_scaling_made_one(
    tmp_path: Path, kind: str, label: str, factor: float, n_features: int
) -> None:
    """And the axis says so; what is in no percent has no percent sign."""
    errors = np.linspace(0.1, 4, n_features)
    names = [f"f{i}" for i in range(n_features)]
    figure = plots.feature_errors(errors, names, tmp_path / "errors.png", scaling=kind)
    _check_texts(figure)
    (axes,) = figure.axes
    many = n_features > MAX_BARS
    drawn = axes.lines[0].get_ydata() if many else [bar.get_width() for bar in axes.patches][::-1]  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.asarray(drawn), np.sqrt(errors) * factor)
    assert label in (axes.get_ylabel() if many else axes.get_xlabel())
    ticks = (axes.yaxis if many else axes.xaxis).get_major_formatter()
    assert ("%" in ticks(1.0)) == (kind != "none")
    if many:
        assert ("%" in axes.get_title(loc="left")) == (kind != "none")


def test_feature_errors_of_a_perfect_model(tmp_path: Path) -> None:
    """Bars of no length are drawn without complaint."""
    plots.feature_errors(np.zeros(3), list("abc"), tmp_path / "errors.png")
    _check(tmp_path / "errors.png")


@pytest.mark.parametrize(
    ("n_choices", "n_features", "targets", "diverged"),
    [
        (1, 8, [0.9], 0),
        (6, 64, [0.95, 0.9], 0),
        (9, 784, [0.5, 0.9, 0.95, 0.96, 0.99999], 2),
        (2, 3, [0.99999], 1),
        (1, 5, [0.9], 1),
    ],
)
def test_variance_explained(
    tmp_path: Path, n_choices: int, n_features: int, targets: list[float], diverged: int
) -> None:
    """A curve for each choice that was trained, the best if there are many; each target has one label at the side."""
    generator = np.random.default_rng(0)
    at = np.arange(1, n_features + 1)
    pca = 1 - np.exp(-3 * at / n_features)[:, None] * (1 + 0.01 * generator.normal(size=(1, 5)))
    measured = {}
    for choice in range(n_choices):
        sizes = sorted(generator.choice(at, min(12, n_features), replace=False).tolist())
        fve = {size: np.clip(1.1 * pca[size - 1] + 0.002 * generator.normal(size=5), None, 0.999) for size in sizes}
        if choice < diverged:
            fve = dict.fromkeys(sizes, np.full(5, np.nan))
        measured[f"{64 * (choice + 1)}-32, random start"] = fve
    found = smallest_code(measured, targets, pca=pca, intrinsic_dimensions={})
    figure = plots.variance_explained(found, tmp_path / "smallest_code.png")
    _check(tmp_path / "smallest_code.png")
    _check_texts(figure)
    (axes,) = figure.axes
    curves = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    assert len(curves) == min(n_choices - diverged, MAX_CHOICES)
    assert len(axes.texts) == len(targets)
    assert all(label.get_window_extent().x0 > axes.bbox.x1 for label in axes.texts)
    diamonds = {tuple(np.ravel(line.get_xydata())) for line in axes.lines if line.get_marker() == "D"}  # type: ignore[arg-type]
    for a in found.answers:
        assert a.size is None or any(np.allclose(d, (a.size, 1 - a.target)) for d in diamonds if len(d) == 2)
