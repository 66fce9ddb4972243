"""search.several_searches: the tables of several searches as one, and what each search is called there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ae_model import Configuration
from search import SearchResult, load_epochs, load_folds, load_trials
from search.ledger import Ledger
from search.several_searches import of_searches, search_names


@pytest.mark.parametrize("load", [load_trials, load_folds, load_epochs])
def test_tables_of_several_searches(
    load: Callable[..., pd.DataFrame], searched: SearchResult, search_copy: Path, tmp_path: Path
) -> None:
    """One below the other, as each is alone, after a column that says which it is; also where one has no rows."""
    (tmp_path / "new").mkdir()
    with Ledger(tmp_path / "new") as ledger:
        ledger.enter_trials({"a": Configuration(layer_sizes=(6, 2))})
    directories = [searched.directory, str(tmp_path / "new"), search_copy]
    table, parts = load(directories), [load(directory) for directory in directories]
    assert table.columns[0] == "search"
    names = search_names(directories)
    assert names[1] == "new"
    assert table["search"].dtype == pd.CategoricalDtype(names)
    assert table["search"].tolist() == [name for name, part in zip(names, parts, strict=True) for _ in range(len(part))]
    assert table.index.tolist() == list(range(len(table)))
    for name, part in zip(names, parts, strict=True):
        own = table[table["search"] == name].drop(columns="search").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, part)


def test_one_search_in_a_list(searched: SearchResult) -> None:
    """It has the column too: what takes a list gives the same columns however long it is."""
    table = load_trials([searched.directory])
    assert table["search"].unique().tolist() == ["birds"]
    pd.testing.assert_frame_equal(table.drop(columns="search"), load_trials(searched.directory))


def test_names_that_only_one_of_the_searches_knows() -> None:
    """A column stays a category, with all that any of them knows."""
    kinds = {"one": pd.Categorical(["pca"], ["pca", "random"]), "two": pd.Categorical(["fourier"], ["fourier", "pca"])}
    table = of_searches(["one", "two"], lambda directory: pd.DataFrame({"init": kinds[str(directory)]}))
    assert table["init"].tolist() == ["pca", "fourier"]
    assert table["init"].cat.categories.tolist() == ["fourier", "pca", "random"]


@pytest.mark.parametrize(
    ("directories", "names"),
    [
        (["/r/digits"], ["digits"]),
        (["/r/digits", "/r/mnist"], ["digits", "mnist"]),
        (["/r/digits", "/old/digits", "/r/mnist"], ["r/digits", "old/digits", "mnist"]),
        (["/a/x/digits", "/b/x/digits", "/digits"], ["a/x/digits", "b/x/digits", "/digits"]),
    ],
)
def test_names(directories: list[str], names: list[str]) -> None:
    """The directory's own, and as many of its parents as tell it from the others."""
    assert search_names(directories) == names


def test_refused(searched: SearchResult, search_copy: Path) -> None:
    """No search at all, one twice, however its path is written, and a directory that is none."""
    with pytest.raises(ValueError, match="must name at least one search, but the list is empty"):
        load_trials([])
    with pytest.raises(ValueError, match=r"birds/\.\.: is given twice, before as .*\. Give each search once\.$"):
        load_folds([search_copy.parent, searched.directory, f"{search_copy}/.."])
    shutil.rmtree(search_copy)
    with pytest.raises(ValueError, match="is not a search directory"):
        load_epochs([searched.directory, search_copy])
