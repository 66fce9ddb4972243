"""search.course: the rounds of a search follow from settings and ledger, whenever they are asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ae_model import EpochRecord
from search import load_trials, parse_settings
from search.algorithm import make_rounds
from search.course import Course
from search.directory import enter_plan
from search.execution.round_packs import make_round
from search.ledger import FAILED, FINISHED, Ledger
from search.plan import Plan, make_plan
from search.rounds import Round


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Sixteen configurations of two kinds that are halved, and the best two repeated."""
    values = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    settings = {
        "bottleneck": {"code_sizes": [3]},
        "space": {"hidden": ["", "8"], "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3]},
        "search": {"max_epochs": 12, "n_splits": 3, "pruning": "halving", "repeats": 3, "repeat_top": 2},
    }
    return make_plan(parse_settings(settings), values)


@pytest.fixture
def ledger(plan: Plan, tmp_path: Path) -> Iterator[Ledger]:
    """Of a search that has not begun."""
    with Ledger(tmp_path) as ledger:
        enter_plan(plan, ledger, tmp_path)
        yield ledger


def _record(level: float, epoch: int, n_folds: int) -> EpochRecord:
    mse = level * (1 + 1 / (epoch + 1)) + 1e-3 * np.arange(n_folds)
    return EpochRecord(
        epoch=epoch, train_mse=mse, val_mse=mse, val_fve=1 - mse, dead_code_units=np.zeros(n_folds, np.int64)
    )


def _train(plan: Plan, ledger: Ledger, asked: Round, targets: dict[str, int]) -> None:
    """Put into the ledger what training would; each trial falls to a level of its own."""
    levels = {t: 0.5 + 0.01 * n for n, t in enumerate(plan.trials)}
    for trial, epoch in targets.items():
        n_folds, first = (6, 3) if asked.repeats else (3, 0)
        records = [_record(levels[trial], e, n_folds) for e in range(1, epoch + 1)]
        ledger.record(trial, records, first_fold=first, status=None if asked.repeats else "running")


def test_a_search_ends_alike_wherever_it_was_left(plan: Plan, ledger: Ledger, tmp_path: Path) -> None:
    """A course that is made anew after each round, or after a half of one, comes to what is left of the same round."""
    course = Course(plan, make_rounds(plan), ledger)
    rounds = []
    while asked := course.next():
        rounds.append(asked)
        left = dict(course.left)
        assert left == asked.targets
        half = dict(list(left.items())[: len(left) // 2])
        _train(plan, ledger, asked, half)
        again = Course(plan, make_rounds(plan), ledger)
        of_again = again.next()
        assert of_again is not None
        assert (of_again.targets, of_again.repeats) == (asked.targets, asked.repeats)
        assert again.left == {t: epoch for t, epoch in left.items() if t not in half}
        packs = [make_round(plan, c, r)[0] for c, r in ((course, asked), (again, of_again))]
        ends = [{(t, e) for pack in made for t, e in pack.ends.items() if pack.targets} for made in packs]
        assert ends[1] <= ends[0], "everybody has the same company, whatever is left"
        _train(plan, ledger, asked, left)
    assert [len(asked.targets) for asked in rounds] == [16, 8, 4, 2]
    assert [asked.repeats for asked in rounds] == [False] * 3 + [True]
    assert Course(plan, make_rounds(plan), ledger).next() is None
    trials = load_trials(tmp_path)
    assert trials.groupby("status").size().to_dict() == {"stopped": 12, "finished": 4}
    assert trials.loc[trials["status"] == "stopped", "rung"].value_counts().to_dict() == {1: 8, 2: 4}
    assert trials["forecast"].notna().sum() == 12
    assert sorted(trials["n_repeats"]) == [1] * 14 + [3] * 2


def test_packs_keep_their_members_and_shrink(plan: Plan, ledger: Ledger) -> None:
    """Who was stopped leaves its pack at the epoch where it was; the pack itself is the same in every round."""
    course = Course(plan, make_rounds(plan), ledger)
    members = set()
    stopped_at: dict[str, int] = {}
    while (asked := course.next()) and not asked.repeats:
        busy, idle = make_round(plan, course, asked)
        members.add(frozenset(frozenset(pack.trials) for pack in [*busy, *idle]))
        for pack in busy:
            for trial, end in pack.ends.items():
                assert end == asked.targets.get(trial, stopped_at.get(trial))
        stopped_at |= dict(asked.targets)
        _train(plan, ledger, asked, dict(course.left))
    assert len(members) == 1


def test_what_failed_is_not_promoted_and_not_asked_again(plan: Plan, ledger: Ledger) -> None:
    """However good it was until then."""
    course = Course(plan, make_rounds(plan), ledger)
    asked = course.next()
    assert asked is not None
    _train(plan, ledger, asked, dict(course.left))
    best = next(iter(plan.trials))
    ledger.fail(best, "no memory")
    second = course.next()
    assert second is not None
    assert best not in second.targets
    assert ledger.standing()[best].status == FAILED


def test_more_epochs_ask_for_more_of_those_that_survive(plan: Plan, ledger: Ledger) -> None:
    """Without halving everybody is trained to the end; what was stopped is stopped no longer."""
    course = Course(plan, make_rounds(plan), ledger)
    while asked := course.next():
        _train(plan, ledger, asked, dict(course.left))
    search = plan.settings.search.model_copy(update={"pruning": "none"})
    everyone = Plan(
        settings=plan.settings.model_copy(update={"search": search}), dataset=plan.dataset, trials=plan.trials,
        code_sizes=plan.code_sizes, design=plan.design, definition=plan.definition,
    )  # fmt: skip
    course = Course(everyone, make_rounds(everyone), ledger)
    asked = course.next()
    assert asked is not None
    assert len(asked.targets) == 16
    assert len(course.left) == 12
    assert {s.status for t, s in ledger.standing().items() if t not in course.left} == {FINISHED}


def test_the_repeats_of_a_search_whose_time_is_over(plan: Plan, ledger: Ledger) -> None:
    """They are those of the best that have finished; without any, the search goes on with the time that was kept."""
    course = Course(plan, make_rounds(plan), ledger)
    asked = course.next()
    assert asked is not None
    assert course.last_round() is None
    rest = course.rest()
    assert rest is not None
    assert rest.targets == asked.targets
    while not asked.repeats:
        _train(plan, ledger, asked, dict(course.left))
        following = course.next()
        assert following is not None
        asked = following
    again = Course(plan, make_rounds(plan), ledger)
    again.next()
    assert again.last_round() is None, "they are what is left anyway"
