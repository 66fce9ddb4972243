"""Several searches at once: what to call each, and their tables as one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ae_model.errors import UserError

Directories = str | Path | Sequence[str | Path]
"""A search's directory, or those of several searches."""


def search_names(directories: Sequence[str | Path]) -> list[str]:
    """What to call each search: its directory's name, after as many of its parents as tell it from the others.

    Args:
        directories: The searches' directories.

    Raises:
        UserError: If there is none, or the same one twice.

    Examples:
        >>> search_names(["/results/digits", "/results/mnist", "/old/digits"])
        ['results/digits', 'mnist', 'old/digits']
    """
    if not directories:
        raise UserError("directory must name at least one search, but the list is empty.", argument="directory")
    paths = [Path(directory).resolve().parts for directory in directories]
    for place, path in enumerate(paths):
        if path in paths[:place]:
            before = directories[paths.index(path)]
            raise UserError(f"{directories[place]}: is given twice, before as {before}. Give each search once.")
    names = []
    for path in paths:
        length = 1
        while sum(other[-length:] == path[-length:] for other in paths) > 1:
            length += 1
        names.append(str(Path(*path[-length:])))
    return names


def of_searches(directories: Directories, load: Callable[[str | Path], pd.DataFrame]) -> pd.DataFrame:
    """The table of one search, or those of several, one below the other, with a first column `search`.

    Args:
        directories: The search's directory, or a sequence of directories.
        load: Gives the table of a directory.

    Raises:
        UserError: As `search_names` and `load` do.
    """
    if isinstance(directories, str | Path):
        return load(directories)
    names = search_names(directories)
    tables = [load(directory) for directory in directories]
    types = pd.CategoricalDtype(names)
    column = [name for name, table in zip(names, tables, strict=True) for _ in range(len(table))]
    together = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    # A name that only one of the searches knows makes the categories of a column differ, and pandas then forgets them.
    for name in tables[0].columns[tables[0].dtypes == "category"]:
        if together[name].dtype != "category":
            known = sorted({text for table in tables for text in table[name].cat.categories})
            together[name] = together[name].astype(pd.CategoricalDtype(known))
    together.insert(0, "search", pd.Series(column, index=together.index, dtype=types))
    return together
