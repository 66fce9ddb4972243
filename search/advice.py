"""What may give a better result than the search did, as its curves say, and the command that tries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ae_model.configuration import PCA_OUTPUTS
from search.commands import command_with, toml_value
from search.ledger import FINISHED, STOPPED
from search.lengths import DEFAULT_STEPS
from search.paired_test import SIGNIFICANCE, corrected_p_value, p_value_of_repeats
from search.selection import Selection
from search.settings import LogUniform, Range, SearchSection, SearchSettings, SpaceSettings
from search.trend import falling_trials

MAX_ADVICE = 3
"""More than so many pieces are not read."""
WORTHWHILE = 0.01
"""The part of the validation MSE that a difference must be, however significant it is."""
EARLY = 0.25
"""A winner whose best epoch is in this part of its training overfits early."""
MIN_DEAD = 0.05
"""The part of the code that must be dead, and one unit at least."""
NOISE = 0.05
"""The noise that is tried against overfitting where lower rates have been, standard deviation in scaled units. Lower
rates gained 0.3 to 1.5 % on wine, breast cancer and iris from starts at PCA, noise 2 % on iris and nothing on the
others, dropout nothing, and weight decay next to nothing."""


REPEATS = 3
"""How often a cross-validation is made where once could not decide: the interval around a difference over five folds
becomes a third narrower by it, and by seven more repeats but another eighth."""
MAX_REPEATED = 10
"""More trials than so many are not worth repeating: widening the search says more for the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was found, and what to try."""

    finding: str
    """What was found, as a sentence without a full stop."""
    aim: str = ""
    """What to try it for: "to go on"; empty where there is nothing to try."""
    changes: Mapping[str, Any]
    """The settings that try it, by key; empty where there is nothing to try."""

    def text(self, command: Sequence[str] | None = None) -> str:
        """The advice as a sentence, and the command that follows it in a line of its own.

        Args:
            command: The command that the search was run with, word by word; if None, settings are named instead.
        """
        if not self.changes:
            return f"{self.finding}."
        if command is not None:
            return f"{self.finding}; {self.aim}:\n  {command_with(command, self.changes)}"
        settings = ", ".join(f"{key} = {toml_value(value)}" for key, value in self.changes.items())
        return f"{self.finding}; {self.aim}, set {settings}"


def advise(trials: pd.DataFrame, epochs: pd.DataFrame, selection: Selection, settings: SearchSettings) -> list[Advice]:
    """What to try next, the most useful first; empty if the search leaves nothing to be tried.

    Args:
        trials: What `load_trials` returned.
        epochs: What `load_epochs` returned.
        selection: The winner.
        settings: What was searched.
    """
    epochs = epochs[epochs["fold"] < settings.search.n_splits]  # those of repeats, not all trials have
    finished = trials[trials["status"] == FINISHED]
    if selection.trial_id not in set(finished["trial_id"]):
        return [with_a_larger_budget(trials, selection, settings.search)]
    winner = finished[finished["trial_id"] == selection.trial_id].iloc[0]
    space = _as_searched(settings.space, trials)
    # What was stopped says nothing of what is at the edge of the space, only that it was tried.
    is_pruned = bool((trials["status"] == STOPPED).any())
    longer = more_epochs(finished, epochs, selection, settings.search)
    overfits = against_overfitting(finished, epochs, winner, space)
    pieces = [
        longer,
        # A training that goes on, or that is held back, may still beat PCA; and larger rates are but a way to go on.
        None if longer else beyond_pca(finished, winner, space, trials, search_on=overfits is None),
        overfits,
        None if overfits or longer or is_pruned else beyond_the_rates(finished, epochs, winner, space),
        None if is_pruned else beyond_the_layers(finished, epochs, winner, space),
        without_dead_units(finished, winner, space),
        None if longer else by_repeating(finished, selection, settings.search),
    ]
    return [piece for piece in pieces if piece is not None][:MAX_ADVICE]


def more_epochs(
    finished: pd.DataFrame, epochs: pd.DataFrame, selection: Selection, search: SearchSection
) -> Advice | None:
    """How many trials still improve where they end; None if none does that could win.

    Trials that were trained for fewer epochs than others like them had lost their patience, or are of an earlier run.
    """
    longest = finished.loc[finished["epochs"] == finished.groupby("batch_size")["epochs"].transform("max")]
    falling = falling_trials(epochs[epochs["trial_id"].isin(longest["trial_id"])])
    if not {selection.trial_id, *(tied["trial_id"] for tied in selection.tied)}.intersection(falling):
        return None
    last = int(finished["epochs"].max())
    changes = {}
    if search.max_epochs is not None and search.max_epochs < 2 * last:
        changes["search.max_epochs"] = 2 * last
    if search.max_steps is not None or search.max_epochs is None:
        changes["search.max_steps"] = 2 * (search.max_steps or DEFAULT_STEPS)
    one = len(finished) == 1
    where = f"epoch {last}" if (longest["epochs"] == last).all() else "their last epoch"
    return Advice(
        finding=f"{'The' if one else f'{len(falling)} of {len(finished)}'} trial{'s' * (not one)} still "
        f"improve{'s' * (len(falling) == 1)} at {where}",
        aim="to go on",
        changes=changes,
    )


def with_a_larger_budget(trials: pd.DataFrame, selection: Selection, search: SearchSection) -> Advice:
    """Twice the budget, where it ended before the winner did: of what is not finished nothing else can be said.

    Args:
        trials: What `load_trials` returned.
        selection: The winner, which is not finished.
        search: How it was searched.
    """
    epochs = int(trials.loc[trials["trial_id"] == selection.trial_id, "epochs"].iloc[0])
    changes: dict[str, Any] = {}
    if search.time_budget_s is not None:
        changes["search.time_budget_s"] = 2 * search.time_budget_s
    if search.max_fold_epochs is not None:
        changes["search.max_fold_epochs"] = 2 * search.max_fold_epochs
    return Advice(
        finding=f"The winner has come to epoch {epochs}, and not to its end",
        aim="to go on with a larger budget" if changes else "",
        changes=changes,
    )


def beyond_pca(
    finished: pd.DataFrame, winner: "pd.Series[Any]", space: SpaceSettings, tried: pd.DataFrame, *, search_on: bool
) -> Advice | None:
    """That no trial is significantly better than PCA of its code size, if so, and what was not tried yet.

    Args:
        finished: The finished trials.
        winner: The winner among them.
        space: What was searched.
        tried: All trials, however far they came.
        search_on: Whether to propose something else to try.
    """
    better = (finished["val_mse_mean"] < finished["pca_val_mse_mean"]) & (finished["pca_p_value"] <= SIGNIFICANCE)
    if better.any() or pd.isna(winner["pca_p_value"]):
        return None
    finding = "Nothing here beats PCA significantly"
    if not search_on:
        return Advice(finding=finding, changes={})
    if len(set(space.init)) == 1 and (space.output_activation or "linear") in PCA_OUTPUTS:
        other = "the start at PCA" if space.init == ["random"] else "a random start"
        return Advice(finding=finding, aim=f"to try {other} too", changes={"space.init": ["pca", "random"]})
    widest = max((width for hidden in _hidden(tried) for width in hidden), default=0)
    if widest < 2 * int(str(winner["layer_sizes"]).split("-")[0]):
        width = 2 * widest or 64
        wider = (
            _with_hidden(space, (width,)) if not space.widths else {"space.widths": _with_value(space.widths, width)}
        )
        return Advice(finding=finding, aim="to try wider layers", changes=wider)
    n = int(winner["code_size"])
    components = f"{n} component{'s' * (n != 1)}"
    return Advice(finding=f"{finding}: PCA with {components} may be all that this data needs", changes={})


def against_overfitting(
    finished: pd.DataFrame, epochs: pd.DataFrame, winner: "pd.Series[Any]", space: SpaceSettings
) -> Advice | None:
    """Lower rates, or noise where those were searched, if the winner was best early and has been worse since."""
    curves = epochs[epochs["trial_id"] == winner["trial_id"]].sort_values(["epoch", "fold"])
    best, last = int(winner["best_epoch"]), int(winner["epochs"])
    if best > EARLY * finished["epochs"].max() or last <= max(best, 1):
        return None
    before, after = _at(curves, "val_mse", best), _at(curves, "val_mse", last)
    # The start of a training, epoch 0, has no training MSE.
    trained = _at(curves, "train_mse", last).mean() - _at(curves, "train_mse", max(best, 1)).mean()
    if not (_clearly_above(after, before) and trained < 0) or falling_trials(curves):
        return None
    rate = float(winner["learning_rate"])
    changes: dict[str, Any] = {}
    if isinstance(space.learning_rate, LogUniform):
        if rate / 10 < space.learning_rate.low:
            changes["space.learning_rate"] = {"low": _rounded(rate / 10), "high": space.learning_rate.high}
    elif space.learning_rate and rate == min(space.learning_rate):
        changes["space.learning_rate"] = [_rounded(rate / 10), _rounded(rate / 3), *space.learning_rate]
    if not changes and not any(space.noise_std):
        changes["space.noise_std"] = [0.0, NOISE]
    when = f"at epoch {best} of {last}" if best else "at its start"
    finding = f"The winner is best {when}, and overfits after it"
    return Advice(finding=finding, aim="to hold it back" if changes else "", changes=changes)


def beyond_the_rates(
    finished: pd.DataFrame, epochs: pd.DataFrame, winner: "pd.Series[Any]", space: SpaceSettings
) -> Advice | None:
    """Learning rates beyond the last one searched, where the winner has that and the next one is clearly worse."""
    if not isinstance(space.learning_rate, list):
        return None
    alike = _alike(finished, winner, "learning_rate").sort_values("learning_rate")
    rates = alike["learning_rate"].tolist()
    rate = float(winner["learning_rate"])
    if len(rates) < 2 or rate not in (rates[0], rates[-1]):
        return None
    side, next_one, factor = ("largest", -2, 3.0) if rate == rates[-1] else ("smallest", 1, 1 / 3)
    beyond = _rounded(rate * factor)
    if not _worse(epochs, alike.iloc[next_one], winner) or beyond > 1:
        return None
    return Advice(
        finding=f"The {side} learning rate wins, and the next one is significantly worse",
        aim=f"to try a {'larger' if factor > 1 else 'smaller'} one",
        changes={"space.learning_rate": sorted({*space.learning_rate, beyond})},
    )


def beyond_the_layers(
    finished: pd.DataFrame, epochs: pd.DataFrame, winner: "pd.Series[Any]", space: SpaceSettings
) -> Advice | None:
    """Wider or more layers, where the winner has the widest or most and the next choice is clearly worse."""
    hidden = _hidden(winner.to_frame().T)[0]
    alike = _alike(finished, winner, "layer_sizes", "hidden_depth", "hidden_activation")
    alike = alike[(alike["hidden_activation"] == winner["hidden_activation"]) | (alike["hidden_depth"] == 0)]
    alike = alike.assign(hidden=pd.Series(_hidden(alike), index=alike.index))
    of_depth = alike[alike["hidden_depth"] == len(hidden)].sort_values("hidden")
    if hidden and len(of_depth) > 1 and of_depth["hidden"].iloc[-1] == hidden:
        if not _worse(epochs, of_depth.iloc[-2], winner):
            return None
        return Advice(
            finding="The widest layers win, and the next narrower ones are significantly worse",
            aim="to try wider ones",
            changes=_with_hidden(space, tuple(2 * width for width in hidden)),
        )
    less = alike[alike["hidden_depth"] == len(hidden) - 1].sort_values("val_mse_mean")
    if not len(less) or alike["hidden_depth"].max() > len(hidden) or not _worse(epochs, less.iloc[0], winner):
        return None
    return Advice(
        finding="The most layers win, and one layer less is significantly worse",
        aim="to try one more",
        changes=_with_hidden(space, (2 * hidden[0], *hidden)),
    )


def without_dead_units(finished: pd.DataFrame, winner: "pd.Series[Any]", space: SpaceSettings) -> Advice | None:
    """A linear code, or a smaller one, where units of the winner's code are dead."""
    dead, code_size = float(winner["dead_code_units_mean"]), int(winner["code_size"])
    if not dead >= max(1.0, MIN_DEAD * code_size):
        return None
    finding = f"{dead:.1f} of the winner's {code_size} code units are dead"
    if winner["code_activation"] != "linear" and "linear" not in set(finished["code_activation"]):
        changes = {"space.code_activation": list(dict.fromkeys([*space.code_activation, "linear"]))}
        return Advice(finding=finding, aim="to try a linear code, which has none", changes=changes)
    if int(dead) >= code_size:
        return None
    sizes = [*sorted(set(finished["code_size"].astype(int))), code_size - int(dead)]
    if sizes[-1] in sizes[:-1]:
        return None
    return Advice(finding=finding, aim="to try a code without them", changes={"bottleneck.code_sizes": sorted(sizes)})


def by_repeating(finished: pd.DataFrame, selection: Selection, search: SearchSection) -> Advice | None:
    """Repeats of the best trials, where they would decide between some of them if the differences stayed as they are.

    Args:
        finished: The finished trials.
        selection: The winner among them.
        search: How they were searched.
    """
    # What a budget was spent on leaves nothing of it for repeats.
    is_bounded = search.time_budget_s is not None or search.max_fold_epochs is not None
    if search.repeats > 1 or selection.n_repeats > 1 or is_bounded:
        return None
    open_ones = {
        str(tied["trial_id"])
        for tied in selection.tied
        if p_value_of_repeats(float(str(tied["p_value"])), search.n_splits, REPEATS) <= SIGNIFICANCE
    }
    places = finished["rank"].rank(method="max")  # those of one rank are repeated together
    place = dict(zip(finished["trial_id"], places, strict=True))
    near = [place[t] for t in open_ones if place.get(t, np.inf) <= MAX_REPEATED]
    if not near or place[selection.trial_id] > MAX_REPEATED:
        return None
    n, top = len(selection.tied), int(max(*near, place[selection.trial_id]))
    return Advice(
        finding=f"The winner cannot be told apart from {n} other trial{'s' * (n != 1)}",
        aim=f"to cross-validate the best {top} three times, which may decide",
        changes={"search.repeats": REPEATS, "search.repeat_top": top},
    )


def _as_searched(space: SpaceSettings, finished: pd.DataFrame) -> SpaceSettings:
    """The space, with what was searched where the settings left the choice to the data."""
    changes: dict[str, Any] = {}
    if space.hidden is None and space.depth is None:
        changes["hidden"] = ["-".join(map(str, layers)) for layers in dict.fromkeys(_hidden(finished))]
    if space.learning_rate is None:
        changes["learning_rate"] = sorted(set(finished["learning_rate"]))
    return space.model_copy(update=changes)


def _alike(finished: pd.DataFrame, winner: "pd.Series[Any]", *but: str) -> pd.DataFrame:
    """The trials that have the winner's configuration, whatever these columns say."""
    columns = list(finished.columns)
    choices = columns[columns.index("layer_sizes") : columns.index("n_parameters")]
    for name in set(choices) - set(but):
        missing = pd.isna(winner[name])
        finished = finished[finished[name].isna() if missing else finished[name] == winner[name]]
    return finished


def _hidden(trials: pd.DataFrame) -> list[tuple[int, ...]]:
    """The hidden layers of each trial."""
    return [tuple(map(int, sizes.split("-")[1:-1])) for sizes in trials["layer_sizes"]]


def _with_hidden(space: SpaceSettings, hidden: tuple[int, ...]) -> dict[str, Any]:
    """The settings that search these hidden layers too."""
    if space.depth is None or space.widths is None:
        return {"space.hidden": [*(space.hidden or []), "-".join(map(str, hidden))]}
    depths = range(space.depth.low, space.depth.high + 1) if isinstance(space.depth, Range) else space.depth
    if len(hidden) not in depths:
        return {"space.depth": _with_value(space.depth, len(hidden))}
    return {"space.widths": _with_value(space.widths, max(hidden))}


def _with_value(axis: Range[int] | list[int], value: int) -> dict[str, int] | list[int]:
    """A list or range of the settings that holds this number too."""
    if isinstance(axis, Range):
        return {"low": min(axis.low, value), "high": max(axis.high, value)}
    return sorted({*axis, value})


def _worse(epochs: pd.DataFrame, other: "pd.Series[Any]", winner: "pd.Series[Any]") -> bool:
    """Whether a trial is clearly worse than the winner, each at its best epoch."""
    values = [
        _at(epochs[epochs["trial_id"] == trial["trial_id"]].sort_values("fold"), "val_mse", trial["best_epoch"])
        for trial in (other, winner)
    ]
    return _clearly_above(*values)


def _clearly_above(mse: np.ndarray, lower: np.ndarray) -> bool:
    """Whether a validation MSE is above another in the same folds, significantly and by an amount that matters."""
    difference = mse - lower
    return bool(difference.mean() > WORTHWHILE * lower.mean() and corrected_p_value(difference) <= SIGNIFICANCE)


def _at(curves: pd.DataFrame, column: str, epoch: int) -> np.ndarray:
    """A column's value in each fold at one epoch."""
    values: np.ndarray = curves.loc[curves["epoch"] == epoch, column].to_numpy(np.float64)
    return values


def _rounded(rate: float) -> float:
    """One digit, which is exact enough for a rate, and readable."""
    return float(f"{rate:.1g}")
