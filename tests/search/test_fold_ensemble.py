"""retrain --ensemble folds: the models of all folds, as in the search, used as one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ae_model import AutoencoderTransformer, UserError, load_dataset, load_model, make_folds
from ae_model.cross_validation import CrossValidation
from ae_model.ensemble import TrainedEnsemble
from search import SearchSettings, checkpointed_training, evaluate_model, load_folds, retrain, score
from search.model_card import model_card


@pytest.fixture
def development(settings: SearchSettings) -> np.ndarray:
    """The rows that were searched."""
    return load_dataset(settings.data.source, label_column="kind", seed=settings.seed).development


def _ensemble(directory: Path) -> TrainedEnsemble:
    loaded = load_model(directory)
    assert isinstance(loaded, TrainedEnsemble)
    return loaded


def test_the_members_are_the_models_of_the_folds(
    search_copy: Path, settings: SearchSettings, development: np.ndarray
) -> None:
    """Each has the search's error on the rows that its fold held out, at the best epoch."""
    ensemble = _ensemble(retrain(search_copy, ensemble="folds"))
    folds = load_folds(search_copy)
    folds = folds[folds["trial_id"] == ensemble.metadata["trial_id"]]
    assert ensemble.n_models == 3
    for k, fold in enumerate(make_folds(len(development), 3, settings.seed)):
        member, x = ensemble.members[k], development[fold.validation]
        error = np.square(member.scaling.transform(x) - member.scaling.transform(member.reconstruct(x))).mean()
        assert error == pytest.approx(folds["val_mse"].iloc[k], rel=1e-4)
        assert member.metadata["fold"] == k
        assert member.metadata["n_development"] == len(fold.train)


def test_its_code_is_theirs_and_its_reconstruction_their_mean(search_copy: Path, development: np.ndarray) -> None:
    """Codes side by side, by name where they stand in a table; less error than its models have on average."""
    ensemble = _ensemble(retrain(search_copy, ensemble="folds"))
    code = ensemble.encode(development)
    np.testing.assert_array_equal(code, np.hstack([member.encode(development) for member in ensemble.members]))
    assert len(ensemble.code_names) == code.shape[1] == 3 * ensemble.model.layer_sizes[-1]
    mean = np.mean([member.reconstruct(development).astype(np.float64) for member in ensemble.members], axis=0)
    np.testing.assert_allclose(ensemble.decode(code), mean, rtol=1e-6)
    np.testing.assert_array_equal(ensemble.reconstruct(development), ensemble.decode(code))
    table = pd.DataFrame(code, columns=list(ensemble.code_names))
    np.testing.assert_array_equal(ensemble.decode(table[table.columns[::-1]]), ensemble.decode(code))
    with pytest.raises(UserError, match="code must have 6 columns for this ensemble, but has 2"):
        ensemble.decode(code[:, :2])
    scaled = ensemble.scaling.transform(development)
    errors = [
        np.square(scaled - ensemble.scaling.transform(one.reconstruct(development))).mean()
        for one in (ensemble, *ensemble.members)
    ]
    assert errors[0] < np.mean(errors[1:])


def test_commands_take_it(search_copy: Path, run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """From the training to figures, codes, reconstructions, errors and a card; what needs one model says so."""
    status, output, _ = run("retrain", search_copy, "--ensemble", "folds")
    target = search_copy / "best-folds"
    assert (status, output) == (0, f"Model: {target}\n")
    status, output, _ = run("evaluate", target)
    assert status == 0
    assert " of 6 code units dead in 3 models, compression 1.0 : 1" in output
    single = evaluate_model(search_copy / "best")
    found = json.loads((target / "evaluation.json").read_text())
    assert (found["n_models"], found["n_parameters"]) == (3, 3 * single.n_parameters)
    table = pd.read_csv(json.loads((target / "ensemble.json").read_text())["metadata"]["data"]["source"])
    table.drop(columns="kind").to_csv(tmp_path / "in.csv", index=False)
    for command, columns in (("encode", 6), ("reconstruct", 6)):
        status, output, _ = run(command, target, tmp_path / "in.csv", tmp_path / "out.csv")
        assert (status, output) == (0, f"{tmp_path / 'out.csv'}: 90 rows, {columns} columns\n")
    assert score(target, tmp_path / "in.csv", tmp_path / "out.csv").alarms is None, "no row is unseen by all"
    card = model_card(target)
    assert "# Ensemble of 3 autoencoders 6-" in card
    assert "by safetensors, NumPy and torch alone" not in card
    status, _, errors = run("export", target)
    assert status == 2
    assert f"is an ensemble of 3. Give one of them, such as {target / 'fold-1'}." in errors
    with pytest.raises(UserError, match="is an ensemble of 3"):
        AutoencoderTransformer.from_model(target)
    with pytest.raises(UserError, match="is an ensemble of 3"):
        retrain(search_copy, warm_start=target)
    assert AutoencoderTransformer.from_model(target / "fold-2").code_size == 2


def test_it_is_trained_once_and_goes_on_where_it_was_killed(search_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call leaves it; a killed one ends in the same bytes."""
    target = retrain(search_copy, ensemble="folds", epochs=5)
    assert target.name == "best-folds-5-epochs"
    files = [target / f"fold-{k}" / "model.safetensors" for k in (1, 2, 3)]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    retrain(search_copy, ensemble="folds", epochs=5)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before
    (target / "ensemble.json").unlink()
    step, epochs = CrossValidation.__next__, []

    def killed(validation: CrossValidation) -> object:
        epochs.append(validation.epoch)
        if len(epochs) == 4:
            raise KeyboardInterrupt
        return step(validation)

    monkeypatch.setattr(CrossValidation, "__next__", killed)
    monkeypatch.setattr(checkpointed_training, "INTERVAL_S", 0)
    with pytest.raises(KeyboardInterrupt):
        retrain(search_copy, ensemble="folds", epochs=5)
    assert (target / checkpointed_training.CHECKPOINT).is_file()
    retrain(search_copy, ensemble="folds", epochs=5)
    assert epochs[4] > 0, "it did not begin anew"
    assert [path.read_bytes() for path in files] == [content for content, _ in before]
    assert not (target / checkpointed_training.CHECKPOINT).exists()


def test_what_is_refused(search_copy: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """Another ensemble, a warm start with it, and damaged files, in one line."""
    status, _, errors = run("retrain", search_copy, "--ensemble", "all")
    assert (status, errors) == (2, "ae-search: --ensemble must be folds, but is 'all'. Give that, or leave it out.\n")
    status, _, errors = run("retrain", search_copy, "--ensemble", "folds", "--warm-start", search_copy / "best")
    assert status == 2
    assert "--ensemble and warm_start exclude each other" in errors
    target = retrain(search_copy, ensemble="folds")
    good = (target / "ensemble.json").read_text()
    for text, words in (
        (good.replace('"format_version": 1', '"format_version": 9'), "Upgrade ae-search"),
        (good.replace('"fold-1"', '"../best"'), "cannot be read"),
        ("{", "cannot be read"),
    ):
        (target / "ensemble.json").write_text(text)
        with pytest.raises(UserError, match=words):
            load_model(target)
    (target / "ensemble.json").write_text(good)
    (target / "ensemble.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"ensemble\.safetensors: cannot be read"):
        load_model(target)
    retrain(search_copy, ensemble="folds")
    assert load_model(target).n_models == 3
