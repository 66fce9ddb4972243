"""Data sources, their development and test parts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from ae_model import Dataset, UserError, dataset_from_arrays, load_dataset
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
    ("n_samples", "test_fraction", "n_test"), [(10, 0.0, 0), (10, 0.2, 2), (11, 0.2, 3), (3, 0.01, 1), (100, 0.9, 90)]
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
    [(2, 0.2, "1 and 1"), (1, 0.2, "0 and 1"), (10, 0.95, "0 and 10"), (10, -0.1, "11 and -1"), (10, 1.5, "-5 and 15")],
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
    assert message.startswith(f"{source}: no such file, folder or named source")
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


def equal(first: Dataset, second: Dataset) -> None:
    """Both hold the same in all that a search or an evaluation reads."""
    assert first.fingerprint() == second.fingerprint()
    for name in ("development", "test", "development_labels", "test_labels"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert first.image_shape == second.image_shape
    assert first.feature_names == second.feature_names
    assert first.value_range == second.value_range


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("options", [{}, {"seed": 5, "max_samples": 20, "test_fraction": 0.3}])
def test_an_array_is_split_as_the_same_array_in_a_file(tmp_path: Path, dtype: type, options: dict[str, int]) -> None:
    """To the row, whatever its type; uint8 stays uint8."""
    x = np.random.default_rng(0).integers(0, 200, (50, 4)).astype(dtype)
    labels = np.arange(50)
    np.savez(tmp_path / "x.npz", x=x, y=labels)
    equal(dataset_from_arrays(x, labels=labels, **options), load_dataset(tmp_path / "x.npz", **options))


def test_an_array_with_all_that_an_archive_can_hold(tmp_path: Path) -> None:
    """A test split of its own, labels, an image's shape and names; uint8 images have their type's range."""
    x, test = (np.random.default_rng(seed).integers(0, 256, (9, 6), np.uint8) for seed in (0, 1))
    names = list("abcdef")
    np.savez(
        tmp_path / "x.npz",
        x=x,
        y=np.arange(9),
        x_test=test,
        y_test=-np.arange(9),
        image_shape=(2, 3),
        feature_names=names,
    )
    made = dataset_from_arrays(
        x,
        name="pictures",
        test=test,
        labels=np.arange(9),
        test_labels=-np.arange(9),
        image_shape=(2, 3),
        feature_names=names,
    )
    equal(made, load_dataset(tmp_path / "x.npz"))
    assert made.name == "pictures"
    assert made.value_range == (0.0, 255.0)


def frame() -> pd.DataFrame:
    """Numbers of several types and a column of texts, with an index that is no feature."""
    rng = np.random.default_rng(0)
    columns = {"a": rng.random(30), "kind": ["x", "y", "z"] * 10, 7: rng.integers(0, 9, 30), "c": [True, False] * 15}
    return pd.DataFrame(columns, index=range(100, 130))


def test_a_data_frame_is_read_as_its_csv_file_is(tmp_path: Path) -> None:
    """Columns are features by their names, one is the labels, the index is none."""
    frame().astype({"c": int}).to_csv(tmp_path / "x.csv", index=False)
    made = dataset_from_arrays(frame(), label_column="kind", seed=3)
    equal(made, load_dataset(tmp_path / "x.csv", label_column="kind", seed=3))
    assert made.feature_names == ("a", "7", "c")
    fewer = dataset_from_arrays(frame(), label_column="kind", ignore_columns=["7"])
    assert fewer.feature_names == ("a", "c")
    np.testing.assert_array_equal(fewer.development, dataset_from_arrays(frame()[["a", "c"]]).development)


def test_a_data_frames_test_split_has_its_columns_in_any_order() -> None:
    """They are found by their names."""
    test = frame()[["c", 7, "kind", "a"]][:4]
    made = dataset_from_arrays(frame(), test=test, label_column="kind")
    np.testing.assert_array_equal(made.test, made.development[:4])
    assert made.test_labels.tolist() == ["x", "y", "z", "x"]


@pytest.mark.parametrize("own_test", [False, True])
def test_a_data_set_shares_no_memory_with_the_arrays(own_test: bool) -> None:
    """The caller's arrays stay writable, and what is written into them does not reach the data set."""
    x, test = np.zeros((20, 3), np.float32), np.zeros((5, 3), np.float32)
    made = dataset_from_arrays(x, test=test if own_test else None)
    x += 1
    test += 1
    assert not made.development.any()
    assert not made.test.any()
    assert not made.development.flags.writeable


X = np.random.default_rng(0).random((20, 4))


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (X[0], {}, r"data: the shape must be \(n_samples, n_features\), but is \(4,\)"),
        (np.where(X[2, 1] == X, np.nan, X), {}, r"data: row 2 \(counted from 0\), column 1: .* but is nan"),
        ([[1, 2], [3]], {}, r"data: must be an array \(.*inhomogeneous"),
        (sparse.csr_array(X), {}, r"data: is a sparse matrix, but samples must be dense. Give its .toarray\(\)"),
        (frame(), {}, r"data: row 0 \(counted from 0\), column 'kind': a value must be a number, but is 'x'"),
        (
            frame(),
            {"label_column": "sort"},
            r"label_column = 'sort' must be a column, but the columns are \['a', 'kind'",
        ),
        (frame(), {"label_column": "kind", "labels": range(30)}, "label_column or are given"),
        (frame(), {"label_column": "kind", "feature_names": list("abc")}, "feature_names is for arrays"),
        (pd.DataFrame({"t": pd.to_datetime(["2020"] * 9)}), {}, r"column 't': .*datetime64"),
        (pd.DataFrame({"n": pd.array([1, pd.NA, 3], "Int64")}), {}, r"row 1 .*column 'n': .*(nan|<NA>)"),
        (pd.DataFrame(X, columns=list("aabc")), {}, "'a' occurs more than once"),
        (frame()[["a", "c"]], {"test": frame()[["a"]]}, "data: the test split: the column 'c' is missing"),
        (X, {"label_column": "kind"}, "label_column is for DataFrames alone"),
        (X, {"ignore_columns": ["kind"]}, "ignore_columns is for DataFrames alone"),
        (frame(), {"ignore_columns": ["kinds"]}, r"ignore_columns: 'kinds' must be a column"),
        (X, {"labels": [1, 2]}, r"labels must have the shape \(20,\), but has \(2,\)"),
        (X, {"test_labels": [1, 2]}, "no test split"),
        (X, {"test": X[:, :3]}, "the test split: must have as many features as x, but they have 3 and 4"),
        (X, {"image_shape": (3, 3)}, r"image_shape must be .* of 4 pixels in all, but is \(3, 3\)"),
        (X, {"feature_names": ["a"]}, "feature_names must hold 4 names, but holds 1"),
        (X, {"value_range": (1.0, 0.0)}, r"value_range must be two finite numbers.*\(1\.0, 0\.0\)"),
        (X, {"value_range": (0.0, 0.5)}, r"value_range = \(0\.0, 0\.5\) must hold all values"),
        (X, {"max_samples": 1}, "max_samples must be at least 2, but is 1"),
        (X, {"test_fraction": float("nan")}, "test_fraction must lie between 0 and 1, but is nan"),
        (X, {"test_fraction": 0.99}, "test_fraction=0.99 of 20 leaves 0 and 20"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x: object, options: dict[str, object], message: str) -> None:
    """As files are: one line that names what came; the argument is told if it is about one."""
    with pytest.raises(UserError, match=message) as caught:
        dataset_from_arrays(x, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.argument is None or caught.value.argument in str(caught.value)


def test_notes_tell_what_was_decided(tmp_path: Path) -> None:
    """About a first line of numbers; and where `header` says what it is, there is nothing to tell."""
    values = np.random.default_rng(0).random((20, 4)).tolist()
    lines = ["400,401,402,403", *(",".join(map(str, row)) for row in values), ""]
    (tmp_path / "spectra.csv").write_text("\n".join(lines))
    data = load_dataset(tmp_path / "spectra.csv")
    assert data.feature_names == ("400", "401", "402", "403")
    assert data.notes == (
        "spectra.csv: its first line (400, 401, 402, ...) is taken for the header, because its numbers rise and those "
        "below it do not; header=False makes it a sample",
    )
    assert load_dataset(tmp_path / "spectra.csv", header=True).notes == load_dataset("digits").notes == ()
    assert len(load_dataset(tmp_path / "spectra.csv", header=False).test) == 5


@pytest.mark.parametrize(
    ("source", "options", "argument"),
    [
        ("digits", {"max_samples": 1}, "max_samples"),
        ("digits", {"header": True}, "header"),
        ("digits", {"test_fraction": 1.5}, "test_fraction"),
        ("mnist", {"data_dir": "nowhere", "download": False}, "data_dir"),
        ("x.npy", {"label_column": "kind"}, "label_column"),
    ],
)
def test_errors_name_the_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, options: dict[str, object], argument: str
) -> None:
    """Whoever calls it otherwise can put in their own name."""
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "x.npy", 9)
    with pytest.raises(UserError) as caught:
        load_dataset(source, **options)
    assert caught.value.argument == argument
    assert "data." not in str(caught.value).replace("data.MNIST", "")
    assert f"data.{argument}" in str(caught.value.renamed(lambda name: f"data.{name}"))
