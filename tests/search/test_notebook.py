"""What a notebook shows: a result, pictures without a file, a line of progress."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from search import SearchResult, load_folds, plots


def test_a_result_shows_itself(searched: SearchResult) -> None:
    """Winner, error, PCA and test result with the numbers of the files; whatever a name holds is text."""
    s, e = searched.selection, searched.evaluation
    page = searched._repr_html_()
    for text in (s.trial_id, f"{s.val_mse_mean:.5f} ± {s.val_mse_se:.5f}", f"{s.val_fve_mean:.3f}", f"{e.mse:.5f}"):
        assert text in page
    tied: list[dict[str, object]] = [{"label": f"<i>{n}</i>"} for n in range(5)]
    bad = replace(searched, selection=replace(s, label="<script>", tied=tied, pca_p_value=0.3, pca_difference=0.1))
    page = bad._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;i&gt;2&lt;/i&gt; and 2 more" in page
    assert "cannot be told apart (p = 0.3)" in page


def test_a_picture_needs_no_file(searched: SearchResult) -> None:
    """Without a path nothing is written, and a notebook gets the figure as a PNG."""
    before = set(searched.directory.rglob("*"))
    figure = plots.validation_mse(searched.trials, load_folds(searched.directory), searched.selection.trial_id)
    assert set(searched.directory.rglob("*")) == before
    with Image.open(io.BytesIO(figure._repr_png_())) as image:  # type: ignore[attr-defined]
        assert np.asarray(image).std() > 0
