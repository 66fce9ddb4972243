"""Named settings that a search can start from, below a settings file and `--set`.

* `reference`: the design that this program began with: random starts alone, a ReLU code, an output between -1 and 1,
  one learning rate and a fixed number of epochs. What the defaults have gained can be measured against it.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from search.settings import Range, SearchSettings

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "reference": {
        "data": {"scaling": "range"},
        "space": {
            "hidden": ["", "64", "128", "256", "128-64"],
            "code_activation": ["relu"],
            "init": ["random"],
            "output_activation": "tanh",
            "learning_rate": [1e-3],
            "batch_size": [64],
        },
        "search": {"max_epochs": 100},
    },
}
"""The settings of each preset, section by section, as a TOML file gives them."""

SEARCH_PART = 0.85
"""The part of a budget that is for training; data, Ray's start, the winner's training and pictures take the rest."""


def budget_settings(seconds: float, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of a search that is to end within about so many seconds, and to answer as well as it then can.

    What will not win is given up on the way, and the best three are repeated on other folds. Where nobody says what is
    to be searched, a tree-structured Parzen estimator looks among many widths and rates, if Optuna is installed.

    Args:
        seconds: The time, > 0.
        given: What is to be laid over these settings: they must not contradict it.
    """
    search: dict[str, Any] = {"time_budget_s": round(SEARCH_PART * seconds, 3)}
    asked = given.get("search", {})
    if asked.get("algorithm") == "smallest-code":
        return {"search": search}
    search |= {"repeats": 3, "repeat_top": 3}
    schedules = given.get("space", {}).get("learning_rate_schedule", "constant")
    if schedules in ("constant", ["constant"]):  # what a schedule is like on its way says little
        search["pruning"] = "halving"
    if asked.get("repeats") == 1:
        del search["repeat_top"]
    if given.get("space") or "algorithm" in asked or find_spec("optuna") is None:
        return {"search": search}
    space = {
        "depth": {"low": 0, "high": 2},
        "widths": {"low": 32, "high": 1024},
        "learning_rate": {"low": 1e-4, "high": 1e-2},
    }
    return {"search": search | {"algorithm": "tpe"}, "space": space}


def budget_text(settings: SearchSettings) -> str:
    """What a search within a budget is going to do, in a line."""
    search, space = settings.search, settings.space
    ways = {
        "grid": "every configuration of the space",
        "random": "configurations drawn from the space",
        "tpe": "suggestions by tpe",
        "smallest-code": "bisection for the smallest code",
    }
    parts = [ways[search.algorithm]]
    if search.algorithm == "tpe":
        asked = {"depth": space.depth, "widths": space.widths, "learning_rate": space.learning_rate}
        ranges = [f"{name} {r.low:g} to {r.high:g}" for name, r in asked.items() if isinstance(r, Range)]
        parts[0] += f" ({', '.join(ranges)})" if ranges else ""
    elif search.algorithm == "grid" and not space.model_fields_set and find_spec("optuna") is None:
        parts[0] = "the default configurations (where Optuna is installed, suggestions in their place)"
    if search.pruning != "none":
        parts.append("halving")
    if search.repeats > 1:
        top = "all" if search.repeat_top is None else f"the best {search.repeat_top}"
        parts.append(f"{search.repeats - 1} more cross-validations of {top}")
    return f"Within {search.time_budget_s:g} s of training: {', '.join(parts)}"
