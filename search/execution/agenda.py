"""Which packs are trained next: round after round, as the course of the search says."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ae_model.configuration import Configuration
from search.course import Course
from search.execution.packs import Pack, epoch_seconds, make_packs
from search.plan import Plan
from search.rounds import Round


class Agenda:
    """The packs of a search, in the order in which they are to be trained.

    Args:
        plan: What is searched.
        course: Its rounds.
        begins: Called before each round, with its packs and all packs that may come to be trained again.
        may_go_on: Whether another pack may begin; asked before each.
    """

    def __init__(
        self,
        plan: Plan,
        course: Course,
        *,
        begins: Callable[[Sequence[Pack], Sequence[Pack]], None],
        may_go_on: Callable[[], bool],
    ) -> None:
        self.packs: list[Pack] = []
        """All that have come up, by number."""
        self.ended = False
        """Whether no other will come up."""
        self._plan, self._course = plan, course
        self._begins, self._may_go_on = begins, may_go_on
        self._together: list[dict[str, Configuration]] = []
        self._repeated: list[dict[str, Configuration]] = []
        self._waiting: deque[int] = deque()
        self._running: set[int] = set()

    def next_pack(self) -> int | None:
        """The number of the pack to train next; None if none can be trained now."""
        if not self.ended and not self._may_go_on():
            self._waiting.clear()
            self.ended = not self._running
            return None
        if not self._waiting and not self._running and not self.ended:
            self._begin_round()
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        self._running.add(number)
        return number

    def has_ended(self, number: int) -> None:
        """A pack is trained, or was given up."""
        self._running.discard(number)

    def _begin_round(self) -> None:
        asked = self._course.next()
        if asked is None:
            self.ended = True
            return
        packs = self._packs_of(asked)
        self._waiting.extend(range(len(self.packs), len(self.packs) + len(packs)))
        self.packs += packs
        self._begins(packs, self._all_packs(packs))

    def _packs_of(self, asked: Round) -> list[Pack]:
        plan, course = self._plan, self._course
        if asked.repeats:
            chosen = {t: course.trials[t] for t in asked.targets}
            self._repeated = make_packs(chosen, n_rows=plan.n_training_rows)
            together = self._repeated
        else:
            self._together += make_packs(asked.configurations, n_rows=plan.n_training_rows)
            together = self._together
        packs = [self._pack(members, asked) for members in together]
        packs = [pack for pack in packs if pack.targets]
        # A search that may be ended at any time has more to choose from if the quick ones come first.
        sign = 1 if plan.settings.search.time_budget_s else -1
        return sorted(packs, key=lambda pack: sign * epoch_seconds(pack, plan.n_training_rows))

    def _pack(self, members: Mapping[str, Configuration], asked: Round) -> Pack:
        """A pack with what is left to do of a round."""
        course = self._course
        going = [t for t in members if t in asked.targets]
        before = max((course.reached[t] for t in going), default=0)
        length = self._plan.length(next(iter(members.values())))
        return Pack(
            trials=members,
            targets={t: asked.targets[t] for t in going if t in course.left},
            # Who is not in the round left the others where their ways parted: whatever was trained when, in the end
            # everybody has had the same company.
            ends={t: asked.targets[t] if t in asked.targets else min(course.reached[t], before) for t in members},
            lengths=dict.fromkeys(members, length.epochs),
            patience=None if asked.repeats else length.patience,
            first_fold=len(self._plan.design.folds) if asked.repeats else 0,
        )

    def _all_packs(self, packs: Sequence[Pack]) -> list[Pack]:
        """Those of a round, and the others without targets."""
        in_round = {(tuple(pack.trials), pack.is_repeat) for pack in packs}
        first = len(self._plan.design.folds)
        others = [(members, 0) for members in self._together] + [(members, first) for members in self._repeated]
        return [
            *packs,
            *(
                Pack(
                    trials=members,
                    targets={},
                    patience=self._plan.length(next(iter(members.values()))).patience if not fold else None,
                    first_fold=fold,
                )
                for members, fold in others
                if (tuple(members), bool(fold)) not in in_round
            ),
        ]
