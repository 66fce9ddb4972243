"""Data sources, their development and test parts."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ae_model import Dataset, load_dataset
from ae_model.data import source_name
from ae_model.named_sources import TORCHVISION_SOURCES


def rows_of(*parts: np.ndarray) -> list[tuple[float, ...]]:
    """All rows of all parts, sorted."""
    return sorted(tuple(row) for part in parts for row in part.tolist())


def numbered(path: Path, n_samples: int, dtype: type = np.float32) -> Path:
    """A .npy file whose rows are (0, 0), (1, 10), (2, 20), ..."""
    np.save(path, np.arange(n_samples)[:, None] * np.array([1, 10], dtype))
    return path


def test_digits_are_scikit_learns_real_images() -> None:
    """1797 images of 8 x 8 in uint8 with labels, 20 % of them held out."""
    digits = load_dataset("digits")
    assert digits.name == "digits"
    assert digits.development.shape == (1437, 64)
    assert digits.test.shape == (360, 64)
    assert digits.development.dtype == digits.test.dtype == np.uint8
    assert digits.image_shape == (8, 8)
    assert digits.value_range == (0.0, 16.0)
    assert digits.feature_names is None
    images = load_digits()
    assert rows_of(digits.development, digits.test) == rows_of(images.data)


def test_labels_follow_their_samples() -> None:
    """In both parts, after split and draw."""
    images = load_digits()
    label_of = {row.tobytes(): label for row, label in zip(images.data.astype(np.uint8), images.target, strict=True)}
    digits = load_dataset("digits", max_samples=100, seed=3)
    for values, labels in ((digits.development, digits.development_labels), (digits.test, digits.test_labels)):
        assert labels is not None
        assert [label_of[row.tobytes()] for row in values] == labels.tolist()


@pytest.mark.parametrize(
    ("n_samples", "test_fraction", "n_test"), [(10, 0.2, 2), (11, 0.2, 3), (3, 0.01, 1), (100, 0.9, 90)]
)
def test_split_is_disjoint_and_complete(tmp_path: Path, n_samples: int, test_fraction: float, n_test: int) -> None:
    """Every row is in one part; the test part is the fraction, rounded up."""
    data = load_dataset(numbered(tmp_path / "x.npy", n_samples), test_fraction=test_fraction)
    assert len(data.test) == n_test
    assert sorted([*data.development[:, 0], *data.test[:, 0]]) == list(range(n_samples))


def test_split_follows_from_the_seed(tmp_path: Path) -> None:
    """Equal seeds give equal splits, other seeds others; rows keep their order."""
    path = numbered(tmp_path / "x.npy", 50)
    first, again, other = (load_dataset(path, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test, again.test)
    np.testing.assert_array_equal(first.development, again.development)
    assert set(first.test[:, 0]) != set(other.test[:, 0])
    assert (np.diff(first.development[:, 0]) > 0).all()


def test_max_samples_limits_development_alone(tmp_path: Path) -> None:
    """Drawn by the seed, without repetition; the test part is that of the full data."""
    path = numbered(tmp_path / "x.npy", 100)
    full, first, other = (load_dataset(path, max_samples=n, seed=s) for n, s in ((None, 5), (30, 5), (30, 6)))
    assert len(set(first.development[:, 0])) == 30
    assert set(first.development[:, 0]) <= set(full.development[:, 0])
    np.testing.assert_array_equal(first.test, full.test)
    assert set(first.development[:, 0]) != set(other.development[:, 0])
    assert len(load_dataset(path, max_samples=1000).development) == 80


@pytest.mark.parametrize("n_samples", [1, 0, -3])
def test_max_samples_leaves_at_least_two(n_samples: int) -> None:
    """Fewer cannot be searched: the message says what came."""
    with pytest.raises(ValueError, match=f"max_samples.*{n_samples}"):
        load_dataset("digits", max_samples=n_samples)


@pytest.mark.parametrize(
    ("n_samples", "test_fraction", "leaves"),
    [(2, 0.2, "1 and 1"), (1, 0.2, "0 and 1"), (10, 0.95, "0 and 10"), (10, 0.0, "10 and 0"), (10, 1.5, "-5 and 15")],
)
def test_splits_without_enough_samples_are_refused(
    tmp_path: Path, n_samples: int, test_fraction: float, leaves: str
) -> None:
    """The message names file, fraction and what it leaves."""
    path = numbered(tmp_path / "x.npy", n_samples)
    with pytest.raises(ValueError, match=rf"x\.npy: .*test_fraction={test_fraction} of {n_samples} leaves {leaves}\."):
        load_dataset(path, test_fraction=test_fraction)


def test_a_test_split_of_the_sources_own_is_kept(tmp_path: Path) -> None:
    """Whatever test_fraction says."""
    x, x_test = np.arange(12.0).reshape(6, 2), np.arange(4.0).reshape(2, 2)
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(6), x_test=x_test, y_test=np.array([7, 8]))
    data = load_dataset(tmp_path / "own.npz", test_fraction=0.5)
    np.testing.assert_array_equal(data.development, x)
    np.testing.assert_array_equal(data.test, x_test)
    assert data.development_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test_labels.tolist() == [7, 8]


def test_a_single_development_sample_is_refused(tmp_path: Path) -> None:
    """Also where the source has a test split of its own."""
    np.savez(tmp_path / "own.npz", x=np.ones((1, 2)), x_test=np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"own\.npz: .*at least 2"):
        load_dataset(tmp_path / "own.npz")


@pytest.mark.parametrize("max_samples", [None, 20])
def test_arrays_are_read_only(tmp_path: Path, max_samples: int | None) -> None:
    """Nothing downstream can change the data."""
    data = load_dataset(numbered(tmp_path / "x.npy", 50), max_samples=max_samples)
    for part in (data.development, data.test):
        with pytest.raises(ValueError, match="read-only"):
            part[0, 0] = 1


def dataset(values: np.ndarray, value_range: tuple[float, float] | None = None) -> Dataset:
    """A record with these development rows."""
    return Dataset(name="any", development=values, test=values[:1], value_range=value_range)


def test_fingerprint_is_equal_for_equal_searches_alone() -> None:
    """It depends on rows, their order, dtype, shape and range, and not on memory layout, name or test rows."""
    values = np.arange(12, dtype=np.uint8).reshape(4, 3)
    same = Dataset(name="other", development=np.asfortranarray(values), test=values[2:])
    assert same.fingerprint() == dataset(values).fingerprint()
    changed = values.copy()
    changed[3, 2] += 1
    variants = [
        dataset(values),
        dataset(changed),
        dataset(values[::-1]),
        dataset(values.reshape(3, 4)),
        dataset(values.astype(np.float32)),
        dataset(values, (0.0, 255.0)),
        dataset(values, (0.0, 16.0)),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)


def test_mnist_has_its_own_test_split(mnist_dir: Path) -> None:
    """60,000 and 10,000 images of 28 x 28, ten digits each."""
    mnist = load_dataset("mnist", data_dir=mnist_dir, download=False)
    assert mnist.name == "mnist"
    assert mnist.development.shape == (60_000, 784)
    assert mnist.test.shape == (10_000, 784)
    assert mnist.development.dtype == mnist.test.dtype == np.uint8
    assert mnist.image_shape == (28, 28)
    assert mnist.value_range == (0.0, 255.0)
    assert mnist.development_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.development.mean() == pytest.approx(33.3184, abs=1e-3)


def test_mnist_max_samples_leaves_the_test_split(mnist_dir: Path) -> None:
    """A draw from the 60,000, with labels; all 10,000 are tested on."""
    mnist = load_dataset("mnist", data_dir=mnist_dir, download=False, max_samples=500)
    assert mnist.development.shape == (500, 784)
    assert mnist.development_labels.shape == (500,)
    assert set(mnist.development_labels.tolist()) == set(range(10))
    assert mnist.test.shape == (10_000, 784)


def refused(source: str | Path, data_dir: Path) -> str:
    """The one-line message with which the source is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        load_dataset(source, data_dir=data_dir, download=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("source", TORCHVISION_SOURCES)
def test_missing_data_is_refused_without_download(tmp_path: Path, source: str) -> None:
    """The message names source and folder, and nothing is written."""
    message = refused(source, tmp_path / "data")
    assert f"{source} is not in data_dir = '{tmp_path / 'data'}'" in message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [b"", b"no idx file at all", b"\0\0\x08\x03\0\0\0\x05\0\0\0\x1c\0\0\0\x1cshort"])
def test_damaged_mnist_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, foreign and truncated."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
    message = refused("mnist", tmp_path)
    assert "mnist" in message
    assert str(tmp_path) in message


@pytest.mark.parametrize("source", ["MNIST ", "nowhere.csv", "imagenet"])
def test_unknown_sources_are_refused(tmp_path: Path, source: str) -> None:
    """The message names what came and what there is."""
    message = refused(source, tmp_path)
    assert message.startswith(f"{source}: no such file or folder, and no named source")
    assert "digits, mnist, fashion-mnist, kmnist, cifar10" in message


@pytest.mark.parametrize(
    ("source", "name"),
    [("digits", "digits"), ("fashion-mnist", "fashion-mnist"), ("a/b/wine.csv", "wine"), ("a/images/", "images")],
)
def test_source_name_is_the_last_part_without_suffix(source: str, name: str) -> None:
    """Of files and folders; named sources keep their names."""
    assert source_name(source) == name


def test_source_name_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is the folder's, not a dot."""
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path / "pictures")
    assert source_name(".") == "pictures"
