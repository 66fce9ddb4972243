"""Settings and data set -> what will be trained; made without Ray, and without writing anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ae_model.configuration import Configuration
from ae_model.data import Dataset
from ae_model.folds import make_folds
from search.code_sizes import CodeSizes, propose_code_sizes
from search.data import load_data
from search.execution.records import ValidationDesign
from search.identity import trial_id
from search.settings import SearchSettings
from search.space import make_configurations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What a search will train."""

    settings: SearchSettings
    dataset: Dataset
    code_sizes: CodeSizes
    design: ValidationDesign
    definition: Mapping[str, Any]
    """What a trial's numbers depend on beside its configuration, by the settings' names; plain JSON values."""
    trials: Mapping[str, Configuration]
    """Configurations by trial id, in the order of their numbers."""

    @property
    def n_training_rows(self) -> int:
        """Training rows of all folds together: the samples that an epoch of one configuration takes."""
        return sum(len(fold.train) for fold in self.design.folds)


def make_plan(settings: SearchSettings, data: object = None) -> Plan:
    """Load the data, and think a search through.

    Args:
        settings: What to search.
        data: The samples, as `run_search` takes them; read from `settings.data.source` if None.

    Raises:
        UserError: If settings and data do not fit together.
    """
    dataset = load_data(settings, data)
    code_sizes = propose_code_sizes(dataset, settings.bottleneck)
    search = settings.search
    configurations = make_configurations(
        settings.space,
        input_size=dataset.development.shape[1],
        code_sizes=code_sizes.code_sizes,
        num_samples=search.num_samples,
        seed=settings.seed,
    )
    definition = {
        "data": dataset.fingerprint(),
        "search.n_splits": search.n_splits,
        "search.fp32_precision": search.fp32_precision,
        "seed": settings.seed,
    }
    return Plan(
        settings=settings,
        dataset=dataset,
        code_sizes=code_sizes,
        design=ValidationDesign(
            folds=make_folds(len(dataset.development), search.n_splits, settings.seed),
            seed=settings.seed,
            value_range=dataset.value_range,
            fp32_precision=search.fp32_precision,
        ),
        definition=definition,
        trials={trial_id(configuration, definition): configuration for configuration in configurations},
    )
