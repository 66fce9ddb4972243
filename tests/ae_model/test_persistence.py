"""Model directories: round trips, and refusal of what is not one."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from ae_model import (
    Scaling,
    SymmetricAutoencoder,
    TrainedAutoencoder,
    UserError,
    fit_scaling,
    load_model,
    save_model,
)
from ae_model.pca import fit_baseline, fit_pca
from ae_model.persistence import ROWS_PER_PASS

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


NAMES = ("a", "b", "c", "d", "e", "ü")


def test_the_columns_of_a_dataframe_are_found_by_name() -> None:
    """In another order, of other types and among other columns, they give what the array gives; nothing is printed."""
    model = trained(feature_names=NAMES)
    values = VALUES.copy()
    values[:, 5] = np.arange(30) % 2
    frame = pd.DataFrame(values, columns=NAMES).astype({"ü": bool, "b": np.float64})
    frame = frame[["ü", "d", "a", "c", "e", "b"]]
    frame.insert(2, "kind", "wren")
    np.testing.assert_array_equal(model.encode(frame), model.encode(values))
    np.testing.assert_array_equal(model.reconstruct(frame), model.reconstruct(values))


def test_the_columns_of_a_dataframe_of_codes_are_found_by_name() -> None:
    """They are called code_0, code_1 and so on, whether the features have names or not."""
    for model in (trained(), trained(feature_names=NAMES)):
        code = model.encode(VALUES)
        frame = pd.DataFrame({"kind": "wren", "code_1": code[:, 1], "code_0": code[:, 0]})
        np.testing.assert_array_equal(model.decode(frame), model.decode(code))
    assert trained().code_names == ("code_0", "code_1")


def test_without_feature_names_the_order_of_a_dataframes_columns_counts() -> None:
    """A model that was trained on an array has nothing to find them by."""
    frame = pd.DataFrame(VALUES, columns=NAMES[::-1])
    np.testing.assert_array_equal(trained().encode(frame), trained().encode(VALUES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.drop(columns="c"),
            r"x: the column 'c' is missing\. The columns are \['a', 'b', 'd', 'e', 'ü'\]\.",
        ),
        (lambda f: f.rename(columns={"a": "A"}), r"x: the column 'a' is missing\. The columns are \['A', 'b'"),
        (lambda f: f.set_axis(range(6), axis=1), r"x: the column 'a' is missing.*'0', '1'"),
        (lambda f: pd.concat([f, f[["b"]]], axis=1), r"x: column names must differ, but 'b' occurs more than once"),
        (
            lambda f: f.assign(c="old"),
            r"x: row 0 \(counted from 0\), column 'c': a value must be a number, but is 'old'",
        ),
        (lambda f: f.assign(e=[*range(29), np.nan]), r"x: row 29 \(counted from 0\), column 'e': .* but is nan"),
    ],
)
def test_a_dataframe_that_does_not_fit(change: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    """The message names the column."""
    frame = change(pd.DataFrame(VALUES, columns=NAMES))
    with pytest.raises(UserError, match=message):
        trained(feature_names=NAMES).encode(frame)


def test_codes_that_are_missing() -> None:
    """The message names the column."""
    with pytest.raises(UserError, match=r"code: the column 'code_1' is missing\. The columns are \['code_0', 'a'\]\."):
        trained().decode(pd.DataFrame({"code_0": [1.0], "a": [2.0]}))


def test_the_baseline_is_kept_with_the_model(directory: Path, tmp_path: Path) -> None:
    """Mean and components come back to the bit, and reconstruct as scikit-learn's PCA does."""
    assert load_model(directory).pca is None
    model = trained()
    save_model(tmp_path / "new", trained(pca=fit_baseline(VALUES, model.scaling, 2)))
    kept = load_model(tmp_path / "new").pca
    assert kept is not None
    assert kept.mean.dtype == kept.components.dtype == np.float32
    assert kept.components.shape == (2, 6)
    pca, scaled = fit_pca(VALUES, model.scaling, 2), model.scaling.transform(VALUES)
    np.testing.assert_allclose(kept.reconstruct(scaled), pca.inverse_transform(pca.transform(scaled)), atol=1e-6)


def edit(directory: Path, **entries: Any) -> None:
    """Change entries of model.json; ... removes one."""
    path = directory / "model.json"
    description = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in description.items() if value is not ...}))


def edit_tensors(directory: Path, **tensors: torch.Tensor | None) -> None:
    """Change or add tensors of model.safetensors, whose names have dots for double underscores; None removes one."""
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
        pytest.param(lambda d: edit_tensors(d, model__more=SEVEN[0]), r"no model\.more", id="a layer too many"),
        pytest.param(lambda d: edit(d, layer_sizes=[6, 10**9, 2]), "1000000000", id="a layer of 256 GB"),
        pytest.param(lambda d: edit(d, layer_sizes=[10**9, 4, 2]), "1000000000", id="an input of 32 GB"),
        pytest.param(lambda d: edit(d, image_shape=[-2, -3]), "image_shape", id="negative image shape"),
        pytest.param(lambda d: edit(d, image_shape=[6]), "image_shape", id="image of one dimension"),
        pytest.param(lambda d: edit_tensors(d, pca__mean=torch.ones(6)), r"pca\.components", id="half a PCA"),
        pytest.param(
            lambda d: edit_tensors(d, pca__mean=torch.ones(6), pca__components=torch.ones(2, 7)),
            r"pca\.components must have the shape \(2, 6\), but has \(2, 7\)",
            id="PCA of 7",
        ),
        pytest.param(
            lambda d: edit_tensors(d, pca__mean=torch.ones(6), pca__components=torch.ones(3, 6)),
            r"pca\.components must have the shape \(2, 6\), but has \(3, 6\)",
            id="PCA of more components than code units",
        ),
    ],
)
def test_damaged_directories_are_refused(directory: Path, damage: Callable[[Path], object], message: str) -> None:
    """A UserError of one line that names the directory, whatever is wrong with it."""
    damage(directory)
    with pytest.raises(UserError, match=message) as caught:
        load_model(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """As one without a model is."""
    with pytest.raises(ValueError, match=r"nowhere: is not a model directory, model\.json is missing"):
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


def test_shapes_are_compared_before_anything_is_allocated(directory: Path) -> None:
    """Not even the memory that is only promised: torch is asked for no tensor of the sizes that model.json names."""
    edit(directory, layer_sizes=[6, 10**6, 2])
    with torch.autograd.profiler.profile(profile_memory=True) as profile, pytest.raises(UserError):
        load_model(directory)
    assert sum(event.cpu_memory_usage for event in profile.function_events) < 10_000


def test_a_model_that_is_replaced_is_gone_before_its_weights(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between the two files leaves no model rather than one's weights under the other's name."""
    replace = Path.replace

    def dies_after_the_weights(path: Path, target: Path) -> None:
        replace(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies_after_the_weights)
    with pytest.raises(KeyboardInterrupt):
        save_model(directory, trained(metadata={"second": True}))
    with pytest.raises(UserError, match=r"model\.json is missing"):
        load_model(directory)


def test_scaling_is_kept_in_float64(directory: Path) -> None:
    """Float32 would lose digits of features far from 0."""
    scaling: Scaling = load_model(directory).scaling
    assert scaling.scale.dtype == scaling.shift.dtype == np.float64


def test_parts_give_what_the_whole_gives() -> None:
    """Codes and reconstructions of parts of ROWS_PER_PASS rows are those of all rows, to the bit."""
    trained = TrainedAutoencoder(
        model=SymmetricAutoencoder((37, 50, 5), generator=torch.Generator().manual_seed(0)).eval(),
        scaling=Scaling(scale=np.linspace(0.1, 3, 37), shift=np.linspace(-1, 1, 37)),
        metadata={},
    )
    x = np.random.default_rng(0).normal(size=(2 * ROWS_PER_PASS + 11, 37)).astype(np.float32)
    starts = range(0, len(x), ROWS_PER_PASS)
    for function in (trained.encode, trained.reconstruct):
        parts = [function(x[start : start + ROWS_PER_PASS]) for start in starts]
        np.testing.assert_array_equal(np.concatenate(parts), function(x))
