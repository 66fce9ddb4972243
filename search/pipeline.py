"""The whole main job: load, bottleneck, search, select, retrain, evaluate, draw."""

import itertools
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ae_model.data import source_name
from ae_model.errors import UserError
from ae_model.folds import make_folds
from ae_model.pca import pca_baseline
from search import plots
from search.code_sizes import propose_code_sizes, write_code_sizes
from search.data import load_data
from search.errors import SearchError
from search.execution.checkpoints import make_folder, remove_folder
from search.execution.packs import make_packs
from search.files import replace_file
from search.ledger import DIVERGED, Ledger, lock, trial_id
from search.monitor import Monitor
from search.selection import Rule, Selection, select
from search.settings import ResourceSettings, SearchSettings
from search.settings_files import to_toml
from search.space import make_configurations
from search.tables import configuration_labels, load_epochs, load_trials, write_tables

if TYPE_CHECKING:
    from search.evaluation import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """What a search ends with; everything in it is also on disk."""

    directory: Path
    trials: pd.DataFrame
    """As `load_trials` returns it."""
    selection: Selection
    model_dir: Path
    """Of the retrained winner."""
    evaluation: "Evaluation"


def run_search(
    settings: SearchSettings | None = None,
    *,
    name: str | None = None,
    results_dir: str | Path = "results",
    address: str | None = None,
    fresh: bool = False,
    verbose: bool = False,
) -> SearchResult:
    """Search, select, retrain and evaluate: what `ae-search run` does.

    The same settings under the same name continue what is there: finished trials are not trained again.

    Args:
        settings: All defaults if None.
        name: Of the folder in `results_dir`; the data source's name if None.
        results_dir: Where searches lie.
        address: Of a running Ray cluster, or "auto"; a local Ray is started if None.
        fresh: Whether to start over: what is already in the folder is moved aside, and nothing is deleted.
        verbose: Whether to show progress on standard error.

    Raises:
        ValueError: If settings, data and what is already in the folder do not fit together.
        RuntimeError: If no trial could be finished.
    """
    settings = settings or SearchSettings()
    directory = Path(results_dir) / (check_name(name) if name is not None else default_name(settings))
    dataset = load_data(settings)
    proposal = propose_code_sizes(dataset, settings.bottleneck)
    search = settings.search
    folds = make_folds(len(dataset.development), search.n_splits, settings.seed)
    configurations = make_configurations(
        settings.space,
        input_size=dataset.development.shape[1],
        code_sizes=proposal.code_sizes,
        num_samples=search.num_samples,
        seed=settings.seed,
    )
    if address is None:
        _check_local_resources(settings.resources)
    definition = {
        "data": dataset.fingerprint(),
        "search.n_splits": search.n_splits,
        "search.max_epochs": search.max_epochs,
        "search.fp32_precision": search.fp32_precision,
        "seed": settings.seed,
    }
    trials = {trial_id(configuration, definition): configuration for configuration in configurations}
    store = settings.resources.storage_path
    if store is not None:
        make_folder(store)
    if fresh and directory.exists():
        aside = _move_aside(directory)
        if verbose:
            print(f"{directory} was moved to {aside}; to continue the new one, leave out --fresh", file=sys.stderr)  # noqa: T201
    _make_directory(directory)
    with Ledger(directory) as ledger:
        _check_definition(directory, ledger.get("definition"), definition)
        ledger.put("definition", definition)
        ledger.put("settings", settings.model_dump())
        ledger.put("environment", environment := _environment())
        ledger.enter_trials(trials)
        _write_text(directory / "settings.toml", to_toml(settings))
        _write_text(directory / "environment.json", json.dumps(environment, indent=2) + "\n")
        write_code_sizes(proposal, directory)
        baseline = pca_baseline(dataset.development, folds, proposal.code_sizes, dataset.value_range)
        ledger.put_baseline(proposal.code_sizes, baseline)
        unfinished = set(ledger.unfinished()) & set(trials)
        sample_epochs = len(dataset.development) * (search.n_splits - 1) * search.max_epochs
        packs = [
            {id_: trials[id_] for id_ in pack}
            for pack in make_packs(trials, sample_epochs=sample_epochs)
            if unfinished.intersection(pack)
        ]
        checkpoints = str((directory / "checkpoints").resolve())
        if store is not None:
            checkpoints = f"{store.rstrip('/')}/{ledger.search_id()}"
        if packs:
            make_folder(checkpoints)
            if verbose:
                print(f"{dataset.name}: {proposal.text()}", file=sys.stderr)  # noqa: T201
            # Ray is slow to import, and not needed where all is done.
            from search.execution.connection import connected_ray
            from search.execution.runner import run_trials

            before = load_trials(directory)
            monitor = Monitor(
                labels=dict(zip(before["trial_id"], configuration_labels(before), strict=True)),
                n_trials=len(trials),
                n_done=len(trials) - len(unfinished),
                best=_best(before),
                max_epochs=search.max_epochs,
                enabled=verbose,
            )
            with monitor, connected_ray(address, settings.resources) as tune_cap:
                run_trials(
                    packs,
                    unfinished=unfinished,
                    values=dataset.development,
                    evaluation={
                        "folds": folds,
                        "max_epochs": search.max_epochs,
                        "fp32_precision": search.fp32_precision,
                        "seed": settings.seed,
                        "value_range": dataset.value_range,
                    },
                    checkpoints={
                        "folder": checkpoints,
                        "every_s": settings.resources.checkpoint_every_s,
                    },
                    resources=settings.resources,
                    ledger=ledger,
                    progress=monitor,
                    max_concurrent_trials=tune_cap,
                )
                write_tables(directory)  # before Ray's end, which takes a second
        else:
            write_tables(directory)
        if not unfinished.intersection(ledger.unfinished()):
            remove_folder(checkpoints)
    table = load_trials(directory)
    if not (table["rank"].notna()).any():
        reasons = "; ".join(sorted({str(error) for error in table["error"].dropna()})) or "every trial diverged"
        raise SearchError(f"{directory}: no trial could be finished ({reasons}).")
    plots.validation_mse(table, directory / "validation_mse.png")
    selection = select(directory)
    if verbose:
        print(f"Retraining {selection.label} for {selection.best_epoch} epochs", file=sys.stderr)  # noqa: T201
    model_dir = retrain_and_draw(directory)
    from search.evaluation import evaluate_model

    return SearchResult(
        directory=directory,
        trials=table,
        selection=selection,
        model_dir=model_dir,
        evaluation=evaluate_model(model_dir),
    )


def _best(trials: pd.DataFrame) -> tuple[float, str] | None:
    """MSE and id of the best trial so far; those that are not finished will come to the same again."""
    best = trials[trials["val_mse_mean"].notna() & (trials["status"] != DIVERGED)].nsmallest(1, "val_mse_mean")
    return (float(best["val_mse_mean"].iloc[0]), str(best["trial_id"].iloc[0])) if len(best) else None


def retrain_and_draw(directory: str | Path, *, rule: Rule | None = None, trial: str | None = None) -> Path:
    """`retrain`, and the picture of its loss beside the cross-validated one."""
    from search.retraining import retrain  # torch takes seconds to import, which the tables need not wait for

    model_dir = retrain(directory, rule=rule, trial=trial)
    trained = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))["metadata"]["trial_id"]
    epochs = load_epochs(directory)
    by_epoch = epochs[epochs["trial_id"] == trained].groupby("epoch")["val_mse"]
    validation = pd.DataFrame({"mean": by_epoch.mean(), "se": by_epoch.std(ddof=1) / by_epoch.size() ** 0.5})
    losses = pd.read_csv(model_dir / "training_loss.csv")
    plots.training_loss(losses, validation.reset_index(), model_dir / "training_loss.png")
    return model_dir


def check_name(name: str) -> str:
    """`name` if it can be a folder inside the results directory.

    Raises:
        ValueError: If it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", name):
        raise UserError(
            f"--name must be 1 to 100 letters, digits, '.', '_', '+' or '-', beginning with no '.', but is {name!r}."
        )
    return name


def default_name(settings: SearchSettings) -> str:
    """The name of a search that is given none: its data source's."""
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", source_name(settings.data.source)).lstrip(".-+")
    return check_name(name[:100] or "search")


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made ({error.strerror}). Give another --results-dir.") from error
    if not os.access(directory, os.W_OK):
        raise UserError(f"{directory}: cannot be written to. Give another --results-dir.")


def _move_aside(directory: Path) -> Path:
    """Give a search's folder a name that is free; ValueError if it is none, or a search is running in it."""
    if not (directory / "ledger.sqlite").is_file():
        raise UserError(f"{directory}: --fresh moves searches aside, but this is none. Give another --name.")
    with lock(directory):
        numbered = (directory.with_name(f"{directory.name}.{number}") for number in itertools.count(1))
        return directory.rename(next(path for path in numbered if not path.exists()))


def _check_local_resources(resources: ResourceSettings) -> None:
    """Raise ValueError if this machine cannot hold one trial."""
    n_cpus, n_gpus = len(os.sched_getaffinity(0)), 0
    if resources.gpus_per_trial:
        import torch

        n_gpus = torch.cuda.device_count()
    for name, wanted, present in (
        ("cpus_per_trial", resources.cpus_per_trial, n_cpus),
        ("gpus_per_trial", resources.gpus_per_trial or 0, n_gpus),
    ):
        if wanted > present:
            raise UserError(f"resources.{name} must be at most {present} on this machine, but is {wanted:g}. Lower it.")


def _check_definition(directory: Path, stored: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
    """Raise ValueError if the folder holds trials that mean something else."""
    # A key that an older version did not write had the value it has now.
    differing = [name for name in wanted if stored is not None and stored.get(name, wanted[name]) != wanted[name]]
    if differing:
        assert stored is not None
        told = {"data": "data (other development samples; they follow from [data] and seed)"}
        told |= {name: f"{name} ({stored.get(name)} there, {wanted[name]} now)" for name in differing if name != "data"}
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
        "cpus": len(os.sched_getaffinity(0)),
    }


def _write_text(path: Path, text: str) -> None:
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
