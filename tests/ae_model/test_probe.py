"""ae_model.probe and ae_model.kept_models: labels predicted from codes, within each fold, on rows that are held out."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ae_model import Configuration, fit_scaling, make_folds
from ae_model.cross_validation import CrossValidation
from ae_model.probe import MAX_ROWS, make_probe, probe_scores

FOLDS = make_folds(90, 3, seed=0)
VALUES = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
CLASSES = np.where(VALUES[:, 0] + 0.3 * VALUES[:, 1] > 0, "up", "down")


def test_scores_are_those_of_scikit_learn() -> None:
    """Per fold, of probes that are fitted on features of training rows; for the linear one these are standardised."""
    probe = make_probe(CLASSES, FOLDS, seed=0)
    assert probe is not None
    assert probe.kind == "accuracy"
    found = probe_scores(probe, lambda _, rows: VALUES[rows, :3])
    for k, fold in enumerate(FOLDS):
        train, validation = (VALUES[rows, :3].astype(np.float64) for rows in (fold.train, fold.validation))
        linear = make_pipeline(StandardScaler(), LogisticRegression())
        for scores, model in ((found.linear, linear), (found.nearest, KNeighborsClassifier(5))):
            expected = model.fit(train, CLASSES[fold.train])
            assert scores[k] == expected.score(validation, CLASSES[fold.validation])


def test_quantities_are_told_by_r2() -> None:
    """Of ridge regression, and of the mean of the neighbours."""
    target = VALUES @ np.arange(6) + 5
    probe = make_probe(target, FOLDS, seed=0)
    assert probe is not None
    assert probe.kind == "r2"
    found = probe_scores(probe, lambda _, rows: VALUES[rows])
    fold = FOLDS[1]
    expected = make_pipeline(StandardScaler(), Ridge()).fit(VALUES[fold.train].astype(np.float64), target[fold.train])
    predicted = expected.predict(VALUES[fold.validation].astype(np.float64))
    assert found.linear[1] == pytest.approx(r2_score(target[fold.validation], predicted))
    assert (found.nearest < found.linear).all()


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.repeat([0, 1, 2], 30), "accuracy"),
        (np.repeat([0.0, 1.0, 2.0], 30), "accuracy"),
        (np.repeat([True, False], 45), "accuracy"),
        (np.repeat([0.5, 1.5, 2.5], 30), "r2"),
        (np.arange(90), "r2"),
        (np.array([f"c{i % 4}" for i in range(90)], dtype=object), "accuracy"),
        (np.array([str(i % 4) for i in range(90)]), "accuracy"),
        (np.zeros(90), None),
        (np.full(90, "one"), None),
        (np.full(90, np.nan), None),
        (None, None),
    ],
)
def test_what_is_a_class_and_what_a_quantity(labels: np.ndarray | None, kind: str | None) -> None:
    """Texts, truth values and whole numbers that occur often are classes; labels that are all alike are none."""
    probe = make_probe(labels, FOLDS, seed=0)
    assert (None if probe is None else probe.kind) == kind


def test_rows_without_a_label_take_no_part() -> None:
    """Whether it is None, NaN or an empty text; the scores are those of the others alone."""
    labels = CLASSES.astype(object)
    labels[::7], labels[1::7], labels[2::7] = None, np.nan, " "
    probe = make_probe(labels, FOLDS, seed=0)
    assert probe is not None
    without = set(range(0, 90, 7)) | set(range(1, 90, 7)) | set(range(2, 90, 7))
    for fold, (train, validation) in zip(FOLDS, probe.rows, strict=True):
        assert train.tolist() == [row for row in fold.train if row not in without]
        assert validation.tolist() == [row for row in fold.validation if row not in without]
    assert set(probe.target[np.concatenate([validation for _, validation in probe.rows])]) == {0, 1}


def test_of_many_rows_some_take_part() -> None:
    """The same whenever it is asked, and others in another fold."""
    folds = make_folds(9000, 3, seed=0)
    labels = np.arange(9000) % 2
    first, again = (make_probe(labels, folds, seed=1) for _ in range(2))
    assert first is not None
    assert again is not None
    for (train, validation), other, fold in zip(first.rows, again.rows, folds, strict=True):
        assert len(train) == len(validation) == MAX_ROWS
        assert set(train) <= set(fold.train)
        assert set(validation) <= set(fold.validation)
        np.testing.assert_array_equal(train, other[0])
        np.testing.assert_array_equal(validation, other[1])


def test_what_cannot_be_predicted_has_no_score() -> None:
    """A class alone among a fold's training rows, or features that are not finite."""
    labels = np.full(90, "usual", dtype=object)
    labels[FOLDS[0].validation[:3]] = "rare"
    probe = make_probe(labels, FOLDS, seed=0)
    assert probe is not None
    found = probe_scores(probe, lambda _, rows: VALUES[rows])
    assert np.isnan(found.linear).tolist() == [True, False, False]
    spoilt = probe_scores(probe, lambda _, rows: np.full((len(rows), 2), np.inf))
    assert np.isnan(spoilt.nearest).all()


@pytest.mark.parametrize("init", ["random", "pca"])
def test_kept_models_are_those_of_the_best_epoch(init: str) -> None:
    """They give the validation MSE of that epoch, each of its own fold, whatever was trained since."""
    configurations = [
        Configuration(layer_sizes=(6, 8, 2), learning_rate=rate, init=init, output_activation="linear")
        for rate in (0.1, 0.5)
    ]
    validation = CrossValidation(VALUES, configurations, folds=FOLDS, max_epochs=12, seed=0, keep_models="best")
    records = list(validation)
    for number in range(2):
        out_of_fold, models = validation.out_of_fold(number), validation.kept_models(number)
        assert out_of_fold is not None
        assert models is not None
        (record,) = (r[number] for r in records if r[number].epoch == out_of_fold.epoch)
        for k, (fold, model) in enumerate(zip(FOLDS, models, strict=True)):
            scaling = validation.scalings[k]
            expected = fit_scaling(VALUES[fold.train])
            np.testing.assert_array_equal(scaling.scale, expected.scale)
            x = torch.from_numpy(scaling.transform(VALUES[fold.validation])).float()
            with torch.no_grad():
                mse = float((model(x)[0] - x).square().mean())
            assert mse == pytest.approx(record.val_mse[k], rel=1e-4)


def test_kept_models_go_on_from_a_state_to_the_bit() -> None:
    """Also those of an epoch before; without `keep_models` there are none."""
    configuration = Configuration(layer_sizes=(6, 8, 2), learning_rate=0.3)

    def start(state: dict[str, torch.Tensor] | None = None) -> CrossValidation:
        return CrossValidation(
            VALUES, [configuration], folds=FOLDS, max_epochs=15, seed=0, keep_models="best", state=state
        )

    whole, part = start(), start()
    list(whole)
    for _ in range(9):
        next(part)
    state = {name: tensor.clone() for name, tensor in part.state().items()}
    assert all(tensor.is_contiguous() for tensor in part.state().values()), "safetensors writes no others"
    again = start(state)
    list(again)
    for model, other in zip(whole.kept_models(0) or (), again.kept_models(0) or (), strict=True):
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name])
    assert whole.kept_models(0) is not None
    plain = CrossValidation(VALUES, [configuration], folds=FOLDS, max_epochs=1, seed=0)
    list(plain)
    assert plain.kept_models(0) is None
    assert not any(name.startswith("kept_model") for name in plain.state())


def test_labels_of_a_table() -> None:
    """A column of pandas' own texts, with missing values, is as good as an array."""
    labels = pd.Series(CLASSES, dtype="string")
    labels[3] = pd.NA
    probe = make_probe(labels.to_numpy(), FOLDS, seed=0)
    assert probe is not None
    assert 3 not in np.concatenate([np.concatenate(parts) for parts in probe.rows])
