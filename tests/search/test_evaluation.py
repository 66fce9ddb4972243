"""search.evaluation: every number of evaluation.json against NumPy and scikit-learn."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import MinMaxScaler

from ae_model import Scaling, SymmetricAutoencoder, TrainedAutoencoder, UserError, load_dataset, load_model, save_model
from search import Evaluation, SearchResult, SearchSettings, evaluate_model, retrain
from search.console import evaluation_text

ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "linear": lambda z: z, "tanh": np.tanh}


def _forward(model_dir: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code and reconstruction of scaled rows by NumPy in float64, from the files alone."""
    tensors = load_file(model_dir / "model.safetensors")
    description = json.loads((model_dir / "model.json").read_text())
    n_layers = len(description["layer_sizes"]) - 1
    names = [description["hidden_activation"]] * (n_layers - 1)
    values, outputs = x, []
    for part, last in (("encoder", description["code_activation"]), ("decoder", description["output_activation"])):
        for layer, name in enumerate([*names, last]):
            weight, bias = (tensors[f"model.{part}.{2 * layer}.{kind}"] for kind in ("weight", "bias"))
            values = ACTIVATIONS[name](values @ weight.astype(np.float64).T + bias)
        outputs.append(values)
    return outputs[0], outputs[1]


def test_every_number_recomputed(searched: SearchResult, settings: SearchSettings) -> None:
    """MSE, its error, FVE, PSNR, dead units and PCA's numbers equal those of an independent computation."""
    dataset = load_dataset(settings.data.source, label_column="kind", seed=settings.seed)
    table = pd.read_csv(settings.data.source).drop(columns="kind").to_numpy()
    assert len(dataset.development) + len(dataset.test) == len(table)
    scaler = MinMaxScaler((-1, 1)).fit(dataset.development.astype(np.float64))
    development = scaler.transform(dataset.development.astype(np.float64))
    x = scaler.transform(dataset.test.astype(np.float64))
    code, reconstruction = _forward(searched.model_dir, x)
    pca = PCA(2).fit(development)
    pca_reconstruction = pca.inverse_transform(pca.transform(x))
    mean = development.mean(axis=0)
    written = json.loads((searched.model_dir / "evaluation.json").read_text())

    mse = mean_squared_error(x, reconstruction)
    np.testing.assert_allclose(written["mse"], mse, rtol=1e-4)
    errors = np.mean((x - reconstruction) ** 2, axis=1)
    np.testing.assert_allclose(written["mse_se"], np.std(errors, ddof=1) / np.sqrt(len(x)), rtol=1e-4)
    np.testing.assert_allclose(
        written["fve"], 1 - np.sum((x - reconstruction) ** 2) / np.sum((x - mean) ** 2), rtol=1e-4
    )
    np.testing.assert_allclose(written["psnr_db"], 20 * np.log10(2) - 10 * np.log10(mse), rtol=1e-4)
    assert written["dead_code_units"] == int((np.abs(code).max(axis=0) == 0).sum())
    pca_mse = mean_squared_error(x, pca_reconstruction)
    np.testing.assert_allclose(written["pca_mse"], pca_mse, rtol=1e-6)
    np.testing.assert_allclose(written["pca_fve"], 1 - pca_mse / np.mean((x - mean) ** 2), rtol=1e-6)
    np.testing.assert_allclose(written["mean_mse"], np.mean((x - mean) ** 2), rtol=1e-6)
    np.testing.assert_allclose(written["per_feature_mse"], np.mean((x - reconstruction) ** 2, axis=0), rtol=1e-4)
    assert (written["n_test"], written["code_size"]) == (18, 2)
    assert written["layer_sizes"] == searched.trials.sort_values("rank")["layer_sizes"].iloc[0]
    assert written["compression_ratio"] == 3.0
    tensors = load_file(searched.model_dir / "model.safetensors")
    n_parameters = sum(t.size for name, t in tensors.items() if name.startswith("model."))
    assert written["n_parameters"] == n_parameters
    assert asdict(searched.evaluation) == written


def test_evaluating_again_gives_the_same(search_copy: Path) -> None:
    """The data the model was made from is found again from what the model says."""
    path = search_copy / "best" / "evaluation.json"
    before = path.read_bytes()
    path.unlink()
    evaluate_model(search_copy / "best")
    assert path.read_bytes() == before


def test_on_other_data(search_copy: Path, tmp_path: Path) -> None:
    """Other data is evaluated as a whole, its own test split included; what the model's data gave stays beside it."""
    own = (search_copy / "best" / "evaluation.json").read_bytes()
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "other.npz", x=generator.normal(size=(30, 6)), x_test=generator.normal(size=(4, 6)))
    evaluation = evaluate_model(search_copy / "best", str(tmp_path / "other.npz"))
    assert (evaluation.data, evaluation.n_test) == ("other", 34)
    assert evaluation.other_data
    assert json.loads((search_copy / "best" / "evaluation-other.json").read_text())["data"] == "other"
    assert (search_copy / "best" / "feature_errors-other.png").is_file()
    assert (search_copy / "best" / "evaluation.json").read_bytes() == own
    (search_copy / "best" / "training_loss.csv").unlink()
    retrain(search_copy)
    assert not list((search_copy / "best").glob("*other*")), "it was of the model before"


def _save(directory: Path, layer_sizes: tuple[int, ...], **metadata: object) -> Path:
    """An untrained linear model that works in the data's own units."""
    model = SymmetricAutoencoder(
        layer_sizes,
        code_activation="linear",
        output_activation="linear",
        generator=torch.Generator().manual_seed(0),
    )
    if layer_sizes[0] == layer_sizes[-1]:
        with torch.no_grad():
            for linear in (model.encoder[0], model.decoder[0]):
                linear.weight.copy_(torch.eye(layer_sizes[0]))
                linear.bias.zero_()
    n_features = layer_sizes[0]
    scaling = Scaling(scale=np.ones(n_features), shift=np.zeros(n_features))
    save_model(directory, TrainedAutoencoder(model=model.eval(), scaling=scaling, metadata=metadata))
    return directory


def test_the_models_own_data_by_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relative path, or copied, it is split as it was: no sample that was trained on is tested on."""
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    for name in ("x.npy", "copy.npy"):
        np.save(tmp_path / name, x)
    data = {"source": str(tmp_path / "x.npy"), "data_dir": "data", "download": False, "label_column": None}
    data |= {"test_fraction": 0.06, "max_samples": 30}
    dataset = load_dataset(tmp_path / "x.npy", test_fraction=0.06, max_samples=30, seed=7)
    model_dir = _save(tmp_path / "model", (6, 2), seed=7, data=data, data_fingerprint=dataset.fingerprint())
    own = evaluate_model(model_dir)
    assert own.n_test == 3
    monkeypatch.chdir(tmp_path)
    for source in ("x.npy", str(tmp_path / "copy.npy"), tmp_path / "copy.npy", x, pd.DataFrame(x), dataset):
        assert replace(evaluate_model(model_dir, source), data="x") == own
    assert [path.name for path in model_dir.glob("evaluation*")] == ["evaluation.json"]


def test_a_perfect_model(tmp_path: Path) -> None:
    """Without an error the PSNR is infinite, which JSON writes as null; every other number is a number."""
    model_dir = _save(tmp_path / "model", (3, 3), data={"source": str(tmp_path / "x.npz")})
    x = np.random.default_rng(0).integers(-1, 2, (20, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, x_test=x[:1])
    evaluation = evaluate_model(model_dir)
    assert (evaluation.mse, evaluation.fve, evaluation.psnr_db) == (0.0, 1.0, float("inf"))
    assert evaluation.mse_se == 0.0, "one sample has no spread"
    assert Evaluation.read(model_dir) == evaluation
    written = json.loads((model_dir / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert written["psnr_db"] is None
    assert written["fve"] == 1.0
    other = _save(tmp_path / "other", (3, 3), data={"source": str(tmp_path / "x.npz")}, scaling="none")
    for evaluation in (evaluate_model(other), Evaluation.read(other)):
        assert (evaluation.mse, evaluation.psnr_db) == (0.0, None), "a scaling without a peak has none either"


def test_samples_that_do_not_vary(tmp_path: Path) -> None:
    """Where every sample equals the mean, the explained fractions are no numbers, and null in the file."""
    model_dir = _save(tmp_path / "model", (3, 1), data={"source": str(tmp_path / "x.npz")})
    np.savez(tmp_path / "x.npz", x=np.ones((20, 3)), x_test=np.ones((2, 3)))
    for evaluation in (evaluate_model(model_dir), Evaluation.read(model_dir)):
        assert np.isnan(evaluation.fve)
        assert np.isnan(evaluation.pca_fve)
    written = json.loads((model_dir / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert written["fve"] is None
    assert written["pca_fve"] is None
    assert written["mean_mse"] == 0.0


def test_images(tmp_path: Path) -> None:
    """For images the picture shows reconstructions, for tables the features' errors."""
    model_dir = _save(tmp_path / "model", (64, 4), data={"source": "digits"})
    evaluation = evaluate_model(model_dir)
    assert evaluation.n_test == 360
    assert (model_dir / "reconstructions.png").is_file()
    assert not (model_dir / "feature_errors.png").exists()


def _without_pca(model_dir: Path) -> None:
    """As a version before this one wrote it."""
    save_model(model_dir, replace(load_model(model_dir), pca=None))


OTHER = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
PCA_FIELDS = ("fve", "pca_mse", "pca_fve", "pca_difference", "pca_difference_se", "mean_mse")


def test_other_data_is_compared_with_pca_of_the_models_own_data(
    search_copy: Path, searched: SearchResult, settings: SearchSettings
) -> None:
    """PCA and mean are those of the model's development rows: they never see what is evaluated."""
    dataset = load_dataset(settings.data.source, label_column="kind", seed=settings.seed)
    scaler = MinMaxScaler((-1, 1)).fit(dataset.development.astype(np.float64))
    development, x = (scaler.transform(rows.astype(np.float64)) for rows in (dataset.development, OTHER))
    _, reconstruction = _forward(searched.model_dir, x)
    pca = PCA(2).fit(development)
    evaluation = evaluate_model(search_copy / "best", OTHER)
    assert (evaluation.data, evaluation.n_test) == ("array", 40)
    pca_mse = mean_squared_error(x, pca.inverse_transform(pca.transform(x)))
    mean_mse = np.mean((x - development.mean(axis=0)) ** 2)
    mse = mean_squared_error(x, reconstruction)
    np.testing.assert_allclose(evaluation.mse, mse, rtol=1e-4)
    np.testing.assert_allclose(evaluation.pca_mse, pca_mse, rtol=1e-5)
    np.testing.assert_allclose(evaluation.mean_mse, mean_mse, rtol=1e-5)
    np.testing.assert_allclose(evaluation.fve, 1 - mse / mean_mse, rtol=1e-4)
    np.testing.assert_allclose(evaluation.pca_fve, 1 - pca_mse / mean_mse, rtol=1e-4)


def test_other_data_of_every_kind_is_the_same(search_copy: Path, tmp_path: Path) -> None:
    """Array, DataFrame in another order and among other columns, Dataset, and files give the same figures."""
    best = search_copy / "best"
    frame = pd.DataFrame(OTHER, columns=list("abcdef"))
    shuffled = frame[list("fbdaec")].assign(kind="wren")
    shuffled.to_csv(tmp_path / "o.csv", index=False)
    np.save(tmp_path / "o.npy", OTHER)
    names = np.array(list("fbdaec"))
    np.savez(tmp_path / "o.npz", x=shuffled[names].to_numpy()[:30], x_test=shuffled[names][30:], feature_names=names)
    expected = evaluate_model(best, OTHER)
    for data in (shuffled, *(tmp_path / f"o.{suffix}" for suffix in ("csv", "npy", "npz"))):
        evaluation = evaluate_model(best, data)
        assert evaluation.other_data
        np.testing.assert_allclose(evaluation.per_feature_mse, expected.per_feature_mse, rtol=1e-6)
        np.testing.assert_allclose(evaluation.pca_mse, expected.pca_mse, rtol=1e-6)
    for source in ("o.csv", "o.npz"):
        dataset = load_dataset(tmp_path / source, label_column="kind" if source == "o.csv" else None)
        evaluation = evaluate_model(best, replace(dataset, name="../o"))
        np.testing.assert_allclose(evaluation.mse, expected.mse, rtol=1e-6)
        assert (best / "evaluation-..-o.json").is_file(), "no name leads out of the directory"
    assert evaluate_model(best, OTHER[:1]).n_test == 1, "a single sample is data too"


def test_a_model_that_kept_no_pca(search_copy: Path, settings: SearchSettings, tmp_path: Path) -> None:
    """It is fitted again while the model's data can be read; after that, what depends on it is left out."""
    best = search_copy / "best"
    own, other = Evaluation.read(best), evaluate_model(best, OTHER)
    _without_pca(best)
    assert evaluate_model(best) == own
    assert evaluate_model(best, OTHER) == other
    description = json.loads((best / "model.json").read_text())
    description["metadata"]["data"]["source"] = str(tmp_path / "gone.csv")
    (best / "model.json").write_text(json.dumps(description))
    assert evaluate_model(best, OTHER) == replace(other, **dict.fromkeys(PCA_FIELDS))
    assert evaluate_model(best, settings.data.source) == own, "the same data, where it lies now"
    assert "not compared with PCA" in evaluation_text(evaluate_model(best, OTHER))


def test_data_that_has_changed_is_not_the_models_own(search_copy: Path, settings: SearchSettings) -> None:
    """Under the same path it is refused, unless it is asked for: then it is other data, evaluated as a whole."""
    best = search_copy / "best"
    changed = search_copy / "birds.csv"
    pd.read_csv(settings.data.source).iloc[:-1].to_csv(changed, index=False)
    description = json.loads((best / "model.json").read_text())
    description["metadata"]["data"]["source"] = str(changed)
    (best / "model.json").write_text(json.dumps(description))
    with pytest.raises(
        UserError, match=r"birds holds other development samples than the model in .* --data .*birds\.csv"
    ):
        evaluate_model(best)
    evaluation = evaluate_model(best, changed)
    assert (evaluation.other_data, evaluation.n_test) == (True, 89)


def test_all_of_other_data_is_evaluated_where_the_search_took_a_part(tmp_path: Path) -> None:
    """`max_samples` was for the search."""
    model_dir = _save(tmp_path / "model", (6, 2), data={"source": "x.npy", "max_samples": 10}, data_fingerprint="0")
    np.save(tmp_path / "other.npy", OTHER)
    assert evaluate_model(model_dir, tmp_path / "other.npy").n_test == 40


def test_a_model_of_arrays_needs_them_again(tmp_path: Path) -> None:
    """There is no file to read them from: the message names the argument."""
    model_dir = _save(tmp_path / "model", (6, 2), data={"source": "array"}, data_fingerprint="0")
    with pytest.raises(UserError, match=r"given from Python.*Give them again as data="):
        evaluate_model(model_dir)


def test_an_evaluation_is_read_as_it_was_written(searched: SearchResult, search_copy: Path) -> None:
    """Also one of a version before, which did not say whether it was of other data, nor how that was scaled."""
    path = search_copy / "best" / "evaluation.json"
    assert Evaluation.read(searched.model_dir) == searched.evaluation
    content = json.loads(path.read_text())
    del content["other_data"], content["scaling"]
    path.write_text(json.dumps(content))
    assert Evaluation.read(search_copy / "best") == searched.evaluation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"evaluation\.json: no such file\. Evaluate the model: ae-search evaluate "),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("null", "cannot be read"),
        ('{"mse": 1}', "cannot be read .*psnr_db"),
        ({"mse": "small"}, r"cannot be read \(mse is 'small'\)\. Evaluate the model again"),
        ({"n_test": None}, "n_test is None"),
        ({"per_feature_mse": 1.0}, r"per_feature_mse is 1\.0"),
        ({"scaling": 1}, "scaling is 1"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_evaluations_that_are_not(search_copy: Path, text: str | dict[str, object] | None, message: str) -> None:
    """One line names the file, and how to make it again."""
    path = search_copy / "best" / "evaluation.json"
    if isinstance(text, dict):
        text = json.dumps(json.loads(path.read_text()) | text)
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        Evaluation.read(search_copy / "best")
    assert "\n" not in str(caught.value)


def test_the_picture_is_there_before_the_figures(tmp_path: Path) -> None:
    """So that whoever finds evaluation.json finds all of the evaluation."""
    model_dir = _save(tmp_path / "model", (64, 4), data={"source": "digits"})
    (model_dir / "reconstructions.png").mkdir()  # it cannot be written
    with pytest.raises(OSError, match=r"reconstructions\.png"):
        evaluate_model(model_dir)
    assert not (model_dir / "evaluation.json").exists()


def test_what_cannot_be_evaluated(search_copy: Path, tmp_path: Path) -> None:
    """Data of another width, a model that does not know its data, and a folder without a model are named."""
    model_dir = search_copy / "best"
    before = (model_dir / "evaluation.json").read_bytes()
    with pytest.raises(UserError, match=r"digits has 64 features, but the model in .* takes 6"):
        evaluate_model(model_dir, "digits")
    with pytest.raises(UserError, match="no such file or folder"):
        evaluate_model(model_dir, str(tmp_path / "none.csv"))
    assert (model_dir / "evaluation.json").read_bytes() == before
    with pytest.raises(UserError, match=r"does not say what data it was made from.*--data"):
        evaluate_model(_save(tmp_path / "model", (6, 2)))
    with pytest.raises(UserError, match="is not a model directory"):
        evaluate_model(search_copy)


def test_another_table_is_read_by_the_models_columns(search_copy: Path, settings: SearchSettings) -> None:
    """Columns in another order, and one of text that is no feature, change nothing."""
    table = pd.read_csv(settings.data.source)
    other = search_copy / "other.csv"
    table[[*table.columns[::-1]]].assign(place="here").to_csv(other, index=False)
    same = search_copy / "same.csv"
    table.drop(columns="kind").to_csv(same, index=False)
    model_dir = search_copy / "best"
    assert evaluate_model(model_dir, other).mse == evaluate_model(model_dir, same).mse
