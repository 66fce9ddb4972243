"""A round -> its packs: who is trained together with whom, and for how long."""

from collections.abc import Mapping
from dataclasses import replace

from ae_model.configuration import Configuration
from search.course import Course
from search.execution.packs import HALVED, ON_CPU, Pack, PackLimits, epoch_seconds, make_packs
from search.plan import Plan
from search.rounds import Round


def make_round(
    plan: Plan, course: Course, asked: Round, deadline: float | None = None, *, limits: PackLimits = ON_CPU
) -> tuple[list[Pack], list[Pack]]:
    """The packs of a round, in order, and the packs that have nothing to do in it.

    Trials stay in the packs that they come up in.

    Args:
        plan: What is searched.
        course: How far it is.
        asked: The round that the course has come to.
        deadline: When it ends at the latest, as in `Pack`.
        limits: How large packs may become.
    """
    n_rows = plan.n_training_rows
    batches = [{t: course.trials[t] for t in asked.targets}] if asked.repeats else course.together
    is_halved = plan.settings.search.pruning == "halving" and not asked.repeats
    if is_halved:
        limits = replace(limits, max_flop=HALVED * limits.max_flop)
    together = [members for batch in batches for members in make_packs(batch, n_rows=n_rows, limits=limits)]
    packs = [_pack(plan, course, asked, members, deadline) for members in together]
    busy = [pack for pack in packs if pack.targets]
    # Where the time may end at any moment, there is more to choose from if the quick ones come first, and what is to
    # be repeated first is the best.
    place = {t: n for n, t in enumerate(asked.targets)}
    if asked.repeats:
        busy.sort(key=lambda pack: min(place[t] for t in pack.targets))
    else:
        quick_first = plan.settings.search.time_budget_s is not None
        busy.sort(key=lambda pack: epoch_seconds(pack, n_rows), reverse=not quick_first)
    return busy, [pack for pack in packs if not pack.targets]


def _pack(
    plan: Plan, course: Course, asked: Round, members: Mapping[str, Configuration], deadline: float | None
) -> Pack:
    """A pack, with what is left to do of a round."""
    targets = asked.targets
    before = max((course.reached[t] for t in members if t in targets), default=0)
    length = plan.length(next(iter(members.values())))
    return Pack(
        trials=members,
        targets={t: targets[t] for t in members if t in course.left},
        # Who is not in the round has left the others where their ways parted: so everybody ends with the same
        # company, whatever was trained when.
        ends={t: targets[t] if t in targets else min(course.reached[t], before) for t in members},
        lengths=dict.fromkeys(members, length.epochs),
        patience=None if asked.repeats else length.patience,
        first_fold=len(plan.design.folds) if asked.repeats else 0,
        deadline=deadline,
    )
