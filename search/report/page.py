"""Facts and figures -> one file that opens in any browser, without a network."""

import json
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ae_model.errors import UserError
from search.files import replace_file
from search.ledger import DIVERGED, FAILED
from search.report import model
from search.report.answer import answer, explained
from search.report.bottleneck import bottleneck_figure
from search.report.curves import curve_figures
from search.report.facts import Facts, read_facts
from search.report.figures import Figure
from search.report.hourglass import hourglass
from search.report.sizes import size_figures
from search.report.trials import trial_figures, trials_table
from search.settings_files import to_toml
from search.test_codes import TestCodes
from search.trained import sample_form

FILE_NAME = "report.html"
_HERE = Path(__file__).parent


def write_report(directory: str | Path, *, umap: bool = False, at_work: bool | None = None) -> Path:
    """Write `report.html` into a search's directory: all of it on one page, with nothing that has to be loaded.

    A search that is running is not disturbed; the report then shows how it stands.

    Args:
        directory: The search's directory.
        umap: Whether to draw the winner's codes by UMAP too, which takes seconds; needs umap-learn.
        at_work: Whether a search is running there; looked up if None.

    Returns:
        The path of the report.

    Raises:
        UserError: If the directory is not a search directory, the report cannot be written, or umap-learn is missing.
    """
    if umap:
        _check_umap()
    facts = read_facts(directory, at_work=at_work)
    path = Path(directory) / FILE_NAME
    text = render(facts, umap=umap)
    try:
        replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}). Make room, or check its permissions.") from error
    return path


def render(facts: Facts, *, umap: bool = False) -> str:
    """The page as HTML."""
    from plotly.offline import get_plotlyjs

    winner = facts.winner
    sizes = [] if winner is None else [int(size) for size in str(winner["layer_sizes"]).split("-")]
    sections = {
        "sizes": size_figures(facts),
        "trials": [*trial_figures(facts), *curve_figures(facts)],
        "bottleneck": _known(bottleneck_figure(facts)),
        "model": _model_figures(facts, umap=umap),
    }
    figures = {f.name: {"data": f.data, "layout": f.layout} for of in sections.values() for f in of}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.jinja").render(
        title=facts.name,
        now=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        answer=answer(facts),
        hourglass=hourglass(sizes) if sizes else None,
        sections=sections,
        counts=_counts(facts),
        lost=_lost(facts),
        n_trials=len(facts.trials),
        one_size=int(facts.trials["code_size"].iloc[0]) if facts.trials["code_size"].nunique() == 1 else None,
        explained=explained(facts),
        reconstructions=model.reconstructions(facts.model_dir) if facts.evaluation is not None else None,
        evaluation=None if facts.evaluation is None else asdict(facts.evaluation),
        times=_times(facts),
        machine=_machine(facts),
        settings=to_toml(facts.settings),
        table=_script(trials_table(facts)),
        figures=_script(figures),
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),  # our own, as the next
        js=Markup((_HERE / "report.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )


def _check_umap() -> None:
    if find_spec("umap") is None:
        raise UserError(
            "--umap needs umap-learn, which is not installed. Install it: pip install 'ae-search[umap]'",
            argument="umap",
        )


def _script(content: Any) -> Markup:
    """JSON that may stand in a script element: no `<` could end it."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _model_figures(facts: Facts, *, umap: bool) -> list[Figure]:
    if facts.evaluation is None:
        return []
    names, image_shape = sample_form(facts.model_dir)
    figures = _known(model.loss_figure(facts), model.error_figure(facts, names, image_shape))
    try:
        return [*figures, *model.code_figures(TestCodes.read(facts.model_dir), umap=umap)]
    except UserError:  # a model of before they were kept
        return figures


def _known(*figures: Figure | None) -> list[Figure]:
    return [figure for figure in figures if figure is not None]


def _counts(facts: Facts) -> str:
    counts = Counter(facts.trials["status"])
    return ", ".join(f"{n} {status}" for status, n in counts.most_common())


def _lost(facts: Facts) -> list[tuple[str, str, str, str]]:
    """The trials that diverged or failed: label, id, status and reason."""
    lost = facts.trials[facts.trials["status"].isin([DIVERGED, FAILED])]
    return [
        (str(row["label"]), str(row["trial_id"]), str(row["status"]), _reason(row["status"], row["error"]))
        for _, row in lost.iterrows()
    ]


def _reason(status: str, error: Any) -> str:
    if isinstance(error, str) and error:
        return error
    return "an error was not finite: try a lower learning rate" if status == DIVERGED else "not known"


def _times(facts: Facts) -> list[tuple[str, str]]:
    trials = facts.trials
    seconds = trials["fit_seconds"].dropna()
    rows = []
    if facts.training_seconds is not None:
        rows.append(("training, by the clock, all runs", _duration(facts.training_seconds)))
    if len(seconds):
        rows.append(("training, all trials together", _duration(float(seconds.sum()))))
        slowest = trials.iloc[int(trials["fit_seconds"].argmax())]
        rows.append(("longest trial", f"{_duration(float(seconds.max()))}: {slowest['label']}"))
    hosts = Counter(trials["host"].dropna())
    if hosts:
        rows.append(("trials by host", ", ".join(f"{host} {n}" for host, n in hosts.most_common())))
    rows.append(("epochs of single folds", f"{int((facts.epochs['epoch'] > 0).sum()):,}"))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _machine(facts: Facts) -> list[tuple[str, str]]:
    environment = facts.environment
    packages = environment.get("packages", {})
    rows = [
        (name, str(environment[name])) for name in ("ae_search", "python", "platform", "cpus") if name in environment
    ]
    return [*rows, *((name, str(version)) for name, version in packages.items()), ("seed", str(facts.settings.seed))]
