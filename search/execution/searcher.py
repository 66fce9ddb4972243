"""What Ray Tune asks for its next trial."""

from typing import Any

from ray.tune.search import Searcher

from search.execution.agenda import Agenda
from search.execution.records import Job


class PackSearcher(Searcher):  # type: ignore[misc]  # Ray's classes are untyped
    """Gives Tune the packs of an agenda, each as a trial of its own, and waits at the end of each round.

    All rounds are one experiment of Tune's, so that workers stay: to start them takes seconds.

    Args:
        agenda: The packs.
        max_running: The most that run at once; as many as Ray has room for if None. (Tune's own limit can hang where a
            worker is slow to leave.)
    """

    def __init__(self, agenda: Agenda, max_running: int | None = None) -> None:
        super().__init__()
        self._max_running = max_running
        self.error: Exception | None = None
        """What ended the search, as it was raised."""
        self._agenda = agenda
        self._packs: dict[str, int] = {}

    def __getstate__(self) -> dict[str, object]:
        return {}  # Tune pickles its searcher into its own state, which is never read

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack; None where one of the running must end before."""
        if self._max_running is not None and self._agenda.n_running >= self._max_running:
            return None
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
