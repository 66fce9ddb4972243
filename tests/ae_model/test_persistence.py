"""Model directories: round trips, and refusal of what is not one."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, fit_scaling, load_model, save_model

VALUES = (np.random.default_rng(3).normal(size=(30, 6)) * [1, 2, 3, 1e3, 1e-3, 0] + 5).astype(np.float32)


def trained(**options: Any) -> TrainedAutoencoder:
    """An untrained model with the scaling of `VALUES`."""
    model = SymmetricAutoencoder(
        (6, 4, 2),
        hidden_activation="elu",
        code_activation="linear",
        output_activation="sigmoid",
        generator=torch.Generator().manual_seed(0),
    )
    return TrainedAutoencoder(model=model.eval(), scaling=fit_scaling(VALUES), **({"metadata": {}} | options))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A saved model."""
    save_model(tmp_path / "best", trained())
    return tmp_path / "best"


def test_round_trip_gives_the_same_model(tmp_path: Path) -> None:
    """Codes and reconstructions to the bit, and all that describes the model."""
    model = trained(
        image_shape=(2, 3),
        feature_names=("a", "b", "c", "d", "e", "ü"),
        metadata={"data": "digits", "epochs": 3, "losses": [0.5, 0.25], "nothing": None},
    )
    save_model(tmp_path / "new" / "best", model)
    loaded = load_model(str(tmp_path / "new" / "best"))
    np.testing.assert_array_equal(loaded.encode(VALUES), model.encode(VALUES))
    np.testing.assert_array_equal(loaded.reconstruct(VALUES), model.reconstruct(VALUES))
    assert loaded.image_shape == (2, 3)
    assert loaded.feature_names == ("a", "b", "c", "d", "e", "ü")
    assert loaded.metadata == model.metadata
    assert loaded.model.layer_sizes == (6, 4, 2)
    assert not loaded.model.training
    np.testing.assert_array_equal(loaded.scaling.scale, model.scaling.scale)
    np.testing.assert_array_equal(loaded.scaling.shift, model.scaling.shift)


def test_what_is_not_given_stays_none(directory: Path) -> None:
    """Tables without names have neither names nor a shape."""
    loaded = load_model(directory)
    assert loaded.image_shape is None
    assert loaded.feature_names is None
    assert loaded.metadata == {}


def test_saving_again_replaces_the_model(directory: Path) -> None:
    """The directory holds the model that was saved last."""
    save_model(directory, trained(metadata={"second": True}))
    assert load_model(directory).metadata == {"second": True}


def test_encode_and_decode_work_in_the_datas_own_units() -> None:
    """Scaling before the encoder and its inverse after the decoder; float32."""
    model = trained()
    scaled = torch.from_numpy(model.scaling.transform(VALUES)).float()
    reconstruction, code = (output.detach().double().numpy() for output in model.model(scaled))
    np.testing.assert_allclose(model.encode(VALUES), code, rtol=1e-5, atol=1e-6)
    expected = (reconstruction - model.scaling.shift) / model.scaling.scale
    np.testing.assert_allclose(model.decode(code), expected, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(VALUES), expected, rtol=1e-5)
    assert model.encode(VALUES).dtype == model.decode(code).dtype == np.float32


def test_many_rows_are_encoded_as_a_few_are() -> None:
    """More rows than one pass through the model takes, and integers as well."""
    model = trained()
    values = np.random.default_rng(0).integers(0, 10, (5000, 6))
    np.testing.assert_allclose(
        model.encode(values)[4090:4100], model.encode(values[4090:4100].astype(np.float64)), rtol=1e-4, atol=1e-5
    )


def test_a_float64_model_works_too() -> None:
    """As `fit_autoencoder` returns it with dtype=torch.float64; the results are float32 all the same."""
    model = trained()
    expected = model.reconstruct(VALUES)
    model.model.double()
    assert model.encode(VALUES).dtype == np.float32
    np.testing.assert_allclose(model.reconstruct(VALUES), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 5)), "x must have 6 columns for this model, but has 5"),
        (np.zeros((3, 7)), "x must have 6 columns for this model, but has 7"),
        (np.full((3, 6), np.nan), r"x: row 0 \(counted from 0\), column 0: .* but is nan"),
        (np.zeros((0, 6)), r"x: must not be empty, but has the shape \(0, 6\)"),
    ],
)
def test_encode_refuses_what_does_not_fit(values: np.ndarray, message: str) -> None:
    """The message says what came."""
    with pytest.raises(ValueError, match=message):
        trained().encode(values)


def test_decode_refuses_codes_of_another_size() -> None:
    """The message says what came."""
    with pytest.raises(ValueError, match="code must have 2 columns for this model, but has 3"):
        trained().decode(np.zeros((4, 3)))


def edit(directory: Path, **entries: Any) -> None:
    """Change entries of model.json; ... removes one."""
    path = directory / "model.json"
    description = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in description.items() if value is not ...}))


def edit_tensors(directory: Path, **tensors: torch.Tensor | None) -> None:
    """Change tensors of model.safetensors, whose names have dots for double underscores; None removes one."""
    path = directory / "model.safetensors"
    changed = load_file(path) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, path)


def cut(directory: Path, name: str, n_bytes: int) -> None:
    """Keep a file's first bytes; of a negative number, all but its last."""
    (directory / name).write_bytes((directory / name).read_bytes()[:n_bytes])


SEVEN = [torch.ones(7, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda d: (d / "model.json").unlink(), "model.json is missing", id="no json"),
        pytest.param(lambda d: (d / "model.safetensors").unlink(), "model.safetensors is missing", id="no weights"),
        pytest.param(lambda d: cut(d, "model.json", -20), "cannot be read", id="truncated json"),
        pytest.param(lambda d: cut(d, "model.json", 0), "cannot be read", id="empty json"),
        pytest.param(lambda d: (d / "model.json").write_bytes(b"\xff\xfe{}"), "cannot be read", id="no text"),
        pytest.param(lambda d: (d / "model.json").write_text("[1, 2]"), "is not the description", id="a list"),
        pytest.param(lambda d: (d / "model.json").write_text('{"a": 1}'), "is not the description", id="foreign"),
        pytest.param(lambda d: cut(d, "model.safetensors", -9), "cannot be read", id="truncated weights"),
        pytest.param(lambda d: cut(d, "model.safetensors", 5), "cannot be read", id="weights of 5 bytes"),
        pytest.param(lambda d: cut(d, "model.safetensors", 0), "cannot be read", id="empty weights"),
        pytest.param(lambda d: edit(d, format="other model"), "is not the description", id="other format"),
        pytest.param(
            lambda d: edit(d, format_version=2), r"has format 2, but .* reads up to 1\. Upgrade", id="newer format"
        ),
        pytest.param(lambda d: edit(d, format_version=...), "has format", id="no version"),
        pytest.param(lambda d: edit(d, format_version="one"), "has format .*one", id="version is text"),
        pytest.param(lambda d: edit(d, layer_sizes=...), "layer_sizes", id="no sizes"),
        pytest.param(lambda d: edit(d, layer_sizes=[6, 3, 2]), "do not fit together", id="other sizes"),
        pytest.param(lambda d: edit(d, layer_sizes=[6, 2]), "do not fit together", id="other depth"),
        pytest.param(lambda d: edit(d, layer_sizes=[6, -2]), "-2", id="impossible sizes"),
        pytest.param(lambda d: edit(d, layer_sizes=6), "do not fit together", id="sizes are a number"),
        pytest.param(lambda d: edit(d, hidden_activation="softmax"), "softmax", id="unknown activation"),
        pytest.param(lambda d: edit(d, image_shape=6), "model", id="image shape is a number"),
        pytest.param(lambda d: edit(d, feature_names=6), "model", id="names are a number"),
        pytest.param(lambda d: edit(d, metadata=...), "metadata", id="no metadata"),
        pytest.param(lambda d: edit_tensors(d, scaling__scale=None), "scaling.scale", id="no scaling"),
        pytest.param(
            lambda d: edit_tensors(d, scaling__scale=SEVEN[0], scaling__shift=SEVEN[1]), "scaling", id="scaling of 7"
        ),
        pytest.param(lambda d: edit_tensors(d, model__encoder__0__weight=None), "encoder", id="a layer is missing"),
    ],
)
def test_damaged_directories_are_refused(directory: Path, damage: Callable[[Path], object], message: str) -> None:
    """A ValueError of one line that names the directory, whatever is wrong with it."""
    damage(directory)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """As one without a model is."""
    with pytest.raises(ValueError, match=r"nowhere: is no model directory, model\.json is missing"):
        load_model(tmp_path / "nowhere")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_pickled_or_unpickled(directory: Path, tmp_path: Path) -> None:
    """The files are JSON and safetensors; a pickle in their place is refused unread."""
    assert sorted(path.name for path in directory.iterdir()) == ["model.json", "model.safetensors"]
    json.loads((directory / "model.json").read_text())
    exploded = tmp_path / "exploded"
    for name in ("model.safetensors", "model.json"):
        for write in (
            lambda path: path.write_bytes(pickle.dumps(Bomb(exploded))),
            lambda p: torch.save(Bomb(exploded), p),
        ):
            save_model(directory, trained())
            write(directory / name)
            with pytest.raises(ValueError, match="cannot be read"):
                load_model(directory)
    assert not exploded.exists()


def test_scaling_is_kept_in_float64(directory: Path) -> None:
    """Float32 would lose digits of features far from 0."""
    scaling: Scaling = load_model(directory).scaling
    assert scaling.scale.dtype == scaling.shift.dtype == np.float64
