"""The Ray driver's side: trials in, every report to the recorder."""

import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any

import numpy as np
import ray

from ae_model.configuration import Configuration
from search.execution.checkpoints import clear_checkpoints
from search.execution.recorder import Progress, Recorder
from search.execution.signals import interrupts
from search.ledger import Ledger
from search.settings import ResourceSettings


def run_trials(
    packs: Sequence[Mapping[str, Configuration]],
    *,
    unfinished: Set[str],
    values: np.ndarray,
    evaluation: Mapping[str, Any],
    checkpoints: Mapping[str, Any],
    resources: ResourceSettings,
    ledger: Ledger,
    progress: Progress,
    max_concurrent_trials: int | None = None,
) -> None:
    """Train and evaluate trials on the connected Ray; every report is in the ledger when this returns.

    Args:
        packs: Configurations by trial id; the packs are started in this order.
        unfinished: Ids of the trials that are wanted; others in the packs only keep them company.
        values: Development samples.
        evaluation: `folds`, `max_epochs`, `seed` and `value_range` as in `cross_validate`, and `fp32_precision`.
        checkpoints: As `train_pack` takes them; what no coming trial can use is deleted from the folder.
        resources: What each trial gets.
        ledger: Where reports go.
        progress: Called after every report.
        max_concurrent_trials: As many as Ray has room for, if None.

    Raises:
        ValueError: If no node has the resources of one trial.
        Exception: Ray's, if there is no connection (`connected_ray` makes one).
    """
    from ray import tune  # takes seconds, in which the processes of a Ray just started do the same

    from search.execution.listener import Listener
    from search.execution.trainable import train_pack

    with interrupts() as interrupted, tempfile.TemporaryDirectory(prefix="ae-search-") as scratch:
        given = trial_resources(resources)
        device = "cuda" if given["GPU"] else "cpu"
        worker = {**evaluation, "device": device, "n_threads": resources.cpus_per_trial}
        plain = [[(trial_id, asdict(configuration)) for trial_id, configuration in pack.items()] for pack in packs]
        recorded = ledger.epochs_recorded()
        clear_checkpoints(checkpoints["folder"], packs, worker, unfinished=unfinished, recorded=recorded)
        trainable = tune.with_resources(
            tune.with_parameters(train_pack, values=values, packs=plain, evaluation=worker, checkpoints=checkpoints),
            given,
        )
        recorder = Recorder(plain, ledger, progress, max_epochs=evaluation["max_epochs"], unfinished=unfinished)
        listener = Listener(recorder, interrupted)
        tuner = tune.Tuner(
            trainable,
            # Numbers, because Tune copies the whole grid for every trial.
            param_space={"pack": tune.grid_search(list(range(len(plain))))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=max_concurrent_trials),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,  # of the driver alone: nothing of a trial goes there
                failure_config=tune.FailureConfig(max_failures=resources.max_failures),
                callbacks=[listener],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError as error:
            reason = str(error).strip().split("\n")[-1]
            raise listener.error or RuntimeError(f"Ray Tune stopped: {reason}. Run the same command again.") from None
        if interrupted.is_set():
            raise KeyboardInterrupt


def trial_resources(resources: ResourceSettings) -> dict[str, float]:
    """CPUs and GPUs of each trial, on the cluster that is connected.

    Raises:
        ValueError: If no node has them: Ray would wait for such a node for ever.
    """
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    gpus = float(has_gpus) if resources.gpus_per_trial is None else resources.gpus_per_trial
    cpus = resources.cpus_per_trial
    nodes: Sequence[Mapping[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        largest = max((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        raise ValueError(
            f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs, but no node has them (the largest has {largest[0]:g} and "
            f"{largest[1]:g}). Lower resources.cpus_per_trial or resources.gpus_per_trial."
        )
    return {"CPU": cpus, "GPU": gpus}
