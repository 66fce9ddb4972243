"""Search for the best symmetric autoencoder on Ray Tune; the functions behind the command line."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.code_sizes import Bottleneck, bottleneck
    from search.evaluate import Evaluation, evaluate_model
    from search.pipeline import SearchResult, run_search
    from search.retraining import retrain
    from search.selection import Selection, select
    from search.settings import SearchSettings, load_settings, parse_settings
    from search.tables import load_epochs, load_folds, load_trials

# Imported on first use: torch and pandas take seconds, which `ae-search --help` must not.
_HOMES = {
    "Bottleneck": "code_sizes",
    "Evaluation": "evaluate",
    "SearchResult": "pipeline",
    "SearchSettings": "settings",
    "Selection": "selection",
    "bottleneck": "code_sizes",
    "evaluate_model": "evaluate",
    "load_epochs": "tables",
    "load_folds": "tables",
    "load_settings": "settings",
    "load_trials": "tables",
    "parse_settings": "settings",
    "retrain": "retraining",
    "run_search": "pipeline",
    "select": "selection",
}

__all__ = [
    "Bottleneck",
    "Evaluation",
    "SearchResult",
    "SearchSettings",
    "Selection",
    "bottleneck",
    "evaluate_model",
    "load_epochs",
    "load_folds",
    "load_settings",
    "load_trials",
    "parse_settings",
    "retrain",
    "run_search",
    "select",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(import_module(f"search.{_HOMES[name]}"), name)
