"""Bad input of every kind to `ae-search`: status 2, one line that names the place and a remedy, nothing written."""

import io
import json
import pickle
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from ae_model import Configuration, EpochRecord, SymmetricAutoencoder, TrainedAutoencoder, fit_scaling, save_model
from search.ledger import FINISHED, Ledger
from search.settings import SearchSettings
from search.settings_files import load_settings, to_toml

Run = Callable[..., tuple[int, str, str]]


class Bad(NamedTuple):
    """Bad input: arguments, what the line must hold, and what settings.toml does."""

    arguments: list[str]
    parts: tuple[str, ...]
    toml: str = ""


def words(line: str, *parts: str) -> Bad:
    """Arguments without spaces."""
    return Bad(line.split(" "), parts)


def data(source: str, *parts: str, **settings: str) -> Bad:
    """A source, and settings of [data]; the line must hold the source, if nothing else is said."""
    overrides = [word for key, value in settings.items() for word in ("--set", f"data.{key}={value}")]
    return Bad(["run", "--data", source, *overrides], parts or (f"{source}: ",))


def setting(toml: str, *parts: str) -> tuple[Bad, Bad]:
    """Settings in the file, and by `--set`."""
    overrides = [word for line in toml.splitlines() for word in ("--set", line)]
    return Bad(["run", "settings.toml"], parts, toml), Bad(["run", *overrides], parts)


def name(text: str) -> Bad:
    """A name that cannot be a folder's."""
    return Bad(["run", "--name", text], ("--name must be at most 100 bytes of letters", repr(text)))


WRONG: list[Bad] = [
    # the arguments themselves
    words("nope", "nope", "--help"),
    words("run --nope", "--nope", "--help"),
    words("run --set", "--set", "--help"),
    words("run settings.toml other.toml", "other.toml", "--help"),
    words("run --set n_splits", "--set", "'n_splits'", "search.n_splits=10"),
    words("run --set =3", "--set", "'=3'"),
    words("run --set seed.x=1 --set seed=1 --set seed.x=2", "seed.x=2", "seed is a value"),
    words("run --set search..n_splits=3", "search."),
    words("bottleneck --explained-variance 2", "bottleneck.explained_variance", "2"),
    words("bottleneck --explained-variance much", "--explained-variance", "number"),
    words("bottleneck --explained-variance nan", "bottleneck.explained_variance", "nan"),
    words("bottleneck --data constant.csv", "the samples must vary"),
    words("status", "DIR", "--help"),
    words("trials nowhere --top 0", "--top", "1"),
    words("trials nowhere --top few", "--top", "integer"),
    words("select nowhere --rule worst", "--rule", "'worst'", "one-se"),
    words("retrain nowhere --rule best --trial a", "--rule", "--trial"),
    words("retrain nowhere --target-fve 0.9 --trial a", "--target-fve", "--trial"),
    words("encode", "MODEL_DIR", "--help"),
    # settings files
    words("run none.toml", "none.toml", "no such settings file"),
    words("run broken.toml", "broken.toml", "TOML"),
    words("run latin.toml", "latin.toml", "TOML"),
    words("run twice.toml", "twice.toml", "TOML"),
    words("run deep.toml", "deep.toml", "TOML"),
    words("run small.csv", "small.csv", "TOML", "--data"),
    words("run images", "images", "TOML", "--data"),
    # unknown keys and sections
    *setting("sed = 1", "sed: unknown", "seed"),
    *setting("serch.n_splits = 3", "serch: unknown", "search"),
    *setting("data.sorce = 'digits'", "data.sorce: unknown", "source"),
    *setting("bottleneck.code_size = 3", "bottleneck.code_size: unknown", "code_sizes"),
    *setting("space.learning_rates = 0.1", "space.learning_rates: unknown", "learning_rate"),
    *setting("space.learning_rate = {low = 1e-4, high = 1e-2, mid = 1e-3}", "space.learning_rate.mid: unknown"),
    *setting("space.depth = {low = 1, hihg = 3}", "space.depth.hihg: unknown", "high"),
    *setting("bottleneck.code_sizes = {from = 1, to = 3}", "bottleneck.code_sizes.from: unknown", "low, high"),
    *setting("search.batch_trial = 3", "search.batch_trial: unknown", "batch_trials"),
    *setting("search.n_split = 3", "search.n_split: unknown", "n_splits"),
    *setting("resources.checkpoint_every = 9", "resources.checkpoint_every: unknown", "checkpoint_every_s"),
    *setting("selection.rules = 'best'", "selection.rules: unknown", "rule"),
    # sections that are none
    *setting("data = 'digits'", "data: must be a section", "'digits'"),
    *setting("bottleneck = 3", "bottleneck: must be a section", "3"),
    *setting("space = []", "space: must be a section", "[]"),
    *setting("search = true", "search: must be a section", "True"),
    *setting("resources = [{cpus_per_trial = 1}]", "resources: must be a section"),
    *setting("selection = 'best'", "selection: must be a section", "'best'"),
    # wrong types
    *setting("seed = 'zero'", "seed", "integer", "'zero'"),
    *setting("seed = 2020-01-01", "seed", "integer", "2020"),
    *setting("data.source = 5", "data.source", "string", "5"),
    *setting("data.data_dir = 5", "data.data_dir", "string", "5"),
    *setting("data.download = 'no'", "data.download", "boolean", "'no'"),
    *setting("data.header = 'yes'", "data.header", "boolean", "'yes'"),
    *setting("data.test_fraction = 'half'", "data.test_fraction", "number", "'half'"),
    *setting("data.max_samples = 10.5", "data.max_samples", "integer", "10.5"),
    *setting("data.label_column = ['a']", "data.label_column", "string", "['a']"),
    *setting("data.ignore_columns = [['a']]", "data.ignore_columns", "string", "['a']"),
    *setting("data.inlier_labels = []", "data.inlier_labels", "at least 1 item"),
    *setting("data.header = 'no'", "data.header", "boolean", "'no'"),
    *setting("data.scaling = 'minmax'", "data.scaling", "'robust' or 'none'", "'minmax'"),
    *setting(
        "data.scaling = 'standard'\nspace.output_activation = 'tanh'",
        'space.output_activation = "tanh" has values from -1 to 1, but data.scaling = "standard" has no limits. '
        'Use output_activation = "linear" or "leaky_relu", or scaling = "range".',
    ),
    *setting(
        "data.scaling = 'none'\nspace.output_activation = 'relu'",
        'data.scaling = "none" has no limits. Use output_activation = "linear" or "leaky_relu". Change',
    ),
    *setting(
        "data.scaling = 'range'\nspace.output_activation = 'relu'", "space.output_activation", "[-1, 1]", "'relu'"
    ),
    *setting("bottleneck.explained_variance = 'most'", "bottleneck.explained_variance", "number", "'most'"),
    *setting("bottleneck.code_sizes = [2, '3']", "bottleneck.code_sizes", "integer", "'3'"),
    *setting("space.hidden = 6.5", "space.hidden", "6.5", '"128-64"'),
    *setting("space.hidden = ['64,32']", "space.hidden", "'64,32'", '"128-64"'),
    *setting("space.depth = 'deep'\nspace.widths = 8", "space.depth", "integer", "'deep'"),
    *setting("space.depth = 1\nspace.widths = '8'", "space.widths", "integer", "'8'"),
    *setting("space.depth = 1\nspace.widths = 8\nspace.non_increasing = 1", "space.non_increasing", "boolean", "1"),
    *setting("space.hidden_activation = 'rellu'", "space.hidden_activation", "'rellu'", "relu, leaky_relu"),
    *setting("space.code_activation = [['relu']]", "space.code_activation", "['relu']"),
    *setting("space.output_activation = ['tanh']", "space.output_activation", "['tanh']"),
    *setting("space.learning_rate = 'fast'", "space.learning_rate", "number", "'fast'"),
    *setting("space.learning_rate = {low = 1e-4, high = 'fast'}", "space.learning_rate.high", "number", "'fast'"),
    *setting("space.batch_size = 64.0", "space.batch_size", "integer", "64.0"),
    *setting("space.batch_size = {low = 16.0, high = 64}", "space.batch_size.low: should be", "integer", "16.0"),
    *setting("space.depth = {low = 1.5, high = 3}\nspace.widths = 8", "space.depth.low", "integer", "1.5"),
    *setting("space.depth = 1\nspace.widths = {low = 8, high = 'all'}", "space.widths.high", "integer", "'all'"),
    *setting("space.weight_decay = {low = 'little', high = 1}", "space.weight_decay.low", "number", "'little'"),
    *setting("bottleneck.code_sizes = {low = 2, high = [9]}", "bottleneck.code_sizes.high", "integer", "[9]"),
    *setting(
        "search.algorithm = 'tpe'\nsearch.num_samples = 9\nsearch.batch_trials = 'all'", "batch_trials", "integer"
    ),
    *setting("search.algorithm = 1", "search.algorithm", "'grid', 'random', 'tpe' or 'smallest-code'", "1"),
    *setting("search.algorithm = 'random'\nsearch.num_samples = 'all'", "search.num_samples", "integer", "'all'"),
    *setting("search.algorithm = 'smallest-code'\nsearch.target_fve = 'most'", "search.target_fve", "number", "'most'"),
    *setting("search.pruning = 'asha'", "search.pruning", "'none' or 'halving'", "'asha'"),
    *setting(
        "search.pruning = 'halving'\nsearch.reduction_factor = 'two'", "search.reduction_factor", "number", "'two'"
    ),
    *setting("search.pruning = 'halving'\nsearch.grace_period = 1.5", "search.grace_period", "integer", "1.5"),
    *setting("search.time_budget_s = '10min'", "search.time_budget_s", "number", "'10min'"),
    *setting("search.max_fold_epochs = 1e4", "search.max_fold_epochs", "integer", "10000.0"),
    *setting("search.repeats = 'often'", "search.repeats", "integer", "'often'"),
    *setting("search.repeats = 2\nsearch.repeat_top = 'all'", "search.repeat_top", "integer", "'all'"),
    *setting("search.n_splits = 'three'", "search.n_splits", "integer", "'three'"),
    *setting("search.max_epochs = true", "search.max_epochs", "integer", "True"),
    *setting("search.max_steps = 1e3", "search.max_steps", "integer", "1000.0"),
    *setting("search.patience = '9'", "search.patience", "integer", "'9'"),
    *setting("search.min_gain = '1 %'", "search.min_gain", "number", "'1 %'"),
    *setting("search.fp32_precision = 32", "search.fp32_precision", "'tf32' or 'ieee'", "32"),
    *setting("resources.cpus_per_trial = 0.5", "resources.cpus_per_trial", "integer", "0.5"),
    *setting("resources.gpus_per_trial = 'all'", "resources.gpus_per_trial", "'auto'", "'all'"),
    *setting("resources.max_concurrent_trials = [2]", "resources.max_concurrent_trials", "integer", "[2]"),
    *setting("resources.max_failures = 'many'", "resources.max_failures", "integer", "'many'"),
    *setting("resources.checkpoint_every_s = '1 min'", "resources.checkpoint_every_s", "number", "'1 min'"),
    *setting("resources.startup_timeout_s = 'soon'", "resources.startup_timeout_s", "number", "'soon'"),
    *setting("resources.storage_path = 5", "resources.storage_path", "string", "5"),
    *setting("selection.rule = 1", "selection.rule", "'one-se'", "1"),
    *setting("tracking.tensorboard = 1", "tracking.tensorboard", "boolean", "1"),
    *setting("tracking.mlflow = true", "tracking.mlflow", "string", "True"),
    *setting("selection.target_fve = 'most'", "selection.target_fve", "number", "'most'"),
    # out of range
    *setting("seed = -1", "seed", "0", "-1"),
    *setting("seed = 4294967296", "seed", "less than", "4294967296"),
    *setting("data.source = ''", "data.source", "at least 1"),
    *setting('data.source = "a\\u0000b"', "data.source", r"a\x00b"),
    *setting("data.source = '~nobody-here/a.csv'", "data.source", "nobody-here"),
    *setting("data.data_dir = '~nobody-here'", "data.data_dir", "nobody-here"),
    *setting("data.test_fraction = -0.1", "data.test_fraction", "greater than or equal to 0"),
    *setting("data.test_fraction = 1.0", "data.test_fraction", "less than 1"),
    *setting("data.test_fraction = nan", "data.test_fraction", "finite", "nan"),
    *setting("data.max_samples = 3", "data.max_samples", "4", "3"),
    *setting("bottleneck.explained_variance = 1.5", "bottleneck.explained_variance", "1.5"),
    *setting("bottleneck.explained_variance = [0.9, 0]", "bottleneck.explained_variance", "greater than 0"),
    *setting("bottleneck.explained_variance = []", "bottleneck.explained_variance", "at least 1"),
    *setting("bottleneck.code_sizes = 0", "bottleneck.code_sizes", "0"),
    *setting("bottleneck.code_sizes = []", "bottleneck.code_sizes", "at least 1"),
    *setting("bottleneck.code_sizes = 64", "bottleneck.code_sizes", "64"),
    *setting("space.hidden = []", "space.hidden", "at least 1"),
    *setting("space.hidden = '64-0'", "space.hidden", "'64-0'"),
    *setting("space.hidden = -64", "space.hidden", "'-64'"),
    *setting("space.depth = 11\nspace.widths = 8", "space.depth", "10", "11"),
    *setting("space.depth = []\nspace.widths = 8", "space.depth", "at least 1"),
    *setting("space.depth = 1\nspace.widths = 0", "space.widths", "1", "0"),
    *setting("space.depth = 10\nspace.widths = [1, 2, 3, 4]", "space.depth", "space.widths", "1048576", "100000"),
    *setting("space.hidden_activation = []", "space.hidden_activation", "at least 1"),
    *setting("space.code_activation = ''", "space.code_activation", "''", "relu, leaky_relu"),
    *setting("space.weight_decay = -1", "space.weight_decay", "0", "-1"),
    *setting("space.learning_rate_schedule = 'step'", "space.learning_rate_schedule", "'cosine'", "'step'"),
    *setting("space.dropout = 1", "space.dropout", "less than 1", "1"),
    *setting("space.noise_std = -0.1", "space.noise_std", "0", "-0.1"),
    *setting("space.mask_fraction = 1.5", "space.mask_fraction", "less than 1", "1.5"),
    *setting("space.init = ['svd']", "space.init", "'pca' or 'random'", "'svd'"),
    *setting("space.output_activation = 'none'", "space.output_activation", "'none'", "tanh"),
    *setting("space.output_activation = 'sigmoid'", "space.output_activation", "[-1, 1]", "tanh", "'sigmoid'"),
    *setting("space.learning_rate = 0", "space.learning_rate", "greater than 0"),
    *setting("space.learning_rate = [1e-3, inf]", "space.learning_rate", "finite", "inf"),
    *setting("space.learning_rate = {low = 1e-2, high = 1e-4}", "space.learning_rate", "low", "0.01", "0.0001"),
    *setting("space.learning_rate = {low = 1e-2}", "space.learning_rate.high"),
    *setting("space.learning_rate = {low = 0, high = 1e-2}", "space.learning_rate.low", "greater than 0"),
    *setting("space.batch_size = 0", "space.batch_size", "1", "0"),
    *setting("space.batch_size = {low = 0, high = 64}", "space.batch_size.low", "1", "0"),
    *setting("space.batch_size = {low = 64, high = 16}", "space.batch_size: low must be less than high", "64", "16"),
    *setting("space.batch_size = {high = 64}", "space.batch_size.low: is missing"),
    *setting("space.depth = {low = 1, high = 11}\nspace.widths = 8", "space.depth.high", "10", "11"),
    *setting("space.depth = {low = 2, high = 2}\nspace.widths = 8", "space.depth: low must be less than high", "2"),
    *setting("space.depth = 1\nspace.widths = {low = 0, high = 8}", "space.widths.low", "1", "0"),
    *setting("space.weight_decay = {low = 0, high = 1}", "space.weight_decay.low", "greater than 0"),
    *setting("space.weight_decay = {low = 0.1, high = 101}", "space.weight_decay.high", "100", "101"),
    *setting("bottleneck.code_sizes = {low = 0, high = 9}", "bottleneck.code_sizes.low", "1", "0"),
    *setting("bottleneck.code_sizes = {low = 9, high = 2}", "bottleneck.code_sizes: low must be less", "9", "2"),
    *setting(
        "bottleneck.code_sizes = {low = 2, high = 64}\nsearch.algorithm = 'random'\nsearch.num_samples = 3",
        "bottleneck gives 64 and the data has 64",
    ),
    *setting("search.batch_trials = 0", "search.batch_trials", "1", "0"),
    *setting("search.batch_trials = 4", "search.batch_trials belongs to", '"tpe"', '"grid"'),
    *setting("search.algorithm = 'smallest-code'\nsearch.target_fve = 1", "search.target_fve", "less than 1", "1"),
    *setting("search.algorithm = 'smallest-code'\nsearch.target_fve = []", "search.target_fve", "at least 1"),
    *setting("search.algorithm = 'smallest-code'", "search.target_fve must be given"),
    *setting("search.target_fve = 0.9", "search.target_fve belongs to", '"smallest-code"', '"grid"'),
    *setting(
        "search.algorithm = 'smallest-code'\nsearch.target_fve = 0.9\nbottleneck.code_sizes = 3",
        "bottleneck.code_sizes must be left out",
    ),
    *setting(
        "search.algorithm = 'smallest-code'\nsearch.target_fve = 0.9\nsearch.pruning = 'halving'",
        'search.pruning must be "none"',
        "smallest-code",
    ),
    *setting("search.pruning = 'halving'\nsearch.reduction_factor = 1", "search.reduction_factor", "greater than 1"),
    *setting("search.reduction_factor = 3", "search.reduction_factor belongs to search.pruning"),
    *setting("search.pruning = 'halving'\nsearch.grace_period = 0", "search.grace_period", "1", "0"),
    *setting("search.grace_period = 3", "search.grace_period belongs to search.pruning"),
    *setting(
        "search.pruning = 'halving'\nspace.learning_rate_schedule = 'cosine'",
        'space.learning_rate_schedule must be "constant"',
    ),
    *setting("search.time_budget_s = 0", "search.time_budget_s", "greater than 0"),
    *setting("search.max_fold_epochs = 0", "search.max_fold_epochs", "1", "0"),
    *setting("search.repeats = 0", "search.repeats", "1", "0"),
    *setting("search.repeats = 101", "search.repeats", "100", "101"),
    *setting("search.repeats = 2\nsearch.repeat_top = 0", "search.repeat_top", "1", "0"),
    *setting("search.repeat_top = 3", "search.repeat_top needs search.repeats"),
    words("run --budget soon", "--budget must be a time like 90s, 10min or 1h30min", "'soon'"),
    words("run --budget 0s", "--budget", "'0s'"),
    words("run --budget 10", "--budget", "'10'"),
    words("run --budget -5min", "--budget", "'-5min'"),
    *setting("search.algorithm = 'bayes'", "search.algorithm", "'grid', 'random', 'tpe' or 'smallest-code'", "'bayes'"),
    *setting("search.algorithm = 'random'\nsearch.num_samples = 0", "search.num_samples", "1", "0"),
    *setting("search.algorithm = 'random'\nsearch.num_samples = 1000000", "search.num_samples", "100000"),
    *setting("search.n_splits = 1", "search.n_splits", "2", "1"),
    *setting("search.n_splits = 1438", "n_splits=1438", "n_samples=1437"),
    *setting("search.max_steps = 0", "search.max_steps", "1", "0"),
    *setting("search.patience = 0", "search.patience", "1", "0"),
    *setting("search.min_gain = 1", "search.min_gain", "less than 1", "1"),
    *setting("search.max_epochs = 0", "search.max_epochs", "1", "0"),
    *setting("search.fp32_precision = 'fp8'", "search.fp32_precision", "'tf32' or 'ieee'", "'fp8'"),
    *setting("resources.cpus_per_trial = 0", "resources.cpus_per_trial", "1", "0"),
    *setting("resources.cpus_per_trial = 100000", "resources.cpus_per_trial", "100000"),
    *setting("resources.gpus_per_trial = -0.5", "resources.gpus_per_trial", "0", "-0.5"),
    *setting("resources.gpus_per_trial = 1000", "resources.gpus_per_trial", "1000"),
    *setting("resources.max_concurrent_trials = 0", "resources.max_concurrent_trials", "1", "0"),
    *setting("resources.max_failures = -1", "resources.max_failures", "0", "-1"),
    *setting("resources.checkpoint_every_s = -1", "resources.checkpoint_every_s", "0", "-1"),
    *setting("resources.startup_timeout_s = -1", "resources.startup_timeout_s", "0", "-1"),
    *setting("resources.checkpoint_every_s = inf", "resources.checkpoint_every_s", "finite", "inf"),
    *setting("resources.storage_path = '~nobody-here/x'", "resources.storage_path", "nobody-here"),
    *setting("selection.rule = 'worst'", "selection.rule", "'one-se'", "'worst'"),
    *setting("tracking.mlflow = 'mlflow.db'", "tracking.mlflow", "sqlite:///mlflow.db", "'mlflow.db'"),
    *setting("selection.target_fve = 1", "selection.target_fve", "less than 1", "1"),
    *setting("selection.target_fve = 0.0", "selection.target_fve", "greater than 0", "0.0"),
    Bad(["run", "--set", "search.n_splits=3\nsearch.max_epochs=2"], ("search.n_splits", r"3\nsearch.max_epochs=2")),
    # contradictions
    *setting("bottleneck.explained_variance = 0.9\nbottleneck.code_sizes = 2", "explained_variance", "code_sizes"),
    *setting("space.hidden = '64'\nspace.depth = 1\nspace.widths = 8", "space", "hidden", "depth"),
    *setting("space.hidden = '64'\nspace.widths = 8", "space", "depth is missing"),
    *setting("space.depth = 1", "space", "widths is missing"),
    *setting("space.widths = 8", "space", "depth is missing"),
    *setting("space.non_increasing = true", "space", "non_increasing", "depth and widths"),
    *setting("selection.rule = 'target-fve'", 'selection: rule = "target-fve" needs target_fve', "0.95"),
    *setting("search.algorithm = 'random'", "search.num_samples", "random"),
    *setting("search.algorithm = 'tpe'", "search.num_samples", "must be given", '"tpe"'),
    *setting("search.batch_trials = 4", "search.batch_trials", '"tpe"', "grid"),
    *setting("search.num_samples = 3", "search.num_samples", '"random" or "tpe"', "grid"),
    *setting("space.learning_rate = {low = 1e-4, high = 1e-2}", "space.learning_rate", '"random" or "tpe"', "grid"),
    *setting("space.depth = {low = 1, high = 3}\nspace.widths = 8", "space.depth as a range", "grid"),
    *setting("space.depth = {low = 1, high = 3}", "space", "widths is missing"),
    *setting("space.depth = 1\nspace.widths = {low = 8, high = 64}", "space.widths as a range", "grid"),
    *setting("space.batch_size = {low = 8, high = 64}", "space.batch_size as a range", "grid"),
    *setting("space.weight_decay = {low = 1e-4, high = 1}", "space.weight_decay as a range", "grid"),
    *setting("bottleneck.code_sizes = {low = 2, high = 9}", "bottleneck.code_sizes as a range", "grid"),
    *setting("bottleneck = {explained_variance = 0.9, code_sizes = {low = 2, high = 9}}", "bottleneck", "both"),
    # tables
    data("empty.csv"),
    data("newlines.csv"),
    data("header.csv", "header.csv: ", "0 rows"),
    data("row.csv", "row.csv: ", "samples", "test_fraction"),
    data("constant.csv", "the samples must vary"),
    data("column.csv", "bottleneck", "1"),
    data("ragged.csv", "ragged.csv: ", "#3"),
    data("text.csv", "text.csv: ", "row 2", "'c'", "'x'", "data.label_column"),
    data("gap.csv", "gap.csv: ", "row 4", "'b'", "missing"),
    data("nan.csv", "nan.csv: ", "row 4", "'b'", "nan"),
    data("inf.csv", "inf.csv: ", "row 4", "'b'", "inf"),
    data("huge.csv", "huge.csv: ", "row 1", "'a'", "1e+99"),
    data("twice.csv", "twice.csv: ", "'a'", "more than once"),
    data("utf16.csv"),
    data("latin.csv"),
    data("binary.csv"),
    data("small.csv", "data.label_column", "kind", label_column="kind"),
    data("small.csv", "data.ignore_columns", "kind", ignore_columns="kind"),
    data("column.csv", "column.csv: ", "0 feature columns", label_column="a"),
    data("small.csv", "small.csv: ", "row 0", "'f0'", "'a'", "the data.label_column", header="false"),
    data("small.parquet", "small.parquet: ", "data.header is for .csv", header="true"),
    data("digits", "digits: ", "data.header is for .csv", header="true"),
    data("small.csv", "max_samples", "4", max_samples="2"),
    data("small.csv", "small.csv: ", "test_fraction=0.95", test_fraction="0.95"),
    words("run --data small.csv --set search.n_splits=9 --set bottleneck.code_sizes=2", "n_splits=9", "n_samples=8"),
    words("run --data small.csv --set data.max_samples=4", "n_splits=5", "n_samples=4"),
    words("run --data small.csv --set bottleneck.code_sizes=3", "bottleneck.code_sizes", "3"),
    words("run --data small.csv --set bottleneck.explained_variance=1", "bottleneck.explained_variance", "3"),
    data("empty.parquet"),
    data("truncated.parquet"),
    data("rows.parquet", "rows.parquet: ", "0 rows"),
    data("columns.parquet", "columns.parquet: ", "0 feature columns"),
    data("null.parquet", "null.parquet: ", "row 1", "'a'", "missing"),
    data("text.parquet", "text.parquet: ", "row 1", "'a'", "'x'"),
    data("list.parquet", "list.parquet: ", "row 0", "'a'", "[1, 2]"),
    data("latin.parquet"),
    data("dates.parquet"),
    data("zone.parquet"),
    data("labels.parquet", label_column="b"),
    # arrays
    data("empty.npy"),
    data("truncated.npy"),
    data("header.npy"),
    data("foreign.npy"),
    data("0d.npy", "0d.npy: ", "(n_samples, n_features)", "()"),
    data("1d.npy", "1d.npy: ", "(n_samples, n_features)", "(7,)"),
    data("3d.npy", "3d.npy: ", "(n_samples, n_features)", "(5, 2, 3)"),
    data("rows.npy", "rows.npy: ", "empty", "(0, 3)"),
    data("petabyte.npy", "petabyte.npy: ", "(10000000000000, 3)", "327.4 TiB of memory"),
    data("petabyte.npz", "petabyte.npz: ", "(10000000000000, 3)", "327.4 TiB of memory"),
    data("negative.npy"),
    data("complex.npy", "complex.npy: ", "complex128"),
    data("text.npy", "text.npy: ", "<U1"),
    data("nan.npy", "nan.npy: ", "row 1", "column 1", "nan"),
    data("inf.npy", "inf.npy: ", "row 1", "column 0", "-inf"),
    data("objects.npy", "objects.npy: ", "Object arrays"),
    data("objects.npz", "objects.npz: ", "Object arrays"),
    data("names.npz", "names.npz: ", "Object arrays"),
    data("pickle.npy"),
    data("small.npy", "small.npy: ", "data.label_column", label_column="a"),
    data("small.npy", "small.npy: ", "data.ignore_columns", ignore_columns="a"),
    data("digits", "digits: ", "data.ignore_columns is for tables", ignore_columns="a"),
    data("truncated.npz"),
    data("foreign.npz"),
    data("text.npz"),
    data("members.npz"),
    data("none.npz", "none.npz: ", "'x'"),
    data("widths.npz", "widths.npz: ", "x_test", "2 and 4"),
    data("labels.npz", "labels.npz: ", "y", "(3,)"),
    data("shape.npz", "shape.npz: ", "image_shape"),
    data("feature_names.npz", "feature_names.npz: ", "feature_names"),
    # folders of images, named sources, and what is none of these
    data("no images"),
    data("broken", "broken/b.png: "),
    data("sizes", "sizes/b.png: ", "6 x 5", "4 x 3"),
    data("deep", "deep/a.png: ", "I;16"),
    data("large", "large/a.png: ", "truncated"),
    data("larger", "larger/a.png: ", "3600000000 pixels"),
    data("one image", "one image: ", "samples"),
    data("half split", "half split/test: ", "holds no image"),
    data("uneven split", "uneven split/test/b.png: ", "3 x 2", "2 x 2"),
    data("none.csv", "none.csv", "no such file"),
    data("none", "none", "no such file", "digits"),
    data("small.csv/none.npy", "none.npy", "no such file"),
    data("x" * 300 + ".csv", "x.csv"),
    data("small.txt", "small.txt: ", "suffix", ".parquet"),
    data("Digits", "Digits: ", "or named source", "digits"),
    data("mnist", "mnist", "data.data_dir = ", "'data'", download="false"),
    data("mnist", "mnist", "data.data_dir = ", "'truncated'", download="false", data_dir="truncated"),
    data("mnist", "mnist", "data.data_dir = ", "'short'", download="false", data_dir="short"),
    data("mnist", "mnist", "data.data_dir = ", "'foreign'", download="false", data_dir="foreign"),
    data("mnist", "mnist", "data.data_dir = ", "'pickles'", download="false", data_dir="pickles"),
    data("mnist", "mnist", "data.data_dir = ", "'widths'", download="false", data_dir="widths"),
    data("mnist", "mnist", "data.data_dir = ", "'labels'", download="false", data_dir="labels", max_samples="4"),
    data("cifar10", "cifar10", "data.data_dir = ", "'pickles'", download="false", data_dir="pickles"),
    # names
    name("../x"),
    name("/x"),
    name("a/b"),
    name("a\\b"),
    name(""),
    name(".."),
    name("x" * 101),
    name("it's"),
    name('"x"'),
    name("x\ny"),
    name("a b"),
    name("-rf"),
    # results directories
    words("run --results-dir small.csv", "small.csv", "--results-dir"),
    words("run --results-dir small.csv/x", "small.csv", "--results-dir"),
    words("run --results-dir small.csv/x --fresh", "small.csv", "--results-dir"),
    words(f"run --results-dir {'x' * 300}", "x/digits: ", "--results-dir"),
    words("run --results-dir searches --name file", "file", "--results-dir"),
    *(
        words(f"{arguments} {place}", f"{place}", *parts)
        for place, parts in {
            "nowhere": ("not a search directory",),
            "small.csv": ("not a search directory",),
            "models/good": ("not a search directory",),
            "searches/garbage": ("ledger.sqlite", "not a database"),
            "searches/truncated": ("ledger.sqlite", "malformed"),
            "searches/emptied": ("ledger.sqlite",),
            "searches/foreign": ("ledger.sqlite", "another program's"),
            "searches/newer": ("ledger.sqlite", "version 99", "Upgrade"),
        }.items()
        for arguments in ("status", "trials", "select", "retrain")
    ),
    words("status searches/folder", "searches/folder", "not a search directory"),
    words("run --results-dir searches --name folder", "folder/ledger.sqlite", "unable to open"),
    words("run --results-dir searches --name locked", "locked/ledger.lock", "--results-dir"),
    words("run --results-dir searches --name garbage", "ledger.sqlite", "not a database"),
    words("run --results-dir searches --name truncated", "ledger.sqlite", "malformed"),
    words("run --results-dir searches --name newer", "ledger.sqlite", "version 99", "Upgrade"),
    words("trials searches/good --sort colour", "--sort", "'colour'", "rank"),
    words("trials searches/good --format xml", "--format", "'xml'"),
    words("select searches/pending", "no trial has a complete epoch"),
    words("retrain searches/pending", "no trial has a complete epoch"),
    words("retrain searches/pending --trial a", "--trial", "no complete epoch"),
    words("select searches/good --rule target-fve", "searches/good", "--target-fve", "missing"),
    words("select searches/good --target-fve 1", "--target-fve", "(0, 1)", "1.0"),
    words("retrain searches/good --target-fve nan", "--target-fve", "(0, 1)", "nan"),
    words("select searches/good --rule best --target-fve 0.9", "--target-fve", '"best"'),
    words("select searches/good --target-fve much", "--target-fve", "number"),
    words("retrain searches/good --trial zzz", "--trial", "'zzz'", "ae-search trials"),
    words("retrain searches/good --trial a1", "none.csv", "no such file"),
    words("select searches/settings", "settings.toml", "TOML"),
    words("select searches/bare", "bare/settings.toml", "no such settings file"),
    words("retrain searches/settings --trial a1", "settings.toml", "TOML"),
    # model directories
    *(
        words(f"{arguments}", f"models/{model}", *parts)
        for model, parts in {
            "none": ("not a model directory",),
            "weightless": ("not a model directory", "model.safetensors"),
            "truncated": ("cannot be read",),
            "emptied": ("cannot be read",),
            "pickle": ("cannot be read",),
            "broken": ("cannot be read",),
            "foreign": ("model.json",),
            "list": ("model.json",),
            "newer": ("99", "Upgrade"),
            "other": ("do not fit",),
            "partial": ("do not fit",),
            "metadata": ("do not fit",),
            "names": ("do not fit",),
            "shape": ("do not fit",),
            "deep": ("cannot be read",),
        }.items()
        for arguments in (f"evaluate models/{model}", f"encode models/{model} small.csv codes.csv")
    ),
    words("evaluate models/dataless", "model", "--data SOURCE"),
    words("evaluate models/good", "none.csv", "no such file"),
    words(f"evaluate {'x' * 300}", "not a model directory"),
    words("evaluate models/good --data digits", "digits has 64 features", "takes 3"),
    words("evaluate models/good --data gap.csv", "gap.csv: ", "row 4", "'b'"),
    words("encode models/good small.csv codes.txt", "codes.txt", ".parquet"),
    words("encode models/good small.csv nowhere/codes.csv", "nowhere/codes.csv", "OUTPUT"),
    words("encode models/good small.csv small.csv/codes.csv", "small.csv/codes.csv", "OUTPUT"),
    words("encode models/good none.csv codes.csv", "none.csv", "no such file"),
    words("encode models/good twice.csv codes.csv", "twice.csv"),
    words("encode models/good column.csv codes.csv", "column.csv", "'b' is missing"),
    words("encode models/good images codes.csv", "images", "3 columns"),
    words("reconstruct models/good nan.npy x.npy", "nan.npy", "row 1", "column 1"),
    words("decode models/good small.csv x.csv", "small.csv", "'code_0' is missing"),
    words("decode models/good small.npy x.npy", "small.npy", "2 columns"),
]


class _Explosive:
    """Makes a file in the working directory when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def _bytes(save: Callable[..., object], *arguments: Any, **options: Any) -> bytes:
    """What a function writes into the file that is its first argument."""
    buffer = io.BytesIO()
    save(buffer, *arguments, **options)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    return _bytes(np.save, np.asarray(array))


def _npz(**arrays: Any) -> bytes:
    return _bytes(np.savez, **arrays)


def _parquet(**columns: Any) -> bytes:
    return _bytes(lambda file: parquet.write_table(pyarrow.table(columns), file))


def _png(*shape: int, dtype: type = np.uint8) -> bytes:
    return _bytes(Image.fromarray(np.ones(shape, dtype)).save, "png")


def _png_of(side: int) -> bytes:
    """The head of a PNG of so many pixels in a square, and nothing more."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\xffIDAT"


def _zip(**members: str | bytes) -> bytes:
    def save(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    return _bytes(save)


def _idx(*shape: int) -> bytes:
    """An array in MNIST's format."""
    return struct.pack(f">I{len(shape)}I", 0x800 + len(shape), *shape) + bytes(range(np.prod(shape)))


def _mnist(*, test_side: int = 2, n_labels: int = 9) -> dict[str, bytes]:
    """Nine images and four test images."""
    return {
        "train-images-idx3-ubyte": _idx(9, 2, 2),
        "train-labels-idx1-ubyte": _idx(n_labels),
        "t10k-images-idx3-ubyte": _idx(4, test_side, test_side),
        "t10k-labels-idx1-ubyte": _idx(4),
    }


def _in(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{file}": content for file, content in files.items()}


ROWS = [[float((3 * row + column) ** 2 % 17) for column in range(3)] for row in range(10)]
OBJECTS = np.array([[_Explosive()]], dtype=object)
CIFAR10 = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]


def _csv(header: str = "a,b,c", rows: list[list[float]] = ROWS, cell: str | None = None) -> bytes:
    """A table of ten rows, in which the cell of row 4 and column b may be something else."""
    texts = [[str(value) for value in row] for row in rows]
    if cell is not None:
        texts[4][1] = cell
    return "\n".join([header, *map(",".join, texts), ""]).encode()


def _files() -> dict[str, bytes]:
    """The files that `WRONG` names, but for searches and models."""
    good = _csv()
    petabyte = _npy(ROWS).replace(b"(10, 3), }          ", b"(10000000000000, 3),}")
    bomb = pickle.dumps(_Explosive(), protocol=2)
    return {
        "broken.toml": b"seed = [",
        "latin.toml": b"data.source = '\xfc.csv'",
        "twice.toml": b"seed = 1\nseed = 2",
        "deep.toml": b"seed = " + b"[" * 100_000,
        "small.csv": good,
        "small.txt": good,
        "empty.csv": b"",
        "newlines.csv": b"\n\n",
        "header.csv": b"a,b,c\n",
        "row.csv": b"a,b,c\n1,2,3\n",
        "constant.csv": _csv(rows=[[1.0] * 3] * 10),
        "column.csv": _csv(header="a", rows=[row[:1] for row in ROWS]),
        "ragged.csv": b"a,b,c\n1,2,3\n4,5\n",
        "text.csv": b"a,b,c\n1,2,3\n4,5,6\n7,8,x\n",
        "gap.csv": _csv(cell=""),
        "nan.csv": _csv(cell="nan"),
        "inf.csv": _csv(cell="-inf"),
        "huge.csv": b"a,b\n1,2\n1e99,3\n",
        "twice.csv": _csv(header="a,b,a"),
        "utf16.csv": good.decode().encode("utf-16"),
        "latin.csv": "a,ü\n1,2\n".encode("latin-1"),
        "binary.csv": bytes(range(256)) * 4,
        "empty.parquet": b"",
        "truncated.parquet": _parquet(a=[1.0, 2.0])[:-20],
        "rows.parquet": _parquet(a=pyarrow.array([], pyarrow.float64())),
        "columns.parquet": _parquet(),
        "null.parquet": _parquet(a=[1, None]),
        "text.parquet": _parquet(a=["1", "x"]),
        "list.parquet": _parquet(a=[[1, 2]]),
        "latin.parquet": _parquet(a=pyarrow.array([b"\xfc"]).cast(pyarrow.string(), safe=False)),
        "dates.parquet": _parquet(a=pyarrow.array([2**31 - 1], pyarrow.int32()).view(pyarrow.date32())),
        "zone.parquet": _parquet(a=pyarrow.array([0], pyarrow.timestamp("s", tz="No/Where"))),
        "labels.parquet": _parquet(a=[1.0, 2.0], b=[[1], [1, 2]]),
        "small.parquet": _parquet(a=[1.0, 2.0]),
        "small.npy": _npy(ROWS),
        "empty.npy": b"",
        "truncated.npy": _npy(ROWS)[:-9],
        "header.npy": _npy(ROWS)[:40],
        "foreign.npy": good,
        "0d.npy": _npy(1.0),
        "1d.npy": _npy(np.ones(7)),
        "3d.npy": _npy(np.ones((5, 2, 3))),
        "rows.npy": _npy(np.ones((0, 3))),
        "petabyte.npy": petabyte,
        "petabyte.npz": _zip(**{"x.npy": petabyte}),
        "negative.npy": _npy(ROWS).replace(b"(10, 3)", b"(-9, 3)"),
        "complex.npy": _npy([[1j, 2], [3, 4]]),
        "text.npy": _npy([["a", "b"]]),
        "nan.npy": _npy([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]]),
        "inf.npy": _npy([[1.0, 2.0], [-np.inf, 4.0]]),
        "objects.npy": _npy(OBJECTS),
        "objects.npz": _npz(x=OBJECTS),
        "names.npz": _npz(x=ROWS, feature_names=OBJECTS[0]),
        "pickle.npy": bomb,
        "truncated.npz": _npz(x=ROWS)[:-30],
        "foreign.npz": good,
        "text.npz": _zip(x="1,2,3"),
        "members.npz": _zip(**{"x.npy": "1,2,3"}),
        "none.npz": _npz(),
        "widths.npz": _npz(x=np.ones((3, 2)), x_test=np.ones((3, 4))),
        "labels.npz": _npz(x=np.ones((3, 2)), y=np.ones(4)),
        "shape.npz": _npz(x=np.ones((3, 4)), image_shape=(2, 3)),
        "feature_names.npz": _npz(x=np.ones((3, 2)), feature_names=["a"]),
        "no images/notes.txt": b"hello",
        "images/a.png": _png(2, 2),
        "broken/a.png": _png(9, 9),
        "broken/b.png": _png(9, 9)[:-30],
        "sizes/a.png": _png(3, 4),
        "sizes/b.png": _png(5, 6),
        "deep/a.png": _png(2, 2, dtype=np.uint16),
        "large/a.png": _png_of(10_000),
        "larger/a.png": _png_of(60_000),
        "one image/a.png": _png(2, 2),
        "half split/train/a.png": _png(2, 2),
        "half split/test/notes.txt": b"none yet",
        "uneven split/train/a.png": _png(2, 2),
        "uneven split/test/b.png": _png(2, 3),
        **_in("truncated/MNIST/raw", {file: content[:-1] for file, content in _mnist().items()}),
        **_in("short/MNIST/raw", dict.fromkeys(_mnist(), b"\0\0")),
        **_in("foreign/MNIST/raw", dict.fromkeys(_mnist(), good)),
        **_in("pickles/MNIST/processed", dict.fromkeys(["training.pt", "test.pt"], bomb)),
        **_in("widths/MNIST/raw", _mnist(test_side=3)),
        **_in("labels/MNIST/raw", _mnist(n_labels=2)),
        **_in("pickles/cifar-10-batches-py", dict.fromkeys(CIFAR10, bomb)),
        "searches/file": b"",
    }


def _make_searches(folder: Path) -> None:
    """Searches whose one trial has finished, and what can happen to them."""
    ones = {name: np.ones(2) for name in ("train_mse", "val_mse", "val_fve")}
    record = EpochRecord(epoch=1, **ones, dead_code_units=np.zeros(2, int))
    for search in ("good", "pending"):
        (folder / search).mkdir(parents=True, exist_ok=True)
        with Ledger(folder / search) as ledger:
            ledger.enter_trials({"a1": Configuration(layer_sizes=(3, 2))})
            ledger.put_baseline([2], np.ones((1, 2)))
            if search == "good":
                ledger.record("a1", [record], host="here", fit_seconds=1.0, status=FINISHED)
        (folder / search / "settings.toml").write_text(to_toml(load_settings(None, ["data.source=none.csv"])))
    for search in ("settings", "bare", "locked", "folder", "garbage", "truncated", "emptied", "foreign", "newer"):
        shutil.copytree(folder / "good", folder / search)
    (folder / "settings" / "settings.toml").write_text("seed = [")
    (folder / "bare" / "settings.toml").unlink()
    (folder / "locked" / "ledger.lock").unlink()
    (folder / "locked" / "ledger.lock").mkdir()
    (folder / "garbage" / "ledger.sqlite").write_bytes(b"garbage " * 1000)
    whole = (folder / "truncated" / "ledger.sqlite").read_bytes()
    (folder / "truncated" / "ledger.sqlite").write_bytes(whole[: len(whole) // 2])
    (folder / "emptied" / "ledger.sqlite").write_bytes(b"")
    (folder / "folder" / "ledger.sqlite").unlink()
    (folder / "folder" / "ledger.sqlite").mkdir()
    (folder / "foreign" / "ledger.sqlite").unlink()
    for search, statement in (("foreign", "CREATE TABLE photos (id)"), ("newer", "PRAGMA user_version = 99")):
        with closing(sqlite3.connect(folder / search / "ledger.sqlite")) as connection:
            connection.execute(statement)


def _make_models(folder: Path) -> None:
    """Models of three features and two code units, and what can happen to them."""
    model = TrainedAutoencoder(
        model=SymmetricAutoencoder((3, 2)).eval(),
        scaling=fit_scaling(np.array(ROWS)),
        feature_names=("a", "b", "c"),
        metadata={"data": load_settings(None, ["data.source=none.csv"]).data.model_dump()},
    )
    save_model(folder / "good", model)
    weights = (folder / "good" / "model.safetensors").read_bytes()
    description = json.loads((folder / "good" / "model.json").read_text())
    changed: dict[str, dict[str, object]] = {
        "newer": {"format_version": 99},
        "other": {"layer_sizes": [3, 1]},
        "metadata": {"metadata": 5},
        "dataless": {"metadata": {}},
        "names": {"feature_names": ["a", "b"]},
        "shape": {"image_shape": [2, 2]},
        "foreign": {"format": "another"},
    }
    contents: dict[str, tuple[str, bytes | None]] = {
        name: (json.dumps(description | change), weights) for name, change in changed.items()
    }
    whole = json.dumps(description)
    contents |= {
        "weightless": (whole, None),
        "truncated": (whole, weights[: len(weights) // 2]),
        "emptied": (whole, b""),
        "pickle": (whole, pickle.dumps(_Explosive())),
        "broken": (whole[:-9], weights),
        "list": ("[]", weights),
        "deep": ("[" * 100_000, weights),
        "partial": ('{"format": "ae-search model", "format_version": 1}', weights),
    }
    for name, (text, tensors) in contents.items():
        (folder / name).mkdir()
        (folder / name / "model.json").write_text(text)
        if tensors is not None:
            (folder / name / "model.safetensors").write_bytes(tensors)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that `WRONG` names; no test may change it."""
    folder = tmp_path_factory.mktemp("bad")
    for path, content in _files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    _make_searches(folder / "searches")
    _make_models(folder / "models")
    return folder


@pytest.fixture
def inputs(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder as working directory."""
    monkeypatch.chdir(files)
    return files


def _contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


REMEDY = re.compile(
    r"[.?)] (Add|Change|Check|Convert|Evaluate|Fill|Fix|Give|Leave|Lower|Make|Move|Name|Put|Rename|Reshape|Resize|"
    r"Retrain|Run|See|Set|Upgrade|Use|Write)\b|Did you mean |Known here: |Example: | lists them|"
    r"must be (one of|a column of|table, csv|a condition on columns|at most 100 bytes)"
)
"""What to do: an imperative, or all that would be right."""


def _check(line: str, bad: Bad) -> None:
    assert REMEDY.search(line), line
    for part in bad.parts:
        assert part in line


@pytest.mark.parametrize("bad", WRONG, ids=[" ".join(bad.arguments)[:80] + bad.toml for bad in WRONG])
def test_wrong_input(run: Run, one_line: Callable[[str], str], inputs: Path, bad: Bad) -> None:
    """Status 2, one line on standard error that names the place and a remedy, no standard output, nothing written."""
    (inputs / "settings.toml").write_text(bad.toml)
    before = _contents(inputs)
    status, output, errors = run(*bad.arguments)
    assert (status, output) == (2, "")
    _check(one_line(errors), bad)
    assert _contents(inputs) == before


def test_wrong_input_does_not_wait_for_ray(inputs: Path) -> None:
    """A fresh process that tries them all says the same, and has not imported Ray at the end."""
    (inputs / "settings.toml").write_text(WRONG[-1].toml)  # as the process leaves it
    before = _contents(inputs)
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from search.cli import main\n"
        "for arguments, toml in json.load(sys.stdin):\n"
        "    Path('settings.toml').write_text(toml)\n"
        "    sys.argv = ['ae-search', *arguments]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as stop:\n"
        "        assert stop.code == 2, arguments\n"
        "print('ray' in sys.modules)"
    )
    given = json.dumps([(bad.arguments, bad.toml) for bad in WRONG])
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    for line, bad in zip(done.stderr.splitlines(), WRONG, strict=True):
        assert line.startswith("ae-search: ")
        _check(line, bad)
    assert _contents(inputs) == before


def test_every_setting_is_in_the_table() -> None:
    """A setting that is new must be given wrong too."""
    wrong = " ".join(bad.toml for bad in WRONG)
    for section, field in SearchSettings.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"{section}.{key} = " in wrong
    assert "seed = " in wrong
