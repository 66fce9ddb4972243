"""What a trial is: an id that follows from its configuration and from what defines its evaluation.

The id hashes only what differs from version 1, in which `VERSION_1` was all there was to choose. A new field of a
configuration or of the definition gets an entry here with the value that does what version 1 did; then every trial that
could be trained before keeps its id.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ae_model.configuration import Configuration

VERSION_1: dict[str, Any] = {
    "hidden_activation": "relu",
    "code_activation": "relu",
    "output_activation": "tanh",
    "learning_rate": 1e-3,
    "batch_size": 64,
    "init": "random",
    "data.scaling": "range",
    "weight_decay": 0.0,
    "learning_rate_schedule": "constant",
    "schedule_epochs": None,
    "dropout": 0.0,
    "noise_std": 0.0,
    "mask_fraction": 0.0,
    "search.n_splits": 5,
    "search.fp32_precision": "tf32",
    "seed": 0,
}


def trial_id(configuration: Configuration, definition: Mapping[str, Any]) -> str:
    """A trial's id, ten hexadecimal digits.

    Args:
        configuration: What is trained.
        definition: What defines its evaluation, by the settings' names: data (its fingerprint), scaling, folds, seed
            and precision. The number of epochs is not part of it: what an epoch gives does not depend on how many
            follow.
    """
    everything = {**asdict(configuration), **definition}
    told = {name: value for name, value in everything.items() if name not in VERSION_1 or value != VERSION_1[name]}
    content = json.dumps(told, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def to_json(configuration: Configuration) -> str:
    """A configuration as the ledger keeps it."""
    return json.dumps(asdict(configuration))


def from_json(text: str) -> Configuration:
    """The configuration that `to_json` wrote, in this version or an earlier one.

    Raises:
        ValueError, TypeError, LookupError: If the text is not a configuration.
    """
    fields = json.loads(text)
    return Configuration(**{**fields, "layer_sizes": tuple(fields["layer_sizes"])})
