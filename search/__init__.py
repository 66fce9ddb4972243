"""Search for the best symmetric autoencoder on Ray Tune; the functions behind the command line."""

from search.evaluate import Evaluation, evaluate
from search.pipeline import Bottleneck, SearchResult, bottleneck, run_search
from search.retrain import retrain, select
from search.selection import Selection
from search.settings import SearchSettings, load_settings, parse_settings
from search.tables import load_epochs, load_folds, load_trials

__all__ = [
    "Bottleneck",
    "Evaluation",
    "SearchResult",
    "SearchSettings",
    "Selection",
    "bottleneck",
    "evaluate",
    "load_epochs",
    "load_folds",
    "load_settings",
    "load_trials",
    "parse_settings",
    "retrain",
    "run_search",
    "select",
]
