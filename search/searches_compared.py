"""Several searches side by side: the settings that differ, the best trial of each, and whether one is better."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from ae_model.errors import UserError
from search.commands import toml_value
from search.comparison import compare
from search.evaluation_record import Evaluation
from search.identity import VERSION_1
from search.ledger import FINISHED
from search.ledger_reader import read_value
from search.paired_test import verdict
from search.selection import present_selection
from search.settings_files import search_settings
from search.several_searches import search_names
from search.tables import configuration_labels, load_folds, load_trials
from search.trained import trained_trial

SAME, TIED = "the same", "cannot be told apart"
_OF_THE_FOLDS = ("data", "data.scaling", "search.n_splits", "seed")
"""What two results must share, of what defines a trial, to be compared fold by fold: not the precision."""
_NOT_SAMPLES = ("data.scaling", "data.data_dir", "data.download")
"""Settings of the data that do not say which samples these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrial:
    """The winner of a search, at its best epoch."""

    trial_id: str
    rule: str
    """The rule by which it was chosen: the settings', or that of the last `select`."""
    label: str
    """Layer sizes, and what else tells it from the best trials of the other searches."""
    is_finished: bool
    code_size: int
    val_mse_mean: float
    """Mean over the folds, scaled units squared."""
    val_mse_se: float
    """Its standard error."""
    val_fve_mean: float
    pca_val_mse_mean: float
    """Of PCA with as many components as the code has units, in the same folds."""
    test_mse: float | None
    """On the search's test split, scaled units squared; None where it was not retrained and evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSearch:
    """A search among others."""

    name: str
    """The directory's name, after as many of its parents as tell it from the others."""
    directory: Path
    n_trials: int
    n_finished: int
    scaling: str | None
    """How the data is scaled, which gives MSEs their unit; None if the ledger does not say."""
    best: BestTrial | None
    """None if no trial has a complete epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """The best trials of two searches, fold by fold."""

    first: str
    second: str
    is_known: bool = True
    """Whether both ledgers say how their folds were made; if not, nothing is compared."""
    why_not: tuple[str, ...] = ()
    """What differs between the folds, each with its two values; if there is anything, nothing is compared."""
    verdict: str = ""
    """What the first is, measured by the second: "better", "worse", "cannot be told apart" or "the same"."""
    difference: float | None = None
    """Mean validation MSE of the first less that of the second, scaled units squared."""
    low: float | None = None
    """The lower end of the difference's 95 % interval."""
    high: float | None = None
    p_value: float | None = None
    """Two-sided, of the corrected paired t-test over the folds that both were trained on."""
    n_folds: int = 0
    """How many folds these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchesCompared:
    """What `compare_searches` found."""

    searches: tuple[ComparedSearch, ...]
    settings: Mapping[str, tuple[Any, ...]]
    """The settings that differ, by key, each with its value in every search; None where it is left to the data."""
    pairs: tuple[PairedComparison, ...]
    """Each search with each that follows it, where both have a best trial."""

    @property
    def scalings_differ(self) -> bool:
        """Whether the searches' MSEs are in different units."""
        return len({search.scaling for search in self.searches} - {None}) > 1


def compare_searches(directories: Sequence[str | Path]) -> SearchesCompared:
    """Compare searches: their settings, their best trials, and these fold by fold where the folds are the same.

    The folds are the same where the development samples, their scaling, the number of folds and the seed are. Each test
    stands alone, and each trial was chosen as the best of its search: among more trials the best looks a little better.

    Args:
        directories: The directories of two or more searches.

    Raises:
        UserError: If there are fewer than two, one is not a search directory, or one is given twice.
    """
    if isinstance(directories, str | Path) or len(directories) < 2:
        raise UserError("a comparison takes two or more searches. Give the directory of each.")
    names = search_names(directories)
    trials = [load_trials(directory) for directory in directories]
    folds = [load_folds(directory) for directory in directories]
    definitions = [_definition(directory) for directory in directories]
    settings = [
        {**_flat(search_settings(d).model_dump()), **_known(of)} for d, of in zip(directories, definitions, strict=True)
    ]
    searches = [
        ComparedSearch(
            name=name,
            directory=Path(directory),
            n_trials=len(of),
            n_finished=int((of["status"] == FINISHED).sum()),
            scaling=definition.get("data.scaling"),
            best=_best(Path(directory), of, of_folds),
        )
        for name, directory, of, of_folds, definition in zip(
            names, directories, trials, folds, definitions, strict=True
        )
    ]
    searches = _labelled(searches, trials)
    pairs = []
    for one, other in combinations(range(len(names)), 2):
        a, b = searches[one].best, searches[other].best
        if a is None or b is None:
            continue
        is_known = bool(definitions[one] and definitions[other])
        why_not = _why_not(definitions[one], definitions[other], settings[one], settings[other]) if is_known else ()
        found = _paired(folds[one], a.trial_id, folds[other], b.trial_id) if is_known and not why_not else {}
        pairs.append(
            PairedComparison(first=names[one], second=names[other], is_known=is_known, why_not=why_not, **found)
        )
    return SearchesCompared(searches=tuple(searches), settings=_differing(settings), pairs=tuple(pairs))


def _labelled(searches: Sequence[ComparedSearch], trials: Sequence[pd.DataFrame]) -> list[ComparedSearch]:
    """With labels that tell the best trials from each other, and not each from the others of its own search."""
    bests = [search.best for search in searches]
    rows = [of[of["trial_id"] == best.trial_id] for of, best in zip(trials, bests, strict=True) if best is not None]
    labels = iter(configuration_labels(pd.concat(rows)) if rows else [])
    return [
        search if search.best is None else replace(search, best=replace(search.best, label=next(labels)))
        for search in searches
    ]


def value_text(value: Any) -> str:
    """A setting's value as people write it."""
    return "not given" if value is None else toml_value(value)


def _definition(directory: str | Path) -> dict[str, Any]:
    """What defines a search's trials beside their configurations; empty if its ledger does not say."""
    stored = read_value(directory, "definition")
    # A key that an older version did not write had the value that ids take for granted.
    usual = {name: VERSION_1[name] for name in (*_OF_THE_FOLDS, "search.fp32_precision") if name in VERSION_1}
    return {**usual, **stored} if stored else {}


def _known(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings may leave to the data, as it was decided; and which samples these are."""
    names = {"data": "development samples", "data.scaling": "data.scaling"}
    return {names[key]: definition[key] for key in names if key in definition}


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by `section.key`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{key}": of for key, of in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The keys whose values are not the same everywhere, in the settings' order."""
    keys = dict.fromkeys(key for of in settings for key in of)
    everywhere = {key: tuple(of.get(key) for of in settings) for key in keys}
    return {key: values for key, values in everywhere.items() if any(value != values[0] for value in values)}


def _best(directory: Path, trials: pd.DataFrame, folds: pd.DataFrame) -> BestTrial | None:
    selection = present_selection(directory, trials, folds)
    if selection is None:
        return None
    row = trials[trials["trial_id"] == selection.trial_id].iloc[0]
    test_mse = None
    if trained_trial(directory / "best") == (selection.trial_id, row["best_epoch"]):
        with suppress(UserError):  # it is not evaluated yet
            test_mse = Evaluation.read(directory / "best").mse
    return BestTrial(
        trial_id=selection.trial_id,
        rule=selection.rule,
        label=selection.label,
        is_finished=bool(row["status"] == FINISHED),
        code_size=int(row["code_size"]),
        val_mse_mean=float(row["val_mse_mean"]),
        val_mse_se=float(row["val_mse_se"]),
        val_fve_mean=float(row["val_fve_mean"]),
        pca_val_mse_mean=float(row["pca_val_mse_mean"]),
        test_mse=test_mse,
    )


def _why_not(
    one: Mapping[str, Any], other: Mapping[str, Any], settings: Mapping[str, Any], others: Mapping[str, Any]
) -> tuple[str, ...]:
    """What keeps two searches from being compared fold by fold, in words."""
    reasons = []
    for name in _OF_THE_FOLDS:
        if one.get(name) == other.get(name):
            continue
        if name != "data":
            reasons.append(f"{name} ({value_text(one.get(name))}, {value_text(other.get(name))})")
            continue
        # Samples follow from where they are read, and from how they are split.
        read = [key for key in settings if key.startswith("data.") and key not in _NOT_SAMPLES]
        causes = [
            f"{key}: {value_text(settings[key])}, {value_text(others.get(key))}"
            for key in read
            if settings[key] != others.get(key)
        ]
        reasons.append("development samples" + (f" ({'; '.join(causes)})" if causes else ""))
    return tuple(reasons)


def _paired(folds: pd.DataFrame, trial: str, other_folds: pd.DataFrame, other: str) -> dict[str, Any]:
    """The paired test between two trials of different searches, which may have the same id."""
    both = pd.concat(
        [
            folds[folds["trial_id"] == trial].assign(trial_id="first"),
            other_folds[other_folds["trial_id"] == other].assign(trial_id="second"),
        ]
    )
    row = compare(both, "second").loc["first"].to_dict()
    n_splits = both.loc[both["repeat"] == 0, "fold"].nunique()
    difference, half_width, p_value = (float(row[name]) for name in ("difference", "half_width", "p_value"))
    return {
        "verdict": SAME if difference == half_width == 0 else verdict(difference, p_value, TIED),
        "difference": difference,
        "low": difference - half_width,
        "high": difference + half_width,
        "p_value": p_value,
        "n_folds": int(row["n_repeats"]) * n_splits,
    }
