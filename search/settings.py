"""The settings of a search, as one frozen record that is checked once, when it is made."""

import re
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from ae_model.configuration import ACTIVATION_NAMES, ACTIVATION_RANGES, PCA_OUTPUTS


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
_Part = Annotated[float, Field(ge=0, lt=1)]
_Strength = Annotated[float, Field(ge=0, le=100)]


class LogUniform(_Section):
    """A range of learning rates from which `algorithm = "random"` draws log-uniformly."""

    low: _LearningRate
    """The lower end, greater than 0."""
    high: _LearningRate
    """The upper end, greater than `low`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, but they are {self.low} and {self.high}")
        return self


ARRAY_SOURCE = "array"
"""What `data.source` is where the samples came from Python and are in no file; a file of that name is ./array."""


class DataSettings(_Section):
    """Where the samples come from."""

    source: Annotated[str, Field(min_length=1)] = "digits"
    """The name of a data set, or the path of a file or folder."""
    data_dir: str = "data"
    """Where torchvision's data sets lie."""
    download: StrictBool = True
    """Whether torchvision may download what is not there."""
    test_fraction: _Fraction = 0.2
    """The part of the samples that is held out as the test set, where the source has no test split of its own."""
    max_samples: Annotated[int, Field(ge=4)] | None = None
    """Upper limit for the number of development samples."""
    label_column: str | None = None
    """The column of a table that is a label, not a feature."""
    header: StrictBool | None = None
    """Whether the first line of a .csv file names the columns; decided by what it holds, if missing."""
    scaling: Literal["range", "standard", "robust", "none"] | None = None
    """How features are scaled, as `fit_scaling` explains it; if None, images by "range", and tables by "standard" where
    the output activation has no limits."""


class BottleneckSettings(_Section):
    """Which code sizes are searched."""

    explained_variance: Annotated[
        list[Annotated[float, Field(gt=0, le=1)]], BeforeValidator(_as_list), Field(min_length=1)
    ] = [0.95]
    """Fractions of the variance; the code size for each is the number of principal components that explain it."""
    code_sizes: Annotated[list[_Width], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    """The code sizes themselves; `explained_variance` is then not used."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.code_sizes is not None and "explained_variance" in self.model_fields_set:
            raise ValueError("takes either explained_variance or code_sizes, but both are given")
        return self


class SpaceSettings(_Section):
    """What is searched: every combination of these settings."""

    hidden: (
        Annotated[list[Annotated[str, BeforeValidator(_hidden_text)]], BeforeValidator(_as_list), Field(min_length=1)]
        | None
    ) = None
    """The hidden layers between input and code: each entry is a text like "128-64", or "" for none. If missing, what
    `default_hidden` makes of the code size."""
    depth: (
        Annotated[list[Annotated[int, Field(ge=0, le=10)]], BeforeValidator(_as_list), Field(min_length=1)] | None
    ) = None
    """Numbers of hidden layers; together with `widths`, they replace `hidden` by every combination."""
    widths: Annotated[list[_Width], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    """The widths that a hidden layer may have; goes with `depth`."""
    non_increasing: StrictBool = False
    """Whether no layer may be wider than the one before it; goes with `depth` and `widths`."""
    hidden_activation: Annotated[list[_Activation], BeforeValidator(_as_list), Field(min_length=1)] = ["relu"]
    """The activations of hidden layers, in encoder and decoder."""
    code_activation: Annotated[list[_Activation], BeforeValidator(_as_list), Field(min_length=1)] = ["linear"]
    """The activations of the code."""
    init: Annotated[list[Literal["pca", "random"]], BeforeValidator(_as_list), Field(min_length=1)] = ["pca", "random"]
    """Where training starts: "random" weights, or "pca", weights that reconstruct as PCA of the training rows does.
    "random" alone by default with an output activation that no start at PCA is known for."""
    output_activation: _Activation = "linear"
    """The activation of the decoder's output; its values must cover those of the scaled data, see `data.scaling`."""
    learning_rate: (
        Annotated[
            Annotated[LogUniform, Tag("range")]
            | Annotated[list[_LearningRate], BeforeValidator(_as_list), Field(min_length=1), Tag("values")],
            Discriminator(lambda value: "range" if isinstance(value, dict | LogUniform) else "values"),
        ]
        | None
    ) = None
    """Adam's learning rate: a value, a list of values, or a range `{low, high}`. If missing, what
    `default_learning_rate` makes of the number of features."""
    batch_size: Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_as_list), Field(min_length=1)] = [64]
    """Samples per training step."""
    weight_decay: Annotated[list[_Strength], BeforeValidator(_as_list), Field(min_length=1)] = [0.0]
    """The decoupled decay of all parameters, as in AdamW."""
    learning_rate_schedule: Annotated[
        list[Literal["constant", "cosine", "one-cycle"]], BeforeValidator(_as_list), Field(min_length=1)
    ] = ["constant"]
    """How the learning rate changes from step to step; a schedule is as long as the search's epochs."""
    dropout: Annotated[list[_Part], BeforeValidator(_as_list), Field(min_length=1)] = [0.0]
    """The probability with which a unit of a hidden layer is dropped in training."""
    noise_std: Annotated[list[_Strength], BeforeValidator(_as_list), Field(min_length=1)] = [0.0]
    """The standard deviation of noise that is added to the input in training, in scaled units."""
    mask_fraction: Annotated[list[_Part], BeforeValidator(_as_list), Field(min_length=1)] = [0.0]
    """The part of the input's features that is set to 0 in training."""

    @model_validator(mode="before")
    @classmethod
    def _start_that_is_known(cls, given: Any) -> Any:
        if isinstance(given, dict) and "init" not in given and given.get("output_activation") in ACTIVATION_NAMES:
            return given if given["output_activation"] in PCA_OUTPUTS else {**given, "init": ["random"]}
        return given

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.depth is None) != (self.widths is None):
            missing = "depth" if self.depth is None else "widths"
            raise ValueError(f"depth and widths belong together, but {missing} is missing")
        if self.depth is not None and self.hidden is not None:
            raise ValueError("takes either hidden or depth and widths, but both are given")
        if self.depth is None and self.non_increasing:
            raise ValueError("non_increasing belongs to depth and widths, but they are missing")
        if "pca" in self.init and self.output_activation not in PCA_OUTPUTS:
            raise ValueError(
                f'init = "pca" needs output_activation {" or ".join(map(repr, PCA_OUTPUTS))}, '
                f"but it is {self.output_activation!r}"
            )
        return self


class SearchSection(_Section):
    """How the space is searched, and how a configuration is evaluated."""

    algorithm: Literal["grid", "random"] = "grid"
    """Whether all configurations are tried, or a random sample of them."""
    target_fve: Annotated[list[_Fraction], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    """With "smallest-code": the fractions of variance that the code is to explain in cross-validation."""
    pruning: Literal["none", "halving"] = "none"
    """Whether trials that will not win are given up on the way, as `search.rounds.halving` does it."""
    reduction_factor: Annotated[float, Field(gt=1, le=100)] = 2.0
    """With "halving": one trial in so many goes on after a rung, and the next rung is so many times as far."""
    grace_period: Annotated[int, Field(ge=1)] | None = None
    """With "halving": the epoch of the first rung; a twenty-seventh of the epochs if missing."""
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds of training after which the search ends, at the end of the running epochs, all runs of it together."""
    max_fold_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs of single folds after which the search ends, those of all trials together."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """How often the cross-validation is made, each time with other folds and weights."""
    repeat_top: Annotated[int, Field(ge=1)] | None = None
    """How many of the best trials are repeated; all that finish if missing."""
    num_samples: Annotated[int, Field(ge=1)] | None = None
    """How many configurations "random" draws."""
    n_splits: Annotated[int, Field(ge=2)] = 5
    """The number of folds of the cross-validation."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """How many steps each configuration is trained for at most, in each fold; 2,000 if `max_epochs` is missing too."""
    max_epochs: Annotated[int, Field(ge=1)] | None = None
    """How many epochs each configuration is trained for at most; its result is that of its best epoch."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """How many epochs a configuration may go without a gain before it is trained no further. If missing, a quarter of
    its epochs; none, where `max_epochs` is given."""
    min_gain: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """By what part of the lowest mean validation MSE so far another must be lower to be a gain."""
    fp32_precision: Literal["tf32", "ieee"] = "tf32"
    """The precision of matrix products on a GPU: "tf32" is faster, "ieee" is float32 throughout."""


class ResourceSettings(_Section):
    """What each trial gets."""

    cpus_per_trial: Annotated[int, Field(ge=1)] = 1
    """CPUs of a trial, and the number of its threads."""
    gpus_per_trial: Annotated[float, Field(ge=0), AfterValidator(_whole_above_one)] | None = None
    """GPUs of a trial, which may be a fraction; if None, 1 where Ray sees a GPU and 0 elsewhere."""
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    """How many trials may run at once; as many as the resources allow if None."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often a trial is started again after its worker or node was lost."""
    checkpoint_every_s: Annotated[float, Field(ge=0)] = 60
    """The least seconds between two checkpoints of a trial: about what a lost worker, node or driver costs it."""
    storage_path: str | None = None
    """Where checkpoints lie: a path or URI that all nodes see; in the search's own folder if None."""


class SelectionSettings(_Section):
    """How the winner is chosen."""

    rule: Literal["best", "one-se", "smallest-code"] = "best"
    """The rule, as `select_winner` explains it."""


class SearchSettings(_Section):
    """All settings of a search; every default is that of `ae-search run` without arguments."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of splits, folds, initial weights, batch orders, dropout, noise, mask and random configurations."""
    data: DataSettings = DataSettings()
    bottleneck: BottleneckSettings = BottleneckSettings()
    space: SpaceSettings = SpaceSettings()
    search: SearchSection = SearchSection()
    resources: ResourceSettings = ResourceSettings()
    selection: SelectionSettings = SelectionSettings()

    @model_validator(mode="after")
    def _output_can_be_what_the_data_is(self) -> Self:
        name, scaling = self.space.output_activation, self.data.scaling
        low, high = ACTIVATION_RANGES[name]
        values = f"values from {low:g} to {'infinity' if high == inf else f'{high:g}'}"
        if scaling in (None, "range"):
            fitting = [fit for fit, (low, high) in ACTIVATION_RANGES.items() if low <= -1 and high >= 1]
            if name not in fitting:
                raise ValueError(
                    f"space.output_activation: must be one of {', '.join(fitting)}, whose values cover [-1, 1], "
                    f"but is {name!r} with {values}"
                )
        elif (low, high) != (-inf, inf):
            fitting = [f'"{fit}"' for fit, limits in ACTIVATION_RANGES.items() if limits == (-inf, inf)]
            way_out = ', or scaling = "range"' if low <= -1 and high >= 1 else ""
            raise ValueError(
                f'space.output_activation = "{name}" has {values}, but data.scaling = "{scaling}" has no limits. '
                f"Use output_activation = {' or '.join(fitting)}{way_out}"
            )
        return self

    @model_validator(mode="after")
    def _random_needs_a_number(self) -> Self:
        if self.search.algorithm == "random" and self.search.num_samples is None:
            raise ValueError('search.num_samples must be given with search.algorithm = "random"')
        if self.search.algorithm == "grid" and self.search.num_samples is not None:
            raise ValueError('search.num_samples belongs to search.algorithm = "random", but the algorithm is "grid"')
        if self.search.algorithm == "grid" and isinstance(self.space.learning_rate, LogUniform):
            raise ValueError('space.learning_rate as a range needs search.algorithm = "random", but it is "grid"')
        return self
