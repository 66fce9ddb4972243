"""PCA's validation MSE, and how useful its codes are, measured once for each code size and kept in the ledger."""

from collections.abc import Iterable
from functools import partial
from hashlib import sha256
from itertools import chain

import numpy as np
from sklearn.decomposition import PCA

from ae_model.pca import fold_pcas, pca_mse
from ae_model.probe import ProbeScores, fold_scores
from ae_model.scaling import Scaling
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
    wanted = list(dict.fromkeys(code_sizes))
    known = ledger.baseline_sizes(first_fold + len(folds) - 1)
    missing = [size for size in wanted if size not in known]
    unprobed: list[int] = []
    if design.probe is not None and not repeats:
        probed = ledger.probed_sizes()
        unprobed = [size for size in (0, *wanted) if size not in probed]
    if not missing and not unprobed:
        return
    values = plan.dataset.development
    mse = []
    scores: dict[int, list[tuple[float, float]]] = {size: [] for size in unprobed}
    largest = max((*missing, *unprobed, 1))
    for k, (pca, scaling) in enumerate(fold_pcas(values, folds, largest, design.value_range, design.scaling)):
        if missing:
            mse.append(pca_mse(pca, scaling.transform(values[folds[k].validation]), missing))
        for size in unprobed:
            assert design.probe is not None
            scores[size].append(fold_scores(design.probe, k, partial(_features, values, scaling, pca, size)))
    if missing:
        ledger.put_baseline(missing, np.stack(mse, axis=1), first_fold)
    for size, of_folds in scores.items():
        linear, nearest = np.array(of_folds).T
        ledger.put_probe(size, ProbeScores(linear=linear, nearest=nearest))


def enter_probe(plan: Plan, ledger: Ledger) -> None:
    """Note what is predicted from codes; what was predicted of other labels is forgotten."""
    probe = plan.design.probe
    note = None
    if probe is not None:
        content = np.ascontiguousarray(probe.target).tobytes()
        for part in chain.from_iterable(probe.rows):  # rows without a label are in none
            content += part.tobytes()
        note = {"kind": probe.kind, "labels": sha256(content).hexdigest()[:16]}
    if ledger.get("probe") != note:
        ledger.drop_probes()
        ledger.put("probe", note)


def _features(values: np.ndarray, scaling: Scaling, pca: PCA, size: int, rows: np.ndarray) -> np.ndarray:
    """The scaled features of rows, or PCA's codes of a size of these."""
    scaled = scaling.transform(values[rows])
    return scaled if size == 0 else (scaled - pca.mean_) @ pca.components_[:size].T
