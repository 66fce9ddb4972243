"""TOML files and `section.key=value` overrides -> settings, and settings -> TOML."""

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from ae_model.errors import UserError
from ae_model.named_sources import NAMED_SOURCES
from search.presets import PRESETS, budget_settings
from search.settings import ARRAY_SOURCE, SearchSettings
from search.settings_errors import checked_settings

_ALTERNATIVES = (
    ({"space.hidden"}, {"space.depth", "space.widths", "space.non_increasing"}),
    ({"bottleneck.explained_variance"}, {"bottleneck.code_sizes"}),
)
"""Two ways to say the same thing, of which one may be used at a time."""


def load_settings(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    preset: str | None = None,
    budget_s: float | None = None,
) -> SearchSettings:
    """Read settings from a TOML file and lay overrides over it.

    What is laid over something replaces it key by key. Where there are two ways to say a thing, such as `space.hidden`
    and `space.depth` with `space.widths`, the upper one replaces the lower.

    Args:
        path: The file; all settings have their defaults if None.
        overrides: Texts like `section.key=value`. The value is written as in TOML, but quotes around a text may be
            left out.
        preset: The name of the settings that the file is laid over, one of `search.presets.PRESETS`; the defaults if
            None.
        budget_s: About how many seconds the search may take; the file is then laid over `budget_settings`, too.

    Raises:
        UserError: If the file is missing or not TOML, a key is unknown, a value is wrong, or there is no such preset.

    Examples:
        >>> load_settings(overrides=["search.n_splits=10"]).search.n_splits
        10
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f"preset must be one of {', '.join(PRESETS)}, but is {preset!r}.", argument="preset")
    content: dict[str, Any] = copy.deepcopy(PRESETS[preset]) if preset is not None else {}
    if path is not None:
        _lay_file_over(content, path)
    _drop_excluded(content, [override.partition("=")[0].strip() for override in overrides])
    for override in overrides:
        _apply_override(content, override)
    if budget_s is not None:
        content, upper = budget_settings(budget_s, content), content
        _lay_over(content, upper)
    return parse_settings(content)


def parse_settings(content: Mapping[str, Any]) -> SearchSettings:
    """Make settings from nested mappings, as TOML gives them.

    Raises:
        UserError: If a key is unknown or a value is wrong.

    Examples:
        >>> parse_settings({"search": {"n_splits": 10}}).search.n_splits
        10
    """
    return _with_absolute_paths(checked_settings(content))


def to_toml(settings: SearchSettings) -> str:
    """All settings as TOML; `load_settings` reads them back as they were."""
    content = settings.model_dump(exclude_none=True)
    if settings.bottleneck.code_sizes is not None:
        del content["bottleneck"]["explained_variance"]
    return tomli_w.dumps(content)


def search_settings(directory: str | Path) -> SearchSettings:
    """The settings that a search was last run with.

    Raises:
        UserError: If the directory is not a search directory.
    """
    return load_settings(Path(directory) / "settings.toml")


def excluded_by(keys: Iterable[str]) -> set[str]:
    """The settings, by key, that cannot be given together with these, because they say the same in another way."""
    given = set(keys)
    return {
        key
        for alternatives in (_ALTERNATIVES, [pair[::-1] for pair in _ALTERNATIVES])
        for one, other in alternatives
        if given & one
        for key in other
    } - given


def _lay_file_over(content: dict[str, Any], path: str | Path) -> None:
    """Replace settings by those of a file.

    Raises:
        UserError: If the file is missing or not TOML.
    """
    try:
        of_file = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such settings file. Check the path.") from error
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        advice = "Fix the file." if Path(path).suffix == ".toml" else "Give data with --data SOURCE."
        raise UserError(f"{path}: cannot be read as settings in TOML ({error}). {advice}") from error
    _drop_excluded(content, _keys(of_file))
    _lay_over(content, of_file)


def _drop_excluded(content: dict[str, Any], keys: Sequence[str]) -> None:
    """Take away what cannot be together with settings that are to be laid over it."""
    for key in excluded_by(keys):
        section, _, name = key.partition(".")
        if isinstance(content.get(section), dict):
            content[section].pop(name, None)


def _keys(content: Mapping[str, Any]) -> list[str]:
    """The settings that are given, by `section.key`."""
    sections = ((name, section) for name, section in content.items() if isinstance(section, dict))
    return [f"{name}.{key}" for name, section in sections for key in section]


def _lay_over(content: dict[str, Any], upper: Mapping[str, Any]) -> None:
    """Replace settings key by key; a section is laid over a section."""
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            _lay_over(content[key], value)
        else:
            content[key] = value


def _with_absolute_paths(settings: SearchSettings) -> SearchSettings:
    """Paths mean the same wherever the next command is run; names of data sets and addresses of stores stay."""
    data, resources = settings.data, settings.resources
    if data.source not in (*NAMED_SOURCES, ARRAY_SOURCE):
        data = data.model_copy(update={"source": _absolute("data.source", data.source)})
    data = data.model_copy(update={"data_dir": str(home_path("data.data_dir", data.data_dir))})
    if resources.storage_path is not None and "://" not in resources.storage_path:
        path = _absolute("resources.storage_path", resources.storage_path)
        resources = resources.model_copy(update={"storage_path": path})
    tracking = settings.tracking
    if tracking.mlflow is not None and re.match("sqlite:///[^/]", tracking.mlflow):
        path = _absolute("tracking.mlflow", tracking.mlflow.removeprefix("sqlite:///"))
        tracking = tracking.model_copy(update={"mlflow": f"sqlite:///{path}"})
    return settings.model_copy(update={"data": data, "resources": resources, "tracking": tracking})


def home_path(key: str, path: str | Path) -> Path:
    """A path with the home folder that `~` stands for, where no shell has put it in.

    Args:
        key: What the path is called in messages.
        path: The path.

    Raises:
        UserError: If there is no such folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{key}: {str(path)!r} names a home folder that does not exist. Write the path out.") from None


def _absolute(key: str, path: str) -> str:
    try:
        return str(home_path(key, path).resolve())
    except ValueError as error:
        raise UserError(f"{key}: {path!r} is not a path ({error}). Fix it.") from None


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set takes section.key=value, but is {override!r}. Example: --set search.n_splits=10")
    value = _toml_or_text(text)
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):  # a shell took the quotes
        value = [_toml_or_text(item) for item in value[1:-1].split(",")]
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: {section} is a value, not a section. Use section.key=value.")
    content[last] = value


def _toml_or_text(text: str) -> Any:
    """The value that a text is in TOML; the text itself where it is none."""
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except (RecursionError, ValueError):  # not TOML, or more than one value
        return text.strip()
    return value
