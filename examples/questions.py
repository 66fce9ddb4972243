"""Five questions to a search, answered from its tables: `python examples/questions.py results/digits`."""

import sys
from collections.abc import Callable

import pandas as pd

from search import load_folds, load_trials
from search.comparison import compare


def which_width_helps(trials: pd.DataFrame) -> pd.DataFrame:
    """The lowest error of each choice of layers by its start; PCA's, of as large a code, is what there is to beat."""
    table = trials.pivot_table(
        index=["code_size", "layer_sizes"], columns="init", values="val_mse_mean", aggfunc="min", observed=True
    )
    return table.assign(PCA=trials.groupby(["code_size", "layer_sizes"])["pca_val_mse_mean"].first())


def what_does_the_code_size_buy(trials: pd.DataFrame) -> pd.DataFrame:
    """The best trial of each code size: what more units explain, and what they cost."""
    best = trials.loc[trials.groupby("code_size")["val_mse_mean"].idxmin()]
    columns = ["compression_ratio", "layer_sizes", "n_parameters", "val_fve_mean", "val_mse_mean", "pca_val_mse_mean"]
    return best.set_index("code_size")[columns]


def is_the_winner_significant(trials: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """The others and PCA, each less the winner over the same folds: only where p is small is the winner better."""
    winner = trials.sort_values(["rank", "number"]).iloc[0]
    others = compare(folds, winner["trial_id"]).join(trials.set_index("trial_id")[["rank", "layer_sizes", "init"]])
    others = others[others["rank"].notna()].drop(index=winner["trial_id"]).sort_values("rank")
    pca = {
        "layer_sizes": "PCA",
        "difference": winner["pca_val_mse_mean"] - winner["val_mse_mean"],
        "p_value": winner["pca_p_value"],
    }
    table = pd.concat([others, pd.DataFrame([pca], index=["-"])])
    return table[["layer_sizes", "init", "difference", "half_width", "p_value"]]


def what_did_pruning_save(trials: pd.DataFrame) -> pd.DataFrame:
    """The epochs of each status, and what they would be if every trial had come as far as the longest one."""
    table = trials.groupby("status", observed=True).agg(trials=("trial_id", "size"), epochs=("epochs", "sum"))
    table["at_full_length"] = table["trials"] * trials["epochs"].max()
    table.loc["all"] = table.sum()
    return table.assign(saved=1 - table["epochs"] / table["at_full_length"])


def which_trials_failed(trials: pd.DataFrame) -> pd.DataFrame:
    """What they were, and why; a trial that diverged had a loss that was not finite: try a smaller learning rate."""
    failed = trials[trials["status"].isin(["failed", "diverged"])]
    return failed.set_index("trial_id")[["status", "layer_sizes", "init", "learning_rate", "epochs", "error"]]


def main(directory: str) -> None:
    """Ask them all; where no trial has a result yet, only the last two."""
    trials, folds = load_trials(directory), load_folds(directory)
    reached = trials[trials["val_mse_mean"].notna()]  # also what was stopped, at the best epoch that it reached
    if not reached.empty:
        answer("Which width helps?", which_width_helps, which_width_helps(reached))
        answer("What does the code size buy?", what_does_the_code_size_buy, what_does_the_code_size_buy(reached))
    if trials["rank"].notna().any():
        table = is_the_winner_significant(trials, folds)
        answer("Is the winner significant, and better than PCA?", is_the_winner_significant, table)
    answer("What did pruning save?", what_did_pruning_save, what_did_pruning_save(trials))
    answer("Which trials failed, and why?", which_trials_failed, which_trials_failed(trials))


def answer(question: str, function: Callable[..., pd.DataFrame], table: pd.DataFrame) -> None:
    """Print a table, and how it is read."""
    print(f"{question}\n{function.__doc__}\n\n{'None.' if table.empty else table.to_string()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
