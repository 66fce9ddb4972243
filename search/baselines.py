"""PCA's error in each fold, entered into the ledger for the code sizes that come up."""

from collections.abc import Iterable

from ae_model.pca import pca_baseline
from search.ledger import Ledger
from search.plan import Plan


def enter_baselines(plan: Plan, ledger: Ledger, code_sizes: Iterable[int], *, repeats: bool = False) -> None:
    """Measure PCA at the code sizes that the ledger does not have yet.

    Args:
        plan: What is searched.
        ledger: Where the errors go.
        code_sizes: The code sizes.
        repeats: Whether in the folds of the repeats, not in the first ones.
    """
    design = plan.design
    folds = design.repeated if repeats else design.folds
    first_fold = len(design.folds) if repeats else 0
    known = ledger.baseline_sizes(first_fold + len(folds) - 1)
    if missing := [size for size in dict.fromkeys(code_sizes) if size not in known]:
        values, scaling = plan.dataset.development, design.scaling
        baseline = pca_baseline(values, folds, missing, design.value_range, scaling=scaling)
        ledger.put_baseline(missing, baseline, first_fold)
