"""search.retraining: the model on disk is the configuration trained on all development rows, and on nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler

from ae_model import (
    Configuration,
    Dataset,
    UserError,
    cross_validate,
    dataset_from_arrays,
    fit_autoencoder,
    fit_scaling,
    load_dataset,
    load_model,
)
from ae_model.scaling import SCALING_NAMES
from ae_model.training import Training
from search import (
    Evaluation,
    SearchResult,
    SearchSettings,
    checkpointed_training,
    evaluate_model,
    load_settings,
    load_trials,
    parse_settings,
    retrain,
    run_search,
    select,
)
from search.console import evaluation_text
from search.directory import enter_plan
from search.ledger import FINISHED, Ledger
from search.ledger_file import lock
from search.plan import make_plan


def test_the_model_is_the_winner_trained_on_all_development_rows(
    searched: SearchResult, settings: SearchSettings
) -> None:
    """Weights and loss equal those of `fit_autoencoder` for the best number of epochs."""
    dataset = load_dataset(settings.data.source, label_column="kind", seed=settings.seed)
    best = searched.trials.sort_values("rank").iloc[0]
    configuration = Configuration(
        layer_sizes=tuple(map(int, best["layer_sizes"].split("-"))),
        hidden_activation=best["hidden_activation"],
        code_activation=best["code_activation"],
        learning_rate=float(best["learning_rate"]),
        batch_size=int(best["batch_size"]),
    )
    n_epochs = int(best["best_epoch"])
    model, losses = fit_autoencoder(
        dataset.development, fit_scaling(dataset.development), configuration, epochs=n_epochs, seed=settings.seed
    )
    saved = load_model(searched.model_dir)
    assert saved.model.layer_sizes == configuration.layer_sizes
    assert saved.model.code_activation == configuration.code_activation
    for name, tensor in model.state_dict().items():
        np.testing.assert_allclose(saved.model.state_dict()[name].numpy(), tensor.numpy(), rtol=1e-5, atol=1e-6)
    table = pd.read_csv(searched.model_dir / "training_loss.csv")
    assert list(table.columns) == ["step", "epoch", "mse"]
    assert table["step"].tolist() == list(range(1, losses.size + 1))
    assert table["epoch"].tolist() == np.repeat(np.arange(1, n_epochs + 1), losses.shape[1]).tolist()
    np.testing.assert_allclose(table["mse"], losses.ravel(), rtol=1e-5)
    assert losses.shape[1] == -(-72 // 16), "72 development rows in batches of 16"


def test_the_scaling_is_that_of_the_development_rows(searched: SearchResult, settings: SearchSettings) -> None:
    """The stored scaling equals scikit-learn's MinMaxScaler, fitted on the development rows alone."""
    dataset = load_dataset(settings.data.source, label_column="kind", seed=settings.seed)
    scaler = MinMaxScaler((-1, 1)).fit(dataset.development.astype(np.float64))
    scaling = load_model(searched.model_dir).scaling
    np.testing.assert_allclose(scaling.scale, scaler.scale_, rtol=1e-12)
    np.testing.assert_allclose(scaling.shift, scaler.min_, rtol=1e-9)


def test_the_model_says_where_it_comes_from(searched: SearchResult, settings: SearchSettings) -> None:
    """model.json holds trial, epochs, data and seed, and the feature names; the label is none of them."""
    trained = load_model(searched.model_dir)
    assert trained.feature_names == tuple("abcdef")
    assert trained.image_shape is None
    assert trained.metadata["trial_id"] == searched.selection.trial_id
    assert trained.metadata["epochs"] == searched.selection.best_epoch
    assert trained.metadata["seed"] == settings.seed
    assert trained.metadata["data"] == settings.data.model_dump()


def test_retraining_repeats(search_copy: Path, searched: SearchResult) -> None:
    """The same winner is trained to the same bytes."""
    files = ("model.safetensors", "model.json", "training_loss.csv")
    before = [(searched.model_dir / name).read_bytes() for name in files]
    for name in files:
        (search_copy / "best" / name).unlink()
    assert retrain(search_copy) == search_copy / "best"
    assert [(search_copy / "best" / name).read_bytes() for name in files] == before


def _times(model_dir: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in model_dir.iterdir()}


def test_a_model_that_is_there_is_not_trained_again(search_copy: Path) -> None:
    """Nothing in its directory is written or removed; one of an earlier version, which kept no PCA, is good as well."""
    best = search_copy / "best"
    before = _times(best)
    assert retrain(search_copy) == best
    assert _times(best) == before
    tensors = load_file(best / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if not name.startswith("pca")}, best / "model.safetensors")
    before = _times(best)
    retrain(search_copy)
    assert _times(best) == before


def _edit_model(model_dir: Path, **entries: object) -> None:
    path = model_dir / "model.json"
    description = json.loads(path.read_text())
    metadata = description["metadata"] | {name: value for name, value in entries.items() if name != "feature_names"}
    names = {name: value for name, value in entries.items() if name == "feature_names"}
    path.write_text(json.dumps(description | names | {"metadata": metadata}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: _edit_model(d, trial_id="0000000000"),
        lambda d: _edit_model(d, epochs=1000),
        lambda d: _edit_model(d, seed=4),
        lambda d: _edit_model(d, data_fingerprint="0" * 16),
        lambda d: _edit_model(d, feature_names=list("uvwxyz")),
        lambda d: (d / "model.json").write_text("{}"),
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-1]),
        lambda d: (d / "training_loss.csv").unlink(),
    ],
)
def test_another_model_or_half_of_one_is_trained_anew(
    searched: SearchResult, search_copy: Path, damage: Callable[[Path], object]
) -> None:
    """Another trial, number of epochs, seed, data or names, and whatever is damaged or missing."""
    best = search_copy / "best"
    damage(best)
    retrain(search_copy)
    for name in ("model.json", "model.safetensors", "training_loss.csv"):
        assert (best / name).read_bytes() == (searched.model_dir / name).read_bytes()


def test_the_model_keeps_pca_of_the_development_rows(searched: SearchResult, settings: SearchSettings) -> None:
    """Mean and components are scikit-learn's, of all scaled development rows."""
    dataset = load_dataset(settings.data.source, label_column="kind", seed=settings.seed)
    scaled = MinMaxScaler((-1, 1)).fit_transform(dataset.development.astype(np.float64))
    kept = load_model(searched.model_dir).pca
    assert kept is not None
    pca = PCA(2).fit(scaled)
    np.testing.assert_allclose(kept.mean, pca.mean_, atol=1e-6)
    np.testing.assert_allclose(kept.reconstruct(scaled), pca.inverse_transform(pca.transform(scaled)), atol=1e-5)
    tensors = load_file(searched.model_dir / "model.safetensors")
    assert tensors["pca.mean"].shape == (6,)
    assert tensors["pca.components"].shape == (2, 6)
    assert tensors["pca.mean"].dtype == tensors["pca.components"].dtype == np.float32


@pytest.mark.parametrize("kind", ["path", "DataFrame", "array", "Dataset"])
def test_the_data_can_be_given(search_copy: Path, searched: SearchResult, settings: SearchSettings, kind: str) -> None:
    """Where the file is gone, the same samples from elsewhere give the same model; it knows a path that was given."""
    (search_copy / "settings.toml").write_text(
        (search_copy / "settings.toml").read_text().replace(settings.data.source, "/gone/birds.csv")
    )
    frame = pd.read_csv(settings.data.source)
    data: dict[str, object] = {
        "path": Path(settings.data.source),
        "DataFrame": frame,
        "array": frame.drop(columns="kind").to_numpy(),
        "Dataset": load_dataset(settings.data.source, label_column="kind", seed=settings.seed),
    }
    (search_copy / "best" / "model.json").unlink()
    model_dir = retrain(search_copy, data=data[kind])
    saved, expected = (load_file(d / "model.safetensors") for d in (model_dir, searched.model_dir))
    for name, tensor in expected.items():
        np.testing.assert_array_equal(saved[name], tensor)
    source = load_model(model_dir).metadata["data"]["source"]
    assert source == (settings.data.source if kind == "path" else "/gone/birds.csv")
    with pytest.raises(
        UserError, match="holds other development samples, or their columns in another order, than when"
    ):
        retrain(search_copy, data=frame.drop(columns="kind").to_numpy()[::-1])


def test_a_frame_whose_columns_are_numbers(local_ray: None, tmp_path: Path) -> None:
    """Labels and ignored columns are found by their names as texts; columns that are ignored may be missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 4)))
    frame[7], frame["id"] = ["x", "y"] * 30, range(60)
    overrides = [
        "data.label_column=7",
        "data.ignore_columns=id",
        "bottleneck.code_sizes=2",
        "space.hidden=",
        "search.max_epochs=1",
    ]
    settings = load_settings(overrides=[*overrides, "space.init=random"])
    made = run_search(settings, data=frame, name="numbers", results_dir=tmp_path, verbose=False)
    for given in (frame, frame.drop(columns="id")):
        model_dir = retrain(made.directory, data=given, epochs=2)
        assert load_model(model_dir).metadata["data"]["label_column"] == "7"
        assert load_model(model_dir).metadata["data"]["ignore_columns"] == ["id"]


def test_a_search_of_arrays_needs_them_again(search_copy: Path, settings: SearchSettings) -> None:
    """There is no file to read them from: the message names the argument."""
    toml = search_copy / "settings.toml"
    toml.write_text(toml.read_text().replace(settings.data.source, "array"))
    with pytest.raises(UserError, match=r"data\.source is 'array': .* given from Python.*Give them again as data="):
        retrain(search_copy)


def test_a_trial_that_is_named(search_copy: Path) -> None:
    """Any trial can be trained, by an unambiguous beginning of its id, into a directory of its own."""
    trials = load_trials(search_copy)
    last = trials.sort_values("rank").iloc[-1]
    ids = trials["trial_id"]
    beginning = next(last["trial_id"][:n] for n in range(1, 11) if ids.str.startswith(last["trial_id"][:n]).sum() == 1)
    before = (search_copy / "best" / "model.safetensors").read_bytes()
    model_dir = retrain(search_copy, trial=beginning)
    assert model_dir == search_copy / f"trial-{last['trial_id']}"
    metadata = json.loads((model_dir / "model.json").read_text())["metadata"]
    assert (metadata["trial_id"], metadata["epochs"]) == (last["trial_id"], last["best_epoch"])
    assert (search_copy / "best" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("rule", ["one-se", "smallest-code"])
def test_a_rule_chooses_what_is_trained(search_copy: Path, rule: str) -> None:
    """`best` is the winner by the rule that is given."""
    model_dir = retrain(search_copy, rule=rule)  # type: ignore[arg-type]  # one of the three
    written = json.loads((search_copy / "selection.json").read_text())
    assert written["rule"] == rule
    assert load_model(model_dir).metadata["trial_id"] == written["trial_id"]


@pytest.mark.parametrize(
    ("trial", "words"), [("", "is that of 4"), ("xyz", "'xyz' is that of none"), ("../best", "is that of none")]
)
def test_a_name_that_is_no_trials(search_copy: Path, trial: str, words: str) -> None:
    """A beginning of no id, or of several, is refused with the number of trials it fits."""
    with pytest.raises(ValueError, match=rf"trial .*{words}.*ae-search trials"):
        retrain(search_copy, trial=trial)


def test_a_trial_without_a_complete_epoch(search_copy: Path) -> None:
    """It cannot be trained for its best number of epochs: its status is named."""
    with Ledger(search_copy) as ledger:
        ledger.enter_trials({"unlucky": Configuration(layer_sizes=(4, 2))})
        ledger.start("unlucky")
        ledger.fail("unlucky", "its node was lost")
    with pytest.raises(ValueError, match=r"^trial unlucky has no complete epoch \(status failed\)"):
        retrain(search_copy, trial="unlucky")


def test_other_data_under_the_same_name(search_copy: Path, settings: SearchSettings, tmp_path: Path) -> None:
    """If the file has changed since the search, nothing is trained on it."""
    path = tmp_path / "birds.csv"
    table = pd.read_csv(settings.data.source)
    table["a"] += 1
    table.to_csv(path, index=False)
    toml = search_copy / "settings.toml"
    toml.write_text(toml.read_text().replace(settings.data.source, str(path)))
    before = (search_copy / "best" / "model.safetensors").read_bytes()
    with pytest.raises(
        ValueError,
        match=r"'birds' holds other development samples, or their columns in another order, than when .* was searched",
    ):
        retrain(search_copy)
    assert (search_copy / "best" / "model.safetensors").read_bytes() == before


def test_no_search(tmp_path: Path) -> None:
    """A folder that is no search's is named."""
    with pytest.raises(ValueError, match="is not a search directory"):
        retrain(tmp_path, trial="a")


def test_nothing_stale_stays_beside_a_new_model(search_copy: Path) -> None:
    """The evaluation of the model before, and its pictures, go with it."""
    best = search_copy / "best"
    assert (best / "evaluation.json").exists()
    _edit_model(best, trial_id="0000000000")
    (best / "encoder.onnx").write_bytes(b"of the model before")
    retrain(search_copy)
    of_the_new = {"model.json", "model.safetensors", "training_loss.csv", "README.md"}
    of_its_folds = {"cross_validation.json", "out_of_fold.csv"}
    assert {path.name for path in best.iterdir()} == of_the_new | of_its_folds
    assert "test set of" not in (best / "README.md").read_text(encoding="utf-8")


def test_the_last_choice_is_trained(search_copy: Path) -> None:
    """Without a rule it is that of the last `select`."""
    selection = select(search_copy, "smallest-code")
    metadata = load_model(retrain(search_copy)).metadata
    assert metadata["trial_id"] == selection.trial_id
    assert json.loads((search_copy / "selection.json").read_text())["rule"] == "smallest-code"


def test_one_model_is_trained_at_a_time(search_copy: Path) -> None:
    """While another process trains a model of the same search, it is refused, and nothing is touched."""
    before = {path: path.read_bytes() for path in (search_copy / "best").iterdir()}
    with lock(search_copy, "retraining.lock"), pytest.raises(UserError, match="another ae-search is running"):
        retrain(search_copy)
    assert {path: path.read_bytes() for path in (search_copy / "best").iterdir()} == before


def test_other_epochs_make_another_model(search_copy: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """Beside the winner's, which stays; what cross-validation says is not about it, and it can be evaluated."""
    before = _times(search_copy / "best")
    best_epoch = load_model(search_copy / "best").metadata["epochs"]
    assert retrain(search_copy, epochs=best_epoch) == search_copy / "best"
    status, output, _ = run("retrain", search_copy, "--epochs", 3)
    target = search_copy / "best-3-epochs"
    assert (status, output) == (0, f"Model: {target}\n")
    assert _times(search_copy / "best") == before
    assert load_model(target).metadata["epochs"] == 3
    assert pd.read_csv(target / "training_loss.csv")["epoch"].max() == 3
    assert (target / "training_loss.png").is_file()
    assert not (target / "cross_validation.json").exists()
    assert not (target / "out_of_fold.csv").exists()
    expected = retrain(search_copy, trial=load_model(target).metadata["trial_id"], epochs=2 * best_epoch)
    assert expected.name.endswith(f"-{2 * best_epoch}-epochs")
    assert evaluate_model(target).mse > evaluate_model(search_copy / "best").mse


def test_epochs_and_devices_that_cannot_be(search_copy: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """One line, by the option's name."""
    status, _, errors = run("retrain", search_copy, "--epochs", 0)
    assert (status, errors) == (2, "ae-search: --epochs must be at least 1, but is 0. Give another number.\n")
    status, _, errors = run("retrain", search_copy, "--device", "tpu")
    assert status == 2
    assert errors.startswith("ae-search: --device must be cpu")
    status, _, errors = run("retrain", search_copy, "--warm-start", search_copy / "best-warm")
    assert status == 2
    assert "must be another directory" in errors


def test_a_device_that_is_named_counts(search_copy: Path) -> None:
    """A model that is there is good if it was trained on that device."""
    before = _times(search_copy / "best")
    retrain(search_copy, device="cpu")
    assert _times(search_copy / "best") == before
    _edit_model(search_copy / "best", device="cuda")
    retrain(search_copy)
    assert load_model(search_copy / "best").metadata["device"] == "cuda"
    retrain(search_copy, device="cpu")
    assert load_model(search_copy / "best").metadata["device"] == "cpu"


def test_a_warm_start(search_copy: Path) -> None:
    """It begins with the error of the model it starts with; the same call leaves it, another start does not."""
    best = search_copy / "best"
    target = retrain(search_copy, warm_start=best, epochs=4)
    assert target == search_copy / "best-warm-4-epochs"
    assert load_model(target).metadata["warm_start"]["epochs"] == load_model(best).metadata["epochs"]
    losses = {name: pd.read_csv(search_copy / name / "training_loss.csv")["mse"] for name in ("best", target.name)}
    assert losses[target.name].head(5).mean() < 1.1 * losses["best"].tail(5).mean() < losses["best"].head(5).mean()
    before = _times(target)
    assert retrain(search_copy, warm_start=best, epochs=4) == target
    assert _times(target) == before
    other = retrain(search_copy, epochs=2)
    retrain(search_copy, warm_start=other, epochs=4)
    assert load_model(target).metadata["warm_start"]["epochs"] == 2


def test_a_warm_start_of_another_architecture(search_copy: Path) -> None:
    """Refused with both architectures; of other features too."""
    sizes = load_trials(search_copy).set_index("trial_id")["layer_sizes"]
    winner = load_model(search_copy / "best").metadata["trial_id"]
    other = next(trial for trial, size in sizes.items() if size != sizes[winner])
    with pytest.raises(UserError, match=f"initial model must .* {sizes[other]} .* but has {sizes[winner]} "):
        retrain(search_copy, trial=other, warm_start=search_copy / "best")
    description = json.loads((search_copy / "best" / "model.json").read_text())
    description["feature_names"] = description["feature_names"][::-1]
    (search_copy / "best" / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="takes other features"):
        retrain(search_copy, warm_start=search_copy / "best")


@pytest.mark.parametrize("damage", ["none", "truncated", "other threads"])
def test_a_killed_training_goes_on(search_copy: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """To the same bytes; a checkpoint that is damaged, or of other arithmetic, is not used, and none is left."""
    best = search_copy / "best"
    files = ("model.safetensors", "model.json", "training_loss.csv")
    before = [(best / name).read_bytes() for name in files]
    (best / "model.json").unlink()
    half = json.loads(before[1])["metadata"]["epochs"] // 2
    epochs: list[int] = []
    """Those that were begun."""
    train_epoch = Training.train_epoch

    def noted(training: Training) -> None:
        epochs.append(training.epoch + 1)
        if len(epochs) == half + 1:
            raise KeyboardInterrupt
        train_epoch(training)

    monkeypatch.setattr(Training, "train_epoch", noted)
    monkeypatch.setattr(checkpointed_training, "INTERVAL_S", 0)
    with pytest.raises(KeyboardInterrupt):
        retrain(search_copy)
    checkpoint = best / checkpointed_training.CHECKPOINT
    assert checkpoint.is_file()
    if damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    if damage == "other threads":
        save_file(load_file(checkpoint), checkpoint, {"identity": "{}"})
    retrain(search_copy)
    assert (epochs[half + 1] > 1) == (damage == "none")
    assert [(best / name).read_bytes() for name in files] == before
    assert not checkpoint.exists()


def _searched(directory: Path, dataset: Dataset, scaling: str) -> Path:
    """A search of one configuration in this process, without Ray."""
    data = {"scaling": scaling}
    space = {"hidden": "", "init": "random", "learning_rate": 0.01, "batch_size": 16}
    settings = parse_settings({"data": data, "space": space, "bottleneck": {"code_sizes": [2]}})
    plan = make_plan(settings, dataset)
    ((trial_id, configuration),) = plan.trials.items()
    records = cross_validate(
        dataset.development, configuration, folds=plan.design.folds, max_epochs=3, seed=0, scaling=plan.design.scaling
    )
    directory.mkdir()
    with Ledger(directory) as ledger:
        enter_plan(plan, ledger, directory)
        ledger.record(trial_id, records, host="here", fit_seconds=1.0, status=FINISHED)
    return directory


UNITS = dataset_from_arrays(
    np.random.default_rng(0).normal(size=(120, 4)) @ np.random.default_rng(1).normal(size=(4, 4)) * [1, 30, 0.2, 5]
    + 40,
    feature_names=list("abcd"),
)


@pytest.mark.parametrize("kind", SCALING_NAMES)
def test_models_of_every_scaling_speak_in_own_units(kind: str, tmp_path: Path) -> None:
    """The model says how it is scaled, takes and gives samples as they are, and its figures are in scaled units."""
    directory = _searched(tmp_path / "search", UNITS, kind)
    model_dir = retrain(directory, data=UNITS)
    trained = load_model(model_dir)
    assert trained.metadata["scaling"] == kind
    expected = fit_scaling(UNITS.development, scaling=kind)
    np.testing.assert_array_equal(trained.scaling.scale, expected.scale)
    np.testing.assert_array_equal(trained.scaling.shift, expected.shift)
    with torch.no_grad():
        scaled, code = trained.model(torch.from_numpy(expected.transform(UNITS.test)).float())
    np.testing.assert_allclose(trained.encode(UNITS.test), code, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(trained.reconstruct(UNITS.test), expected.inverse(scaled.numpy()), rtol=1e-4, atol=1e-4)
    evaluation = evaluate_model(model_dir, UNITS)
    errors = np.square((trained.reconstruct(UNITS.test) - UNITS.test) * expected.scale)
    np.testing.assert_allclose(evaluation.per_feature_mse, errors.mean(axis=0), rtol=1e-3)
    assert evaluation.scaling == kind
    assert (evaluation.psnr_db is None) == (kind != "range")
    assert ("PSNR" in evaluation_text(evaluation)) == (kind == "range")
    assert Evaluation.read(model_dir) == evaluation


def test_the_ledger_says_how_a_search_was_scaled(tmp_path: Path) -> None:
    """Settings that leave it to the data meant the range, in a search of before; and mean another now."""
    directory = _searched(tmp_path / "search", UNITS, "range")
    with Ledger(directory) as ledger:
        definition = ledger.get("definition")
        del definition["data.scaling"]
        ledger.put("definition", definition)
    settings = directory / "settings.toml"
    settings.write_text(settings.read_text().replace('scaling = "range"\n', ""))
    trained = load_model(retrain(directory, data=UNITS))
    assert trained.metadata["scaling"] == "range"
    np.testing.assert_array_equal(trained.scaling.scale, fit_scaling(UNITS.development).scale)
