"""The whole main job: plan, train, finish."""

from pathlib import Path
from typing import Any

from search.directory import check_name, default_name, enter_plan, open_directory
from search.execution.machine import check_local_resources
from search.execution.train import train
from search.finish import SearchResult, finish
from search.ledger import Ledger
from search.monitor import Monitor
from search.plan import make_plan
from search.settings import SearchSettings
from search.settings_files import home_path
from search.smallest_code_report import report_smallest_code
from search.tracking.process import check_tracking, tracked


def run_search(
    settings: SearchSettings | None = None,
    *,
    data: Any = None,
    name: str | None = None,
    results_dir: str | Path = "results",
    address: str | None = None,
    fresh: bool = False,
    verbose: bool = False,
) -> SearchResult:
    """Search, select, retrain and evaluate: what `ae-search run` does.

    The same settings under the same name continue what is there: finished trials are not trained again, and nothing
    that has not changed is finished anew. A larger `search.max_epochs` trains every trial on.

    Args:
        settings: What to search; all defaults if None.
        data: The samples: an array `(n_samples, n_features)`, a DataFrame whose columns are features, or an
            `ae_model.Dataset`. Read from `settings.data.source` if None.
        name: The name of the folder in `results_dir`; the data source's name if None.
        results_dir: Where searches lie.
        address: The address of a running Ray cluster, or "auto"; a local Ray is started if None.
        fresh: Whether to start over: what is already in the folder is moved aside, and nothing is deleted.
        verbose: Whether to show progress on standard error.

    Returns:
        What was found; everything in it is also on disk.

    Raises:
        UserError: If settings, data and what is already in the folder do not fit together.
        SearchError: If no trial could be finished, or Ray or the disk cannot go on.
    """
    settings = settings or SearchSettings()
    folder = home_path("results_dir", results_dir)
    directory = folder / (check_name(name) if name is not None else default_name(settings, data))
    progress = Monitor(enabled=verbose)
    check_tracking(settings.tracking)
    plan = make_plan(settings, data)
    for note in plan.dataset.notes:
        progress.say(note)
    if address is None:
        check_local_resources(settings.resources)
    if aside := open_directory(directory, fresh=fresh):
        progress.say(f"{directory} was moved to {aside}; to continue the new one, leave out --fresh")
    with Ledger(directory) as ledger:
        enter_plan(plan, ledger, directory)
        with tracked(settings.tracking, directory, ledger, progress):
            train(plan, ledger, directory, address=address, progress=progress)
            if settings.search.algorithm == "smallest-code":
                report_smallest_code(plan, directory)
            return finish(directory, plan.dataset, progress)  # still under the ledger's lock
