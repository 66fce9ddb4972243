"""`SmallestCode`: what a search for the smallest code has found, the JSON file that keeps it, and its words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from ae_model.errors import UserError
from search.files import replace_file
from search.smallest_code import Answer, Measured, answer, overall, pca_size

FILE_NAME = "smallest_code.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceAnswers:
    """What was found for one choice of everything but the code size."""

    label: str
    """Hidden layers, and what else tells the choice from the others."""
    answers: list[Answer]
    """The answer to each target."""
    fve: dict[int, list[float]]
    """The FVE of each fold at the best epoch, by code size, rising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestCode:
    """How small the code may be for each target; the content of `smallest_code.json`."""

    answers: list[Answer]
    """The answer of all choices together, to each target in the order of the settings."""
    choices: list[ChoiceAnswers]
    pca_sizes: list[int | None]
    """The number of components with which PCA reaches each target on held-out folds; None if it never does."""
    pca_fve: list[list[float]]
    """PCA's FVE in each fold, from one component to the largest code size that was measured or that PCA needs."""
    intrinsic_dimensions: dict[str, float]
    """Estimates of the data's intrinsic dimension; empty where scikit-dimension is not installed."""

    def write(self, directory: str | Path) -> None:
        """Write `smallest_code.json` into a search's directory."""
        text = json.dumps(_without_nan(asdict(self)), indent=2, allow_nan=False) + "\n"
        replace_file(Path(directory) / FILE_NAME, lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """What a search's directory holds.

        Raises:
            UserError: If there is none, or its file is damaged.
        """
        path = Path(directory) / FILE_NAME
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            choices = [
                ChoiceAnswers(
                    label=choice["label"],
                    answers=[_answer(a) for a in choice["answers"]],
                    fve={int(size): [_number(value) for value in fve] for size, fve in choice["fve"].items()},
                )
                for choice in content["choices"]
            ]
            pca_fve = [[_number(value) for value in fve] for fve in content["pca_fve"]]
            answers = [_answer(a) for a in content["answers"]]
            return cls(**{**content, "answers": answers, "choices": choices, "pca_fve": pca_fve})
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: is not a record of the smallest code that can be read ({error}). Run the search again."
            ) from error


def smallest_code(
    measured: Mapping[str, Measured],
    targets: Sequence[float],
    *,
    pca: Float[np.ndarray, "sizes folds"],
    intrinsic_dimensions: Mapping[str, float],
) -> SmallestCode:
    """The answers to what has been measured.

    Args:
        measured: What was measured of each choice, at least one size, by the choice's label.
        targets: The FVE to reach.
        pca: What `ae_model.pca.pca_fve` returned.
        intrinsic_dimensions: Estimates by name.
    """
    choices = [
        ChoiceAnswers(
            label=label,
            answers=[answer(of_choice, target) for target in targets],
            fve={size: of_choice[size].tolist() for size in sorted(of_choice)},
        )
        for label, of_choice in measured.items()
    ]
    pca_sizes = [pca_size(pca, target) for target in targets]
    shown = max(*(max(of_choice) for of_choice in measured.values()), *(size or 1 for size in pca_sizes))
    return SmallestCode(
        answers=[overall([choice.answers[number] for choice in choices]) for number in range(len(targets))],
        choices=choices,
        pca_sizes=pca_sizes,
        pca_fve=pca[:shown].tolist(),
        intrinsic_dimensions=dict(intrinsic_dimensions),
    )


def smallest_code_lines(found: SmallestCode) -> list[str]:
    """What the console prints of it: a line for each target, then the intrinsic dimension where it is known.

    Examples:
        >>> nine = Answer(target=0.95, size=9, low=8, high=10, largest=28, fve=0.953)
        >>> wide = ChoiceAnswers(label="512", answers=[nine], fve={9: [0.952, 0.954]})
        >>> found = SmallestCode(
        ...     answers=[nine], choices=[wide], pca_sizes=[28], pca_fve=[], intrinsic_dimensions={"MOM": 6.24}
        ... )
        >>> for line in smallest_code_lines(found):
        ...     print(line)
        95 % of the variance: code size 9 (8 to 10 cannot be told apart), hidden layers 512; PCA needs 28
        intrinsic dimension of the data: about 6.2 (MOM)
    """
    lines = [
        f"{percent(a.target)} of the variance: {_found(a, found.choices, number)}; {_pca(found.pca_sizes[number])}"
        for number, a in enumerate(found.answers)
    ]
    if found.intrinsic_dimensions:
        estimates = ", ".join(f"{value:.1f} ({name})" for name, value in found.intrinsic_dimensions.items())
        lines.append(f"intrinsic dimension of the data: about {estimates}")
    return lines


def percent(fraction: float) -> str:
    """With as many digits as the fraction has.

    Examples:
        >>> percent(0.95), percent(0.995)
        ('95 %', '99.5 %')
    """
    return f"{100 * fraction:.10g} %"


def interval_text(a: Answer) -> str:
    """The sizes that come into question, in a few words; empty where the folds leave no doubt."""
    if a.low is None or a.low == a.high:
        return ""
    if a.high is None:
        return f"{a.low} or more: no size is significantly above"
    return f"{a.low} {'and' if a.high == a.low + 1 else 'to'} {a.high} cannot be told apart"


def _found(a: Answer, choices: Sequence[ChoiceAnswers], number: int) -> str:
    doubt = f" ({interval_text(a)})" if interval_text(a) else ""
    if a.size is None:
        if np.isnan(a.fve):
            return "no training came to an end"
        return f"not reached up to code size {a.largest}, where the best is {percent(round(a.fve, 3))}{doubt}"
    labels = [choice.label for choice in choices if choice.answers[number].size == a.size]
    by = f"hidden layers {labels[0]}" if labels[0][0].isdigit() else labels[0]
    others = f" and {len(labels) - 1} other{'s' * (len(labels) > 2)}" if len(labels) > 1 else ""
    return f"code size {a.size}{doubt}, {by}{others}"


def _pca(size: int | None) -> str:
    return "PCA never reaches it" if size is None else f"PCA needs {size}"


def _answer(content: Mapping[str, Any]) -> Answer:
    return Answer(**{**content, "fve": _number(content["fve"])})


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _without_nan(content: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(content, dict):
        return {str(name): _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
