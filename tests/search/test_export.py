"""search.export: what other programs load gives what the model gives."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, UserError, load_model, save_model
from ae_model.configuration import ACTIVATION_NAMES
from search import SearchResult, export_model

Run = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., str]

SCALE = np.array([1.0, 0.02, 2.5, 1e-3, 40.0])
SHIFT = np.array([0.0, -3.0, 0.25, -1.0, 10.0])
PARTS = ("encoder", "decoder", "autoencoder")


def _save(
    directory: Path,
    layer_sizes: tuple[int, ...] = (5, 9, 2),
    hidden: str = "relu",
    code: str = "linear",
    output: str = "linear",
    dtype: torch.dtype = torch.float32,
) -> Path:
    """An untrained model of five features in very different units."""
    model = SymmetricAutoencoder(
        layer_sizes,
        hidden_activation=hidden,
        code_activation=code,
        output_activation=output,
        generator=torch.Generator().manual_seed(1),
    ).to(dtype)
    trained = TrainedAutoencoder(model=model.eval(), scaling=Scaling(scale=SCALE, shift=SHIFT), metadata={})
    save_model(directory, trained)
    return directory


def _samples(n: int) -> np.ndarray:
    """Rows in the data's own units, some of them outside what was seen in training."""
    scaled = np.random.default_rng(n).normal(size=(n, 5))
    return ((scaled - SHIFT) / SCALE).astype(np.float32)


def _run(path: Path, rows: np.ndarray, names: tuple[str, str]) -> np.ndarray:
    """What an exported file gives, by the program that it is for."""
    if path.suffix == ".pt2":
        with torch.no_grad():
            return torch.export.load(path).module()(torch.from_numpy(rows)).numpy()
    session = onnxruntime.InferenceSession(path)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, made.name) == names
    assert (given.type, made.type) == ("tensor(float)", "tensor(float)")
    return session.run(None, {given.name: rows})[0]


def _compare(directory: Path, output_dir: Path, format_: str) -> None:
    """The three files against the model, with batches of several sizes."""
    trained = load_model(directory)
    for n in (1, 7, 1000):
        x = _samples(n)
        code, reconstruction = trained.encode(x), trained.reconstruct(x)
        found = _run(output_dir / f"encoder.{format_}", x, ("samples", "code"))
        np.testing.assert_allclose(found, code, rtol=0, atol=1e-5 * max(np.abs(code).max(), 0.1))
        decoded = _run(output_dir / f"decoder.{format_}", code, ("code", "reconstruction"))
        both = _run(output_dir / f"autoencoder.{format_}", x, ("samples", "reconstruction"))
        for found in (decoded, both):
            assert found.dtype == np.float32
            assert found.shape == x.shape
            assert (np.abs(found - reconstruction) * SCALE / 2).max() < 1e-5


@pytest.mark.parametrize("format_", ["onnx", "pt2"])
@pytest.mark.parametrize(("hidden", "code"), [*zip(ACTIVATION_NAMES[::2], ACTIVATION_NAMES[1::2], strict=True)])
def test_every_activation(tmp_path: Path, hidden: str, code: str, format_: str) -> None:
    """Codes and reconstructions are the model's, in the data's own units, for one row, seven and a thousand."""
    _save(tmp_path / "model", hidden=hidden, code=code)
    written = export_model(tmp_path / "model", tmp_path / "out", format=format_)  # type: ignore[arg-type]  # one of two
    assert written == [tmp_path / "out" / f"{part}.{format_}" for part in PARTS]
    assert sorted(tmp_path.glob("out/*")) == sorted(written), "and nothing beside them"
    _compare(tmp_path / "model", tmp_path / "out", format_)


@pytest.mark.parametrize("format_", ["onnx", "pt2"])
@pytest.mark.parametrize(
    ("layer_sizes", "activations", "dtype"),
    [
        ((5, 2), ("relu", "linear", "linear"), torch.float32),
        ((5, 2), ("relu", "relu", "tanh"), torch.float64),
        ((5, 16, 8, 1), ("gelu", "elu", "leaky_relu"), torch.float64),
    ],
)
def test_other_models(
    tmp_path: Path, layer_sizes: tuple[int, ...], activations: tuple[str, str, str], dtype: torch.dtype, format_: str
) -> None:
    """Without hidden layers, with several, in float64, with an output that has limits; beside the model itself."""
    _save(tmp_path, layer_sizes, *activations, dtype)
    export_model(tmp_path, format=format_)  # type: ignore[arg-type]  # one of two
    _compare(tmp_path, tmp_path, format_)


def test_a_feature_far_from_zero(tmp_path: Path) -> None:
    """Its scaling has more digits than float32, which the files keep: codes are the model's."""
    model = SymmetricAutoencoder((2, 2), code_activation="linear", output_activation="linear")
    scaling = Scaling(scale=np.array([0.5, 1.0]), shift=np.array([-5e5, 0.0]))  # a million and some
    save_model(tmp_path, TrainedAutoencoder(model=model.eval(), scaling=scaling, metadata={}))
    export_model(tmp_path)
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    x[:, 0] += 1e6
    code = load_model(tmp_path).encode(x)
    np.testing.assert_allclose(_run(tmp_path / "encoder.onnx", x, ("samples", "code")), code, rtol=0, atol=1e-5)


def test_a_model_that_float32_cannot_compute(tmp_path: Path) -> None:
    """It is compared before anything is written: the file would not give what the model gives, so there is none."""
    model = SymmetricAutoencoder(
        (2, 2, 2), hidden_activation="linear", code_activation="linear", output_activation="linear"
    ).double()
    layers = {
        "encoder.0": [[1e9, 0.0], [1e9, 1.0]],  # the second feature drowns in the first ...
        "encoder.2": [[1e-9, 0.0], [-1.0, 1.0]],  # ... and comes up again, in float64
        "decoder.0": [[1.0, 0.0], [0.0, 1.0]],
        "decoder.2": [[1.0, 0.0], [0.0, 1.0]],
    }
    with torch.no_grad():
        for name, weight in layers.items():
            model.get_submodule(name).weight.copy_(torch.tensor(weight))  # type: ignore[operator,union-attr]  # linear
            model.get_submodule(name).bias.zero_()  # type: ignore[operator,union-attr]  # as above
    scaling = Scaling(scale=np.ones(2), shift=np.zeros(2))
    save_model(tmp_path / "model", TrainedAutoencoder(model=model.eval(), scaling=scaling, metadata={}))
    before = sorted((tmp_path / "model").iterdir())
    with pytest.raises(UserError, match=r"encoder\.onnx: must give what the model gives .* Take 'pt2'") as told:
        export_model(tmp_path / "model")
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="nothing was written"):
        export_model(tmp_path / "model", tmp_path / "out")
    assert sorted((tmp_path / "model").iterdir()) == before
    assert not (tmp_path / "out").exists()
    export_model(tmp_path / "model", format="pt2")
    x = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    found = _run(tmp_path / "model" / "autoencoder.pt2", x, ("samples", "reconstruction"))
    np.testing.assert_allclose(found, x, atol=1e-6)


@pytest.mark.parametrize("format_", ["onnx", "pt2"])
def test_nothing_of_this_machine_is_in_the_files(tmp_path: Path, format_: str) -> None:
    """They name no folder; the same model gives the same bytes, and files that would not change are left alone."""
    _save(tmp_path)
    times = []
    for _ in range(2):
        written = export_model(tmp_path, format=format_)  # type: ignore[arg-type]  # one of two
        times.append([path.stat().st_mtime_ns for path in written])
    assert times[0] == times[1]
    for path in written:
        content = path.read_bytes()
        for folder in (Path(sys.prefix), Path(__file__).parents[2], tmp_path):
            assert str(folder).encode() not in content


@pytest.mark.parametrize("format_", ["onnx", "pt2"])
def test_the_command(tmp_path: Path, format_: str) -> None:
    """It prints the files and nothing else, whatever torch and onnxruntime have to say."""
    _save(tmp_path)
    arguments = [
        "export",
        str(tmp_path),
        *([] if format_ == "onnx" else [str(tmp_path / "to" / "go"), "--format", "pt2"]),
    ]
    command = [sys.executable, "-c", "from search.cli import script; script()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    folder = tmp_path if format_ == "onnx" else tmp_path / "to" / "go"
    assert done.stdout.splitlines() == [str(folder / f"{part}.{format_}") for part in PARTS]
    assert done.stderr == ""


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_a_package_that_is_missing(tmp_path: Path, missing: str) -> None:
    """One line says how to install it."""
    _save(tmp_path)
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom search.cli import script; script()"
    command = [sys.executable, "-c", code, "export", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("ae-search: --format 'onnx' needs the packages onnx and onnxscript")
    assert "pip install 'ae-search[onnx]'" in line
    assert not list(tmp_path.glob("*.onnx"))


def test_without_onnxruntime(tmp_path: Path) -> None:
    """ONNX's own reference takes its place: the files are the same."""
    _save(tmp_path)
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from search import export_model; export_model(sys.argv[1], sys.argv[1] + '/out')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    export_model(tmp_path)
    for part in PARTS:
        assert (tmp_path / "out" / f"{part}.onnx").read_bytes() == (tmp_path / f"{part}.onnx").read_bytes()


def test_what_cannot_be_done(run: Run, one_line: OneLine, tmp_path: Path) -> None:
    """One line and status 2: no such format, no model, no place to write to."""
    model_dir = _save(tmp_path / "model")
    (tmp_path / "file").write_text("")
    for arguments, words in (
        ((model_dir, "--format", "h5"), "--format must be one of onnx, pt2, but is 'h5'"),
        ((tmp_path,), "is not a model directory"),
        ((model_dir, tmp_path / "file", "--format", "pt2"), "file: cannot be written"),
    ):
        status, output, errors = run("export", *arguments)
        assert (status, output) == (2, "")
        one_line(errors, words)


def test_a_winner(searched: SearchResult, tmp_path: Path) -> None:
    """The model of a search, on samples of its own."""
    x = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32) * 10
    trained = load_model(searched.model_dir)
    for path in export_model(searched.model_dir, tmp_path):
        if path.stem == "autoencoder":
            found = _run(path, x, ("samples", "reconstruction"))
            error = np.abs(found - trained.reconstruct(x)) * trained.scaling.scale / 2
            assert error.max() < 1e-5
