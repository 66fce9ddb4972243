"""What `ae-search score` prints: how unusual the rows of a file are, in words."""

from ae_model.anomalies import Drift
from search.paired_test import SIGNIFICANCE, p_value_text
from search.scoring import Score
from search.trials_table import mse_text

_SIZES = ((0.71, "much"), (0.64, "clearly"), (0.56, "somewhat"))
"""From which superiority on errors are greater by how much (Vargha and Delaney 2000: large, medium, small)."""


def score_text(found: Score, output: str) -> str:
    """What was found, in two to five lines.

    Args:
        found: What `score` returned.
        output: Where it wrote the rows; "-" is standard output.
    """
    place = "standard output" if output == "-" else output
    lines = [f"{place}: {found.n_rows} row{'s' * (found.n_rows != 1)}, median MSE {mse_text(found.mse_median)}"]
    alarms = found.alarms
    if alarms is None:
        lines.append(
            "no p-values and no alarms: there are no out-of-fold errors beside the model (out_of_fold.csv), "
            "which `ae-search run` keeps"
        )
        return "\n".join(lines)
    lines[0] += f"; rows of the search that a model had not seen: {mse_text(alarms.usual_mse_median)}"
    mean, low, high = alarms.expected
    lines += [
        f"{alarms.n} alarm{'s' * (alarms.n != 1)}: MSE above {mse_text(alarms.threshold.mse)}, "
        f"a false-alarm rate of {alarms.threshold.false_alarm_rate:.3g}",
        f"  rows like those of the search would give {mean:.3g} ({low} to {high} in 95 % of cases)",
    ]
    if alarms.at_other_rates:
        others = (f"{n} at {rate:.2g} (usual {usual:.3g})" for rate, n, usual in alarms.at_other_rates)
        lines.append(f"  at higher rates: {', '.join(others)}; --false-alarm-rate sets it")
    lines.append(f"all rows together: {_drift_text(alarms.drift)}")
    return "\n".join(lines)


def _drift_text(drift: Drift) -> str:
    if drift.p_value > SIGNIFICANCE:
        return f"errors as in the search ({p_value_text(drift.p_value)})"
    is_greater = drift.superiority > 0.5
    far = max(drift.superiority, 1 - drift.superiority)
    size = next((word for least, word in _SIZES if far >= least), "hardly")
    text = (
        f"errors {size} {'greater' if is_greater else 'smaller'} than in the search: a row here has the greater error "
        f"in {100 * drift.superiority:.0f} % of pairs ({p_value_text(drift.p_value)})"
    )
    if is_greater:
        return text
    why = "may have been trained on them" if far >= _SIZES[1][0] else "has seen more rows than those that are compared"
    return f"{text}; the model {why}"
