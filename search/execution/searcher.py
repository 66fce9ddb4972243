"""What Ray Tune asks for its next trial."""

from typing import Any

from ray.tune.search import Searcher

from search.execution.agenda import Agenda
from search.execution.records import Job


class PackSearcher(Searcher):  # type: ignore[misc]  # Ray's classes are untyped
    """Gives Tune the packs of an agenda, each as a trial of its own, and waits at the end of each round.

    All rounds are one experiment of Tune's, so that workers stay: to start them takes seconds.
    """

    def __init__(self, agenda: Agenda) -> None:
        super().__init__()
        self.error: Exception | None = None
        """What ended the search, as it was raised."""
        self._agenda = agenda
        self._packs: dict[str, int] = {}

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune pickles its searcher into its own state, which is never read

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack; None where the running ones must be waited for."""
        try:
            number = self._agenda.next_pack()
        except Exception as error:
            self.error = error
            raise
        if number is None:
            return str(Searcher.FINISHED) if self._agenda.ended else None
        self._packs[trial_id] = number
        return {"pack": number, "job": Job(pack=self._agenda.packs[number])}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:  # noqa: ARG002
        """A pack is trained, or was given up."""
        self._agenda.has_ended(self._packs[trial_id])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is next follows from settings and ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as in `save`."""
