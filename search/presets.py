"""Named settings that a search can start from, below a settings file and `--set`.

* `reference`: the design that this program began with: random starts alone, a ReLU code, an output between -1 and 1,
  one learning rate and a fixed number of epochs. What the defaults have gained can be measured against it.
"""

from typing import Any

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
