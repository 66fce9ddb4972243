"""What is wrong with settings, in one line: pydantic's complaints, in the words of those who write settings."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ae_model.errors import UserError
from search.settings import Range, SearchSettings


def checked_settings(content: Mapping[str, Any]) -> SearchSettings:
    """Settings from nested mappings.

    Raises:
        UserError: If a key is unknown or a value is wrong. The message is one line, which names the key and says what
            to do.
    """
    try:
        return SearchSettings.model_validate(content)
    except ValidationError as error:
        raise UserError(_message(error)) from None


def _message(error: ValidationError) -> str:
    """The weightiest of pydantic's complaints as one line: the key, what is wrong, and what to do."""
    errors = error.errors(include_url=False)
    unknown = [e for e in errors if e["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]
    path = [str(part) for part in first["loc"] if not isinstance(part, int)]
    if path[2:3] in (["range"], ["values"]):
        path[2:3] = []  # which of its two forms a setting takes
    if unknown:
        return _unknown_key(path)
    key = ".".join(path)
    remedy = f"Change it in the settings file or with --set{f' {key}=VALUE' if '.' in key else ''}."
    if first["type"] == "missing":
        return f"{key}: is missing. Give it in the settings file or with --set."
    if first["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: must be a section with keys, but is {first['input']!r}. {remedy}"
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if first["type"] == "value_error":
        return f"{key + ': ' if key else ''}{text}. {remedy}"
    return f"{key}: {text[0].lower()}{text[1:]}, but is {first['input']!r}. {remedy}"


def _unknown_key(path: Sequence[str]) -> str:
    known = _known_keys(path[:-1])
    meant = _settings_called(path[-1]) or difflib.get_close_matches(path[-1], known, n=1)
    hint = f"Did you mean {meant[0]}?" if meant else f"Known here: {', '.join(known)}."
    return f"{'.'.join(path)}: unknown setting. {hint}"


def _settings_called(name: str) -> list[str]:
    """All settings of that name, with the sections that they belong to."""
    keys = [key for key in SearchSettings.model_fields if key == name]
    for section, field in SearchSettings.model_fields.items():
        if name in getattr(field.annotation, "model_fields", ()):
            keys.append(f"{section}.{name}")
    return keys


def _known_keys(path: Sequence[str]) -> list[str]:
    model: Any = SearchSettings
    for level, part in enumerate(path):
        model = Range if level else model.model_fields[part].annotation  # what has keys in a section is a range
    return list(model.model_fields)
