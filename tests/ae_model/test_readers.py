"""Files of every kind: round trips, and one-line refusals that name the place."""

import io
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from ae_model import UserError
from ae_model.csv_header import has_header
from ae_model.readers import read_samples
from ae_model.samples import checked_values

VALUES = np.array([[1.5, -2.0, 3.0], [4.0, 5.25, 6.0], [7.0, 8.0, 1e-3], [0.0, 1e6, -1.0]])


def npy_bytes(array: np.ndarray, **options: Any) -> bytes:
    """What np.save writes."""
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz_bytes(save: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    """What np.savez writes."""
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def parquet_bytes(**columns: list[Any] | pyarrow.Array) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def image_bytes(pixels: np.ndarray, kind: str = "png") -> bytes:
    """An encoded image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """Random grey or RGB values."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def written(path: Path, content: bytes | str) -> Path:
    """The path, once it holds the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint16, np.bool_, ">f8", np.uint8])
def test_npy_keeps_uint8_and_makes_the_rest_float32(tmp_path: Path, dtype: Any) -> None:
    """Whatever the byte order; there are no names, labels or shape."""
    values = np.array([[1, 0, 3], [4, 5, 60]]).astype(dtype)
    samples = read_samples(written(tmp_path / "x.npy", npy_bytes(values)))
    assert samples.values.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    np.testing.assert_array_equal(samples.values, values)
    assert samples.labels is samples.image_shape is samples.feature_names is samples.value_range is None


def test_npz_holds_all_that_a_data_set_has(tmp_path: Path) -> None:
    """Samples, labels, a test split, the image's shape and names; uint8 images have their dtype's range."""
    x, x_test = pixels(5, 6), pixels(2, 6)
    content = npz_bytes(
        x=x,
        y=np.arange(5),
        x_test=x_test,
        y_test=np.array(["a", "b"]),
        image_shape=(2, 3),
        feature_names=list("abcdef"),
    )
    samples = read_samples(str(written(tmp_path / "x.npz", content)))
    np.testing.assert_array_equal(samples.values, x)
    np.testing.assert_array_equal(samples.test_values, x_test)
    assert samples.values.dtype == np.uint8
    assert samples.labels.tolist() == [0, 1, 2, 3, 4]
    assert samples.test_labels.tolist() == ["a", "b"]
    assert samples.image_shape == (2, 3)
    assert samples.feature_names == ("a", "b", "c", "d", "e", "f")
    assert samples.value_range == (0.0, 255.0)


def test_npz_with_one_array_of_any_name(tmp_path: Path) -> None:
    """It holds the samples; a table's values have no range of their own."""
    samples = read_samples(written(tmp_path / "x.npz", npz_bytes(np.savez_compressed, features=VALUES)))
    np.testing.assert_array_equal(samples.values, VALUES.astype(np.float32))
    assert samples.value_range is None


CSV = "\n".join(",".join(str(value) for value in row) for row in VALUES.tolist()) + "\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(CSV, ("f0", "f1", "f2"), id="no header"),
        pytest.param("a,b,c\n" + CSV, ("a", "b", "c"), id="header"),
        pytest.param("\ufeffa,b,c\n" + CSV, ("a", "b", "c"), id="header after a byte order mark"),
        pytest.param('"a, 1",2,"c"\n' + CSV, ("a, 1", "2", "c"), id="quoted header, one name a number"),
        pytest.param(("a,b,c\n" + CSV).replace("\n", "\r\n"), ("a", "b", "c"), id="Windows"),
        pytest.param("a,b,c\n" + CSV.rstrip("\n"), ("a", "b", "c"), id="no last newline"),
    ],
)
def test_csv_with_and_without_header(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    """The first line is data where all of its cells are numbers, in no order."""
    samples = read_samples(written(tmp_path / "x.csv", text))
    np.testing.assert_array_equal(samples.values, VALUES.astype(np.float32))
    assert samples.values.dtype == np.float32
    assert samples.feature_names == names
    assert samples.labels is samples.value_range is samples.image_shape is None


SPECTRA = np.random.default_rng(0).random((6, 5)).round(3)
RISING = np.sort(SPECTRA, axis=1)


def csv_text(first: str, rows: np.ndarray) -> str:
    """A first line above rows of numbers."""
    return "\n".join([first, *(",".join(map(str, row)) for row in rows.tolist()), ""])


@pytest.mark.parametrize(
    ("first", "rows", "header", "words"),
    [
        ("400.0,401.5,402.9,404.1,405.6", SPECTRA, True, "(400.0, 401.5, 402.9, ...) is taken for the header"),
        ("2500,1900,1200,700,400", SPECTRA, True, "its numbers fall"),
        ("400,410,420,430,440", RISING, True, "evenly spaced"),
        ("0,1,2,3,4", RISING, True, "pandas"),
        ("400,411,423,437,440", RISING, False, "like the lines below it; header=True"),
        ("400,411,423,437,440", RISING[:, ::-1], True, "its numbers rise"),
        ("0.1,0.5,0.2,0.9,0.4", SPECTRA, False, ""),
        ("1,1,2,3,4", SPECTRA, False, ""),
    ],
)
def test_a_first_line_of_numbers_is_a_header_where_it_is_not_like_the_rest(
    tmp_path: Path, first: str, rows: np.ndarray, header: bool, words: str
) -> None:
    """Such as wavelengths; what was decided is in the notes, if the line might be either, and `header` overrides it."""
    path = written(tmp_path / "x.csv", csv_text(first, rows))
    names = tuple(first.split(","))
    samples = read_samples(path)
    assert len(samples.values) == len(rows) + (not header)
    assert samples.feature_names == (names if header else ("f0", "f1", "f2", "f3", "f4"))
    np.testing.assert_array_equal(samples.values[-len(rows) :], rows.astype(np.float32))
    assert len(samples.notes) == bool(words)
    assert all(note.startswith("x.csv: ") and words in note for note in samples.notes)
    denied = read_samples(path, header=False)
    assert (len(denied.values), denied.notes) == (len(rows) + 1, ())
    if words:
        said = read_samples(path, header=True)
        assert (said.feature_names, len(said.values), said.notes) == (names, len(rows), ())


def test_a_single_line_of_numbers_is_a_sample(tmp_path: Path) -> None:
    """There is nothing else that it could name."""
    assert read_samples(written(tmp_path / "x.csv", "1,2,4\n")).values.tolist() == [[1, 2, 4]]


def test_a_number_above_texts_is_a_name(tmp_path: Path) -> None:
    """A column of labels has a number for a name like the others."""
    path = written(tmp_path / "x.csv", "7,3,5\n1,2,a\n3,4,b\n")
    samples = read_samples(path, features=["3", "7"])
    assert samples.values.tolist() == [[2, 1], [4, 3]]
    with pytest.raises(ValueError, match=r"row 0 .*column '5'.*'a'"):
        read_samples(path)


def test_a_class_in_the_first_line_is_no_name(tmp_path: Path) -> None:
    """A text that stands again below it, above texts alone, as in tables without a header whose last column is a class.

    A name of that column does not stand below it; numbers that are names stay names.
    """
    path = written(tmp_path / "x.csv", "1,0.5,0.5,g\n0,0.1,0.9,b\n1,0.3,0.3,g\n")
    samples = read_samples(path, label_column="f3")
    assert samples.values.shape == (3, 3)
    assert samples.labels is not None
    assert samples.labels.tolist() == ["g", "b", "g"]
    assert has_header(path) == (
        False,
        "x.csv: its first line (1, 0.5, 0.5, ...) is taken for a sample, because it is like the lines below it; "
        "header=True makes it the header",
    )
    named = written(tmp_path / "named.csv", "1,0.5,0.6,class\n0,0.1,0.9,b\n1,0.3,0.3,g\n")
    assert has_header(named)[0]
    spectra = written(tmp_path / "spectra.csv", "400,410,420,g\n3,1,9,b\n1,3,3,g\n")
    assert has_header(spectra)[0]
    rare = written(tmp_path / "rare.csv", "5.1,3.5,setosa\n4.9,3.0,virginica\n4.7,3.2,virginica\n")
    assert has_header(rare) == (
        True,
        "rare.csv: its first line (5.1, 3.5, setosa) is taken for the header; header=False makes it a sample",
    )
    assert has_header(rare, label_column="setosa") == (True, None), "it is asked for"
    assert has_header(written(tmp_path / "empty cell.csv", "1,2,\n3,4,a\n5,6,b\n")) == (False, None)


def test_known_features_decide_about_the_header(tmp_path: Path) -> None:
    """What a model was trained on is found again, whichever way the first line was taken then, and without a note."""
    path = written(tmp_path / "x.csv", csv_text("400,410,420,430,440", SPECTRA))
    for header, names in ((True, ("400", "410", "420", "430", "440")), (False, ("f0", "f1", "f2", "f3", "f4"))):
        trained_on = read_samples(path, header=header)
        again = read_samples(path, features=trained_on.feature_names)
        assert trained_on.feature_names == again.feature_names == names
        np.testing.assert_array_equal(trained_on.values, again.values)
        assert again.notes == ()
    with pytest.raises(ValueError, match=r"'401' is missing. The columns are \['400', '410'"):
        read_samples(path, features=["401"])


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet"])
def test_a_header_is_for_csv_alone(tmp_path: Path, name: str) -> None:
    """Other files say what their columns are called."""
    with pytest.raises(UserError, match=f"{name}: header is for .csv files alone") as caught:
        read_samples(written(tmp_path / name, npy_bytes(VALUES)), header=True)
    assert caught.value.argument == "header"


def table_bytes(suffix: str) -> bytes:
    """Columns a, kind and b of three rows."""
    if suffix == "csv":
        return b"a,kind,b\n1,x,2.5\n3,y,4.5\n5,x,6.5\n"
    return parquet_bytes(a=[1, 3, 5], kind=["x", "y", "x"], b=[2.5, 4.5, 6.5])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_label_column_is_no_feature(tmp_path: Path, suffix: str) -> None:
    """It becomes the labels."""
    samples = read_samples(written(tmp_path / f"x.{suffix}", table_bytes(suffix)), label_column="kind")
    np.testing.assert_array_equal(samples.values, [[1, 2.5], [3, 4.5], [5, 6.5]])
    assert samples.feature_names == ("a", "b")
    assert samples.labels.tolist() == ["x", "y", "x"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_ignored_column_may_hold_anything(tmp_path: Path, suffix: str) -> None:
    """It is neither feature nor label; where the features are known it need not be there."""
    path = written(tmp_path / f"x.{suffix}", table_bytes(suffix))
    samples = read_samples(path, label_column="a", ignored=["kind"])
    assert samples.feature_names == ("b",)
    assert samples.labels.tolist() == [1, 3, 5]
    assert read_samples(path, features=["b"], ignored=["elsewhere"]).feature_names == ("b",)
    with pytest.raises(ValueError, match=r"ignore_columns: 'kin' must be a column, but the columns are \['a', 'kind'"):
        read_samples(path, ignored=["kin"])
    with pytest.raises(ValueError, match="label_column = 'kind' is one of the ignore_columns too"):
        read_samples(path, label_column="kind", ignored=["kind"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_features_choose_columns_in_their_order(tmp_path: Path, suffix: str) -> None:
    """Other columns may hold anything."""
    samples = read_samples(written(tmp_path / f"x.{suffix}", table_bytes(suffix)), features=["b", "a"])
    np.testing.assert_array_equal(samples.values, [[2.5, 1], [4.5, 3], [6.5, 5]])
    assert samples.feature_names == ("b", "a")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("rows", [["p1", "p2", "p3"], [0, 1, 2]], ids=["texts", "numbers"])
def test_the_index_that_pandas_writes_is_no_feature(tmp_path: Path, suffix: str, rows: list[object]) -> None:
    """It has no name and names the rows, and the notes say so; as labels it can be had too."""
    cells = [[1.0, 4.0], [2.0, 5.0], [3.0, 7.0]]
    content: bytes | str = ",a,b\n" + "".join(f"{row},{a},{b}\n" for row, (a, b) in zip(rows, cells, strict=True))
    if suffix == ".parquet":
        content = parquet_bytes(a=[1.0, 2.0, 3.0], b=[4.0, 5.0, 7.0], __index_level_0__=rows)
    path = written(tmp_path / f"table{suffix}", content)
    samples = read_samples(path)
    assert samples.feature_names == ("a", "b")
    np.testing.assert_array_equal(samples.values, np.array(cells, np.float32))
    (note,) = samples.notes
    assert "column without a name is taken for the rows' names" in note
    labelled = read_samples(path, label_column="" if suffix == ".csv" else "__index_level_0__")
    assert labelled.labels is not None
    assert labelled.labels.tolist() == rows
    assert labelled.notes == ()


def test_parquet_keeps_uint8_and_makes_the_rest_float32(tmp_path: Path) -> None:
    """A table of uint8 columns alone stays uint8; integers, booleans and decimals become float32."""
    small = {name: pyarrow.array([1, 200], pyarrow.uint8()) for name in "ab"}
    assert read_samples(written(tmp_path / "u.parquet", parquet_bytes(**small))).values.dtype == np.uint8
    decimals = pyarrow.array([1, 2], pyarrow.decimal128(10, 2))
    mixed = read_samples(
        written(tmp_path / "m.parquet", parquet_bytes(**small, c=[1.5, 2.5], d=[True, False], e=decimals))
    )
    assert mixed.values.dtype == np.float32
    assert mixed.values.tolist() == [[1, 1, 1.5, 1, 1], [200, 200, 2.5, 0, 2]]
    assert mixed.feature_names == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3)], ids=["grey", "RGB"])
def test_image_folder_round_trip(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    """In the order of their names, (height, width[, channels]), labels from subfolders alone."""
    arrays = [pixels(*shape, seed=seed) for seed in range(3)]
    for number, array in enumerate(arrays):
        written(tmp_path / "images" / f"{number}.{kind}", image_bytes(array, kind))
    written(tmp_path / "images" / "notes.txt", "no image")
    samples = read_samples(tmp_path / "images")
    np.testing.assert_array_equal(samples.values, np.stack(arrays).reshape(3, -1))
    assert samples.values.dtype == np.uint8
    assert samples.image_shape == shape
    assert samples.value_range == (0.0, 255.0)
    assert samples.labels is None


def test_subfolders_are_labels(tmp_path: Path) -> None:
    """By their paths below the folder; upper case suffixes count."""
    for name in ("cat/1.png", "cat/2.PNG", "dog/old/1.png"):
        written(tmp_path / name, image_bytes(pixels(2, 2)))
    assert read_samples(tmp_path).labels.tolist() == ["cat", "cat", "dog/old"]


def test_train_and_test_folders_are_a_split(tmp_path: Path) -> None:
    """What is below each gives the labels; a coloured image in one makes both RGB."""
    arrays = {
        "train/cat/1.png": pixels(2, 3, seed=1),
        "train/dog/old/2.png": pixels(2, 3, seed=2),
        "test/cat/3.png": pixels(2, 3, 3, seed=3),
    }
    for name, array in arrays.items():
        written(tmp_path / name, image_bytes(array))
    written(tmp_path / "notes.txt", "no image")
    (tmp_path / ".cache").mkdir()
    samples = read_samples(tmp_path)
    grey = np.stack([arrays["train/cat/1.png"], arrays["train/dog/old/2.png"]])
    np.testing.assert_array_equal(samples.values, np.repeat(grey[..., None], 3, axis=-1).reshape(2, -1))
    np.testing.assert_array_equal(samples.test_values, arrays["test/cat/3.png"].reshape(1, -1))
    assert samples.image_shape == (2, 3, 3)
    assert samples.labels.tolist() == ["cat", "dog/old"]
    assert samples.test_labels.tolist() == ["cat"]


def test_train_and_test_folders_without_classes_have_no_labels(tmp_path: Path) -> None:
    """Their own names are none."""
    for name in ("train/1.png", "train/2.png", "test/3.png"):
        written(tmp_path / name, image_bytes(pixels(2, 2)))
    samples = read_samples(tmp_path)
    assert (len(samples.values), len(samples.test_values)) == (2, 1)
    assert samples.labels is samples.test_labels is None


@pytest.mark.parametrize("other", ["valid/3.png", "3.png"])
def test_a_folder_that_holds_more_is_not_a_split(tmp_path: Path, other: str) -> None:
    """With a third subfolder, or an image beside the two, they are classes."""
    for name in ("train/1.png", "test/2.png", other):
        written(tmp_path / name, image_bytes(pixels(2, 2)))
    samples = read_samples(tmp_path)
    assert samples.test_values is None
    assert sorted(samples.labels.tolist()) == sorted(["train", "test", str(Path(other).parent)])


def test_one_coloured_image_makes_all_rgb(tmp_path: Path) -> None:
    """Grey ones repeat their value in the three channels."""
    grey, coloured = pixels(2, 2), pixels(2, 2, 3)
    written(tmp_path / "a.png", image_bytes(grey))
    written(tmp_path / "b.png", image_bytes(coloured))
    samples = read_samples(tmp_path)
    assert samples.image_shape == (2, 2, 3)
    np.testing.assert_array_equal(samples.values, np.stack([np.stack([grey] * 3, -1), coloured]).reshape(2, -1))


def test_black_and_white_images_are_grey(tmp_path: Path) -> None:
    """One bit per pixel becomes 0 and 255."""
    bits = np.array([[True, False], [False, True]])
    written(tmp_path / "a.png", image_bytes(bits))
    assert read_samples(tmp_path).values.tolist() == [[255, 0, 0, 255]]


DEEP = (np.arange(4).reshape(2, 2) * 20_000).astype(np.uint16)
NAN_CELL = np.array([[1.0, 2.0], [3.0, np.nan]])
COMPRESSED = bytearray(npz_bytes(np.savez_compressed, x=np.random.default_rng(0).random((50, 20))))
COMPRESSED[200:260] = b"\xff" * 60

BAD = [
    ("nan.npy", npy_bytes(NAN_CELL), ["row 1 (counted from 0)", "column 1", "nan"]),
    ("inf.npy", npy_bytes(np.array([[1.0, -np.inf]])), ["row 0", "column 1", "-inf"]),
    ("large.npy", npy_bytes(np.array([[1e300, 1.0]])), ["row 0", "column 0", "finite float32", "1e+300"]),
    ("complex.npy", npy_bytes(np.array([[1j]])), ["real numbers", "complex128"]),
    ("text.npy", npy_bytes(np.array([["a"]])), ["real numbers", "<U1"]),
    ("date.npy", npy_bytes(np.array([["2020-01-01"]], "datetime64[D]")), ["real numbers", "datetime64[D]"]),
    ("duration.npy", npy_bytes(np.ones((2, 2), "timedelta64[s]")), ["real numbers", "timedelta64[s]"]),
    ("records.npy", npy_bytes(np.zeros((2, 2), [("a", "f4")])), ["real numbers"]),
    ("1d.npy", npy_bytes(np.ones(7)), ["(n_samples, n_features)", "(7,)"]),
    ("3d.npy", npy_bytes(np.ones((5, 2, 3))), ["(n_samples, n_features)", "(5, 2, 3)", "image_shape"]),
    ("0d.npy", npy_bytes(np.array(1.0)), ["(n_samples, n_features)", "()"]),
    ("rows.npy", npy_bytes(np.ones((0, 3))), ["empty", "(0, 3)"]),
    ("columns.npy", npy_bytes(np.ones((3, 0))), ["empty", "(3, 0)"]),
    ("truncated.npy", npy_bytes(VALUES)[:-9], ["cannot be read"]),
    ("header.npy", npy_bytes(VALUES)[:40], ["cannot be read"]),
    ("bracket.npy", npy_bytes(VALUES).replace(b"(4, 3)", b"(4, 3 "), ["cannot be read"]),
    ("empty.npy", b"", ["cannot be read"]),
    ("foreign.npy", b"a,b\n1,2\n", ["cannot be read"]),
    ("archive.npy", npz_bytes(x=VALUES), ["archive.npy"]),
    ("nan.npz", npz_bytes(x=NAN_CELL), ["x: row 1", "column 1", "nan"]),
    ("nan test.npz", npz_bytes(x=VALUES[:, :2], x_test=NAN_CELL), ["x_test: row 1", "column 1", "nan"]),
    ("names.npz", npz_bytes(a=VALUES, b=VALUES), ["'x'", "['a', 'b']"]),
    ("none.npz", npz_bytes(), ["'x'", "[]"]),
    (
        "sparse.npz",
        npz_bytes(data=VALUES, indices=[0], indptr=[0, 1], format="csr", shape=[1, 1]),
        ["a sparse matrix", "scipy.sparse.load_npz(path).toarray()"],
    ),
    ("widths.npz", npz_bytes(x=np.ones((3, 2)), x_test=np.ones((3, 4))), ["x and x_test", "2 and 4"]),
    ("labels.npz", npz_bytes(x=np.ones((3, 2)), y=np.ones(4)), ["y must have the shape (3,)", "(4,)"]),
    (
        "labels2.npz",
        npz_bytes(x=np.ones((3, 2)), x_test=np.ones((1, 2)), y_test=np.ones(2)),
        ["y_test", "(1,)", "(2,)"],
    ),
    ("shape.npz", npz_bytes(x=np.ones((3, 4)), image_shape=(2, 3)), ["image_shape", "4 pixels", "(2, 3)"]),
    ("shape0.npz", npz_bytes(x=np.ones((3, 4)), image_shape=4), ["image_shape"]),
    ("shape-.npz", npz_bytes(x=np.ones((3, 4)), image_shape=(-2, -2)), ["image_shape", "(-2, -2)"]),
    ("shapetext.npz", npz_bytes(x=np.ones((3, 4)), image_shape=("a", "b")), ["image_shape"]),
    ("featurenames.npz", npz_bytes(x=np.ones((3, 2)), feature_names=["a"]), ["feature_names", "2 names", "1"]),
    ("featurename.npz", npz_bytes(x=np.ones((3, 2)), feature_names="ab"), ["feature_names"]),
    ("truncated.npz", npz_bytes(x=VALUES)[:-30], ["cannot be read"]),
    ("damaged.npz", bytes(COMPRESSED), ["cannot be read"]),
    ("empty.npz", b"", ["cannot be read"]),
    ("array.npz", npy_bytes(VALUES), ["array.npz"]),
    ("nan.csv", "a,b\n1,2\n3,nan\n", ["row 1 (counted from 0)", "column 'b'", "nan"]),
    ("inf.csv", "a,b\n1,2\n-inf,4\n", ["row 1", "column 'a'", "-inf"]),
    ("text.csv", "a,b\n1,2\n3,4\n5,six\n", ["row 2", "column 'b'", "'six'", "label_column"]),
    ("lines.csv", 'a,b\n1,2\n3,"two\nlines"\n', ["row 1", "column 'b'", r"'two\nlines'"]),
    ("blank.csv", "a,b\n1,2\n,4\n", ["row 1", "column 'a'", "missing"]),
    ("NA.csv", "a,b\n1,2\n3,NA\n", ["row 1", "column 'b'", "missing"]),
    ("blanks.csv", "a,b\n1,\n,\n3,4\n", ["row 1", "column 'a'", "missing, as in 2 of 3 rows", "remove them"]),
    ("blank text.csv", "a,b\n,2\nx,4\n", ["row 0", "column 'a'"]),
    ("blank first.csv", "1,,3\n4,5,6\n7,8,9\n", ["row 0"]),
    ("NA first.csv", "1,NA,3\n4,5,6\n7,8,9\n", ["row 0"]),
    ("date.csv", "a,b\n1,2020-01-01\n", ["row 0", "column 'b'"]),
    ("underscore.csv", "a,b\n1,1_000\n", ["row 0", "column 'b'", "'1_000'"]),
    ("semicolon.csv", "a;b\n1;2\n", ["separated by commas"]),
    ("tabs.csv", "a\tb\n1\t2\n", ["separated by commas"]),
    ("nameless.csv", "a,,b\n0,1,2\n", ["column 1", "empty", "Name it"]),
    ("latin first.csv", "a,ü\n1,2\n".encode("latin-1"), ["must be UTF-8"]),
    ("ragged.csv", "a,b\n1,2\n3\n", ["cannot be read", "#3", "2 columns, got 1"]),
    ("repeated.csv", "a,b,a\n1,2,3\n", ["column names must differ", "'a'", "Rename one"]),
    ("values first.csv", "1,?,2,2\n3,4,5,6\n", ["column names must differ", "'2'", "put a line of names before it"]),
    ("two headers.csv", "kind,1,1\nnode,1,2\n,0.1,0.2\n", ["column names must differ", "'1'", "keep one"]),
    ("header.csv", "a,b\n", ["empty", "0 rows"]),
    ("empty.csv", "", ["cannot be read"]),
    ("newlines.csv", "\n\n", ["cannot be read"]),
    ("latin.csv", "a,b\n1,ü\n".encode("latin-1"), ["must be UTF-8"]),
    ("nan.parquet", parquet_bytes(a=[1.0, 2.0], b=[1.0, float("nan")]), ["row 1", "column 'b'", "nan"]),
    ("null.parquet", parquet_bytes(a=[1, None], b=[1, 2]), ["row 1", "column 'a'", "missing"]),
    ("text.parquet", parquet_bytes(a=[1, 2], b=["3", "x"]), ["row 1", "column 'b'", "'x'"]),
    ("list.parquet", parquet_bytes(a=[[1, 2]]), ["row 0", "column 'a'", "[1, 2]"]),
    ("rows.parquet", parquet_bytes(a=pyarrow.array([], pyarrow.float64())), ["empty", "0 rows"]),
    ("columns.parquet", parquet_bytes(), ["empty", "0 feature columns"]),
    ("truncated.parquet", parquet_bytes(a=[1.0, 2.0])[:-20], ["cannot be read"]),
    ("empty.parquet", b"", ["cannot be read"]),
    ("table.xlsx", b"PK", ["suffix must be .npy, .npz, .csv or .parquet"]),
    ("table", b"1,2\n", ["suffix must be .npy, .npz, .csv or .parquet"]),
]


@pytest.mark.parametrize(("name", "content", "fragments"), BAD, ids=[name for name, *_ in BAD])
def test_bad_files_are_refused(tmp_path: Path, name: str, content: bytes | str, fragments: list[str]) -> None:
    """A ValueError of one line that begins with the file and holds place and value."""
    path = written(tmp_path / name, content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")) as caught:
        read_samples(path)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


BAD_FOLDERS = [
    ("no image", {"notes.txt": b"hello"}, ["holds no image", ".png"]),
    ("foreign", {"a.png": image_bytes(pixels(2, 2)), "b.png": b"hello"}, ["b.png: cannot be read"]),
    ("empty", {"a.png": b""}, ["a.png: cannot be read"]),
    ("truncated", {"a.png": image_bytes(pixels(30, 30))[:-100]}, ["a.png: cannot be read"]),
    ("truncated JPEG", {"a.jpg": image_bytes(pixels(30, 30), "jpeg")[:-100]}, ["a.jpg: cannot be read"]),
    (
        "sizes",
        {"a.png": image_bytes(pixels(4, 3)), "sub/b.png": image_bytes(pixels(5, 6))},
        ["b.png", "one size", "6 x 5", "a.png has 3 x 4"],
    ),
    ("16 bits", {"a.png": image_bytes(DEEP)}, ["a.png", "I;16"]),
    (
        "floats",
        {"a.tiff": image_bytes(np.linspace(0, 1, 4, dtype=np.float32).reshape(2, 2), "tiff")},
        ["a.tiff", "'F'"],
    ),
]


@pytest.mark.parametrize(("files", "fragments"), [c[1:] for c in BAD_FOLDERS], ids=[c[0] for c in BAD_FOLDERS])
def test_bad_folders_are_refused(tmp_path: Path, files: dict[str, bytes], fragments: list[str]) -> None:
    """A ValueError of one line that begins with folder or file; nothing is clipped in silence."""
    for name, content in files.items():
        written(tmp_path / name, content)
    with pytest.raises(ValueError, match="^" + re.escape(str(tmp_path))) as caught:
        read_samples(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize("name", ["missing.csv", "missing.npy", "missing"])
def test_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    """Whatever their suffix."""
    with pytest.raises(ValueError, match=f"{name}: no such file or folder"):
        read_samples(tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_missing_columns_are_refused(tmp_path: Path, suffix: str) -> None:
    """The message names the column and those there are."""
    path = written(tmp_path / f"x.{suffix}", table_bytes(suffix))
    with pytest.raises(ValueError, match=rf"x\.{suffix}: .*'species'.*\['a', 'kind', 'b'\]"):
        read_samples(path, label_column="species")
    with pytest.raises(ValueError, match=rf"x\.{suffix}: .*'c' is missing.*\['a', 'kind', 'b'\]"):
        read_samples(path, features=["a", "c"])
    with pytest.raises(ValueError, match=rf"x\.{suffix}: .*row 0 .*column 'kind'.* 'x'"):
        read_samples(path)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "images"])
def test_a_label_column_is_for_tables_alone(tmp_path: Path, name: str) -> None:
    """Arrays and folders have no columns with names."""
    path = tmp_path / name
    if name == "images":
        path.mkdir()
    else:
        written(path, npy_bytes(VALUES))
    with pytest.raises(ValueError, match=f"{name}: label_column is for .csv and .parquet files alone"):
        read_samples(path, label_column="kind")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_object_arrays_are_never_unpickled(tmp_path: Path, suffix: str) -> None:
    """They are refused before any of their code runs."""
    bombs = np.array([[Bomb(tmp_path / "exploded")]], dtype=object)
    path = written(tmp_path / f"x.{suffix}", npy_bytes(bombs) if suffix == "npy" else npz_bytes(x=bombs))
    with pytest.raises(ValueError, match=rf"x\.{suffix}: cannot be read \(Object arrays cannot be loaded"):
        read_samples(path)
    assert not (tmp_path / "exploded").exists()


def claiming(content: bytes) -> bytes:
    """The same .npy file with a header that claims 3 * 10**13 values."""
    changed = content.replace(b"(4, 3), }           ", b"(10000000000000, 3),}")
    assert changed != content
    return changed


def test_claims_beyond_the_memory_are_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    """By the header, of an array and of an archive's member: the line says what is claimed and what there is."""
    claimed = claiming(npy_bytes(VALUES))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.npy", npy_bytes(VALUES))
        file.writestr("x_test.npy", claimed)
    sources = [written(tmp_path / "x.npy", claimed), written(tmp_path / "x.npz", archive.getvalue())]
    for path in sources:
        with pytest.raises(
            UserError, match=r"array \(10000000000000, 3\) of float64, which takes 327\.4 TiB"
        ) as caught:
            read_samples(path)
        assert re.search(r"[\d.]+ [KMGT]iB are available\. Use float32 or uint8", str(caught.value))


def test_only_the_members_that_are_used_are_unpacked(tmp_path: Path) -> None:
    """An archive may hold more than the samples, whatever its size."""
    path = written(tmp_path / "x.npz", npz_bytes(x=VALUES))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model.npy", claiming(npy_bytes(VALUES)))
    np.testing.assert_array_equal(read_samples(path).values, VALUES.astype(np.float32))


def test_a_table_that_claims_more_than_the_memory_is_refused(tmp_path: Path) -> None:
    """A column of one value takes no place in a Parquet file: the metadata tells what it takes in memory."""
    content = parquet_bytes(**{name: pyarrow.nulls(10**6, pyarrow.float64()) for name in "abcdefghij"})
    metadata, part = (parquet.ParquetFile(io.BytesIO(content)).metadata for _ in range(2))
    while metadata.num_rows * 80 < psutil.virtual_memory().total:
        metadata.append_row_groups(part)
    metadata.write_metadata_file(tmp_path / "x.parquet")
    words = f"claims to hold {metadata.num_rows} rows of 10 columns, which takes .* Use fewer rows"
    with pytest.raises(UserError, match=words):
        read_samples(tmp_path / "x.parquet")


def test_images_beyond_the_memory_are_refused_by_their_heads(tmp_path: Path) -> None:
    """Their number and size are known before one is decoded."""
    content = image_bytes(np.zeros((13_000, 13_000), np.uint8))
    for number in range(psutil.virtual_memory().total // 13_000**2 + 1):
        (tmp_path / f"{number}.png").symlink_to(written(tmp_path / "one", content))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"claims to hold \d+ grey images of 13000 x 13000 pixels, which takes"):
            read_samples(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_checked_values_names_the_first_bad_cell() -> None:
    """Rows first, by the column's name where there is one."""
    values = np.array([[1.0, 2.0], [np.inf, 3.0], [np.nan, 4.0]])
    with pytest.raises(ValueError, match=r"^somewhere: row 1 \(counted from 0\), column 'width': .* but is inf\. Fill"):
        checked_values(values, "somewhere", ["width", "height"])
