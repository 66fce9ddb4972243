"""Model directory -> `README.md` in it: what the model is, how good, and how to load it, as a model hub wants it."""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ae_model.configuration import ACTIVATION_RANGES, count_parameters, layer_sizes_text
from ae_model.errors import UserError
from ae_model.loading import load_model
from ae_model.persistence import TrainedAutoencoder
from search.cross_validated import CrossValidated
from search.evaluation_record import Evaluation
from search.files import replace_file
from search.settings import ARRAY_SOURCE
from search.trials_table import mse_text

MARK = (
    "<!-- Written by ae-search, and again whenever the model is trained or evaluated. "
    "Without this line the file stays as it is. -->"
)
"""What tells our own card from one that somebody has made their own."""
PLAIN_SCRIPT = """\
import json
import pathlib
import numpy as np
import torch
from safetensors.torch import load_file

about, tensors = json.loads(pathlib.Path("model.json").read_bytes()), load_file("model.safetensors")


def layers(part, last, x):
    for i, name in enumerate([about["hidden_activation"]] * (len(about["layer_sizes"]) - 2) + [about[last]]):
        weight, bias = tensors[f"model.{part}.{2 * i}.weight"], tensors[f"model.{part}.{2 * i}.bias"]
        x = torch.nn.functional.linear(x.to(weight.dtype), weight, bias)
        x = x if name == "linear" else getattr(torch.nn.functional, name)(x)
    return x


samples = torch.from_numpy(np.load("samples.npy"))  # rows of features in the data's own units
code = layers("encoder", "code_activation", samples * tensors["scaling.scale"] + tensors["scaling.shift"])
scaled = layers("decoder", "output_activation", code)
reconstruction = (scaled - tensors["scaling.shift"]) / tensors["scaling.scale"]
"""
"""What reads a model directory without this program."""
_OWN_SCRIPT = """\
from ae_model import load_model

model = load_model(".")  # the folder that this file is in
code = model.encode(samples)  # an array or a DataFrame, in the data's own units
reconstruction = model.decode(code)
"""
_OF_ENSEMBLES = (
    "Each was trained without another part of the samples. The reconstruction is the mean of theirs, and the code is "
    "theirs, one beside the other: it is not small, and the ensemble is for reconstructing."
)
_FRONT = """\
---
library_name: ae-search
tags:
- autoencoder
- dimensionality-reduction
- pytorch
- safetensors
---
"""
_SCALINGS = {
    "range": "each feature's range to [-1, 1]",
    "standard": "each feature to mean 0 and standard deviation 1",
    "robust": "each feature to median 0 and interquartile range 1",
    "none": "none, the data's own units",
}
_MAX_NAMES = 30
"""So many features are named, and no more."""
_MAX_LENGTH = 60
"""Characters of a name that are shown."""


def write_card(model_dir: str | Path) -> None:
    """Write `README.md` into a model directory, from what lies there: the same directory gives the same card.

    A file that somebody wrote, or made their own by taking out the line that says who wrote it, is left alone.

    Raises:
        UserError: If there is no model, or it is damaged.
        OSError: If it cannot be written.
    """
    path = Path(model_dir) / "README.md"
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return
    text = model_card(model_dir)
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def model_card(model_dir: str | Path) -> str:
    """The text of the card, in Markdown, with the front matter of model hubs; no folder of this machine is in it.

    Raises:
        UserError: If there is no model, or it is damaged.
    """
    trained = load_model(model_dir)
    cross_validated = CrossValidated.read(model_dir)
    if cross_validated is not None and cross_validated.trial_id != trained.metadata.get("trial_id"):
        cross_validated = None
    try:
        evaluation = Evaluation.read(model_dir)
    except UserError:  # there is none yet
        evaluation = None
    sizes = trained.model.layer_sizes
    n = trained.n_models
    plain = [f"Without it, by safetensors, NumPy and torch alone:\n\n```python\n{PLAIN_SCRIPT}```"]
    parts = [
        _FRONT,
        MARK,
        f"\n# {'Autoencoder' if n == 1 else f'Ensemble of {n} autoencoders'} {layer_sizes_text(sizes)}\n",
        f"{'A symmetric autoencoder: it takes' if n == 1 else f'{n} symmetric autoencoders: each takes'} "
        f"{_count(sizes[0], 'feature')} to a code of {_count(sizes[-1], 'unit')} and back. "
        + ("It was" if n == 1 else f"{_OF_ENSEMBLES} They were")
        + " found and trained by ae-search.\n",
        *_table(["", ""], _architecture(trained)),
        "\n## Data\n",
        *_table(["", ""], _data(trained, evaluation)),
        "\n## Figures\n",
        *_figures(cross_validated, evaluation),
        "\n## Limits\n",
        *(f"- {line}" for line in _limits(trained, evaluation)),
        "\n## How to load it\n",
        f"With ae-search installed:\n\n```python\n{_OWN_SCRIPT}```\n",
        *(plain if n == 1 else []),
    ]
    return "\n".join(parts) + "\n"


def _architecture(trained: TrainedAutoencoder) -> Iterator[tuple[str, str]]:
    model, metadata = trained.model, trained.metadata
    sizes = model.layer_sizes
    yield "layer sizes of the encoder", f"{layer_sizes_text(sizes)}; the decoder mirrors them"
    hidden = f"{model.hidden_activation} (hidden), " if len(sizes) > 2 else ""
    yield "activations", f"{hidden}{model.code_activation} (code), {model.output_activation} (output)"
    n_units = trained.n_models * sizes[-1]
    yield "code", f"{_count(n_units, 'unit')}, a compression of {sizes[0] / n_units:.1f} : 1"
    yield "parameters", f"{trained.n_models * count_parameters(sizes):,}"
    epochs, start = metadata.get("epochs"), metadata.get("init")
    if isinstance(epochs, int):
        begin = {"pca": ", started where PCA ends", "random": ", started at random weights"}.get(str(start), "")
        yield "training", f"{_count(epochs, 'epoch')}{begin}" if epochs else "none: it is PCA, on which none improved"


def _data(trained: TrainedAutoencoder, evaluation: Evaluation | None) -> Iterator[tuple[str, str]]:
    metadata = trained.metadata
    data = metadata.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    if isinstance(source, str):
        name = _markdown(re.split(r"[/\\]", source.rstrip("/\\"))[-1])
        yield "source", "an array or a table in memory" if source == ARRAY_SOURCE else name
    n_training = metadata.get("n_development")
    if isinstance(n_training, int):
        yield "samples trained on", f"{n_training:,}"
    if evaluation is not None:
        yield "samples of the test set", f"{evaluation.n_test:,}"
    n_features = trained.model.layer_sizes[0]
    if trained.image_shape is not None:
        yield "features", f"{n_features:,}: images of {' by '.join(map(str, trained.image_shape))}"
    elif trained.feature_names is None:
        yield "features", f"{n_features:,}"
    elif n_features <= _MAX_NAMES:
        yield "features", f"{n_features}, in this order: {', '.join(map(_markdown, trained.feature_names))}"
    else:
        yield "features", f"{n_features:,}; `model.json` has their names in their order"
    scaling = _SCALINGS.get(str(metadata.get("scaling", "range")))  # older models do not say, and knew no other
    if scaling is not None:
        yield "scaling", f"{scaling}; it is part of the model"


def _figures(cross_validated: CrossValidated | None, evaluation: Evaluation | None) -> Iterator[str]:
    """The table of errors, and what else was measured."""
    rows = []
    if cross_validated is not None:
        c = cross_validated
        times = f", {c.n_repeats} times" if c.n_repeats > 1 else ""
        se = "" if c.val_mse_se is None else f" ± {mse_text(c.val_mse_se)}"
        rows.append(
            (f"cross-validation in {c.n_splits} folds{times}", mse_text(c.val_mse_mean) + se, _fve(c.val_fve_mean))
        )
        if c.pca_val_mse_mean is not None:
            rows.append(("PCA with as many components, in the same folds", mse_text(c.pca_val_mse_mean), ""))
    if evaluation is not None:
        e = evaluation
        rows.append(
            (f"test set of {_count(e.n_test, 'sample')}", f"{mse_text(e.mse)} ± {mse_text(e.mse_se)}", _fve(e.fve))
        )
        if e.pca_mse is not None:
            rows.append(("PCA with as many components, on the same", mse_text(e.pca_mse), _fve(e.pca_fve)))
        if e.mean_mse is not None:
            rows.append(("the mean alone, on the same", mse_text(e.mean_mse), ""))
    if not rows:
        yield "There are none yet."
        return
    yield from _table(["", "MSE ± standard error", "FVE"], rows)
    yield (
        "\nMSE is the mean squared error in the units that the scaling gives, FVE the fraction of the variance that is "
        "explained. The test set was seen by nothing before the end."
    )
    if evaluation is not None:
        psnr = "" if evaluation.psnr_db is None else f"PSNR on the test set: {evaluation.psnr_db:.1f} dB. "
        yield (
            f"\n{psnr}{evaluation.dead_code_units} of "
            f"{_count(evaluation.n_models * evaluation.code_size, 'code unit')} "
            "dead (zero for every sample of the test set)."
        )


def _limits(trained: TrainedAutoencoder, evaluation: Evaluation | None) -> Iterator[str]:
    output = trained.model.output_activation
    low, high = ACTIVATION_RANGES[output]
    yield (
        "The model knows the data that it was trained on, and the range of each feature there. On data from elsewhere "
        "or from later the error is likely to be larger: measure it before relying on the model."
    )
    if math.isfinite(low) and math.isfinite(high):
        yield (
            f"The output's {output} keeps reconstructions between {low:g} and {high:g} in scaled units: of samples far "
            "outside the range that was trained on, reconstructions are clipped there."
        )
    else:
        limit = f" It gives nothing below {low:g} in scaled units, because of the output's {output}." * math.isfinite(
            low
        )
        yield f"Of samples far outside the range that was trained on it extrapolates, with errors of any size.{limit}"
    yield (
        "Missing and infinite values are refused by ae-search; other programs do not check, and one such value spoils "
        "its whole row."
    )
    if evaluation is not None:
        yield (
            f"The figures of the test set rest on {_count(evaluation.n_test, 'sample')} of the same source; the "
            "standard error says how much others like them would differ, not how much other data would."
        )


def _fve(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _table(head: list[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _markdown(text: str) -> str:
    """A text from the data, which says in Markdown what it says: one line, nothing that is markup, and not too long."""
    visible = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    visible = visible if len(visible) <= _MAX_LENGTH else f"{visible[: _MAX_LENGTH - 1]}…"
    return re.sub(r"""([\\`*_{}\[\]()<>#+!|~&$:@"'=])""", r"\\\1", visible)
