"""Settings and data set -> what will be trained; made without Ray, and without writing anything."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ae_model.configuration import Configuration
from ae_model.data import Dataset, dataset_from_arrays, load_dataset
from ae_model.errors import UserError
from ae_model.folds import Fold, make_folds
from ae_model.probe import make_probe
from search.code_sizes import CodeSizes, propose_code_sizes
from search.execution.records import ValidationDesign
from search.identity import trial_id
from search.lengths import Length, training_length
from search.output import with_output
from search.scaling import resolved_scaling, squeezed_columns
from search.settings import ARRAY_SOURCE, SearchSection, SearchSettings
from search.space import make_configurations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What a search will train."""

    settings: SearchSettings
    dataset: Dataset
    code_sizes: CodeSizes
    design: ValidationDesign
    definition: Mapping[str, Any]
    """What a trial's numbers depend on besides its configuration, by the settings' names; plain JSON values."""
    trials: Mapping[str, Configuration]
    """The configurations that are known before training, by trial id, in the order of their numbers."""

    @property
    def n_training_rows(self) -> int:
        """Training rows of all folds together: the samples that an epoch of one configuration takes."""
        return sum(len(fold.train) for fold in self.design.folds)

    def named(self, configurations: Iterable[Configuration]) -> dict[str, Configuration]:
        """Configurations by trial id."""
        return {trial_id(configuration, self.definition): configuration for configuration in configurations}

    def schedule_epochs(self, batch_size: int) -> int:
        """The length of a learning-rate schedule, in epochs."""
        return training_length(self.settings.search, self.design.folds, batch_size).epochs

    def length(self, configuration: Configuration) -> Length:
        """How long a configuration is trained."""
        length = training_length(self.settings.search, self.design.folds, configuration.batch_size)
        # A schedule is followed to its end: what it is like on the way says little.
        return length if configuration.schedule_epochs is None else replace(length, patience=None)


def make_plan(settings: SearchSettings, data: object = None) -> Plan:
    """Load the data, and think a search through.

    Args:
        settings: What to search.
        data: The samples, as `run_search` takes them; read from `settings.data.source` if None.

    Raises:
        UserError: If settings and data do not fit together.
    """
    if isinstance(data, str | Path):
        raise UserError(
            f"data must be an array, a DataFrame or a Dataset, but is {data!r}. A path is settings.data.source."
        )
    if data is not None:
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"source": ARRAY_SOURCE})})
    settings, dataset = with_output(settings, load_data(settings, data))
    scaling = resolved_scaling(settings, dataset)
    dataset = replace(dataset, notes=(*dataset.notes, *squeezed_columns(dataset, scaling)))
    code_sizes = propose_code_sizes(dataset, settings)
    search = settings.search
    try:
        folds = make_folds(len(dataset.development), search.n_splits, settings.seed)
    except UserError as error:
        raise error.renamed(lambda name: f"search.{name}") from error
    configurations: list[Configuration] = []
    if search.algorithm in ("grid", "random"):  # others make them up as they go
        configurations = make_configurations(
            settings.space,
            input_size=dataset.development.shape[1],
            code_sizes=code_sizes.searched,
            num_samples=search.num_samples,
            seed=settings.seed,
            schedule_epochs=lambda batch_size: training_length(search, folds, batch_size).epochs,
        )
    definition = {
        "data": dataset.fingerprint(),
        "data.scaling": scaling,
        "search.n_splits": search.n_splits,
        "search.fp32_precision": search.fp32_precision,
        "seed": settings.seed,
    }
    trials = {trial_id(configuration, definition): configuration for configuration in configurations}
    return Plan(
        settings=settings,
        dataset=dataset,
        code_sizes=code_sizes,
        design=ValidationDesign(
            folds=folds,
            repeated=_repeated_folds(len(dataset.development), search, settings.seed),
            seed=settings.seed,
            value_range=dataset.value_range,
            scaling=scaling,
            fp32_precision=search.fp32_precision,
            probe=make_probe(dataset.development_labels, folds, settings.seed),
        ),
        definition=definition,
        trials=trials,
    )


def _repeated_folds(n_samples: int, search: SearchSection, seed: int) -> list[Fold]:
    """The folds of all repeats after the first cross-validation, each split by a seed of its own."""
    seeds = np.random.SeedSequence(seed).generate_state(search.repeats)[1:]
    return [fold for repeat in seeds for fold in make_folds(n_samples, search.n_splits, int(repeat))]


def load_data(settings: SearchSettings, given: object = None, features: Sequence[str] | None = None) -> Dataset:
    """The data set that is given, or that the settings name.

    Args:
        settings: Where it is read from if nothing is given, and how it is split and drawn.
        given: A source, an array `(n_samples, n_features)`, a DataFrame, or a `Dataset`, which is taken as it is.
        features: The columns of a table in a file that are features, where they are known.

    Raises:
        UserError: If the data cannot be read; in the settings' words.
    """
    if isinstance(given, Dataset):
        return given
    data = settings.data
    source = data.source if given is None else given
    if given is None and source == ARRAY_SOURCE:
        raise UserError(
            f"data.source is {ARRAY_SOURCE!r}: the samples were given from Python, and there is no file to read them "
            "from. Give them again as data=..., or name a file that holds them."
        )
    how: dict[str, Any] = {
        "test_fraction": data.test_fraction,
        "max_samples": data.max_samples,
        "label_column": data.label_column,
        "ignore_columns": data.ignore_columns,
        "inlier_labels": data.inlier_labels,
        "seed": settings.seed,
    }
    try:
        if not isinstance(source, str | Path):
            return dataset_from_arrays(source, name=ARRAY_SOURCE, **how)
        dataset = load_dataset(
            source, data_dir=data.data_dir, download=data.download, header=data.header, features=features, **how
        )
    except UserError as error:
        renamed = error.renamed(lambda name: f"data.{name}")
        raise UserError(_in_settings_words(str(renamed)), argument=renamed.argument) from error
    return replace(dataset, notes=tuple(map(_in_settings_words, dataset.notes)))


def _in_settings_words(text: str) -> str:
    """A message or note about data, with the settings' names for what to give to it."""
    text = text.replace("header=True", "data.header = true").replace("header=False", "data.header = false")
    return re.sub(r"(?<![\w.])ignore_columns", "data.ignore_columns", text)
