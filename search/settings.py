"""The settings of a search, as one frozen record that is checked once, when it is made."""

import re
from math import inf
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

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


def _column_name(value: object) -> object:
    """A name, also where it is a number, such as a wavelength, which stands without quotes."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


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


def _address(value: str) -> str:
    if "://" not in value:
        raise ValueError(
            'must be the address of a server, like "http://localhost:5000", or of a store, like "sqlite:///mlflow.db", '
            f"but is {value!r}"
        )
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


_Fraction = Annotated[float, Field(gt=0, lt=1)]
_Gpus = Annotated[
    Annotated[float, Field(ge=0), AfterValidator(_whole_above_one), Tag("number")]
    | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(lambda value: "auto" if isinstance(value, str) else "number"),
]
_Name = Annotated[str, BeforeValidator(_column_name)]
_Width = Annotated[int, Field(ge=1, le=10**7)]
_Depth = Annotated[int, Field(ge=0, le=10)]
_Batch = Annotated[int, Field(ge=1)]
_LearningRate = Annotated[float, Field(gt=0, le=10)]
_Activation = Annotated[str, BeforeValidator(_activation_name)]
_Part = Annotated[float, Field(ge=0, lt=1)]
_Strength = Annotated[float, Field(ge=0, le=100)]
_PositiveStrength = Annotated[float, Field(gt=0, le=100)]  # whose logarithm is a number

_Number = TypeVar("_Number", int, float)
_Value = TypeVar("_Value")


class Range(_Section, Generic[_Number]):
    """All values from `low` to `high`, from which `algorithm = "random"` draws and "tpe" chooses."""

    low: _Number
    """The lower end, which may be drawn."""
    high: _Number
    """The upper end, which may be drawn; greater than `low`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, but they are {self.low} and {self.high}")
        return self


class Uniform(Range[_Number]):
    """A range in which every value is as likely as another."""


class LogUniform(Range[_Number]):
    """A range of values > 0 in which the logarithm is drawn uniformly: each doubling is as likely as another."""


_Listed = Annotated[list[_Value], BeforeValidator(_as_list), Field(min_length=1)]
"""A list of values, or a value that stands for a list of one."""
_RANGE, _LISTED = Tag("range"), Tag("values")
_RANGE_OR_LISTED = Discriminator(lambda value: "range" if isinstance(value, dict | Range) else "values")


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
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """The part of the samples that is held out as the test set, where the source has no test split of its own; with 0
    all are searched, and the winner is not evaluated."""
    max_samples: Annotated[int, Field(ge=4)] | None = None
    """Upper limit for the number of development samples."""
    label_column: _Name | None = None
    """The column of a table that is a label, not a feature."""
    ignore_columns: Annotated[list[_Name], BeforeValidator(_as_list)] = []
    """Columns of a table that are neither, such as ids and times."""
    inlier_labels: _Listed[StrictBool | str | int | float] | None = None
    """Labels of the samples to search, where samples with others are anomalies; all samples if missing."""
    header: StrictBool | None = None
    """Whether the first line of a .csv file names the columns; decided by what it holds, if missing."""
    scaling: Literal["range", "standard", "robust", "none"] | None = None
    """How features are scaled, as `fit_scaling` explains it; if None, images by "range", and tables by "standard" where
    the output activation has no limits."""


class BottleneckSettings(_Section):
    """Which code sizes are searched."""

    explained_variance: _Listed[Annotated[float, Field(gt=0, le=1)]] = [0.95]
    """Fractions of the variance; the code size for each is the number of principal components that explain it."""
    code_sizes: (
        Annotated[Annotated[LogUniform[_Width], _RANGE] | Annotated[_Listed[_Width], _LISTED], _RANGE_OR_LISTED] | None
    ) = None
    """The code sizes themselves, or a range `{low, high}`; `explained_variance` is then not used."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.code_sizes is not None and "explained_variance" in self.model_fields_set:
            raise ValueError("takes either explained_variance or code_sizes, but both are given")
        return self


class SpaceSettings(_Section):
    """What is searched: every combination of these settings, or configurations drawn or chosen from them."""

    hidden: _Listed[Annotated[str, BeforeValidator(_hidden_text)]] | None = None
    """The hidden layers between input and code: each entry is a text like "128-64", or "" for none. If missing, what
    `default_hidden` makes of the code size."""
    depth: (
        Annotated[Annotated[Uniform[_Depth], _RANGE] | Annotated[_Listed[_Depth], _LISTED], _RANGE_OR_LISTED] | None
    ) = None
    """Numbers of hidden layers, or a range `{low, high}`; together with `widths`, they replace `hidden` by every
    combination."""
    widths: (
        Annotated[Annotated[LogUniform[_Width], _RANGE] | Annotated[_Listed[_Width], _LISTED], _RANGE_OR_LISTED] | None
    ) = None
    """The widths that a hidden layer may have, or a range `{low, high}`; goes with `depth`."""
    non_increasing: StrictBool = False
    """Whether no layer may be wider than the one before it; goes with `depth` and `widths`."""
    hidden_activation: _Listed[_Activation] = ["relu"]
    """The activations of hidden layers, in encoder and decoder."""
    code_activation: _Listed[_Activation] = ["linear"]
    """The activations of the code."""
    init: _Listed[Literal["pca", "random"]] = ["pca", "random"]
    """Where training starts: "random" weights, or "pca", weights that reconstruct as PCA of the training rows does.
    "random" alone by default with an output activation that no start at PCA is known for."""
    output_activation: _Activation | None = None
    """The activation of the decoder's output; its values must cover those of the scaled data, see `data.scaling`. If
    missing, linear, or tanh for images where it takes away much of PCA's error, as `with_output` explains it."""
    learning_rate: (
        Annotated[
            Annotated[LogUniform[_LearningRate], _RANGE] | Annotated[_Listed[_LearningRate], _LISTED], _RANGE_OR_LISTED
        ]
        | None
    ) = None
    """Adam's learning rate: a value, a list of values, or a range `{low, high}`. If missing, what
    `default_learning_rate` makes of the number of features."""
    batch_size: Annotated[
        Annotated[LogUniform[_Batch], _RANGE] | Annotated[_Listed[_Batch], _LISTED], _RANGE_OR_LISTED
    ] = [64]
    """Samples per training step, or a range `{low, high}`."""
    weight_decay: Annotated[
        Annotated[LogUniform[_PositiveStrength], _RANGE] | Annotated[_Listed[_Strength], _LISTED], _RANGE_OR_LISTED
    ] = [0.0]
    """The decoupled decay of all parameters, as in AdamW, or a range `{low, high}`."""
    learning_rate_schedule: _Listed[Literal["constant", "cosine", "one-cycle"]] = ["constant"]
    """How the learning rate changes from step to step; a schedule is as long as the search's epochs."""
    dropout: _Listed[_Part] = [0.0]
    """The probability with which a unit of a hidden layer is dropped in training."""
    noise_std: _Listed[_Strength] = [0.0]
    """The standard deviation of noise that is added to the input in training, in scaled units."""
    mask_fraction: _Listed[_Part] = [0.0]
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
        if "pca" in self.init and (self.output_activation or "linear") not in PCA_OUTPUTS:
            raise ValueError(
                f'init = "pca" needs output_activation {" or ".join(map(repr, PCA_OUTPUTS))}, '
                f"but it is {self.output_activation!r}"
            )
        return self


class SearchSection(_Section):
    """How the space is searched, and how a configuration is evaluated."""

    algorithm: Literal["grid", "random", "tpe", "smallest-code"] = "grid"
    """Whether all configurations are tried, a random sample of them, those that a tree-structured Parzen estimator
    suggests, as `search.tpe.suggest` explains it, or those that tell how small a code does for `target_fve`."""
    target_fve: Annotated[list[_Fraction], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    """With "smallest-code": the fractions of variance that the code is to explain in cross-validation."""
    pruning: Literal["none", "halving"] = "none"
    """Whether trials that will not win are given up on the way, as `search.rounds.halving` does it."""
    reduction_factor: Annotated[float, Field(gt=1, le=100)] = 2.0
    """With "halving": one trial in so many goes on after a rung, and the next rung is so many times as far."""
    grace_period: Annotated[int, Field(ge=1)] | None = None
    """With "halving": the epoch of the first rung; a twenty-seventh of the epochs if missing, but three at least."""
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds of training after which the search ends, at the end of the running epochs, all runs of it together."""
    max_fold_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs of single folds after which the search ends, those of all trials together."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """How often the cross-validation is made, each time with other folds and weights."""
    repeat_top: Annotated[int, Field(ge=1)] | None = None
    """How many of the best trials are repeated; all that finish if missing."""
    num_samples: Annotated[int, Field(ge=1)] | None = None
    """How many configurations "random" draws, and "tpe" suggests."""
    batch_trials: Annotated[int, Field(ge=1)] = 8
    """How many configurations "tpe" suggests at a time, before it learns what they give."""
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
    gpus_per_trial: _Gpus | None = None
    """GPUs of a trial, which may be a fraction; if None, 1 where Ray sees a GPU and 0 elsewhere. With "auto", as small
    a part of one as a trial needs by its memory, which the first is measured for."""
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    """How many trials may run at once; as many as the resources allow if None."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often a trial is started again after its worker or node was lost."""
    checkpoint_every_s: Annotated[float, Field(ge=0)] = 60
    """The least seconds between two checkpoints of a trial: about what a lost worker, node or driver costs it."""
    startup_timeout_s: Annotated[float, Field(ge=0)] = 900
    """How many seconds to wait for a node of the cluster that can hold a trial, where none can."""
    storage_path: str | None = None
    """Where checkpoints lie: a path or URI that all nodes see; in the search's own folder if None."""


RuleName = Literal["best", "one-se", "smallest-code", "target-fve", "best-probe"]
"""How a winner is chosen, as `select_winner` explains it."""


class SelectionSettings(_Section):
    """How the winner is chosen."""

    rule: RuleName = "best"
    """The rule, as `select_winner` explains it."""
    target_fve: _Fraction | None = None
    """The fraction of variance that the winner by "target-fve" explains in cross-validation."""

    @model_validator(mode="after")
    def _target_is_known(self) -> Self:
        if self.rule == "target-fve" and self.target_fve is None:
            raise ValueError('rule = "target-fve" needs target_fve, the fraction of variance to reach, like 0.95')
        return self


class TrackingSettings(_Section):
    """Which other programs a search is written for, while it runs."""

    tensorboard: StrictBool = False
    """Whether event files of TensorBoard are written into the search's folder."""
    mlflow: Annotated[str, AfterValidator(_address)] | None = None
    """The address of an MLflow server, or of a store such as sqlite:///mlflow.db."""


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
    tracking: TrackingSettings = TrackingSettings()

    @property
    def selection_rule(self) -> tuple[RuleName, float | None]:
        """The rule by which the winner is chosen, and its target: a search for the smallest code is about its own."""
        if self.search.target_fve is not None and self.selection.rule == "best":
            return "target-fve", self.search.target_fve[0]
        return self.selection.rule, self.selection.target_fve

    @model_validator(mode="after")
    def _output_can_be_what_the_data_is(self) -> Self:
        name, scaling = self.space.output_activation or "linear", self.data.scaling
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
    def _number_of_configurations(self) -> Self:
        search, algorithm = self.search, self.search.algorithm
        if algorithm == "random" and search.num_samples is None:
            raise ValueError('search.num_samples must be given with search.algorithm = "random"')
        if algorithm == "tpe" and (search.num_samples, search.time_budget_s, search.max_fold_epochs) == (None,) * 3:
            raise ValueError(
                "search.num_samples, search.time_budget_s or search.max_fold_epochs must be given with "
                'search.algorithm = "tpe", or it would never end'
            )
        if algorithm not in ("random", "tpe") and search.num_samples is not None:
            raise ValueError(
                'search.num_samples belongs to search.algorithm = "random" or "tpe", but the algorithm is '
                f'"{algorithm}"'
            )
        if algorithm != "tpe" and search.batch_trials != SearchSection.model_fields["batch_trials"].default:
            raise ValueError(
                f'search.batch_trials belongs to search.algorithm = "tpe", but the algorithm is "{algorithm}"'
            )
        return self

    @model_validator(mode="after")
    def _smallest_code(self) -> Self:
        search = self.search
        if search.algorithm == "smallest-code":
            if search.target_fve is None:
                raise ValueError('search.target_fve must be given with search.algorithm = "smallest-code"')
            if self.bottleneck.code_sizes is not None:
                raise ValueError(
                    'bottleneck.code_sizes must be left out with search.algorithm = "smallest-code", which finds them'
                )
            if search.pruning != "none":
                raise ValueError(
                    'search.pruning must be "none" with search.algorithm = "smallest-code": '
                    "every code size that it asks for must have its result"
                )
        elif search.target_fve is not None:
            raise ValueError(
                'search.target_fve belongs to search.algorithm = "smallest-code", but the algorithm is '
                f'"{search.algorithm}"'
            )
        return self

    @model_validator(mode="after")
    def _halving(self) -> Self:
        search = self.search
        if search.pruning == "none":
            for name in ("reduction_factor", "grace_period"):
                if getattr(search, name) != SearchSection.model_fields[name].default:
                    raise ValueError(f'search.{name} belongs to search.pruning = "halving", but pruning is "none"')
        elif set(self.space.learning_rate_schedule) != {"constant"}:
            raise ValueError(
                'space.learning_rate_schedule must be "constant" with search.pruning = "halving": '
                "what a schedule is like on its way says little of its end"
            )
        if search.repeat_top is not None and search.repeats == 1:
            raise ValueError("search.repeat_top needs search.repeats above 1")
        return self

    @model_validator(mode="after")
    def _no_grid_of_ranges(self) -> Self:
        for name, section in (("bottleneck", self.bottleneck), ("space", self.space)):
            for key, value in section:
                if self.search.algorithm not in ("random", "tpe") and isinstance(value, Range):
                    raise ValueError(
                        f'{name}.{key} as a range needs search.algorithm = "random" or "tpe", but it is '
                        f'"{self.search.algorithm}"'
                    )
        return self
