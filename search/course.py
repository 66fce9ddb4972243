"""The rounds of a search, one after another, as far as the ledger is."""

from collections.abc import Mapping
from dataclasses import replace

from ae_model.configuration import Configuration
from search.baselines import enter_baselines
from search.ledger import ENDED, FAILED, FINISHED, PENDING, Ledger, Outcome
from search.plan import Plan
from search.rounds import Outcomes, Round, Rounds, Stop, is_done, repeats_round


class Course:
    """Goes through the rounds of a plan; those that the ledger has are gone through without training.

    Args:
        plan: What is searched.
        rounds: Its rounds, from the first one on.
        ledger: What is there; configurations that come up are entered.
    """

    def __init__(self, plan: Plan, rounds: Rounds, ledger: Ledger) -> None:
        self.trials: dict[str, Configuration] = {}
        """All trials that have come up, in this order."""
        self.together: list[Mapping[str, Configuration]] = []
        """The same, by the rounds that they came up in."""
        self.reached: dict[str, int] = {}
        """The epoch that each was to reach before the round."""
        self.left: Mapping[str, int] = {}
        """What of the round is still to be trained."""
        self._plan, self._rounds, self._ledger = plan, rounds, ledger
        self._stopped: dict[str, Stop] = {}
        self._round: Round | None = None
        self._unnoted: set[str] = set()
        self._failed_before = {t for t, s in ledger.standing().items() if s.status == FAILED}

    def next(self) -> Round | None:
        """The next round that has something left to train; None if there is none.

        What is left of the last one, because it failed, is taken as it is.
        """
        while True:
            try:
                asked = next(self._rounds) if self._round is None else self._rounds.send(self._outcomes(self._round))
            except StopIteration:
                self._note(None)
                return None
            self._enter(asked)
            self.left = self._still_left(asked)
            if self.left:
                self._note(asked)
                return asked

    def last_round(self) -> Round | None:
        """The repeats of the best that have finished, where the time for all else has ended; None if there are none.

        What is left of them, because they failed, is not asked for again.
        """
        search = self._plan.settings.search
        if search.repeats == 1 or (self._round is not None and self._round.repeats):
            return None
        standing = self._ledger.standing(None, self.trials)
        finished = {t: s.epochs for t, s in standing.items() if s.status == FINISHED}
        if not finished:
            return None
        asked = repeats_round(self._ledger.outcomes(finished), search.repeat_top)
        self._enter(asked)
        self.left = self._still_left(asked)
        return asked if self.left else None

    def rest(self) -> Round | None:
        """The last round again, where something of it is left; None otherwise."""
        assert self._round is not None
        self.left = {} if self._round.repeats else self._still_left(self._round)
        return self._round if self.left else None

    def _enter(self, asked: Round) -> None:
        if self._round is not None and not self._round.repeats:
            self.reached |= self._round.targets
        self._round = asked
        self.trials |= asked.configurations
        if asked.configurations:
            self.together.append(asked.configurations)
        for trial in asked.configurations:
            self.reached.setdefault(trial, 0)
        self._stopped |= asked.stopped
        self._unnoted |= asked.targets.keys()
        for trial in asked.targets:
            self._stopped.pop(trial, None)

    def _still_left(self, asked: Round) -> dict[str, int]:
        if asked.repeats:
            enter_baselines(self._plan, self._ledger, [self.trials[t].code_size for t in asked.targets], repeats=True)
            reached = self._ledger.repeated_epochs(asked.targets)
            return {t: epoch for t, epoch in asked.targets.items() if reached[t] < epoch}
        self._enter_trials(asked)
        again = self._failed_before.intersection(asked.targets)  # what failed is tried again, once in a run
        self._failed_before -= again
        self._ledger.set_status(again, PENDING)
        lengths = {t: self._plan.length(self.trials[t]) for t in asked.targets}
        is_patient = any(length.patience for length in lengths.values())
        standing = self._ledger.standing(self._plan.settings.search.min_gain if is_patient else None, asked.targets)
        return {t: epoch for t, epoch in asked.targets.items() if not is_done(standing[t], epoch, lengths[t])}

    def _enter_trials(self, asked: Round) -> None:
        # Those of a batch that is there have their numbers: a long search has thousands of batches.
        if asked.configurations.keys() - self._ledger.standing(None, asked.configurations).keys():
            self._ledger.enter_trials(self.trials)
        if asked.configurations:
            enter_baselines(self._plan, self._ledger, [c.code_size for c in asked.configurations.values()])

    def _note(self, asked: Round | None) -> None:
        """Let the ledger say what becomes of each trial; at the end, if there is no round."""
        ledger = self._ledger
        ledger.note_stopped({t: (stop.rung, stop.forecast) for t, stop in self._stopped.items()})
        left = self.left if asked is not None and not asked.repeats else {}
        min_gain = self._plan.settings.search.min_gain
        standing = ledger.standing(min_gain, self._unnoted)
        ledger.set_status([t for t in left if standing[t].status == FINISHED], PENDING)
        complete = [
            t
            for t, of_trial in standing.items()
            if t not in left
            and of_trial.status not in ENDED
            and is_done(of_trial, (length := self._plan.length(self.trials[t])).epochs, length)
        ]
        ledger.set_status(complete, FINISHED)
        self._unnoted = set()

    def _outcomes(self, asked: Round) -> Outcomes:
        """What the trials of a round have given in it."""
        if asked.repeats:
            return {}
        standing = self._ledger.standing(None, asked.targets)
        outcomes = self._ledger.outcomes(asked.targets)
        return {t: _nothing(o) if standing[t].status == FAILED else o for t, o in outcomes.items()}


def _nothing(outcome: Outcome) -> Outcome:
    """Without any epoch: what has failed has no result, wherever it did."""
    return replace(outcome, epochs=outcome.epochs[:0], val_mse=outcome.val_mse[:0], val_fve=outcome.val_fve[:0])
