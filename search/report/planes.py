"""Codes in two dimensions, coloured by what is known of the samples."""

from typing import Any

import numpy as np

from search.report.figures import CYCLE, Figure, axis, literal, short
from search.test_codes import TestCodes

NEIGHBOURS = 15
"""UMAP's own default: how many neighbours make a neighbourhood."""
MAX_CLASSES = 12
"""Labels of more kinds than so many have no colours of their own."""


def pca_plane(codes: TestCodes) -> Figure:
    """The codes along their first two principal axes."""
    centred = codes.code - codes.code.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    points = centred @ axes[:2].T
    points = points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])
    parts = np.square(singular) / np.square(singular).sum()
    titles = [f"principal component {n + 1} ({100 * part:.0f} %)" for n, part in enumerate([*parts, 0.0][:2])]
    percent = 100 * parts[:2].sum()
    caption = f"Test samples by the first two principal components of their codes, {percent:.0f} % of the variance."
    return _plane("codes-pca", "The codes in two dimensions", caption, points, titles, codes)


def umap_plane(codes: TestCodes) -> Figure:
    """The codes as UMAP lays them out; needs umap-learn, and takes seconds."""
    from umap import UMAP  # an extra, and very slow to import

    points = UMAP(n_neighbors=NEIGHBOURS, random_state=0, n_jobs=1).fit_transform(codes.code)
    caption = (
        f"Test samples by UMAP of their codes ({NEIGHBOURS} neighbours, seed 0): near points have similar codes; "
        "distances between groups, and their sizes, mean little."
    )
    return _plane("codes-umap", "The codes by UMAP", caption, points, ["UMAP 1", "UMAP 2"], codes)


def _plane(name: str, title: str, caption: str, points: np.ndarray, titles: list[str], codes: TestCodes) -> Figure:
    """Points with a menu of what they are coloured by: one trace for each class, or one with a scale."""
    # By what they are and are called: a feature may be called "error", and names that are cut short be the same.
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    if codes.labels is not None and 1 < len(classes := np.unique(codes.labels)) <= MAX_CLASSES:
        groups["label", ""] = [
            _points(points[codes.labels == kind], {"color": CYCLE[n % len(CYCLE)]}, name=literal(kind, 30))
            for n, kind in enumerate(classes)
        ]
    scales: dict[tuple[str, str], np.ndarray] = {("error", ""): codes.mse}
    if codes.labels is not None and codes.labels.dtype.kind in "iuf" and not groups:
        scales["label", ""] = codes.labels
    scales |= {("feature", name): values for name, values in codes.features.items()}
    for (kind, feature), values in scales.items():
        what = feature or kind
        known = values.astype(np.float64)[np.isfinite(values.astype(np.float64))]
        if not len(known):
            continue
        low, high = np.percentile(known, (2, 98))  # a few extremes would take all colours
        colour = {"color": short(values), "colorscale": "Viridis", "showscale": True, "cmin": low, "cmax": high}
        colour["colorbar"] = {"title": {"text": literal(what, 20)}, "thickness": 12}
        text = {"text": short(values), "hovertemplate": "%{text}<extra></extra>"}
        groups[kind, feature] = [{**_points(points, colour, name=literal(what, 30)), **text, "showlegend": False}]
    traces = [trace for of_group in groups.values() for trace in of_group]
    members = [what for what, of_group in groups.items() for _ in of_group]
    for trace, member in zip(traces, members, strict=True):
        trace["visible"] = member == members[0]
    buttons = [
        {"label": _menu_text(*what), "method": "restyle", "args": [{"visible": [member == what for member in members]}]}
        for what in groups
    ]
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "type": "dropdown"}
    return Figure(
        name=name,
        title=title,
        caption=f"{caption} The menu says what they are coloured by.",
        data=traces,
        layout={
            "xaxis": axis(titles[0], zeroline=False),
            "yaxis": axis(titles[1], zeroline=False),
            "updatemenus": [menu],
            "hovermode": "closest",
            "legend": {"itemsizing": "constant"},
        },
        height=520,
    )


def _menu_text(kind: str, feature: str) -> str:
    """What the menu calls a colouring; a feature with the name of another one says that it is a feature."""
    return literal(f"feature {feature}" if feature in ("label", "error") else feature or kind, 30)


def _points(points: np.ndarray, colour: dict[str, Any], *, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": short(points[:, 0]),
        "y": short(points[:, 1]),
        "marker": {"size": 5, "opacity": 0.8, **colour},
        "hovertemplate": "%{fullData.name}<extra></extra>",  # in a template, a name's own %{} would mean something
    }
