"""search.identity: a trial's id depends on what the trial is, and on nothing that version 1 did not know."""

from dataclasses import asdict, replace

import pytest

from ae_model import Configuration
from search.identity import VERSION_1, from_json, to_json, trial_id

A = Configuration(layer_sizes=(8, 4, 2))
B = Configuration(
    layer_sizes=(784, 500, 32),
    hidden_activation="elu",
    code_activation="linear",
    output_activation="linear",
    learning_rate=3e-4,
    batch_size=128,
)
DEFINITION = {"data": "702bf3891d04b72d", "search.n_splits": 3, "search.fp32_precision": "ieee", "seed": 4}


def test_a_trial_is_known_by_what_it_is() -> None:
    """An id depends on every field of the configuration and of the definition, and not on the order of keys."""
    own = trial_id(A, DEFINITION)
    assert own == trial_id(replace(A), dict(reversed(DEFINITION.items())))
    others = {
        "layer_sizes": (8, 2),
        "hidden_activation": "elu",
        "code_activation": "elu",
        "output_activation": "elu",
        "learning_rate": 0.5,
        "batch_size": 7,
        "init": "pca",
        "weight_decay": 0.1,
        "learning_rate_schedule": "cosine",
        "schedule_epochs": 7,
        "dropout": 0.1,
        "noise_std": 0.1,
        "mask_fraction": 0.1,
    }
    changed = [trial_id(replace(A, **{name: other}), DEFINITION) for name, other in others.items()]
    changed += [trial_id(A, {**DEFINITION, name: "other"}) for name in DEFINITION]
    assert len(changed) == len(asdict(A)) + len(DEFINITION)
    assert len({own, *changed}) == 1 + len(changed)


@pytest.mark.parametrize(
    ("configuration", "definition", "expected"),
    [
        (
            A,
            {"data": "702bf3891d04b72d", "search.n_splits": 5, "search.fp32_precision": "tf32", "seed": 0},
            "14867fe520",
        ),
        (A, DEFINITION, "e1834c8224"),
        (B, DEFINITION, "1447f30a06"),
    ],
)
def test_ids_are_those_of_every_version(
    configuration: Configuration, definition: dict[str, object], expected: str
) -> None:
    """An id that changes with a version would train everything again: these are pinned."""
    assert trial_id(configuration, definition) == expected


def test_what_is_as_in_version_1_is_not_hashed() -> None:
    """A definition that knows fewer fields gives the same id as one that has them at their defaults."""
    plain = {"data": "x"}
    assert trial_id(A, plain) == trial_id(
        A, {**plain, "search.n_splits": 5, "search.fp32_precision": "tf32", "seed": 0}
    )
    assert trial_id(A, plain) == trial_id(A, {**VERSION_1, **plain})


def test_version_1_is_what_a_configuration_is_by_default() -> None:
    """A field that is new needs an entry that says what version 1 did: without one, every old id would change."""
    fields = asdict(A)
    del fields["layer_sizes"]
    assert {name: VERSION_1[name] for name in fields} == fields


@pytest.mark.parametrize("configuration", [A, B])
def test_configurations_survive_the_ledger(configuration: Configuration) -> None:
    """What is read is what was written, with fields that an older version did not write at their defaults."""
    assert from_json(to_json(configuration)) == configuration
    assert from_json('{"layer_sizes": [8, 4, 2]}') == A
