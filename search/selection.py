"""Tables -> the winner and the configurations it cannot be told apart from."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from ae_model.errors import UserError
from search.comparison import compare
from search.cross_fit import cross_fit
from search.files import replace_file
from search.ledger import DIVERGED, FAILED, FINISHED, STOPPED
from search.paired_test import SIGNIFICANCE
from search.settings_files import search_settings
from search.tables import configuration_labels, load_epochs, load_folds, load_trials, ranks
from search.trained import trained_trial

Rule = Literal["best", "one-se", "smallest-code", "target-fve", "best-probe"]
RULES: tuple[Rule, ...] = ("best", "one-se", "smallest-code", "target-fve", "best-probe")


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
    n_stopped: int = 0
    """How many trials were stopped on the way: what they had reached is no result, and is compared with none."""
    n_repeats: int = 1
    """How many cross-validations the winner's numbers are over."""
    n_splits: int | None = None
    """How many folds each of them has; None if a version that did not say wrote the file."""
    target_fve: float | None = None
    """By the rule "target-fve": the fraction of variance that was to be explained."""
    cross_fit_mse_mean: float | None = None
    """Mean of each fold's validation MSE of the trial and epoch that the other folds choose: without the luck that the
    winner's own is lowest by. With halving a part of the luck is left, as all folds decide who goes on. None for fewer
    than three folds, for a winner that was repeated, and in a file of older versions."""
    cross_fit_mse_se: float | None = None
    cross_fit_fve_mean: float | None = None
    verdict: str = ""
    """How the winner compares with all others, in words; empty where there are none, or in a file of older versions."""

    @property
    def misses_target(self) -> bool:
        """Whether the winner explains less than it was to explain, because no trial explains as much."""
        return self.target_fve is not None and self.val_fve_mean < self.target_fve

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


def select(
    directory: str | Path, rule: Rule | None = None, target_fve: float | None = None, *, finished_only: bool = False
) -> Selection:
    """Choose the winner of a search and write `selection.json`.

    Args:
        directory: The search's directory.
        rule: The rule, as in `select_winner`; if None, "target-fve" where a target is given, else the settings' rule.
        target_fve: What the rule "target-fve" needs, in (0, 1); that of the settings if None.
        finished_only: Whether to leave out trials that are not finished, as a search does at its end: then those are
            left that earlier settings had begun.

    Raises:
        UserError: If the directory is not a search directory, no trial has an epoch, there is no such rule, or it has
            no target.
    """
    if rule is not None and rule not in RULES:
        raise UserError(f"rule must be one of {', '.join(RULES)}, but is {rule!r}.", argument="rule")
    if target_fve is not None and not 0 < target_fve < 1:
        raise UserError(
            f"target_fve must be in (0, 1), but is {target_fve}. Give a fraction of variance, like 0.95.",
            argument="target_fve",
        )
    if target_fve is not None and rule not in (None, "target-fve"):
        raise UserError(
            f'target_fve belongs to the rule "target-fve", but the rule is "{rule}". Leave one of them out.',
            argument="target_fve",
        )
    trials = load_trials(directory)
    if finished_only:
        trials = trials[trials["status"].isin([FINISHED, STOPPED])]
    usual_rule, usual_target = search_settings(directory).selection_rule
    if target_fve is None:
        target_fve = usual_target
    else:
        rule = "target-fve"
    try:
        selection = select_winner(trials, load_folds(directory), rule or usual_rule, target_fve, load_epochs(directory))
    except UserError as error:
        raise UserError(f"{directory}: {error}", argument=error.argument) from error
    selection.write(directory)
    return selection


def select_again(directory: str | Path) -> Selection:
    """Choose the winner by the rule, and target, of the last `select`; by the settings' if there was none.

    Raises:
        UserError: As `select` does.
    """
    try:
        last = Selection.read(directory)
    except UserError:  # there is none, or its file cannot be read
        return select(directory)
    return select(directory, last.rule, last.target_fve)


def present_selection(
    directory: str | Path, trials: pd.DataFrame, folds: pd.DataFrame, epochs: pd.DataFrame | None = None
) -> Selection | None:
    """The choice that the model in `best/` rests on, or else what `select_again` would choose; nothing is written.

    Args:
        directory: The search's directory.
        trials: What `load_trials` returned.
        folds: What `load_folds` returned.
        epochs: What `load_epochs` returned; without it, a choice that is made now has no fields of `cross_fit`.

    Returns:
        None if no trial has a complete epoch.

    Raises:
        UserError: If the directory is not a search directory.
    """
    rule, target = search_settings(directory).selection_rule
    with suppress(UserError):  # there is none, or its file cannot be read
        last = Selection.read(directory)
        if trained_trial(Path(directory) / "best") == (last.trial_id, last.best_epoch):
            return last
        rule, target = last.rule, last.target_fve
    with suppress(UserError):
        return select_winner(trials, folds, rule, target, epochs)
    return None


def select_winner(
    trials: pd.DataFrame,
    folds: pd.DataFrame,
    rule: Rule = "best",
    target_fve: float | None = None,
    epochs: pd.DataFrame | None = None,
) -> Selection:
    """Choose a winner among the trials that are finished, or have come some way and can still be finished.

    Where the best trials were repeated on other folds, the winner is one of these, by the mean over all their folds; by
    "target-fve" it need not be, as each trial is held against a number and not against the others.

    Args:
        trials: What `load_trials` returned.
        folds: What `load_folds` returned.
        rule: "best": the lowest `val_mse_mean`. "one-se": the fewest parameters among the trials within one standard
            error of the best (Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984).
            "smallest-code": among the same trials, the smallest code, and of those the lowest `val_mse_mean`.
            "target-fve": the smallest code among the trials whose `val_fve_mean` is at least `target_fve`, and of those
            the best; the best of all where none is. "best-probe": the highest `probe_score`, and of equal ones the
            lowest `val_mse_mean`.
        target_fve: What "target-fve" needs, in (0, 1).
        epochs: What `load_epochs` returned; without it, the fields of `cross_fit` are None.

    Raises:
        UserError: If no trial has a complete epoch, or the rule has no target, or no scores of a probe.
    """
    if rule == "target-fve" and target_fve is None:
        raise UserError(
            'the rule "target-fve" needs target_fve, the fraction of variance to reach, but it is missing. '
            "Give it, like 0.95.",
            argument="target_fve",
        )
    # What is not finished counts by what it has reached; diverged, failed and stopped trials have no result.
    able = trials["val_mse_mean"].notna() & ~trials["status"].isin([DIVERGED, FAILED, STOPPED])
    ranked = trials[able]
    repeated = ranked["n_repeats"].to_numpy(np.int64) > 1
    if not (trials.loc[trials["rank"] == 1, "n_repeats"] > 1).any():  # the best trials are not all repeated
        repeated[:] = False
    ranked = ranked.assign(place=ranks(ranked["val_mse_mean"].to_numpy(np.float64), repeated), repeated=repeated)
    ranked = ranked.sort_values(["place", "number"])
    if ranked.empty:
        raise UserError("no trial has a complete epoch, so there is nothing to select. Run the search to continue it.")
    if rule == "best-probe" and not ranked["probe_score"].notna().any():
        raise UserError(
            'the rule "best-probe" needs finished trials with a probe_score, but there are none: the samples have no '
            "labels, or only one. Name the label_column of a table, or choose by another rule.",
            argument="rule",
        )
    ranked = ranked.assign(label=configuration_labels(ranked))
    winner = _chosen(ranked, rule, target_fve)
    tied, n_better = _compare(ranked, folds, str(winner["trial_id"]))
    n_splits = int(folds.loc[folds["repeat"] == 0, "fold"].nunique())
    fitted = None
    # Else its mean is over other folds, or of another kind, than what it was chosen by.
    if epochs is not None and winner["n_repeats"] == 1 and rule != "best-probe":
        candidates = ranked.assign(repeated=False)
        fitted = cross_fit(epochs, candidates, lambda known: _chosen(known, rule, target_fve), n_splits)
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
        n_stopped=int((trials["status"] == STOPPED).sum()),
        n_repeats=int(winner["n_repeats"]),
        n_splits=n_splits,
        target_fve=target_fve if rule == "target-fve" else None,
        n_better=n_better,
        tied=tied,
        cross_fit_mse_mean=None if fitted is None else fitted.val_mse_mean,
        cross_fit_mse_se=None if fitted is None else fitted.val_mse_se,
        cross_fit_fve_mean=None if fitted is None else fitted.val_fve_mean,
        verdict=_verdict(len(ranked) - 1, n_tied=len(tied), n_better=n_better),
    )


def _chosen(ranked: pd.DataFrame, rule: Rule, target_fve: float | None) -> "pd.Series[Any]":
    """The winner among trials that are sorted by place."""
    if rule == "target-fve":
        reach = ranked[ranked["val_fve_mean"] >= target_fve]
        near = ranked if reach.empty else reach.sort_values(["code_size", "place", "number"])
    elif rule == "best-probe":
        near = ranked.assign(minus=-ranked["probe_score"]).sort_values(["minus", "place", "number"])
    else:
        best = ranked.iloc[0]
        near = ranked[ranked["repeated"]] if best["repeated"] else ranked
        near = near[near["val_mse_mean"] <= best["val_mse_mean"] + best["val_mse_se"]]
    if rule == "one-se":
        near = near.sort_values(["n_parameters", "val_mse_mean", "number"])
    elif rule == "smallest-code":
        near = near.sort_values(["code_size", "val_mse_mean", "number"])
    winner: pd.Series[Any] = near.iloc[0]
    return winner


def _verdict(n_others: int, *, n_tied: int, n_better: int) -> str:
    """How a winner compares with all others, in words."""
    parts = []
    if n_better:
        parts.append(f"significantly worse than {n_better} trial{'s' * (n_better != 1)}")
    n_worse = n_others - n_tied - n_better
    rest = "all the others" if n_better else "every other trial"
    if n_worse and n_tied:
        parts.append(f"significantly better than {rest} but {n_tied}, which it cannot be told apart from")
    elif n_worse:
        parts.append(f"significantly better than {rest}")
    elif n_tied:
        parts.append(f"cannot be told apart from {rest if n_better else 'any other trial'}")
    return "; ".join(parts)


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _compare(ranked: pd.DataFrame, folds: pd.DataFrame, winner: str) -> tuple[list[dict[str, object]], int]:
    """The trials tied with the winner, and the number of those significantly better."""
    compared = compare(folds, winner).loc[ranked["trial_id"]].assign(label=ranked["label"].to_numpy())
    differ = compared["p_value"] <= SIGNIFICANCE
    tied: list[dict[str, object]] = [
        {
            "trial_id": trial_id,
            "label": row["label"],
            "val_mse_difference": float(row["difference"]),
            "p_value": float(row["p_value"]),
        }
        for trial_id, row in compared[~differ].iterrows()
        if trial_id != winner
    ]
    return tied, int((differ & (compared["difference"] < 0)).sum())
