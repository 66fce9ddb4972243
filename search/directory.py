"""A search's directory: its name, making it, and what is written into it before anything is trained."""

import itertools
import json
import os
import platform
import re
import sys
import unicodedata
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ae_model.data import Dataset, source_name
from ae_model.errors import UserError
from search.baselines import enter_baselines, enter_probe
from search.code_sizes import write_code_sizes
from search.execution.checkpoints import make_folder
from search.execution.machine import usable_cpus
from search.files import replace_file
from search.identity import VERSION_1
from search.ledger import Ledger
from search.ledger_file import lock
from search.plan import Plan
from search.settings import ARRAY_SOURCE, SearchSettings
from search.settings_files import to_toml

MAX_NAME_BYTES = 100
"""How long a search's name may be, in UTF-8."""


def check_name(name: str) -> str:
    """`name` if it can be a folder inside the results directory.

    Raises:
        UserError: If it cannot.
    """
    # A folder's name may have 255 bytes; suffixes are put behind this one.
    if not re.fullmatch(r"\w[\w.+-]*", name) or len(name.encode()) > MAX_NAME_BYTES:
        raise UserError(
            f"name must be at most {MAX_NAME_BYTES} bytes of letters, digits, '.', '_', '+' or '-', the first a "
            f"letter, a digit or '_', but is {name!r}.",
            argument="name",
        )
    return name


def default_name(settings: SearchSettings, data: object = None) -> str:
    """The name of a search that is given none: its data source's, or that of the data set that is given."""
    given = data.name if isinstance(data, Dataset) else ARRAY_SOURCE if data is not None else settings.data.source
    # What a file is called may be written in two ways, é as one character or as two: the search's name is the same.
    name = re.sub(r"[^\w.+-]+", "-", unicodedata.normalize("NFC", source_name(given))).lstrip(".-+")
    return check_name(name.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "search")


def open_directory(directory: Path, *, fresh: bool) -> Path | None:
    """Make a search's directory where it is missing.

    Args:
        directory: The directory.
        fresh: Whether to move aside what is there.

    Returns:
        Where the search that was there is now; None if nothing was moved.

    Raises:
        UserError: If it cannot be made, or is not a search directory and so is not moved.
    """
    aside = _move_aside(directory) if fresh and directory.exists() else None
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made ({error.strerror}). Give another --results-dir.") from error
    if not os.access(directory, os.W_OK):
        raise UserError(f"{directory}: cannot be written to. Give another --results-dir.")
    return aside


def enter_plan(plan: Plan, ledger: Ledger, directory: Path) -> None:
    """Write what is planned into the ledger and beside it.

    Raises:
        UserError: If the ledger holds trials that mean something else; nothing is then written.
    """
    _check_definition(directory, ledger.get("definition"), plan.definition)
    store = plan.settings.resources.storage_path
    if store is not None:
        make_folder(store)
    ledger.put("definition", plan.definition)
    ledger.put("settings", plan.settings.model_dump())
    ledger.put("environment", environment := _environment())
    ledger.enter_trials(plan.trials)
    _write_text(directory / "settings.toml", to_toml(plan.settings))
    _write_text(directory / "environment.json", json.dumps(environment, indent=2) + "\n")
    write_code_sizes(plan.code_sizes, directory)
    enter_probe(plan, ledger)
    enter_baselines(plan, ledger, plan.code_sizes.code_sizes)


def _move_aside(directory: Path) -> Path:
    """Give a search's folder a name that is free; UserError if it is not a search's, or a search is running in it."""
    if not (directory / "ledger.sqlite").is_file():
        raise UserError(
            f"{directory}: --fresh moves searches aside, but this is not a search directory. Give another --name."
        )
    with lock(directory):
        numbered = (directory.with_name(f"{directory.name}.{number}") for number in itertools.count(1))
        return directory.rename(next(path for path in numbered if not path.exists()))


def _check_definition(directory: Path, stored: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
    """Raise UserError if the folder holds trials that mean something else."""
    # A key that an older version did not write had the value that ids take for granted.
    there = {**wanted, **VERSION_1, **stored} if stored is not None else wanted
    differing = [name for name in wanted if there[name] != wanted[name]]
    if differing:
        told = {"data": "data (other development samples; they follow from [data] and seed)"}
        told |= {name: f"{name} ({there[name]} there, {wanted[name]} now)" for name in differing if name != "data"}
        if "data.scaling" in told:  # where nobody has set it, there is nothing to set back
            told["data.scaling"] = told["data.scaling"][:-1] + f'; set data.scaling = "{there["data.scaling"]}")'
        changes = ", ".join(told[name] for name in differing)
        raise UserError(
            f"{directory} holds a search with other settings: {changes}. Set them back, give another --name, "
            "or start over with --fresh."
        )


def _environment() -> dict[str, Any]:
    return {
        "ae_search": version("ae-search"),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in ("torch", "ray", "scikit-learn", "numpy", "pandas")},
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpus": usable_cpus(),
    }


def _write_text(path: Path, text: str) -> None:
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
