"""The Ray driver's side: a round of packs in, every report to the recorder."""

import tempfile
from collections.abc import Mapping

import numpy as np

from ae_model.errors import last_line
from search.errors import SearchError
from search.execution import ray_internals
from search.execution.agenda import Agenda
from search.execution.recorder import Heard, Recorder
from search.execution.records import ValidationDesign, WorkerOptions
from search.execution.signals import interrupts
from search.ledger import Ledger


def run_packs(
    agenda: Agenda,
    *,
    values: np.ndarray,
    design: ValidationDesign,
    options: WorkerOptions,
    given: Mapping[str, float],
    max_failures: int,
    ledger: Ledger,
    heard: Heard,
    max_concurrent_trials: int | None = None,
) -> None:
    """Train and evaluate packs on the connected Ray; every report is in the ledger when this returns.

    Args:
        agenda: The packs.
        values: Development samples `(n_samples, n_features)`.
        design: What defines the evaluation.
        options: What workers compute with.
        given: CPUs and GPUs of each pack, as `trial_resources` returns them.
        max_failures: How often a pack is started again after its worker was lost.
        ledger: Where reports go.
        heard: Called after every report.
        max_concurrent_trials: The most packs that are trained at once; as many as Ray has room for if None.

    Raises:
        SearchError: If Ray or the disk cannot go on.
        KeyboardInterrupt: If the search was interrupted.
    """
    from ray import tune  # takes seconds, in which the processes of a Ray just started do the same

    from search.execution.listener import Listener
    from search.execution.searcher import PackSearcher
    from search.execution.trainable import train_pack

    with interrupts() as interrupted, tempfile.TemporaryDirectory(prefix="ae-search-") as scratch:
        trainable = tune.with_resources(
            tune.with_parameters(train_pack, values=values, design=design, options=options), dict(given)
        )
        listener, searcher = (
            Listener(Recorder(agenda.packs, ledger, heard), interrupted),
            PackSearcher(agenda, max_concurrent_trials),
        )
        try:
            with (
                ray_internals.idle_workers_kept(),
                ray_internals.registry_read_once(),
                ray_internals.tune_in_this_process(scratch),
            ):
                tuner = tune.Tuner(
                    trainable,
                    tune_config=tune.TuneConfig(
                        search_alg=searcher,
                        num_samples=-1,  # until the agenda has ended
                        reuse_actors=True,
                        trial_name_creator=str,
                        trial_dirname_creator=lambda trial: trial.trial_id,
                    ),
                    run_config=tune.RunConfig(
                        name="search",
                        storage_path=scratch,  # of the driver alone: nothing of a trial goes there
                        failure_config=tune.FailureConfig(max_failures=max_failures),
                        callbacks=[listener],
                        verbose=0,
                    ),
                )
                tuner.fit()
        except tune.TuneError as error:
            known = listener.error or searcher.error
            raise known or SearchError(f"Ray Tune stopped: {last_line(error)}. Run the same command again.") from None
        if interrupted.is_set():
            raise KeyboardInterrupt
