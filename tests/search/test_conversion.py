"""search.conversion: files in, files out, with the right numbers and column names."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, UserError, save_model
from search.conversion import convert

FEATURES = ("height", "weight", "age", "shoe size")
SCALE = np.array([0.01, 0.02, 0.03, 0.04])
SHIFT = np.array([-1.0, 0.5, 0.0, 0.25])
X = np.random.default_rng(0).normal(size=(11, 4)) * 20 + 50


def _model(layer_sizes: tuple[int, ...]) -> SymmetricAutoencoder:
    return SymmetricAutoencoder(
        layer_sizes, code_activation="linear", output_activation="linear", generator=torch.Generator().manual_seed(3)
    ).eval()


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model of four named features and a code of two."""
    trained = TrainedAutoencoder(
        model=_model((4, 2)), scaling=Scaling(scale=SCALE, shift=SHIFT), feature_names=FEATURES, metadata={}
    )
    save_model(tmp_path / "model", trained)
    return tmp_path / "model"


def _by_numpy(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and reconstructions in the data's units: two affine maps between two scalings."""
    state = {name: tensor.double().numpy() for name, tensor in _model((4, 2)).state_dict().items()}
    code = (x * SCALE + SHIFT) @ state["encoder.0.weight"].T + state["encoder.0.bias"]
    return code, (code @ state["decoder.0.weight"].T + state["decoder.0.bias"] - SHIFT) / SCALE


def _write(path: Path, values: np.ndarray, columns: list[str]) -> Path:
    """An array or a table, by the suffix."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, x=values)
    else:
        table = pd.DataFrame(values, columns=columns)
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, index=False)
    return path


def _read(path: Path) -> tuple[np.ndarray, list[str] | None]:
    if path.suffix == ".npy":
        return np.load(path), None
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return table.to_numpy(), list(table.columns)


@pytest.mark.parametrize(
    ("of", "to"), [(".npy", ".npy"), (".npz", ".csv"), (".csv", ".csv"), (".csv", ".parquet"), (".parquet", ".npy")]
)
def test_encode_decode_and_reconstruct(model_dir: Path, tmp_path: Path, of: str, to: str) -> None:
    """From and to every kind of file, codes and reconstructions are NumPy's, and decoded codes are reconstructions."""
    source = _write(tmp_path / f"x{of}", X, list(FEATURES))
    code, reconstruction = _by_numpy(X)
    outputs = [tmp_path / f"{name}{to}" for name in ("codes", "decoded", "reconstructed")]
    assert convert("encode", model_dir, source, outputs[0]) == (11, 2)
    assert convert("decode", model_dir, outputs[0], outputs[1]) == (11, 4)
    assert convert("reconstruct", model_dir, source, outputs[2]) == (11, 4)
    for path, expected, names in zip(
        outputs,
        (code, reconstruction, reconstruction),
        (["code_0", "code_1"], list(FEATURES), list(FEATURES)),
        strict=True,
    ):
        values, columns = _read(path)
        assert values.dtype == np.float32 or to == ".csv"
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-3)
        assert columns == (None if to == ".npy" else names)
    np.testing.assert_allclose(_read(outputs[1])[0], _read(outputs[2])[0], rtol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_with_other_columns_in_another_order(model_dir: Path, tmp_path: Path, suffix: str) -> None:
    """The model's columns are found by name; a column of text beside them does not matter."""
    table = pd.DataFrame(X, columns=list(FEATURES))[["age", "shoe size", "height", "weight"]]
    table.insert(1, "name", [f"bird {i}" for i in range(len(X))])
    path = tmp_path / f"people{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    convert("encode", model_dir, path, tmp_path / "codes.npy")
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), _by_numpy(X)[0], rtol=1e-4)


def test_an_archive_with_its_columns_in_another_order(model_dir: Path, tmp_path: Path) -> None:
    """The names in an .npz are as good as a table's."""
    order = [2, 0, 3, 1]
    names = np.array([FEATURES[i] for i in order])
    np.savez(tmp_path / "x.npz", x=X[:, order], feature_names=names)
    convert("encode", model_dir, tmp_path / "x.npz", tmp_path / "codes.npy")
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), _by_numpy(X)[0], rtol=1e-4)
    np.savez(tmp_path / "less.npz", x=X[:, :3], feature_names=np.array(FEATURES[:3]))
    with pytest.raises(UserError, match=r"less\.npz: the column 'shoe size' is missing"):
        convert("encode", model_dir, tmp_path / "less.npz", tmp_path / "codes.npy")


def test_a_table_without_a_header(model_dir: Path, tmp_path: Path) -> None:
    """Its columns are not taken for the model's by their places, not even where they are as many."""
    path = tmp_path / "bare.csv"
    pd.DataFrame(X).to_csv(path, index=False, header=False)
    with pytest.raises(UserError, match=r"bare\.csv: the column 'height' is missing"):
        convert("encode", model_dir, path, tmp_path / "codes.npy")
    with pytest.raises(UserError, match=r"bare\.csv: the column 'code_0' is missing"):
        convert("decode", model_dir, path, tmp_path / "x.npy")


def test_codes_among_other_columns(model_dir: Path, tmp_path: Path) -> None:
    """Decoding takes the columns code_0, code_1, ... of a table."""
    code, reconstruction = _by_numpy(X)
    table = pd.DataFrame({"name": "bird", "code_1": code[:, 1], "code_0": code[:, 0]})
    table.to_csv(tmp_path / "codes.csv", index=False)
    convert("decode", model_dir, tmp_path / "codes.csv", tmp_path / "x.npy")
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), reconstruction, rtol=1e-4)


def test_a_folder_of_images(tmp_path: Path) -> None:
    """A model of images takes a folder of them; its table of reconstructions names the pixels f0, f1, ..."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image.reshape(2, 3)).save(tmp_path / "images" / f"{number}.png")
    scaling = Scaling(scale=np.full(6, 2 / 255), shift=np.full(6, -1.0))
    trained = TrainedAutoencoder(model=_model((6, 2)), scaling=scaling, image_shape=(2, 3), metadata={})
    save_model(tmp_path / "model", trained)
    assert convert("encode", tmp_path / "model", tmp_path / "images", tmp_path / "codes.npy") == (3, 2)
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), trained.encode(pixels))
    convert("reconstruct", tmp_path / "model", tmp_path / "images", tmp_path / "x.csv")
    table = pd.read_csv(tmp_path / "x.csv")
    assert list(table.columns) == ["file", *(f"f{i}" for i in range(6))]
    assert list(table["file"]) == ["0.png", "1.png", "2.png"]


def test_an_output_is_replaced(model_dir: Path, tmp_path: Path) -> None:
    """A file that is there is written over, and nothing else is left in the folder."""
    source = _write(tmp_path / "x.npy", X, [])
    (tmp_path / "codes.csv").write_text("old")
    before = {path.name for path in tmp_path.iterdir()}
    convert("encode", model_dir, source, tmp_path / "codes.csv")
    assert len(pd.read_csv(tmp_path / "codes.csv")) == len(X)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("operation", "source", "output", "words"),
    [
        ("encode", "x.csv", "codes.txt", r"codes\.txt: the suffix of OUTPUT must be \.npy, \.csv or \.parquet"),
        (
            "encode",
            "x.csv",
            "nowhere/codes.csv",
            r"nowhere/codes\.csv: cannot be written \(No such file .*Give another OUTPUT",
        ),
        ("encode", "none.csv", "codes.csv", r"none\.csv: no such file"),
        ("encode", "x.xlsx", "codes.csv", r"x\.xlsx: the suffix must be \.npy"),
        ("encode", "less.csv", "codes.csv", r"less\.csv: the column 'shoe size' is missing"),
        ("encode", "narrow.npy", "codes.csv", r"narrow\.npy: x must have 4 columns for this model, but has 3"),
        ("encode", "gap.csv", "codes.csv", r"gap\.csv: row 2 \(counted from 0\), column 'age'.*missing"),
        ("encode", "text.csv", "codes.csv", r"text\.csv: row 0 \(counted from 0\), column 'age'.*'old'"),
        ("decode", "x.csv", "back.csv", r"x\.csv: the column 'code_0' is missing"),
        ("decode", "narrow.npy", "back.csv", r"narrow\.npy: code must have 2 columns for this model, but has 3"),
        ("reconstruct", "narrow.npy", "back.csv", r"narrow\.npy: x must have 4 columns"),
    ],
)
def test_what_does_not_fit(
    model_dir: Path, tmp_path: Path, operation: str, source: str, output: str, words: str
) -> None:
    """One line names the file and the column or number that is wrong, and nothing is written."""
    _write(tmp_path / "x.csv", X, list(FEATURES))
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    _write(tmp_path / "less.csv", X[:, :3], list(FEATURES[:3]))
    _write(tmp_path / "narrow.npy", X[:, :3], [])
    table = pd.DataFrame(X, columns=list(FEATURES))
    table.astype({"age": object}).assign(age="old").to_csv(tmp_path / "text.csv", index=False)
    table.loc[2, "age"] = np.nan
    table.to_csv(tmp_path / "gap.csv", index=False)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=words) as caught:
        convert(operation, model_dir, tmp_path / source, tmp_path / output)  # type: ignore[arg-type]  # one of three
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_no_model(tmp_path: Path) -> None:
    """A folder without a model is named."""
    with pytest.raises(UserError, match="is not a model directory"):
        convert("encode", tmp_path, tmp_path / "x.csv", tmp_path / "codes.csv")
