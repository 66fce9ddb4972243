"""A round -> its packs: who is trained together with whom, and for how long."""

from collections.abc import Mapping

from ae_model.configuration import Configuration
from search.course import Course
from search.execution.packs import Pack, epoch_seconds, make_packs
from search.plan import Plan
from search.rounds import Round


class RoundPacks:
    """Makes the packs of one round after another; trials stay in the packs that they come up in.

    Args:
        plan: What is searched.
        course: The course whose rounds they are, which is asked how far trials are.
    """

    def __init__(self, plan: Plan, course: Course) -> None:
        self._plan, self._course = plan, course
        self._together: list[dict[str, Configuration]] = []

    def __call__(self, asked: Round) -> tuple[list[Pack], list[Pack]]:
        """The packs of the course's next round, in order, and the packs that have nothing to do in it."""
        n_rows = self._plan.n_training_rows
        if asked.repeats:
            together = make_packs({t: self._course.trials[t] for t in asked.targets}, n_rows=n_rows)
        else:
            self._together += make_packs(asked.configurations, n_rows=n_rows)
            together = self._together
        packs = [self._pack(members, asked) for members in together]
        # Where the time may end at any moment, there is more to choose from if the quick ones come first.
        quick_first = self._plan.settings.search.time_budget_s is not None
        busy = sorted(
            (pack for pack in packs if pack.targets), key=lambda p: epoch_seconds(p, n_rows), reverse=not quick_first
        )
        return busy, [pack for pack in packs if not pack.targets]

    def _pack(self, members: Mapping[str, Configuration], asked: Round) -> Pack:
        """A pack, with what is left to do of a round."""
        course, targets = self._course, asked.targets
        before = max((course.reached[t] for t in members if t in targets), default=0)
        length = self._plan.length(next(iter(members.values())))
        return Pack(
            trials=members,
            targets={t: targets[t] for t in members if t in course.left},
            # Who is not in the round has left the others where their ways parted: so everybody ends with the same
            # company, whatever was trained when.
            ends={t: targets[t] if t in targets else min(course.reached[t], before) for t in members},
            lengths=dict.fromkeys(members, length.epochs),
            patience=None if asked.repeats else length.patience,
            first_fold=len(self._plan.design.folds) if asked.repeats else 0,
        )
