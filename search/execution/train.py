"""The step that needs Ray: one round after another, until the plan has none left."""

from itertools import chain
from pathlib import Path

from search.algorithm import make_rounds
from search.course import Course
from search.execution.agenda import Agenda
from search.execution.checkpoints import clear_checkpoints, make_folder, subfolder, trim_folder
from search.execution.clock import Clock
from search.execution.packs import ON_CPU, ON_GPU, Pack
from search.execution.records import WorkerOptions
from search.execution.round_packs import make_round
from search.ledger import PENDING, RUNNING, Ledger
from search.monitor import Monitor
from search.plan import Plan
from search.progress import note_round
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
    # A driver that was killed has left them so.
    ledger.set_status([t for t, s in ledger.standing().items() if s.status == RUNNING], PENDING)
    search = plan.settings.search
    clock = Clock(ledger, search.time_budget_s, repeats=search.repeats > 1)
    course = Course(plan, make_rounds(plan), ledger)
    first = None if clock.has_ended() else course.next()
    if first is None:
        progress.say(clock.text() if clock.has_ended() else "Nothing is left to train")
        write_tables(directory)
        return
    resources = plan.settings.resources
    folder = str((directory / "checkpoints").resolve())
    if resources.storage_path is not None:
        folder = subfolder(resources.storage_path, ledger.search_id())
    make_folder(folder)
    progress.say(f"{plan.dataset.name}: {plan.code_sizes.text()}")
    progress.searching(directory, list(course.trials), ledger.standing(), course.left)
    # Ray is slow to import, and not needed where all is done.
    from search.execution.connection import connected_ray
    from search.execution.gpu_share import measured_share
    from search.execution.nodes import alive_nodes, check_nodes, own_versions
    from search.execution.placement import trial_resources
    from search.execution.runner import run_packs

    with connected_ray(address, resources, log=directory / "ray.log") as most_trials:
        wait_s = 0.0 if address is None else resources.startup_timeout_s
        given = trial_resources(resources, wait_s=wait_s, say=progress.say)
        is_cluster = address is not None or len(alive_nodes()) > 1  # also one that the caller has joined
        if is_cluster:
            check_nodes(given, None if resources.storage_path is None else folder)
        options = WorkerOptions(
            device="cuda" if given["GPU"] else "cpu",
            n_threads=resources.cpus_per_trial,
            checkpoint_folder=folder,
            checkpoint_every_s=resources.checkpoint_every_s,
            versions=own_versions() if is_cluster else {},
            is_folder_shared=is_cluster and resources.storage_path is not None,
            search_id=ledger.search_id(),
        )
        values, limits = plan.dataset.development, ON_GPU if given["GPU"] else ON_CPU
        if resources.gpus_per_trial == "auto" and given["GPU"]:
            largest = make_round(plan, course, first, limits=limits)[0][0]
            given["GPU"] = measured_share(largest, values, plan.design, options, given)
            progress.say(f"Each trial gets {given['GPU']:g} of a GPU")
        rounds = chain([first], iter(course.next, None))

        def next_round() -> list[Pack]:
            # A round may also end early because a worker's clock goes before ours.
            is_late = clock.search_has_ended() or (clock.is_bounded and agenda.packs and course.rest() is not None)
            asked = (course.last_round() or course.rest()) if is_late else next(rounds, None)
            if asked is None or clock.has_ended():
                return []
            deadline = clock.deadline(repeats=bool(is_late) or asked.repeats)
            packs, others = make_round(plan, course, asked, deadline, limits=limits)
            standing = ledger.standing()
            recorded = {trial_id: trial.epochs for trial_id, trial in standing.items()}
            if asked.repeats:
                recorded = ledger.repeated_epochs(asked.targets)
            clear_checkpoints(options, [*packs, *others], recorded=recorded)
            progress.begin_round(packs, list(course.trials), standing, plan.n_training_rows, clock.seconds_left())
            targets = {trial_id: epoch for pack in packs for trial_id, epoch in pack.targets.items()}
            note_round(ledger, progress.n_rounds, targets, is_repeat=asked.repeats)
            return packs

        agenda = Agenda(next_round)
        with progress.training() as heard:
            run_packs(
                agenda,
                values=values,
                design=plan.design,
                options=options,
                given=given,
                max_failures=resources.max_failures,
                ledger=ledger,
                heard=clock.beating(heard),
                max_concurrent_trials=most_trials,
            )
        ledger.set_status([t for t, s in ledger.standing().items() if s.status == RUNNING], PENDING)
        clock.note()
        write_tables(directory)  # before Ray's end, which takes a second
    if clock.search_has_ended():
        progress.say(clock.text())
    trim_folder(folder)
