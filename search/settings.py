"""The settings of a search: parsed and checked once, from TOML and `--set`, before anything else happens."""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationError,
    model_validator,
)

from ae_model.configuration import ACTIVATION_NAMES
from ae_model.data import NAMED_SOURCES


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, list | tuple) else [value]


def _hidden_text(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(r"([1-9]\d{0,6}(-[1-9]\d{0,6})*)?", value):
        raise ValueError(f'must be widths joined by "-", like "128-64", or "" for no hidden layer, but is {value!r}')
    return value


def _whole_above_one(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError(f"must be a fraction of one GPU or a whole number, but is {value}")
    return value


def _activation_name(value: object) -> object:
    if not isinstance(value, str) or value not in ACTIVATION_NAMES:
        raise ValueError(f"must be one of {', '.join(ACTIVATION_NAMES)}, but is {value!r}")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


_Fraction = Annotated[float, Field(gt=0, lt=1)]
_Width = Annotated[int, Field(ge=1, le=10**7)]
_LearningRate = Annotated[float, Field(gt=0, le=10)]
_Activation = Annotated[str, BeforeValidator(_activation_name)]


class LogUniform(_Section):
    """A range of learning rates from which `algorithm = "random"` draws log-uniformly."""

    low: _LearningRate
    high: _LearningRate

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, but they are {self.low} and {self.high}")
        return self


class DataSettings(_Section):
    """Where the samples come from."""

    source: Annotated[str, Field(min_length=1)] = "digits"
    """A named source, or the path of a file or folder."""
    data_dir: str = "data"
    """Where torchvision's data sets lie."""
    download: StrictBool = True
    """Whether torchvision may download what is not there."""
    test_fraction: _Fraction = 0.2
    """Held out where the source has no test split of its own."""
    max_samples: Annotated[int, Field(ge=4)] | None = None
    """Upper limit for the development samples."""
    label_column: str | None = None
    """Column of a table that is no feature."""


class BottleneckSettings(_Section):
    """Which code sizes are searched."""

    explained_variance: Annotated[
        list[Annotated[float, Field(gt=0, le=1)]], BeforeValidator(_as_list), Field(min_length=1)
    ] = [0.95]
    """One code size for each: PCA's number of components for that fraction of the variance."""
    code_sizes: Annotated[list[_Width], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    """Code sizes themselves; `explained_variance` is then not used."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.code_sizes is not None and "explained_variance" in self.model_fields_set:
            raise ValueError("takes either explained_variance or code_sizes, but both are given")
        return self


class SpaceSettings(_Section):
    """What is searched: every combination of these."""

    hidden: Annotated[
        list[Annotated[str, BeforeValidator(_hidden_text)]], BeforeValidator(_as_list), Field(min_length=1)
    ] = ["", "64", "128", "256", "128-64"]
    """Hidden layers between input and code, each a text like "128-64", "" for none."""
    depth: (
        Annotated[list[Annotated[int, Field(ge=0, le=10)]], BeforeValidator(_as_list), Field(min_length=1)] | None
    ) = None
    """Numbers of hidden layers; with `widths`, replaces `hidden` by every combination."""
    widths: Annotated[list[_Width], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    """Widths that a hidden layer may have."""
    non_increasing: StrictBool = False
    """With depth and widths: no layer wider than the one before it."""
    hidden_activation: Annotated[list[_Activation], BeforeValidator(_as_list), Field(min_length=1)] = ["relu"]
    code_activation: Annotated[list[_Activation], BeforeValidator(_as_list), Field(min_length=1)] = ["relu", "linear"]
    output_activation: _Activation = "tanh"
    learning_rate: Annotated[
        Annotated[LogUniform, Tag("range")]
        | Annotated[list[_LearningRate], BeforeValidator(_as_list), Field(min_length=1), Tag("values")],
        Discriminator(lambda value: "range" if isinstance(value, dict | LogUniform) else "values"),
    ] = [1e-3]
    """Adam's: a value, a list, or `{low, high}`."""
    batch_size: Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_as_list), Field(min_length=1)] = [64]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.depth is None) != (self.widths is None):
            missing = "depth" if self.depth is None else "widths"
            raise ValueError(f"depth and widths belong together, but {missing} is missing")
        if self.depth is not None and "hidden" in self.model_fields_set:
            raise ValueError("takes either hidden or depth and widths, but both are given")
        if self.depth is None and self.non_increasing:
            raise ValueError("non_increasing belongs to depth and widths, but they are missing")
        return self


class SearchSection(_Section):
    """How the space is searched and how a configuration is evaluated."""

    algorithm: Literal["grid", "random"] = "grid"
    num_samples: Annotated[int, Field(ge=1)] | None = None
    """Configurations that "random" draws."""
    n_splits: Annotated[int, Field(ge=2)] = 5
    max_epochs: Annotated[int, Field(ge=1)] = 100
    fp32_precision: Literal["tf32", "ieee"] = "tf32"
    """Of matrix products on a GPU: "tf32" is faster, "ieee" is float32 throughout; no effect on a CPU."""


class ResourceSettings(_Section):
    """What each trial gets."""

    cpus_per_trial: Annotated[int, Field(ge=1)] = 1
    """Also the number of threads of a trial."""
    gpus_per_trial: Annotated[float, Field(ge=0), AfterValidator(_whole_above_one)] | None = None
    """May be a fraction; if missing, 1 where Ray sees a GPU and 0 elsewhere."""
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    """As many as the resources allow, if missing."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often a trial is started again after its worker or node was lost."""
    checkpoint_every_s: Annotated[float, Field(ge=0)] = 60
    """Least seconds between two checkpoints of a trial: about what a lost worker, node or driver costs it."""
    storage_path: str | None = None
    """Where the checkpoints lie: a path or URI that all nodes see; the search's own folder if missing."""


class SelectionSettings(_Section):
    """How the winner is chosen."""

    rule: Literal["best", "one-se", "smallest-code"] = "best"


class SearchSettings(_Section):
    """All settings of a search; every default is that of `ae-search run` without arguments."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: DataSettings = DataSettings()
    bottleneck: BottleneckSettings = BottleneckSettings()
    space: SpaceSettings = SpaceSettings()
    search: SearchSection = SearchSection()
    resources: ResourceSettings = ResourceSettings()
    selection: SelectionSettings = SelectionSettings()

    @model_validator(mode="after")
    def _random_needs_a_number(self) -> Self:
        if self.search.algorithm == "random" and self.search.num_samples is None:
            raise ValueError('search.num_samples must be given with search.algorithm = "random"')
        if self.search.algorithm == "grid" and self.search.num_samples is not None:
            raise ValueError('search.num_samples belongs to search.algorithm = "random", but the algorithm is "grid"')
        if self.search.algorithm == "grid" and isinstance(self.space.learning_rate, LogUniform):
            raise ValueError('space.learning_rate as a range needs search.algorithm = "random", but it is "grid"')
        return self


def load_settings(path: str | Path | None = None, overrides: Sequence[str] = ()) -> SearchSettings:
    """Settings from a TOML file, with overrides laid over it.

    Args:
        path: The file; all defaults if None.
        overrides: Texts `section.key=value`, the value written as in TOML; quotes around a text may be left out.

    Raises:
        ValueError: If the file is missing or no TOML, a key unknown, or a value wrong; one line that names it.
    """
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ValueError(f"{path}: no such settings file. Check the path.") from error
        except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
            advice = "Mend the file." if Path(path).suffix == ".toml" else "Give data with --data SOURCE."
            raise ValueError(f"{path}: cannot be read as settings in TOML ({error}). {advice}") from error
    for override in overrides:
        _apply_override(content, override)
    return parse_settings(content)


def parse_settings(content: Mapping[str, Any]) -> SearchSettings:
    """Settings from nested mappings, as TOML gives them.

    Raises:
        ValueError: If a key is unknown or a value is wrong; one line that names it and says what to do.
    """
    try:
        settings = SearchSettings.model_validate(content)
    except ValidationError as error:
        raise ValueError(_message(error)) from None
    return _with_absolute_paths(settings)


def to_toml(settings: SearchSettings) -> str:
    """All settings as TOML; `load_settings` reads them back as they were."""
    content = settings.model_dump(exclude_none=True)
    if settings.bottleneck.code_sizes is not None:
        del content["bottleneck"]["explained_variance"]
    if settings.space.depth is not None:
        del content["space"]["hidden"]
    return tomli_w.dumps(content)


def search_settings(directory: str | Path) -> SearchSettings:
    """The settings a search was last run with.

    Raises:
        ValueError: If the directory is no search's.
    """
    return load_settings(Path(directory) / "settings.toml")


def _with_absolute_paths(settings: SearchSettings) -> SearchSettings:
    """Paths mean the same wherever the next command is run; names of data sets and addresses of stores stay."""
    data, resources = settings.data, settings.resources
    if data.source not in NAMED_SOURCES:
        data = data.model_copy(update={"source": _absolute("data.source", data.source)})
    if resources.storage_path is not None and "://" not in resources.storage_path:
        path = _absolute("resources.storage_path", resources.storage_path)
        resources = resources.model_copy(update={"storage_path": path})
    return settings.model_copy(update={"data": data, "resources": resources})


def _absolute(key: str, path: str) -> str:
    try:
        return str(Path(path).expanduser().resolve())
    except RuntimeError:
        raise ValueError(f"{key}: {path!r} names a home folder that does not exist. Write the path out.") from None
    except ValueError as error:
        raise ValueError(f"{key}: {path!r} is no path ({error}). Mend it.") from None


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ValueError(f"--set takes section.key=value, but got {override!r}. Example: --set search.n_splits=10")
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except (RecursionError, ValueError):  # no TOML, or more than a value
        value = text.strip()
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ValueError(f"--set {override}: {section} is a value, not a section. Use section.key=value.")
    content[last] = value


def _message(error: ValidationError) -> str:
    """The weightiest of pydantic's complaints as one line: key, what is wrong, what to do."""
    errors = error.errors(include_url=False)
    unknown = [e for e in errors if e["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]
    path = [str(part) for part in first["loc"] if not isinstance(part, int)]
    if path[:2] == ["space", "learning_rate"]:
        path[2:3] = []  # which of its two forms it takes
    key = ".".join(path)
    if unknown:
        known = _known_keys(path[:-1])
        meant = _settings_called(path[-1]) or difflib.get_close_matches(path[-1], known, n=1)
        hint = f"Did you mean {meant[0]}?" if meant else f"Known here: {', '.join(known)}."
        return f"{key}: unknown setting. {hint}"
    remedy = f"Change it in the settings file or with --set{f' {key}=VALUE' if '.' in key else ''}."
    if first["type"] == "missing":
        return f"{key}: is missing. Give it in the settings file or with --set."
    if first["type"] in ("model_type", "model_attributes_type"):
        return f"{key}: must be a section with keys, but is {first['input']!r}. {remedy}"
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if first["type"] == "value_error":
        return f"{key + ': ' if key else ''}{text}. {remedy}"
    return f"{key}: {text[0].lower()}{text[1:]}, but is {first['input']!r}. {remedy}"


def _settings_called(name: str) -> list[str]:
    """Settings of that name, wherever they belong."""
    keys = [key for key in SearchSettings.model_fields if key == name]
    for section, field in SearchSettings.model_fields.items():
        if name in getattr(field.annotation, "model_fields", ()):
            keys.append(f"{section}.{name}")
    return keys


def _known_keys(path: Sequence[str]) -> list[str]:
    model: Any = SearchSettings
    for part in path:
        field = model.model_fields.get(part)
        model = LogUniform if part == "learning_rate" else field.annotation
    return list(model.model_fields)
