"""search.execution.agenda: packs in order, a round after the other."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_model import Configuration
from search.execution.agenda import Agenda
from search.execution.clock import Clock
from search.execution.packs import Pack
from search.execution.searcher import PackSearcher
from search.ledger import Ledger


def _packs(*names: str, deadline: float | None = None) -> list[Pack]:
    return [
        Pack(trials={n: Configuration(layer_sizes=(4, 2))}, targets={n: 1}, deadline=deadline) for n in names
    ]  # fmt: skip


def _agenda(*rounds: list[Pack]) -> Agenda:
    left: Iterator[list[Pack]] = iter(rounds)
    return Agenda(lambda: next(left, []))


def test_no_more_run_at_once_than_may() -> None:
    """A pack that has ended makes room for the next."""
    searcher = PackSearcher(_agenda(_packs("a", "b", "c")), 2)

    def suggested(trial_id: str) -> list[str]:
        suggestion = searcher.suggest(trial_id)
        return list(suggestion["job"].pack.trials) if isinstance(suggestion, dict) else []

    assert [suggested("1"), suggested("2"), suggested("3")] == [["a"], ["b"], []]
    searcher.on_trial_complete("2", error=True)
    assert [suggested("3"), suggested("4")] == [["c"], []]


def test_a_round_begins_when_the_one_before_has_ended() -> None:
    """And not when its last pack has begun."""
    agenda = _agenda(_packs("a", "b"), _packs("c"))
    assert [agenda.next_pack(), agenda.next_pack(), agenda.next_pack()] == [0, 1, None]
    assert not agenda.ended
    agenda.has_ended(0)
    assert agenda.next_pack() is None
    agenda.has_ended(1)
    assert agenda.next_pack() == 2
    assert list(agenda.packs[2].trials) == ["c"]
    agenda.has_ended(2)
    assert agenda.next_pack() is None
    assert agenda.ended


def test_what_comes_too_late_does_not_begin() -> None:
    """The next round is asked for when those that run have ended."""
    agenda = _agenda(_packs("a", "b", deadline=time.time() - 1), _packs("c"))
    assert agenda.next_pack() == 2
    agenda.has_ended(2)
    assert agenda.next_pack() is None
    assert agenda.ended


@pytest.mark.parametrize("repeats", [False, True])
def test_a_clock_counts_all_runs(repeats: bool, tmp_path: Path) -> None:
    """What an earlier run took is gone; a part of the time is kept for repeats, where there are any."""
    with Ledger(tmp_path) as ledger:
        ledger.put("training_seconds", 80.0)
        clock = Clock(ledger, 100.0, repeats=repeats)
        assert 80 <= clock.seconds() < 90
        assert clock.search_has_ended() == repeats
        assert not clock.has_ended()
        deadline = clock.deadline(repeats=True)
        assert deadline is not None
        assert 10 < deadline - time.time() <= 20
        clock.note()
        assert ledger.get("training_seconds") >= 80
        assert Clock(ledger, 70.0).has_ended()
        assert Clock(ledger, None).deadline(repeats=False) is None
        assert not Clock(ledger, None).has_ended()
