"""A comparison of searches as tables for the terminal, and in words."""

from collections.abc import Iterator
from typing import Any

from rich.markup import escape
from rich.table import Table

from search.paired_test import p_value_text
from search.searches_compared import (
    SAME,
    TIED,
    BestTrial,
    ComparedSearch,
    PairedComparison,
    SearchesCompared,
    value_text,
)
from search.trials_table import mse_text


def settings_table(compared: SearchesCompared) -> Table:
    """The settings that differ, a row each, with a column for every search."""
    table = _table()
    table.add_column("setting", no_wrap=True)
    for search in compared.searches:
        table.add_column(escape(search.name), no_wrap=True)
    for key, values in compared.settings.items():
        table.add_row(escape(key), *(escape(value_text(value)) for value in values))
    return table


def best_table(compared: SearchesCompared) -> Table:
    """The best trial of each search, a row each."""
    rules = {search.best.rule for search in compared.searches if search.best is not None}
    names = [
        "search",
        "finished",
        "trial",
        "layer sizes and choices",
        "code",
        "validation MSE",
        "FVE",
        "PCA",
        "test MSE",
    ]
    names += ["rule"] if rules - {"best"} else []
    names += ["scaling"] if compared.scalings_differ else []
    is_text = ("search", "trial", "layer sizes and choices", "rule", "scaling")
    table = _table()
    for name in names:
        table.add_column(name, justify="left" if name in is_text else "right", no_wrap=True)
    for search in compared.searches:
        cells = _cells(search)
        table.add_row(*(escape(cells.get(name, "")) for name in names))
    return table


def pair_lines(compared: SearchesCompared) -> Iterator[str]:
    """What the folds say of each pair of searches, and what of the tables cannot be compared; a line each."""
    for search in compared.searches:
        if search.best is None:
            yield f"{search.name}: no trial has a complete epoch, so there is nothing to compare."
        elif not search.best.is_finished:
            yield f"{search.name}: the best trial is not finished; it counts by what it has reached so far."
    bests = {search.name: search.best for search in compared.searches}
    for pair in compared.pairs:
        yield _pair_line(pair) + _other_code(bests[pair.first], bests[pair.second], pair)
    if compared.scalings_differ:
        scalings = ", ".join(f"{search.name}: {search.scaling or 'not known'}" for search in compared.searches)
        yield (
            f"The scalings differ ({scalings}), and with them the units: errors of different scalings cannot be "
            "compared. FVE has no unit, but weighs the features as its scaling does."
        )


def _table() -> Table:
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")


def _cells(search: ComparedSearch) -> dict[str, str]:
    """A search's row, by the names of the columns."""
    cells = {
        "search": search.name,
        "finished": f"{search.n_finished} of {search.n_trials}",
        "scaling": search.scaling or "",
    }
    best = search.best
    if best is not None:
        cells |= {
            "trial": best.trial_id,
            "layer sizes and choices": best.label,
            "code": str(best.code_size),
            "validation MSE": f"{mse_text(best.val_mse_mean)} ± {mse_text(best.val_mse_se)}",
            "FVE": f"{best.val_fve_mean:.3f}",
            "PCA": mse_text(best.pca_val_mse_mean) if best.pca_val_mse_mean == best.pca_val_mse_mean else "",
            "test MSE": "" if best.test_mse is None else mse_text(best.test_mse),
            "rule": best.rule,
        }
    return cells


def _pair_line(pair: PairedComparison) -> str:
    both = f"{pair.first} and {pair.second}"
    if not pair.is_known:
        return f"{both} are not compared: a ledger does not say how its folds were made."
    if pair.why_not:
        return f"{both} are not compared: their folds are not the same, as they differ in {_and(pair.why_not)}."
    folds = f"the {pair.n_folds} folds of both"
    if pair.verdict == SAME:
        return f"{both} are the same: their best trials differ in none of {folds}."
    difference, low, high, p_value = (_number(v) for v in (pair.difference, pair.low, pair.high, pair.p_value))
    sure = f"{p_value_text(p_value)}, over {folds}"
    if pair.verdict == TIED:
        return f"{both} {TIED}: difference {difference:+.3g}, 95 % interval {low:+.3g} to {high:+.3g} ({sure})."
    how = "lower" if difference < 0 else "higher"
    ends = sorted((abs(low), abs(high)))
    return (
        f"{pair.first} is {pair.verdict} than {pair.second}: its validation MSE is {how} by {abs(difference):.3g}, "
        f"95 % interval {ends[0]:.3g} to {ends[1]:.3g} ({sure})."
    )


def _other_code(first: BestTrial | None, second: BestTrial | None, pair: PairedComparison) -> str:
    """That the codes are of different sizes, where the errors are compared all the same."""
    assert first is not None, "only searches with a best trial make a pair"
    assert second is not None
    if not pair.verdict or first.code_size == second.code_size:
        return ""
    more = "larger" if first.code_size > second.code_size else "smaller"
    return f" The code of {pair.first} is {more}: {first.code_size} units, against {second.code_size} of {pair.second}."


def _and(parts: tuple[str, ...]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _number(value: Any) -> float:
    assert isinstance(value, float), "it was compared"
    return value
