"""search.rounds: what is trained next follows from plan and ledger alone."""

import pytest

from ae_model.patience import Patience
from search.ledger import DIVERGED, FAILED, FINISHED, PENDING, RUNNING, Standing
from search.lengths import Length
from search.rounds import next_round


def _lengths(trials: str, epochs: int, patience: int | None = None) -> dict[str, Length]:
    return dict.fromkeys(
        trials, Length(epochs=epochs, patience=None if patience is None else Patience(epochs=patience))
    )


def _standing(**trials: tuple[str, int]) -> dict[str, Standing]:
    return {name: Standing(status=status, epochs=epochs) for name, (status, epochs) in trials.items()}


@pytest.mark.parametrize("status", [PENDING, RUNNING, FINISHED])
def test_a_trial_is_done_when_it_has_reached_the_epoch(status: str) -> None:
    """Whatever the ledger calls it: what was asked for decides, so that more epochs can be asked for later."""
    standing = _standing(a=(status, 5))
    assert next_round(_lengths("a", 6), standing) == {"a": 6}
    assert next_round(_lengths("a", 5), standing) == {}
    assert next_round(_lengths("a", 4), standing) == {}


@pytest.mark.parametrize("status", [DIVERGED, FAILED])
def test_what_has_no_result_is_not_asked_again(status: str) -> None:
    """A trial that diverged would diverge again; one that failed is tried again by the next run, which says so."""
    assert next_round(_lengths("ab", 6), _standing(a=(status, 2), b=(PENDING, 0))) == {"b": 6}


def test_trials_of_earlier_settings_are_left_alone() -> None:
    """Only the plan's own are asked, in its order."""
    standing = _standing(old=(PENDING, 0), b=(PENDING, 0), a=(RUNNING, 3))
    assert list(next_round(_lengths("ab", 6), standing)) == ["a", "b"]


def test_a_trial_without_a_gain_for_too_long_is_done() -> None:
    """It is asked again only by settings that are more patient, or have none."""
    standing = {"a": Standing(status=FINISHED, epochs=7, without_gain=3)}
    assert next_round(_lengths("a", 9, patience=3), standing) == {}
    assert next_round(_lengths("a", 9, patience=4), standing) == {"a": 9}
    assert next_round(_lengths("a", 9), standing) == {"a": 9}
    assert next_round(_lengths("a", 7), standing) == {}
