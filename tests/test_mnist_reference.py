"""The published results on MNIST say what their raw values say."""

import csv
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results" / "mnist-reference"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SEARCHES = sorted(path.parent.name for path in FOLDER.glob("*/evaluation.json"))
SECTIONS = dict(re.findall(r"^## (\S+):(.*?)(?=^## |\Z)", README, flags=re.DOTALL | re.MULTILINE))
GRIDS = [name for name in SEARCHES if "20 epochs |" in SECTIONS.get(name, "")]


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table's rows in Markdown, without its head."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def by_epoch(name: str) -> dict[str, dict[int, list[float]]]:
    """The validation MSEs of the folds, by layer sizes and epoch; a search with one trial for each layer sizes."""
    with (FOLDER / name / "trials.csv").open(encoding="utf-8") as file:
        sizes = {row["trial_id"]: row["layer_sizes"] for row in csv.DictReader(file)}
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (FOLDER / name / "epochs.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[sizes[row["trial_id"]]][int(row["epoch"])].append(float(row["val_mse"]))
    return found


def test_the_table_is_that_of_the_raw_values() -> None:
    """Each row of the winners, from trials, epochs and evaluation; README.md at the top has the same."""
    rows = rows_of(README.split("\n## ")[1])
    assert sorted(row[0] for row in rows) == SEARCHES
    for line in (line for line in README.split("\n## ")[1].splitlines() if line.startswith("| ")):
        assert line in (ROOT / "README.md").read_text(encoding="utf-8")
    for (
        name,
        winner,
        val_mse,
        pca_val,
        test_mse,
        pca_test,
        fve,
        psnr,
        dead,
        epoch,
        n_trials,
        fold_epochs,
        training,
    ) in rows:
        selection, test = (json.loads((FOLDER / name / f"{n}.json").read_text()) for n in ("selection", "evaluation"))
        with (FOLDER / name / "epochs.csv").open(encoding="utf-8") as file:
            epochs = list(csv.DictReader(file))
        with (FOLDER / name / "folds.csv").open(encoding="utf-8") as file:
            folds = [row for row in csv.DictReader(file) if row["trial_id"] == selection["trial_id"]]
        with (FOLDER / name / "trials.csv").open(encoding="utf-8") as file:
            trials = {row["trial_id"]: row for row in csv.DictReader(file)}
        trial = trials[selection["trial_id"]]
        at_best = [
            float(row["val_mse"])
            for row in epochs
            if row["trial_id"] == selection["trial_id"] and row["epoch"] == str(selection["best_epoch"])
        ]
        assert winner == f"{trial['layer_sizes']}, {trial['code_activation']} code, {trial['init']} start"
        assert val_mse == f"{mean(at_best):.5f} ± {stdev(at_best) / len(at_best) ** 0.5:.5f}"
        assert pca_val == f"{mean(float(row['pca_val_mse']) for row in folds):.5f}"
        assert (test_mse, pca_test) == (f"{test['mse']:.5f}", f"{test['pca_mse']:.5f}")
        assert (fve, psnr) == (f"{test['fve']:.3f}", f"{test['psnr_db']:.1f} dB")
        assert dead == f"{test['dead_code_units']} of {test['code_size']}"
        assert epoch == str(selection["best_epoch"])
        assert (n_trials, fold_epochs) == (str(len(trials)), f"{sum(row['epoch'] != '0' for row in epochs):,}")
        assert training == f"{sum(float(row['fit_seconds']) for row in trials.values()) / 3600:.2f} h"


@pytest.mark.parametrize("name", GRIDS)
def test_the_grids_by_epoch_are_those_of_the_raw_values(name: str) -> None:
    """Means over the folds; bold is the lowest of each column, a star what a corrected paired t-test cannot tell."""
    found = by_epoch(name)
    rows = rows_of(SECTIONS[name])
    assert [row[0] for row in rows] == list(found)
    for column, epoch in enumerate((1, 5, 10, 20), 1):
        means = {size: mean(epochs[epoch]) for size, epochs in found.items()}
        best = min(means, key=lambda size, means=means: means[size])  # type: ignore[misc]
        for row in rows:
            differences = [a - b for a, b in zip(found[row[0]][epoch], found[best][epoch], strict=True)]
            number = f"{means[row[0]]:.5f}"
            if row[0] == best:
                assert row[column] == f"**{number}**"
                continue
            error = stdev(differences) * (1 / 5 + 1 / 4) ** 0.5
            is_tied = 2 * stats.t.sf(abs(mean(differences)) / error, 4) > 0.05
            assert row[column] == number + "*" * bool(is_tied)


def test_the_script_makes_the_same_tables() -> None:
    """What `publish` prints is what the page has."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import mnist_reference
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    assert mnist_reference.table(FOLDER) in README
    for name in GRIDS:
        assert mnist_reference.by_epochs(FOLDER, name) in README


def test_the_folder_is_small_and_holds_no_weights() -> None:
    """Below 3 MB, tables and pictures alone; every file that the page names is there."""
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    assert {path.suffix for path in files} <= {".md", ".csv", ".json", ".jsonl", ".toml", ".png"}
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (FOLDER / name).exists(), name
