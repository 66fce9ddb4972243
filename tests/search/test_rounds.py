"""search.rounds: what is trained next follows from plan and ledger alone."""

import pytest

from ae_model.patience import Patience
from search.ledger import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, Standing
from search.lengths import Length
from search.rounds import is_done


def _length(epochs: int, patience: int | None = None) -> Length:
    return Length(epochs=epochs, patience=None if patience is None else Patience(epochs=patience))


@pytest.mark.parametrize("status", [PENDING, RUNNING, FINISHED])
def test_a_trial_is_done_when_it_has_reached_the_epoch(status: str) -> None:
    """Whatever the ledger calls it: what was asked for decides, so that more epochs can be asked for later."""
    standing = Standing(status=status, epochs=5)
    assert [is_done(standing, target, _length(9)) for target in (4, 5, 6)] == [True, True, False]


@pytest.mark.parametrize("status", [DIVERGED, FAILED])
def test_what_has_no_result_is_not_asked_again(status: str) -> None:
    """A trial that diverged would diverge again; one that failed is tried again by the next run, which says so."""
    assert is_done(Standing(status=status, epochs=2), 6, _length(6))


def test_a_trial_without_a_gain_for_too_long_is_done() -> None:
    """It is asked again only by settings that are more patient, or have none."""
    standing = Standing(status=FINISHED, epochs=7, without_gain=3)
    assert is_done(standing, 9, _length(9, patience=3))
    assert not is_done(standing, 9, _length(9, patience=4))
    assert not is_done(standing, 9, _length(9))
    assert is_done(standing, 7, _length(9))
