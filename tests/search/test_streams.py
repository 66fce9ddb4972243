"""search.conversion, block by block: the same bits as all at once, names of rows, pipes and folders of images."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, UserError, load_model, save_model
from ae_model.persistence import ROWS_PER_PASS
from search.conversion import convert

FEATURES = ("a", "b", "c")
X = np.random.default_rng(0).normal(size=(2 * ROWS_PER_PASS + 11, 3)).astype(np.float32)
COMMAND = [sys.executable, "-c", "from search.cli import script; script()"]


def _save(directory: Path, n_features: int, *, feature_names: tuple[str, ...] | None = None, **fields: object) -> Path:
    model = SymmetricAutoencoder(
        (n_features, 5, 2),
        code_activation="linear",
        output_activation="linear",
        generator=torch.Generator().manual_seed(3),
    )
    scaling = Scaling(scale=np.full(n_features, 2 / 255), shift=np.full(n_features, -1.0))
    trained = TrainedAutoencoder(
        model=model.eval(),
        scaling=scaling,
        feature_names=feature_names,
        metadata={},
        **fields,  # type: ignore[arg-type]
    )
    save_model(directory, trained)
    return directory


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model of three named features."""
    return _save(tmp_path / "model", 3, feature_names=FEATURES)


@pytest.fixture
def grey_model_dir(tmp_path: Path) -> Path:
    """A model of grey images of 2 x 3 pixels."""
    return _save(tmp_path / "grey", 6, image_shape=(2, 3))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three grey images, one of them in a subfolder."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("b.png", "a.bmp", "more/c.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (2, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def _pixels(folder: Path, names: tuple[str, ...]) -> np.ndarray:
    return np.stack([np.ravel(_image(folder / name)) for name in names])


def _image(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _write(path: Path) -> Path:
    """All of X in a file; what the name says after a dash decides how."""
    match path.name:
        case "x.npy":
            np.save(path, X)
        case "x-by-columns.npy":
            np.save(path, np.asfortranarray(X))
        case "x-of-other-bytes.npy":
            np.save(path, X.astype(">f8"))
        case "x-split.npz":
            np.savez(path, x=X[:1500], x_test=X[1500:])
        case "x.csv":
            pd.DataFrame(X, columns=list(FEATURES)).to_csv(path, index=False)
        case "x.parquet":
            pd.DataFrame(X, columns=list(FEATURES)).to_parquet(path, index=False, row_group_size=700)
    return path


@pytest.mark.parametrize("operation", ["encode", "reconstruct"])
@pytest.mark.parametrize(
    "name", ["x.npy", "x-by-columns.npy", "x-of-other-bytes.npy", "x-split.npz", "x.csv", "x.parquet"]
)
def test_the_same_bits_as_all_at_once(model_dir: Path, tmp_path: Path, operation: str, name: str) -> None:
    """From three blocks of every kind of file: the array that the model gives for all rows, as numpy.save writes it."""
    expected = getattr(load_model(model_dir), operation)(X)
    written = convert(operation, model_dir, _write(tmp_path / name), tmp_path / "out.npy")  # type: ignore[arg-type]
    assert written == expected.shape
    np.save(tmp_path / "expected.npy", expected)
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_of_several_blocks(model_dir: Path, tmp_path: Path, suffix: str) -> None:
    """One header, then every row once, with digits enough for float32; and decoded again."""
    output, back = tmp_path / f"codes{suffix}", tmp_path / f"back{suffix}"
    convert("encode", model_dir, _write(tmp_path / "x.npy"), output)
    convert("decode", model_dir, output, back)
    trained = load_model(model_dir)
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}[suffix]
    code = trained.encode(X)
    assert list(read(output).columns) == ["code_0", "code_1"]
    np.testing.assert_array_equal(read(output).to_numpy().astype(np.float32), code)
    np.testing.assert_array_equal(read(back).to_numpy().astype(np.float32), trained.decode(code))


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
def test_an_error_in_a_later_block(model_dir: Path, tmp_path: Path, suffix: str) -> None:
    """Its row is counted from the first of all, and neither a part of the output nor a temporary file is there."""
    values = X.copy()
    values[ROWS_PER_PASS + 5, 1] = np.inf
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".csv":
        pd.DataFrame(values, columns=list(FEATURES)).to_csv(path, index=False)
    else:
        pd.DataFrame(values, columns=list(FEATURES)).to_parquet(path, index=False)
    before = set(tmp_path.iterdir())
    column = "1" if suffix == ".npy" else "'b'"
    with pytest.raises(UserError, match=rf"x\{suffix}: row {ROWS_PER_PASS + 5} \(counted from 0\), column {column}"):
        convert("encode", model_dir, path, tmp_path / "codes.npy")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("cell", "words"), [("x", "must be a number, but is 'x'"), ("", "a value is missing")])
def test_a_bad_cell_in_a_later_block(model_dir: Path, tmp_path: Path, cell: str, words: str) -> None:
    """A column that holds numbers for a thousand rows can hold a text thereafter: row and column are named."""
    rows = ["1,2,3"] * (ROWS_PER_PASS + 7) + [f"1,{cell},3"]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c", *rows]))
    with pytest.raises(UserError, match=rf"x\.csv: row {ROWS_PER_PASS + 7} \(counted from 0\), column 'b': .*{words}"):
        convert("encode", model_dir, tmp_path / "x.csv", tmp_path / "codes.npy")


def test_cells_that_become_decimals_later(model_dir: Path, tmp_path: Path) -> None:
    """Integers, decimals and words for true or false are the numbers that a reader of the whole takes them for."""
    cells = ["1"] * ROWS_PER_PASS + ["2.5", " 3 ", "1e-3"]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c", *(f"{cell},0,true" for cell in cells)]))
    convert("encode", model_dir, tmp_path / "x.csv", tmp_path / "codes.npy")
    x = np.array([[float(cell), 0, 1] for cell in cells])
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), load_model(model_dir).encode(x))


def test_a_file_that_is_cut_off(model_dir: Path, tmp_path: Path) -> None:
    """Its header says more than there is."""
    content = _write(tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"x\.npy: cannot be read \(its header claims 24708 bytes of values, but there"):
        convert("encode", model_dir, tmp_path / "x.npy", tmp_path / "codes.npy")


def test_names_of_images(grey_model_dir: Path, images: Path, tmp_path: Path) -> None:
    """They are a table's first column, which decoding passes on, and a file beside an array."""
    names = ("a.bmp", "b.png", "more/c.png")
    trained = load_model(grey_model_dir)
    code = trained.encode(_pixels(images, names))
    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        convert("encode", grey_model_dir, images, tmp_path / f"codes{suffix}")
        table = read(tmp_path / f"codes{suffix}")
        assert list(table.columns) == ["file", "code_0", "code_1"]
        assert tuple(table["file"]) == names
        np.testing.assert_array_equal(table[["code_0", "code_1"]].to_numpy().astype(np.float32), code)
        assert convert("decode", grey_model_dir, tmp_path / f"codes{suffix}", tmp_path / "x.csv") == (3, 6)
        decoded = pd.read_csv(tmp_path / "x.csv")
        assert tuple(decoded["file"]) == names
        np.testing.assert_array_equal(decoded.drop(columns="file").to_numpy().astype(np.float32), trained.decode(code))
    convert("encode", grey_model_dir, images, tmp_path / "codes.npy")
    assert (tmp_path / "codes.rows.csv").read_text() == "file\na.bmp\nb.png\nmore/c.png\n"
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), code)


def test_names_that_an_earlier_run_left(model_dir: Path, tmp_path: Path) -> None:
    """They go when the array is replaced by one without names; a file that holds something else stays."""
    source = _write(tmp_path / "x.npy")
    for name, content in (("codes.rows.csv", "file\nold.png\n"), ("mine.rows.csv", "kind,file\nx,y\n")):
        (tmp_path / name).write_text(content)
    convert("encode", model_dir, source, tmp_path / "codes.npy")
    convert("encode", model_dir, source, tmp_path / "mine.npy")
    assert not (tmp_path / "codes.rows.csv").exists()
    assert (tmp_path / "mine.rows.csv").read_text() == "kind,file\nx,y\n"
    (tmp_path / "x.rows.csv").write_text(",a,b,c\ny,1,2,3\n")
    with pytest.raises(UserError, match=r"the rows' names would replace INPUT, .*x\.rows\.csv"):
        convert("encode", model_dir, tmp_path / "x.rows.csv", tmp_path / "x.npy")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_index_names_the_rows(model_dir: Path, tmp_path: Path, suffix: str) -> None:
    """What pandas writes as its index is kept as the column `row`; where there is none, there are the codes alone."""
    table = pd.DataFrame(X[:3], columns=list(FEATURES), index=["x", "y", "7"])
    if suffix == ".csv":
        table.to_csv(tmp_path / "x.csv")
    else:
        table.to_parquet(tmp_path / "x.parquet")
    convert("encode", model_dir, tmp_path / f"x{suffix}", tmp_path / "codes.csv")
    codes = pd.read_csv(tmp_path / "codes.csv", dtype={"row": str})
    assert list(codes.columns) == ["row", "code_0", "code_1"]
    assert list(codes["row"]) == ["x", "y", "7"]


def test_images_come_out(grey_model_dir: Path, images: Path, tmp_path: Path) -> None:
    """PNG files of the same names, rounded and clipped; from codes in an array they have numbers."""
    names = ("a.bmp", "b.png", "more/c.png")
    expected = np.clip(np.rint(load_model(grey_model_dir).reconstruct(_pixels(images, names))), 0, 255)
    assert convert("reconstruct", grey_model_dir, images, f"{tmp_path}/out.v1/") == (3, 6)
    np.testing.assert_array_equal(_pixels(tmp_path / "out.v1", ("a.png", "b.png", "more/c.png")), expected)
    assert _image(tmp_path / "out.v1" / "a.png").shape == (2, 3), "grey"
    convert("encode", grey_model_dir, images, tmp_path / "codes.npy")
    (tmp_path / "numbered").mkdir()
    (tmp_path / "numbered" / "other.txt").write_text("mine")
    convert("decode", grey_model_dir, tmp_path / "codes.npy", tmp_path / "numbered")
    assert sorted(path.name for path in (tmp_path / "numbered").iterdir()) == [
        "0000000.png", "0000001.png", "0000002.png", "other.txt",
    ]  # fmt: skip
    assert not list(tmp_path.glob(".*"))


def test_images_in_colour(tmp_path: Path) -> None:
    """Of a model of RGB images; two names that differ by their suffix alone stay two files."""
    model_dir = _save(tmp_path / "model", 12, image_shape=(2, 2, 3))
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
    for image, name in zip(pixels, ("a.bmp", "a.png"), strict=True):
        Image.fromarray(image).save(tmp_path / "in" / name)
    convert("reconstruct", model_dir, tmp_path / "in", tmp_path / "out")
    expected = np.clip(np.rint(load_model(model_dir).reconstruct(pixels.reshape(2, 12))), 0, 255)
    np.testing.assert_array_equal(_pixels(tmp_path / "out", ("a.png", "a.png.png")), expected)


def test_what_cannot_be_a_folder_of_images(model_dir: Path, grey_model_dir: Path, images: Path, tmp_path: Path) -> None:
    """Codes, samples that are no images, the folder that is read, and names that lead out of the folder."""
    source = _write(tmp_path / "x.npy")
    with pytest.raises(UserError, match="a folder is for images, but this model's samples are no images"):
        convert("reconstruct", model_dir, source, f"{tmp_path}/out/")
    with pytest.raises(UserError, match="a folder is for images, but codes are no images"):
        convert("encode", grey_model_dir, images, tmp_path / "out")
    with pytest.raises(UserError, match="must be another folder than INPUT"):
        convert("reconstruct", grey_model_dir, images, images)
    (tmp_path / "codes.csv").write_text("file,code_0,code_1\n../../evil.png,1,2\n")
    with pytest.raises(UserError, match=r"must be that of a file within OUTPUT, but is '\.\./\.\./evil\.png'"):
        convert("decode", grey_model_dir, tmp_path / "codes.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_pipes(model_dir: Path, tmp_path: Path) -> None:
    """From standard input to standard output: the table and nothing else; two commands after one another."""
    text = _write(tmp_path / "x.csv").read_bytes()
    encoded = subprocess.run([*COMMAND, "encode", model_dir, "-", "-"], input=text, capture_output=True, check=True)
    convert("encode", model_dir, tmp_path / "x.csv", tmp_path / "codes.csv")
    assert encoded.stdout == (tmp_path / "codes.csv").read_bytes()
    assert encoded.stderr == b""
    decoded = subprocess.run(
        [*COMMAND, "decode", model_dir, "-", "-"], input=encoded.stdout, capture_output=True, check=True
    )
    convert("decode", model_dir, tmp_path / "codes.csv", tmp_path / "back.csv")
    assert decoded.stdout == (tmp_path / "back.csv").read_bytes()


def test_pipes_that_fail(model_dir: Path, tmp_path: Path) -> None:
    """An error is one line on standard error and leaves standard output empty; a reader that goes ends it quietly."""
    wrong = subprocess.run([*COMMAND, "encode", model_dir, "-", "-"], input=b"a,b\n1,2\n", capture_output=True)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert wrong.stderr.startswith(b"ae-search: standard input: the column 'c' is missing.")
    assert wrong.stderr.count(b"\n") == 1
    np.save(tmp_path / "large.npy", np.tile(X, (100, 1)))
    with subprocess.Popen(
        [*COMMAND, "encode", model_dir, tmp_path / "large.npy", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as gone:
        assert gone.stdout is not None
        assert gone.stderr is not None
        assert gone.stdout.readline() == b"code_0,code_1\n"
        gone.stdout.close()
        assert gone.stderr.read() == b""
        assert gone.wait() == 1


def test_the_test_samples_of_an_archive_are_said(model_dir: Path, tmp_path: Path) -> None:
    """They are taken, after the others, and standard error says so."""
    source = _write(tmp_path / "x-split.npz")
    done = subprocess.run(
        [*COMMAND, "encode", model_dir, source, tmp_path / "codes.npy"], capture_output=True, check=True, text=True
    )
    assert done.stdout == f"{tmp_path / 'codes.npy'}: {len(X)} rows, 2 columns\n"
    assert done.stderr == "x-split.npz: its x_test is taken too, after its x\n"


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Ten times as many rows, 300 MB more to read and to write: the peak of the memory stays where it is."""
    model_dir = _save(tmp_path / "model", 784)
    code = """
import json, resource, sys
from search.conversion import convert
convert("reconstruct", *sys.argv[1:])
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    peaks = []
    for n_rows in (10_000, 100_000):
        np.save(tmp_path / "x.npy", np.zeros((n_rows, 784), np.float32))
        arguments = [model_dir, tmp_path / "x.npy", tmp_path / "out.npy"]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)
        peaks.append(json.loads(done.stdout))
    assert peaks[1] < peaks[0] + 60


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal, and only after a while; never in a file."""
    code = """
import sys
import search.row_progress
search.row_progress._PATIENCE_S = float(sys.argv[1])
with search.row_progress.row_progress(10) as advance:
    advance(3)
"""
    for patience, is_shown in (("0", True), ("60", False)):
        ours, theirs = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
        subprocess.run([sys.executable, "-c", code, patience], stderr=theirs, check=True, env=environment)
        os.write(theirs, b"end")
        seen = b""
        while not seen.endswith(b"end"):
            seen += os.read(ours, 4096)
        os.close(ours)
        os.close(theirs)
        assert (b"3/10" in seen) == is_shown
    done = subprocess.run([sys.executable, "-c", code, "0"], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
