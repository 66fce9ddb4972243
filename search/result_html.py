"""What a search ends with, as a notebook shows it."""

import html
import math
from typing import TYPE_CHECKING

from search.paired_test import SIGNIFICANCE, p_value_text, verdict
from search.trials_table import mse_text

if TYPE_CHECKING:
    from search.evaluation_record import Evaluation
    from search.finish import SearchResult
    from search.selection import Selection


def result_html(result: "SearchResult") -> str:
    """A short table: the winner, its errors beside PCA's, its test result, and what it is tied with."""
    s, e = result.selection, result.evaluation
    rows = [
        ("winner", f"{s.label} (trial {s.trial_id}, rule {s.rule!r}, epoch {s.best_epoch})"),
        ("validation", f"MSE {mse_text(s.val_mse_mean)} ± {mse_text(s.val_mse_se)}, FVE {s.val_fve_mean:.3f}"),
        ("PCA", f"MSE {mse_text(s.pca_val_mse_mean)} with as many components{_beside_pca(s)}"),
        ("test set", "" if e is None else _test_text(e)),
        ("tied with", _tied_text(s)),
        ("files", str(result.directory)),
    ]
    body = "".join(
        f'<tr><th style="text-align: left">{name}</th><td style="text-align: left">{html.escape(text)}</td></tr>'
        for name, text in rows
        if text
    )
    return f"<table>{body}</table>"


def _beside_pca(s: "Selection") -> str:
    """How the winner compares with it; empty where a file of an older version does not say."""
    if s.pca_difference is None or s.pca_p_value is None:
        return ""
    if s.pca_p_value == 1:
        return ": the same"
    word = verdict(s.pca_difference, s.pca_p_value, "cannot be told apart")
    word = f"the winner is significantly {word}" if s.pca_p_value <= SIGNIFICANCE else word
    return f": {word} ({p_value_text(s.pca_p_value)})"


def _test_text(e: "Evaluation") -> str:
    fve = "" if e.fve is None or math.isnan(e.fve) else f", FVE {e.fve:.3f}"
    pca = "" if e.pca_mse is None else f"; PCA {mse_text(e.pca_mse)}"
    return f"MSE {mse_text(e.mse)} ± {mse_text(e.mse_se)}{fve}, {e.n_test:,} samples{pca}"


def _tied_text(s: "Selection") -> str:
    named = [str(tied["label"]) for tied in s.tied[:3]]
    more = len(s.tied) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
