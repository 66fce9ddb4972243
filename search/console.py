"""What the commands print: tables, the winner, the test result."""

import json
import math
import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from ae_model.errors import UserError
from search.ledger import DIVERGED, ENDED, FAILED, FINISHED, RUNNING, STOPPED
from search.ledger_file import is_running
from search.paired_test import SIGNIFICANCE, p_value_text, verdict
from search.several_searches import Directories, of_searches
from search.tables import ROUNDING, configuration_labels, load_epochs, load_folds, load_trials
from search.trial_query import check_column, rows_where
from search.trials_table import mse_text, plain_table, trials_table

if TYPE_CHECKING:  # torch and matplotlib are slow to import, and tables need neither
    from ae_model.persistence import TrainedAutoencoder
    from search.evaluation_record import Evaluation
    from search.finish import SearchResult
    from search.searches_compared import SearchesCompared
    from search.selection import Selection

MAX_TIED = 5
"""Trials tied with the winner that are named; all are in selection.json."""


def selection_text(selection: "Selection", trials: pd.DataFrame | None = None) -> str:
    """Who won, by which rule, and who ties.

    Args:
        selection: The winner.
        trials: What `load_trials` returned; if given, verdicts that the error bars seem to contradict are explained.
    """
    s = selection
    lines = [
        f"Winner by the rule {s.rule!r}, of {_candidates(s)}:",
        f"  {s.label} (trial {s.trial_id})",
        f"  validation MSE {mse_text(s.val_mse_mean)} ± {mse_text(s.val_mse_se)}, FVE {s.val_fve_mean:.3f}, "
        f"best epoch {s.best_epoch}",
        *([f"  (± over {s.n_splits} folds, repeated {s.n_repeats} times)"] if s.n_repeats > 1 else []),
        *_without_luck(s),
        f"  PCA at equal code size: MSE {mse_text(s.pca_val_mse_mean)}{_pca_verdict(s)}",
    ]
    if s.misses_target:
        lines.append(f"  no trial reaches the FVE {s.target_fve:g}: this is the best of them")
    elif s.target_fve is not None:
        lines.append(f"  the smallest code that reaches the FVE {s.target_fve:g}, of those that were tried")
    if s.n_better:
        one = s.n_better == 1
        why = f" by its first folds, and {'was' if one else 'were'} not repeated"
        if s.rule != "best":
            why = f": the rule {'looks at the labels' if s.rule == 'best-probe' else 'prefers a smaller model'}"
        lines.append(f"  {'1 trial is' if one else f'{s.n_better} trials are'} significantly better{why}")
    if s.tied:
        lines.append(f"  {_but_tied(s)}:")
        lines += [f"    {tied['label']} ({tied['trial_id']}, p = {tied['p_value']:.2f})" for tied in s.tied[:MAX_TIED]]
        if len(s.tied) > MAX_TIED:
            lines.append(f"    … and {len(s.tied) - MAX_TIED} more: selection.json")
    elif not s.n_better and s.n_finished + s.n_unfinished > 1:
        lines.append(f"  every other {'' if s.n_unfinished else 'finished '}trial is significantly worse")
    if s.n_stopped:
        were = (
            "1 was stopped on the way, and is"
            if s.n_stopped == 1
            else f"{s.n_stopped} were stopped on the way, and are"
        )
        lines.append(f"  {were} not compared")
    if trials is not None and _bars_overlap(s, trials):
        lines.append("  (each ± is a standard error over the folds; trials are compared fold by fold,")
        lines.append("  so that a difference can be certain although their ± overlap)")
    return "\n".join(lines)


def _without_luck(s: "Selection") -> list[str]:
    """The line of the error that the choice itself has no part in; none where it is not known, or there was none."""
    if s.cross_fit_mse_mean is None or s.cross_fit_mse_se is None or s.cross_fit_fve_mean is None:
        return []
    if math.isclose(s.cross_fit_mse_mean, s.val_mse_mean, rel_tol=1e-4):
        return []
    mse = f"{mse_text(s.cross_fit_mse_mean)} ± {mse_text(s.cross_fit_mse_se)}"
    much = "most of the luck" if s.n_stopped else "the luck"  # of a halving, all folds decide who goes on
    return [f"  without {much} of being chosen: {mse}, FVE {s.cross_fit_fve_mean:.3f}"]


def _candidates(s: "Selection") -> str:
    """What a winner was chosen from."""
    finished = f"{s.n_finished} finished trial{'s' * (s.n_finished != 1)}"
    if not s.n_unfinished:
        return finished
    reached = "what it has reached so far" if s.n_unfinished == 1 else "what they have reached so far"
    if not s.n_finished:
        return f"{s.n_unfinished} trial{'s' * (s.n_unfinished != 1)} by {reached}"
    return f"{finished}, and {s.n_unfinished} by {reached}"


def _but_tied(s: "Selection") -> str:
    """How the winner compares with the others, where some are tied with it; the line that they are listed under."""
    n = len(s.tied)
    n_worse = s.n_finished + s.n_unfinished - 1 - n - s.n_better
    if n_worse > 0 and not s.n_better:
        return f"better than every other trial but {n}, which it cannot be told apart from"
    return f"cannot be told apart from {n} of the others"


def _pca_verdict(selection: "Selection") -> str:
    """What PCA is, measured by the winner, and how sure that is; empty where a file of an older version is read."""
    difference, p_value = selection.pca_difference, selection.pca_p_value
    if difference is None or p_value is None:
        return ""
    if p_value == 1:
        return ", the same"
    word = verdict(-difference, p_value, "cannot be told apart")
    return f", {word if p_value > SIGNIFICANCE else f'significantly {word}'} ({p_value_text(p_value)})"


def _bars_overlap(selection: "Selection", trials: pd.DataFrame) -> bool:
    """Whether a trial that the winner can be told apart from has error bars that overlap with the winner's."""
    others = trials[trials["status"] == FINISHED]
    others = others[~others["trial_id"].isin([selection.trial_id, *(tied["trial_id"] for tied in selection.tied)])]
    distance = (others["val_mse_mean"] - selection.val_mse_mean).abs()
    return bool((distance <= others["val_mse_se"] + selection.val_mse_se).any())


def evaluation_text(evaluation: "Evaluation") -> str:
    """What an evaluation found, in four lines, the verdict last."""
    e = evaluation
    explained = "" if e.fve is None else f", FVE {e.fve:.3f}"
    of_models = f" in {e.n_models} models" if e.n_models > 1 else ""
    psnr = "" if e.psnr_db is None else f"PSNR {e.psnr_db:.1f} dB, "
    return "\n".join(
        [
            f"{e.data if e.other_data else 'Test set'} ({e.n_test} sample{'s' * (e.n_test != 1)}): "
            f"MSE {mse_text(e.mse)} ± {mse_text(e.mse_se)}{explained}",
            f"  {psnr}{e.dead_code_units} of {e.n_models * e.code_size} code units dead{of_models}, "
            f"compression {e.compression_ratio:.1f} : 1",
            *_beside_pca(e),
        ]
    )


def _beside_pca(e: "Evaluation") -> list[str]:
    if e.pca_mse is None or e.pca_difference is None or e.pca_difference_se is None or e.mean_mse is None:
        return ["  not compared with PCA: the data that the model was made from cannot be read, and it keeps no PCA"]
    sign = "-" if e.pca_difference < 0 else "+"
    difference = f"(difference {sign}{mse_text(abs(e.pca_difference))} ± {mse_text(e.pca_difference_se)})"
    if e.mse >= e.mean_mse:
        found = "no better than the mean: try other learning rates or widths"
    elif abs(e.pca_difference) <= ROUNDING * e.pca_mse:
        found = "the same as PCA: training gained nothing on its start"
    elif abs(e.pca_difference) <= 1.96 * e.pca_difference_se:
        found = f"cannot be told apart from PCA {difference}"
    elif e.pca_difference < 0:
        found = f"better than PCA {difference}"
    else:
        found = f"worse than PCA {difference}: try other widths or rates"
    return [
        f"  PCA with {e.code_size} components: MSE {mse_text(e.pca_mse)}, FVE {e.pca_fve:.3f}; "
        f"the mean alone: MSE {mse_text(e.mean_mse)}",
        f"  {found}",
    ]


def beside_validation_text(selection: "Selection", n_splits: int, test_mse: float) -> str:
    """What stands below the test MSE of a winner: the cross-validated one, and why the two may differ; two lines.

    Args:
        selection: The winner.
        n_splits: The number of folds that it was cross-validated with.
        test_mse: What it is compared with.
    """
    why = "so its error may be lower" if test_mse <= selection.val_mse_mean else "but these samples may be harder"
    mse = f"MSE {mse_text(selection.val_mse_mean)} ± {mse_text(selection.val_mse_se)}"
    return (
        f"  cross-validated: {mse}, by models that saw {n_splits - 1}/{n_splits} of the rows;\n"
        f"  this one has seen all, {n_splits / (n_splits - 1):.3g} times as many, {why}"
    )


def model_summary(trained: "TrainedAutoencoder") -> str:
    """Torchinfo's table of layers and parameters, which fits on 80 columns."""
    import torchinfo

    sizes = trained.model.layer_sizes
    columns = ("output_size", "num_params")
    summary = torchinfo.summary(trained.model, input_size=(1, sizes[0]), verbose=0, col_names=columns, col_width=18)
    return str(summary).replace("Units.MEGABYTES", "M")  # torchinfo prints its own constant's name


def print_result(result: "SearchResult", command: Sequence[str] | None = None) -> None:
    """Print what `ae-search run` ends with: the model, the ten best trials, the winner, its test result, what to do.

    Args:
        result: What `run_search` returned.
        command: The command that it was run with, word by word; what to do next is told in its words.
    """
    from ae_model.loading import load_model
    from search.advice import advise
    from search.settings_files import search_settings
    from search.smallest_code_record import FILE_NAME, SmallestCode, smallest_code_lines

    settings = search_settings(result.directory)
    console = _console()
    trials = result.trials.assign(status=_status(result.trials, at_work=False))
    console.print()
    console.print(model_summary(load_model(result.model_dir)))
    console.print()
    console.print(trials_table(_in_order(trials), 10))
    if len(trials) > 10:
        console.print(f"… and {len(trials) - 10} more: ae-search trials {shlex.quote(str(result.directory))}")
    ended = Counter(trials["status"])
    lost = ", ".join(f"{ended[status]} {status}" for status in (DIVERGED, FAILED) if ended[status])
    if lost:
        console.print(f"{lost}: see the columns status and error of trials.csv")
    console.print()
    directory = result.directory
    files = []
    if settings.search.algorithm == "smallest-code" and (directory / FILE_NAME).exists():
        console.print("\n".join(smallest_code_lines(SmallestCode.read(directory))))
        console.print()
        files = [("smallest_code.png ", "what each code size explains, beside PCA (also smallest_code.json)")]
    console.print(selection_text(result.selection, trials))
    print_usefulness(directory, result.trials, result.selection.trial_id)
    console.print()
    if result.evaluation is None:
        console.print("No test set: data.test_fraction is 0, and all rows were searched and trained on")
    else:
        console.print(evaluation_text(result.evaluation))
        console.print(beside_validation_text(result.selection, settings.search.n_splits, result.evaluation.mse))
    console.print()
    for name, what in (
        *files,
        ("report.html       ", "all of it on one page, for any browser"),
        ("trials.csv        ", "one row per trial (also folds.csv, epochs.parquet)"),
        ("validation_mse.png", "the trials as a picture, beside PCA"),
        ("best/             ", "the model, evaluation.json and pictures" if result.evaluation else "the model"),
    ):
        console.print(f"{directory}{os.sep}{name}  {what}")
    for advice in advise(result.trials, load_epochs(directory), result.selection, settings):
        console.print()
        console.print(advice.text(command))


def print_usefulness(directory: str | Path, trials: pd.DataFrame, winner: str) -> None:
    """Print how well labels are predicted from a winner's code, if that is known.

    Args:
        directory: The search's directory.
        trials: What `load_trials` returned.
        winner: The winner's `trial_id`.
    """
    from search.usefulness import usefulness, usefulness_lines

    found = usefulness(directory, trials, load_folds(directory), winner)
    for line in () if found is None else usefulness_lines(found):
        _console().print(textwrap.indent(line, "  "))


def _in_order(trials: pd.DataFrame) -> pd.DataFrame:
    """The ranked ones, and then, each by their error, those that are on their way and those that were stopped."""
    is_stopped = trials["status"] == STOPPED
    order = trials.assign(is_stopped=is_stopped, error_so_far=trials["val_mse_mean"])
    order = order.sort_values(["rank", "is_stopped", "error_so_far", "number"], na_position="last")
    return order.drop(columns=["is_stopped", "error_so_far"])


def print_trials(
    directory: Directories,
    *,
    sort: str = "rank",
    top: int | None = None,
    format_: str = "table",
    where: str | None = None,
    columns: Sequence[str] | None = None,
) -> None:
    """Print the trials of a search, or of several.

    Args:
        directory: The search's directory; of several, the table begins with a column `search`.
        sort: Column to sort by, lowest first.
        top: Print only so many; all if None.
        format_: "table", "csv" or "json".
        where: Print only the trials that meet this condition, as in `rows_where`.
        columns: Print these columns; if None, the usual ones of the table, and all of the other formats.

    Raises:
        UserError: If a directory is not a search directory, there is no such column or format, or no such condition.
    """
    trials = of_searches(directory, _trials_now)
    names = [str(name) for name in trials.columns]
    check_column(sort, names, "sort")
    if columns is not None:
        if "search" in names and "search" not in columns:  # of several searches, a row says which it is of
            columns = ["search", *columns]
        columns = list(dict.fromkeys(columns))
    for name in columns or []:
        check_column(name, names, "columns")
    if format_ not in ("table", "csv", "json"):
        raise UserError(f"format_ must be table, csv or json, but is {format_!r}.", argument="format_")
    if where is not None:
        trials = rows_where(trials, where)
    trials = _in_order(trials) if sort == "rank" else trials.sort_values(list(dict.fromkeys([sort, "number"])))
    if format_ == "table":
        if where is not None and trials.empty:
            print("No trial meets the condition.")
            return
        _console().print(trials_table(trials, top) if columns is None else plain_table(trials[columns], top))
        return
    shown = trials[columns or names].head(top or len(trials))
    if format_ == "csv":
        print(shown.to_csv(index=False), end="")  # for a pipe, without rich's wrapping
    else:
        rows = shown.astype(object).where(shown.notna(), None).to_dict("records")
        print(json.dumps(rows, indent=2, default=int))  # not pandas' own, which rounds


def _trials_now(directory: str | Path) -> pd.DataFrame:
    """The trials of a search, with the status that they have now."""
    at_work = is_running(directory)  # asked first: a search may end meanwhile
    trials = load_trials(directory)
    trials["status"] = _status(trials, at_work)
    return trials


def print_comparison(compared: "SearchesCompared") -> None:
    """Print what `ae-search compare` found.

    Args:
        compared: What `compare_searches` returned.
    """
    from search.searches_compared_text import best_table, pair_lines, settings_table

    console = _console()
    if compared.settings:
        console.print(settings_table(compared))
    else:
        console.print("The settings are the same.")
    console.print()
    console.print(best_table(compared))
    for line in pair_lines(compared):
        console.print(f"\n{line}", markup=False)


def status_text(directory: str | Path) -> str:
    """How far a search is: trials by status, and the best so far."""
    at_work = is_running(directory)
    trials = load_trials(directory)
    counts = _status(trials, at_work).value_counts()
    lines = [
        f"{directory}: {len(trials)} trial{'s' * (len(trials) != 1)}: "
        + ", ".join(f"{n} {status}" for status, n in counts.items())
    ]
    ended = trials[trials["rank"].notna()]
    if len(ended):
        best = ended.assign(label=configuration_labels(ended)).sort_values(["rank", "number"]).iloc[0]
        lines.append(
            f"best so far: {best['label']} (trial {best['trial_id']}), validation MSE {mse_text(best['val_mse_mean'])} "
            f"± {mse_text(best['val_mse_se'])}, PCA {mse_text(best['pca_val_mse_mean'])}"
        )
    if at_work:
        lines.append("a search is running here")
    elif not trials["status"].isin(ENDED).all():
        lines.append("no search is running here: run its command again to continue")
    return "\n".join(lines)


def _status(trials: pd.DataFrame, at_work: bool) -> "pd.Series[Any]":
    """The ledger's status of each trial; what was running when a driver died is running no more."""
    status = trials["status"].astype("string")
    return status if at_work else status.replace({RUNNING: "interrupted"})


def _console() -> Console:
    """Standard output; what is wider than the terminal is left to the terminal rather than cut."""
    return Console(highlight=False, soft_wrap=True, width=250)
