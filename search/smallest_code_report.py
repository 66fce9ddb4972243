"""The answer of a search for the smallest code, from its tables to its record and picture."""

from pathlib import Path

import numpy as np

from ae_model.pca import pca_fve
from ae_model.scaling import fit_scaling
from search.adaptive import measured_choices
from search.algorithm import choices_at
from search.intrinsic_dimension import intrinsic_dimensions
from search.ledger import DIVERGED, FINISHED
from search.plan import Plan
from search.smallest_code import choice_labels
from search.smallest_code_record import FILE_NAME, SmallestCode, smallest_code
from search.tables import load_folds, load_trials

PICTURE = "smallest_code.png"


def report_smallest_code(plan: Plan, directory: Path) -> SmallestCode | None:
    """Write the record and the picture of the answers, where they are not there yet.

    Returns:
        The answers; None if nothing has finished.
    """
    targets = plan.settings.search.target_fve
    assert targets is not None
    trials, folds = load_trials(directory), load_folds(directory)
    finished = trials[trials["status"].isin([FINISHED, DIVERGED])]
    folds = folds[folds["repeat"] == 0]  # the repeats came when the sizes were known
    fve = {
        str(trial_id): of_trial["val_fve"].to_numpy()
        for trial_id, of_trial in folds[folds["trial_id"].isin(finished["trial_id"])].groupby("trial_id", sort=False)
    }
    nothing = np.full(len(plan.design.folds), np.nan)
    fve |= dict.fromkeys(finished.loc[finished["status"] == DIVERGED, "trial_id"], nothing)
    choices = choices_at(plan)
    measured = measured_choices(choices, fve, sorted(set(finished["code_size"].astype(int))))
    if not any(measured):
        return None
    design, values = plan.design, plan.dataset.development
    labels = choice_labels([[list(choices(size).values())[n] for size in of] for n, of in enumerate(measured) if of])
    found = smallest_code(
        dict(zip(labels, (of_choice for of_choice in measured if of_choice), strict=True)),
        targets,
        pca=pca_fve(values, design.folds, design.value_range, scaling=design.scaling),
        intrinsic_dimensions=_dimensions(plan, directory),
    )
    if _is_current(found, directory):
        return found
    found.write(directory)
    from search import plots  # matplotlib takes a second to import

    plots.variance_explained(found, directory / PICTURE)
    return found


def _dimensions(plan: Plan, directory: Path) -> dict[str, float]:
    """The estimates of the intrinsic dimension, which take seconds: those that are there, else new ones."""
    if (directory / FILE_NAME).exists() and (known := SmallestCode.read(directory).intrinsic_dimensions):
        return known
    values, design = plan.dataset.development, plan.design
    return intrinsic_dimensions(values, fit_scaling(values, design.value_range, design.scaling), seed=design.seed)


def _is_current(found: SmallestCode, directory: Path) -> bool:
    return (directory / FILE_NAME).exists() and (directory / PICTURE).exists() and SmallestCode.read(directory) == found
