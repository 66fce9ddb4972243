"""Tables -> the winner and the configurations it cannot be told apart from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd

from ae_model.errors import UserError
from search.files import replace_file
from search.ledger import DIVERGED, FAILED, FINISHED
from search.paired_test import SIGNIFICANCE, corrected_p_value
from search.settings_files import search_settings
from search.tables import ROUNDING, configuration_labels, load_folds, load_trials, ranks

Rule = Literal["best", "one-se", "smallest-code"]
RULES: tuple[Rule, ...] = ("best", "one-se", "smallest-code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The winner of a search and what the choice rests on; the content of `selection.json`."""

    rule: Rule
    trial_id: str
    number: int
    label: str
    """Layer sizes, and what else tells the configuration from the others."""
    best_epoch: int
    """How many epochs to train for."""
    val_mse_mean: float
    val_mse_se: float
    val_fve_mean: float
    pca_val_mse_mean: float
    """Of PCA with as many components as the winner's code has units."""
    pca_difference: float | None = None
    """The winner's mean validation MSE less PCA's; None if a version that did not compare them wrote the file."""
    pca_p_value: float | None = None
    """Two-sided p-value of that difference over the folds; None like it."""
    n_finished: int
    """How many finished trials the choice was made from."""
    n_better: int
    """How many trials are significantly better than the winner: none by the rule "best"."""
    tied: list[dict[str, object]]
    """The trials that the winner cannot be told apart from: id, label, mean difference and p-value."""
    n_unfinished: int = 0
    """How many unfinished trials took part, by what they have reached so far."""

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """The selection that was last made in a search's directory.

        Raises:
            UserError: If there is none, or its file is damaged.
        """
        path = Path(directory) / "selection.json"
        try:
            selection = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: is not a selection that can be read ({error}). Select again.") from error
        if selection.rule not in RULES:
            raise UserError(f"{path}: has the rule {selection.rule!r}, which does not exist. Select again.")
        return selection

    def write(self, directory: str | Path) -> None:
        """Write `selection.json` into a search's directory."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        replace_file(Path(directory) / "selection.json", lambda path: path.write_text(text, encoding="utf-8"))


def select(directory: str | Path, rule: Rule | None = None, *, finished_only: bool = False) -> Selection:
    """Choose the winner of a search and write `selection.json`.

    Args:
        directory: The search's directory.
        rule: The rule, as in `select_winner`; the one in the settings if None.
        finished_only: Whether to leave out trials that are not finished, as a search does at its end: then those are
            left that earlier settings had begun.

    Raises:
        UserError: If the directory is not a search directory, no trial has an epoch, or there is no such rule.
    """
    if rule is not None and rule not in RULES:
        raise UserError(f"rule must be one of {', '.join(RULES)}, but is {rule!r}.", argument="rule")
    trials = load_trials(directory)
    if finished_only:
        trials = trials[trials["status"] == FINISHED]
    chosen = rule or search_settings(directory).selection.rule
    try:
        selection = select_winner(trials, load_folds(directory), chosen)
    except UserError as error:
        raise UserError(f"{directory}: {error}") from error
    selection.write(directory)
    return selection


def last_rule(directory: str | Path) -> Rule | None:
    """The rule of the last `select`; None if there was none, or its file cannot be read."""
    try:
        return Selection.read(directory).rule
    except UserError:
        return None


def select_winner(trials: pd.DataFrame, folds: pd.DataFrame, rule: Rule = "best") -> Selection:
    """Choose a winner among the trials that are finished, or have come some way and can still be finished.

    Args:
        trials: What `load_trials` returned.
        folds: What `load_folds` returned.
        rule: "best": the lowest `val_mse_mean`. "one-se": the fewest parameters among the trials within one standard
            error of the best (Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984).
            "smallest-code": among the same trials, the smallest code, and of those the lowest `val_mse_mean`.

    Raises:
        UserError: If no trial has a complete epoch.
    """
    # What is not finished counts by what it has reached; diverged and failed trials have no result.
    able = trials["val_mse_mean"].notna() & ~trials["status"].isin([DIVERGED, FAILED])
    ranked = trials[able].assign(place=ranks(trials.loc[able, "val_mse_mean"].to_numpy(np.float64)))
    ranked = ranked.sort_values(["place", "number"])
    if ranked.empty:
        raise UserError("no trial has a complete epoch, so there is nothing to select. Run the search to continue it.")
    ranked = ranked.assign(label=configuration_labels(ranked))
    best = ranked.iloc[0]
    near = ranked[ranked["val_mse_mean"] <= best["val_mse_mean"] + best["val_mse_se"]]
    if rule == "one-se":
        near = near.sort_values(["n_parameters", "val_mse_mean", "number"])
    elif rule == "smallest-code":
        near = near.sort_values(["code_size", "val_mse_mean", "number"])
    winner = near.iloc[0]
    tied, n_better = _compare(ranked, folds, str(winner["trial_id"]))
    return Selection(
        rule=rule,
        trial_id=str(winner["trial_id"]),
        number=int(winner["number"]),
        label=str(winner["label"]),
        best_epoch=int(winner["best_epoch"]),
        val_mse_mean=float(winner["val_mse_mean"]),
        val_mse_se=float(winner["val_mse_se"]),
        val_fve_mean=float(winner["val_fve_mean"]),
        pca_val_mse_mean=float(winner["pca_val_mse_mean"]),
        pca_difference=_known(winner["val_mse_mean"] - winner["pca_val_mse_mean"]),
        pca_p_value=_known(winner["pca_p_value"]),
        n_finished=int((ranked["status"] == FINISHED).sum()),
        n_unfinished=int((ranked["status"] != FINISHED).sum()),
        n_better=n_better,
        tied=tied,
    )


def paired_differences(folds: pd.DataFrame, winner: str) -> pd.DataFrame:
    """Validation MSE of each trial less the winner's, 0 where it is rounding: a row per `trial_id`, a column per fold.

    Args:
        folds: What `load_folds` returned.
        winner: The winner's `trial_id`.
    """
    by_fold = folds.pivot_table(index="trial_id", columns="fold", values="val_mse")
    differences = by_fold - by_fold.loc[winner]
    return differences.mask(differences.abs() <= ROUNDING * by_fold.loc[winner], 0.0)


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _compare(ranked: pd.DataFrame, folds: pd.DataFrame, winner: str) -> tuple[list[dict[str, object]], int]:
    """The trials tied with the winner, and the number of those significantly better."""
    by_trial = paired_differences(folds, winner)
    tied: list[dict[str, object]] = []
    n_better = 0
    for trial_id, label in zip(ranked["trial_id"], ranked["label"], strict=True):
        differences = by_trial.loc[trial_id].to_numpy()
        p_value = corrected_p_value(differences)
        if p_value <= SIGNIFICANCE:
            n_better += int(differences.mean() < 0)
        elif trial_id != winner:
            tied.append(
                {
                    "trial_id": trial_id,
                    "label": label,
                    "val_mse_difference": float(differences.mean()),
                    "p_value": p_value,
                }
            )
    return tied, n_better
