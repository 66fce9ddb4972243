"""Errors and labels of samples -> the few of them that a picture shows."""

import numpy as np


def example_rows(per_sample_mse: np.ndarray, labels: np.ndarray | None, n: int) -> list[tuple[int, str]]:
    """Samples from the best over the median to the worst reconstruction, and of as many classes as possible.

    The best, the median and the worst are what they are called. Each of the others may be any sample near its place in
    the order of the errors: it is of the class that was taken least often before it, and of these the nearest.

    Args:
        per_sample_mse: The MSE of each sample, `(n_samples,)`.
        labels: The class of each sample, `(n_samples,)`, or None where there are no classes.
        n: How many samples are wanted, at least 1; of fewer samples all are taken.

    Returns:
        The row and the title of each, in the order of the errors: the title is "best", "median" or "worst", the class,
        both with a comma between them, or empty.

    Examples:
        >>> example_rows(np.array([0.3, 0.1, 0.2, 0.4]), np.array(["a", "b", "a", "c"]), 3)
        [(1, 'best, b'), (2, 'median, a'), (3, 'worst, c')]
    """
    order = np.argsort(per_sample_mse, kind="stable")
    places = _places(len(order), n)
    names = dict.fromkeys(places, "")
    names |= {0: "best", places[-1]: "worst"} if len(places) > 1 else {}
    if len(places) != 2:
        names[(len(order) - 1) // 2] = "median"
    taken = {place: int(order[place]) for place, name in names.items() if name}
    classes = None if labels is None else [_class_name(label) for label in labels]
    for index, place in enumerate(places):
        if place not in taken:
            # As far as the middle of the way to either neighbour, so that no sample is near two places.
            low, high = (places[index - 1] + place) // 2 + 1, (place + places[index + 1]) // 2
            near = sorted(range(low, high + 1), key=lambda other: abs(other - place))
            if classes is not None:
                seen = [classes[row] for row in taken.values()]
                near.sort(key=lambda other: seen.count(classes[order[other]]))
            taken[place] = int(order[near[0]])
    rows = [(taken[place], names[place]) for place in places]
    return [(row, ", ".join(filter(None, [name, classes[row] if classes else ""]))) for row, name in rows]


def _places(n_samples: int, n: int) -> list[int]:
    """Places in the order of the errors: the first, the median and the last, and evenly between them."""
    n, last = min(n, n_samples), n_samples - 1
    if n <= 2:
        return [last // 2] if n == 1 else [0, last]
    lower = np.linspace(0, last // 2, (n + 1) // 2)
    upper = np.linspace(last // 2, last, n // 2 + 1)[1:]
    return [round(place) for place in [*lower, *upper]]


def _class_name(label: object) -> str:
    return label if isinstance(label, str) else f"class {label}"
