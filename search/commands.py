"""The command that a search was run with -> the command that runs it with other settings."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from search.settings_files import excluded_by


def command_with(arguments: Sequence[str], changes: Mapping[str, Any]) -> str:
    """A command with other settings, quoted for a shell, that continues the search: `--fresh` is left out.

    Args:
        arguments: The command that it was run with, word by word.
        changes: The settings' new values by key. What the command says of them, or of settings that exclude them, goes.

    Examples:
        >>> command_with(["ae-search", "run", "--fresh", "--set=seed=1"], {"seed": 2})
        'ae-search run --set seed=2'
    """
    gone = {*changes, *excluded_by(changes)}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":  # what follows is not an option
            rest = iter(["--", *rest])
            break
        override = next(rest, "") if word == "--set" else word.removeprefix("--set=") if "=" in word else ""
        key = override.partition("=")[0].strip()
        if word == "--fresh" or any(key == changed or key.startswith(f"{changed}.") for changed in gone):
            continue
        words += [word, override] if word == "--set" else [word]
    for key, value in changes.items():
        words += ["--set", f"{key}={toml_value(value)}"]
    return shlex.join([*words, *rest])


def toml_value(value: Any) -> str:
    """A number, a text, a list of these, or a mapping of texts to these, as TOML in one line.

    Examples:
        >>> toml_value({"low": 1e-05, "high": 0.01})
        '{low = 1e-05, high = 0.01}'
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {toml_value(item)}' for key, item in value.items())}}}"
    return json.dumps(value)  # which is TOML too
