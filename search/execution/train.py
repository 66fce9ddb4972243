"""The step that needs Ray: one round after another, until the plan has none left."""

from pathlib import Path

from search.execution.checkpoints import make_folder, trim_folder
from search.execution.packs import Pack, make_packs
from search.execution.records import WorkerOptions
from search.ledger import ENDED, FAILED, FINISHED, PENDING, Ledger
from search.monitor import Monitor
from search.plan import Plan
from search.rounds import next_round
from search.tables import write_tables


def train(plan: Plan, ledger: Ledger, directory: Path, *, address: str | None, progress: Monitor) -> None:
    """Train what the plan asks for and the ledger lacks, and write the tables.

    Args:
        plan: What is to be trained; its trials are in the ledger.
        ledger: Where every report goes.
        directory: The search's directory.
        address: The address of a running Ray cluster, or "auto"; a local Ray is started if None.
        progress: The monitor that is told how far training is.

    Raises:
        UserError: If no cluster can be joined, or no node has the resources of one trial.
        SearchError: If Ray itself, or the disk, cannot go on.
        KeyboardInterrupt: If the search was interrupted; what was reported is in the ledger.
    """
    # What failed is tried again, once in a run.
    ledger.set_status([t for t, s in ledger.standing().items() if t in plan.trials and s.status == FAILED], PENDING)
    asked = _ask(plan, ledger)
    if not asked:
        progress.say("Nothing is left to train")
        write_tables(directory)
        return
    resources = plan.settings.resources
    everything = make_packs(plan.trials, n_rows=plan.n_training_rows)
    folder = str((directory / "checkpoints").resolve())
    if resources.storage_path is not None:
        folder = f"{resources.storage_path.rstrip('/')}/{ledger.search_id()}"
    make_folder(folder)
    progress.say(f"{plan.dataset.name}: {plan.code_sizes.text()}")
    progress.searching(directory, list(plan.trials), ledger.standing(), asked)
    # Ray is slow to import, and not needed where all is done.
    from search.execution.connection import connected_ray
    from search.execution.runner import run_round, trial_resources

    with connected_ray(address, resources, log=directory / "ray.log") as tune_cap:
        given = trial_resources(resources)
        options = WorkerOptions(
            device="cuda" if given["GPU"] else "cpu",
            n_threads=resources.cpus_per_trial,
            checkpoint_folder=folder,
            checkpoint_every_s=resources.checkpoint_every_s,
        )
        while asked:
            packs = [
                Pack(
                    trials=together,
                    targets={t: asked[t] for t in together if t in asked},
                    patience=plan.lengths[next(iter(together))].patience,
                )
                for together in everything
            ]
            with progress.round([p for p in packs if p.targets], ledger.standing(), plan.n_training_rows) as heard:
                run_round(
                    packs,
                    values=plan.dataset.development,
                    design=plan.design,
                    options=options,
                    given=given,
                    max_failures=resources.max_failures,
                    ledger=ledger,
                    heard=heard,
                    max_concurrent_trials=tune_cap,
                )
            asked = _ask(plan, ledger)
        write_tables(directory)  # before Ray's end, which takes a second
    trim_folder(folder)


def _ask(plan: Plan, ledger: Ledger) -> dict[str, int]:
    """The next round; the ledger's statuses say who is in it."""
    # Without patience the curves need not be read.
    is_patient = any(length.patience for length in plan.lengths.values())
    standing = ledger.standing(plan.settings.search.min_gain if is_patient else None)
    asked = next_round(plan.lengths, standing)
    ledger.set_status([t for t in asked if standing[t].status == FINISHED], PENDING)
    ledger.set_status([t for t in plan.trials if t not in asked and standing[t].status not in ENDED], FINISHED)
    return asked
