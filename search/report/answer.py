"""The answer of a search in words: for somebody who reads no further."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import special

from search.advice import advise
from search.console import beside_validation_text, evaluation_text
from search.ledger import DIVERGED, ENDED, FAILED, FINISHED, RUNNING
from search.paired_test import SIGNIFICANCE, p_value_text
from search.report.facts import Facts
from search.settings import ARRAY_SOURCE
from search.smallest_code_record import percent, smallest_code_lines
from search.trained import trained_trial
from search.trials_table import mse_text
from search.usefulness import usefulness_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A figure that counts."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What was found, and the command that follows from it."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The first part of a report."""

    headline: str
    subtitle: str
    state: str
    """Where the search stands; empty where it has come to its end."""
    cards: list[Card]
    sentences: list[str]
    tied: list[tuple[str, str, str]]
    """Trials that cannot be told apart from the winner: label, trial id, p-value."""
    hints: list[Hint]
    """What the curves advise."""
    steps: list[Hint]
    """What to do with the winner."""


def answer(facts: Facts) -> Answer:
    """What a search has found so far, in words and a few figures."""
    s = facts.selection
    if s is None:
        return Answer(
            headline="Nothing to tell yet",
            subtitle=f"{len(facts.trials)} trials, none of which has a complete epoch",
            state=_state(facts),
            cards=[],
            sentences=[],
            tied=[],
            hints=[],
            steps=[],
        )
    winner = facts.winner
    assert winner is not None, "it was selected from the table"
    size = int(winner["code_size"])
    return Answer(
        headline=f"{'A' if _is_over(facts) else 'Best so far: a'} code of {size} unit{'s' * (size != 1)} explains "
        f"{s.val_fve_mean:.1%} of the variance".replace("%", " %"),
        subtitle=f"{s.label} (trial {s.trial_id}), by the rule {s.rule!r}",
        state=_state(facts),
        cards=_cards(facts),
        sentences=_sentences(facts),
        tied=[(str(t["label"]), str(t["trial_id"]), f"{t['p_value']:.2f}") for t in s.tied],
        hints=_hints(facts),
        steps=_steps(facts) if facts.has_ended else [],
    )


def _state(facts: Facts) -> str:
    if facts.has_ended:
        return ""
    counts = facts.trials["status"].value_counts()
    ended = int(sum(counts.get(status, 0) for status in ENDED))
    text = f"{ended} of {len(facts.trials)} trials are done"
    if facts.at_work:
        running = int(counts.get(RUNNING, 0))
        return f"The search is running: {text}{f', {running} are running' if running else ''}. This is how it stands."
    if ended < len(facts.trials):
        return f"The search is not finished, and none is running: {text}. Run its command again to continue."
    s = facts.selection
    if s is None:
        return "The search is done; no trial has a result."
    if trained_trial(facts.model_dir) == (s.trial_id, s.best_epoch):
        command = f"ae-search evaluate {shlex.quote(str(facts.model_dir))}"
    elif (s.rule, s.target_fve) != facts.settings.selection_rule:  # `run` would choose by the settings' rule again
        command = f"ae-search retrain {shlex.quote(str(facts.directory))}"
    else:
        return "The search is done, but its winner is not trained and evaluated. Run its command again."
    return f"The search is done, but its winner is not trained and evaluated: {command}"


def _is_over(facts: Facts) -> bool:
    """Whether no trial will change the winner any more."""
    return facts.has_ended or (not facts.at_work and bool(facts.trials["status"].isin(ENDED).all()))


def _cards(facts: Facts) -> list[Card]:
    s, winner, e = facts.selection, facts.winner, facts.evaluation
    assert s is not None
    assert winner is not None
    folds = facts.folds[facts.folds["trial_id"] == s.trial_id]
    half = _half_width(s.val_mse_se, s.n_splits or facts.settings.search.n_splits)
    low, high = (max(s.val_mse_mean + sign * half, 0) for sign in (-1, 1))
    luck = ""
    if s.cross_fit_mse_mean is not None and not math.isclose(s.cross_fit_mse_mean, s.val_mse_mean, rel_tol=1e-4):
        much = "most of the luck" if s.n_stopped else "the luck"
        luck = f"; {mse_text(s.cross_fit_mse_mean)} without {much} of being chosen"
    cards = [
        Card(
            name="validation MSE",
            value=f"{mse_text(s.val_mse_mean)} ± {mse_text(s.val_mse_se)}",
            note=f"95 % interval {mse_text(low)} to {mse_text(high)}{luck}",
        ),
        Card(
            name="validation FVE",
            value=f"{s.val_fve_mean:.3f}",
            note=f"{folds['val_fve'].min():.3f} to {folds['val_fve'].max():.3f} in the folds",
        ),
        Card(
            name="PCA at equal code size",
            value=mse_text(s.pca_val_mse_mean),
            note=_beside_pca(s.pca_difference, s.pca_val_mse_mean, s.pca_p_value),
        ),
    ]
    if e is not None:
        fve = "" if e.fve is None or math.isnan(e.fve) else f"FVE {e.fve:.3f}, "
        cards.append(
            Card(name="test MSE", value=f"{mse_text(e.mse)} ± {mse_text(e.mse_se)}", note=f"{fve}{e.n_test:,} samples")
        )
    dead = float(winner["dead_code_units_mean"])
    cards += [
        Card(name="compression", value=f"{winner['compression_ratio']:.3g} : 1", note="input values per code unit"),
        Card(
            name="parameters",
            value=f"{int(winner['n_parameters']):,}",
            note=f"best epoch {s.best_epoch}" + (f", {dead:.1f} code units dead" if dead else ""),
        ),
    ]
    return cards


def _half_width(se: float, n_splits: int) -> float:
    """Half of the 95 % interval around a mean over the folds."""
    return float(se * special.stdtrit(max(n_splits - 1, 1), 0.975))


def _beside_pca(difference: float | None, pca: float, p_value: float | None) -> str:
    if difference is None or p_value is None or not pca > 0:
        return ""
    if p_value == 1:
        return "the winner is PCA itself"
    sure = p_value_text(p_value)
    if p_value > SIGNIFICANCE:
        return f"cannot be told apart ({sure})"
    return f"the winner has {abs(difference) / pca:.0%} {'less' if difference < 0 else 'more'} ({sure})".replace(
        "%", " %"
    )


def _sentences(facts: Facts) -> list[str]:
    s = facts.selection
    assert s is not None
    texts = []
    if facts.smallest is not None:
        texts += [_sentence(line) for line in smallest_code_lines(facts.smallest)]
    counts = facts.trials["status"].value_counts()
    n_finished = int(counts.get(FINISHED, 0))
    if s.verdict:
        texts.append(f"Of {n_finished} finished trials the winner is {s.verdict}.".replace("is cannot", "cannot"))
    if s.misses_target:
        texts.append(f"No trial reaches the FVE {s.target_fve:g}: this is the best of them.")
    if s.n_stopped:
        were = (
            "1 trial was given up on the way, and is"
            if s.n_stopped == 1
            else f"{s.n_stopped} trials were given up on the way, and are"
        )
        texts.append(f"{were} compared with none.")
    if s.n_repeats > 1:
        texts.append(f"The winner was cross-validated {s.n_repeats} times with other folds and weights.")
    if facts.usefulness is not None:
        texts += [_sentence(line.replace("\n", " ")) for line in usefulness_lines(facts.usefulness)]
    for status, what in ((FAILED, "failed"), (DIVERGED, "diverged")):
        if n := int(counts.get(status, 0)):
            texts.append(f"{n} trial{'s' * (n > 1)} {what}: see the column error of the table.")
    if facts.evaluation is not None:
        found = evaluation_text(facts.evaluation).splitlines()[-1].strip()
        texts.append(f"On the test set the model is {found}.".replace("is cannot", "cannot"))
        beside = beside_validation_text(s, s.n_splits or facts.settings.search.n_splits, facts.evaluation.mse)
        texts.append(_sentence(" ".join(beside.split())))
    return texts


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _hints(facts: Facts) -> list[Hint]:
    if not facts.has_ended or facts.selection is None:
        return []
    command = None if facts.settings.data.source == ARRAY_SOURCE else _command(facts)
    hints = []
    for advice in advise(facts.trials, facts.epochs, facts.selection, facts.settings):
        text, _, typed = advice.text(command).partition(":\n")
        hints.append(Hint(text=f"{text.rstrip('.')}{':' if typed else '.'}", command=typed.strip()))
    return hints


def _command(facts: Facts) -> list[str]:
    """What continues the search: its own settings, under its name."""
    directory = facts.directory
    where = ["--name", facts.name, "--results-dir", str(directory.parent)]
    return ["ae-search", "run", str(directory / "settings.toml"), *where]


def _steps(facts: Facts) -> list[Hint]:
    model = shlex.quote(str(facts.model_dir))
    directory = shlex.quote(str(facts.directory))
    kind = Path(facts.settings.data.source).suffix.lower()
    kind = kind if kind in (".csv", ".parquet") else ".npy"
    steps = [
        Hint(text="Codes of other samples:", command=f"ae-search encode {model} INPUT{kind} CODES{kind}"),
        Hint(text="Its figures on other data:", command=f"ae-search evaluate {model} --data OTHER{kind}"),
        Hint(
            text="In Python:",
            command=f"from ae_model import load_model\ncodes = load_model({str(facts.model_dir)!r}).encode(x)",
        ),
    ]
    if facts.selection is not None and facts.selection.rule == "best" and facts.selection.tied:
        steps.append(
            Hint(text="A smaller model that is nearly as good:", command=f"ae-search retrain {directory} --rule one-se")
        )
    return steps


def explained(facts: Facts) -> list[tuple[str, Any]]:
    """What is known of the bottleneck besides its picture: names and values."""
    found: list[tuple[str, Any]] = []
    if facts.bottleneck is not None and not facts.settings.bottleneck.code_sizes:
        for fraction in facts.settings.bottleneck.explained_variance:
            reached = facts.bottleneck["cumulative"] >= fraction - 1e-12
            size = int(facts.bottleneck.loc[reached, "n_components"].min()) if reached.any() else len(facts.bottleneck)
            found.append((f"components that explain {percent(fraction)}", f"{size}"))
    found.append(("code sizes searched", ", ".join(map(str, sorted(facts.trials["code_size"].unique())))))
    if facts.smallest is not None:
        for name, value in facts.smallest.intrinsic_dimensions.items():
            found.append((f"intrinsic dimension ({name})", f"{value:.1f}"))
    return found
