"""search.smallest_code: the bisection finds what measuring every size would find, with few of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from ae_model import Configuration, cross_validate, make_folds
from ae_model.cross_validation import CrossValidation
from ae_model.errors import UserError
from ae_model.pca import pca_fve
from ae_model.scaling import fit_scaling
from search.intrinsic_dimension import intrinsic_dimensions
from search.smallest_code import (
    ABOVE,
    MAX_MEASURED,
    Answer,
    Measured,
    answer,
    choice_labels,
    level,
    most_sizes,
    next_sizes,
    overall,
    pca_size,
    reaching,
    search_range,
)
from search.smallest_code_record import SmallestCode, interval_text, smallest_code, smallest_code_lines

N_FOLDS = 5


def _search(table: Measured, targets: Sequence[float], guesses: Sequence[int]) -> dict[int, np.ndarray]:
    """What the bisection measures of a table that has every size from 1 on."""
    measured: dict[int, np.ndarray] = {}
    while sizes := next_sizes(measured, targets, low=1, high=len(table), guesses=guesses):
        assert not measured.keys() & set(sizes)
        assert sizes == sorted(set(sizes))
        measured |= {size: table[size] for size in sizes}
    return measured


def _table(chance: np.random.Generator, n: int, noise: float) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Folds' FVE of n sizes, and the truth, which rises and is concave: most folds are alike for all sizes."""
    steps = np.sort(chance.exponential(size=n))[::-1]
    truth = chance.uniform(0.8, 1.0) * np.cumsum(steps) / steps.sum()
    of_fold = noise * chance.normal(size=N_FOLDS)
    return {s + 1: truth[s] + of_fold + noise * chance.normal(size=N_FOLDS) for s in range(n)}, truth


@pytest.mark.parametrize("seed", range(100))
def test_of_a_rising_fve_it_finds_what_measuring_every_size_finds(seed: int) -> None:
    """Answer and interval are those of the whole table, from any guess, with no more sizes than it promises."""
    chance = np.random.default_rng(seed)
    n = int(chance.integers(1, 300))
    table, _ = _table(chance, n, noise=0)
    folds = 10 ** chance.uniform(-5, -2) * chance.normal(size=N_FOLDS)  # the same at every size: levels cannot fall
    table = {size: fve + folds for size, fve in table.items()}
    target = float(chance.uniform(0.3, 1.0))
    measured = _search(table, [target], [int(chance.integers(1, n + 1))])
    found, expected = answer(measured, target), answer(table, target)
    assert (found.size, found.low, found.high) == (expected.size, expected.low, expected.high)
    assert len(measured) <= most_sizes(n)
    if found.size is not None:
        assert {found.size - 1, found.size + 1} & set(table) <= measured.keys()


def test_noise_does_not_send_it_astray() -> None:
    """Where the FVE rises and falls by chance, the true answer is in the interval as often as the test promises.

    A narrow interval has its smallest size that reaches the target, as if every size had been measured, and chance
    costs hardly any more sizes.
    """
    covered = []
    for seed in range(300):
        chance = np.random.default_rng(seed)
        n = int(chance.integers(5, 200))
        table, truth = _table(chance, n, noise=float(10 ** chance.uniform(-4, -1)))
        target = float(chance.uniform(truth[0], truth[-1]))
        true_size = int(np.argmax(truth >= target)) + 1
        measured = _search(table, [target], [int(chance.integers(1, n + 1))])
        found = answer(measured, target)
        assert len(measured) <= most_sizes(n) + 2
        assert found.low is not None
        covered.append(found.low <= true_size <= (found.high or n + 1))
        if found.size is not None:
            assert found.low <= found.size <= (found.high or n)
            assert {found.size - 1, found.size + 1} & set(table) <= measured.keys()
        last = found.high or n
        if last - found.low < MAX_MEASURED:
            inside = [size for size in range(found.low, last + 1) if table[size].mean() >= target]
            assert found.size == min(inside, default=None)
    assert np.mean(covered) >= 0.92


def test_a_dip_within_the_error_bars_costs_nothing() -> None:
    """The first two sizes measured fall short by chance; what is smaller is looked at all the same, and found."""
    noise = 0.02 * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    table = {size: (0.90 if size < 6 else 0.951) + 0.1 * noise for size in range(1, 17)}
    table |= {size: np.full(N_FOLDS, 0.949) + noise for size in (8, 16)}
    measured = _search(table, [0.95], [16])
    assert answer(measured, 0.95).size == 6


def test_targets_share_what_is_measured() -> None:
    """Several targets have the answers that each has alone, with fewer sizes than one search after the other."""
    table, truth = _table(np.random.default_rng(1), 120, noise=1e-4)
    targets = [float(truth[at]) - 1e-9 for at in (5, 20, 60)]
    together = _search(table, targets, [30, 50, 90])
    alone = [_search(table, [target], [guess]) for target, guess in zip(targets, (30, 50, 90), strict=True)]
    for target, measured in zip(targets, alone, strict=True):
        assert answer(together, target).size == answer(measured, target).size
    assert len(together) <= sum(map(len, alone))


def test_a_target_that_is_not_reached() -> None:
    """The largest size is measured before that is said; training that diverged counts as not reaching it."""
    table = {size: np.full(N_FOLDS, 0.5) + 0.001 * np.arange(N_FOLDS) for size in range(1, 41)}
    table[17] = np.full(N_FOLDS, np.nan)
    measured = _search(table, [0.9], [20])
    found = answer(measured, 0.9)
    assert (found.size, found.low, found.high, found.largest) == (None, None, None, 40)
    assert found.fve == pytest.approx(0.502)
    assert np.isnan(answer({17: table[17]}, 0.9).fve)


@pytest.mark.parametrize("seed", range(20))
def test_the_levels_are_those_of_the_corrected_t_test(seed: int) -> None:
    """SciPy's one-sample test, its t by hand with Nadeau and Bengio's variance, says the same."""
    chance = np.random.default_rng(seed)
    fve = 0.9 + 0.01 * chance.normal(size=N_FOLDS)
    for target in chance.uniform(0.87, 0.93, 20):
        plain = stats.ttest_1samp(fve, target)
        t = plain.statistic * np.sqrt((1 / N_FOLDS) / (1 / N_FOLDS + 1 / (N_FOLDS - 1)))
        sure = 2 * stats.t.sf(abs(t), N_FOLDS - 1) <= 0.05
        assert level(fve, target) == ((3 if sure else 2) if t >= 0 else (0 if sure else 1))


def test_all_choices_together() -> None:
    """A code is too small if it is so for every choice, and large enough if it is for one."""
    rows: list[tuple[int | None, int | None, int | None, float]] = [
        (9, 8, 12, 0.953),
        (9, 9, None, 0.951),
        (None, None, None, 0.8),
    ]
    answers = [Answer(target=0.95, size=s, low=low, high=high, largest=20, fve=fve) for s, low, high, fve in rows]
    assert overall(answers) == Answer(target=0.95, size=9, low=8, high=12, largest=20, fve=0.953)
    assert overall(answers[2:]) == answers[2]


def test_the_winner_has_the_smallest_code_and_then_the_lowest_mse() -> None:
    """Of the trials whose mean FVE reaches the target; the number decides where all else is equal."""
    trials = pd.DataFrame(
        {
            "number": [1, 2, 3, 4, 5],
            "code_size": [8, 9, 9, 9, 4],
            "val_mse_mean": [0.1, 0.05, 0.04, 0.04, 0.2],
            "val_fve_mean": [0.95, 0.951, 0.96, 0.96, np.nan],
        }
    )
    assert reaching(trials, 0.95)["number"].tolist() == [1, 3, 4, 2]
    assert reaching(trials, 0.955)["number"].tolist() == [3, 4]


@pytest.mark.parametrize("scaling", ["range", "standard"])
def test_pca_explains_what_scikit_learn_says(scaling: str) -> None:
    """In each fold and at each size; the untrained network that starts at PCA says the same of its validation rows."""
    chance = np.random.default_rng(0)
    values = chance.normal(size=(60, 4)) @ chance.normal(size=(4, 9)) + 0.3 * chance.normal(size=(60, 9)) + 5
    folds = make_folds(60, 3, seed=0)
    fve = pca_fve(values, folds, scaling=scaling)
    assert fve.shape == (9, 3)
    for number, fold in enumerate(folds):
        fitted = fit_scaling(values[fold.train], scaling=scaling)
        x, y = fitted.transform(values[fold.train]), fitted.transform(values[fold.validation])
        for size in range(1, 10):
            pca = PCA(size).fit(x)
            error = np.square(y - pca.inverse_transform(pca.transform(y))).sum()
            assert fve[size - 1, number] == pytest.approx(1 - error / np.square(y - x.mean(axis=0)).sum())
    network = Configuration(layer_sizes=(9, 4), code_activation="linear", output_activation="linear", init="pca")
    start = next(CrossValidation(values, [network], folds=folds, max_epochs=1, seed=0, scaling=scaling))[0]
    np.testing.assert_allclose(fve[3], start.val_fve, atol=1e-5)


def test_where_pca_says_to_begin() -> None:
    """At the size where PCA reaches each target.

    No size comes into question beyond the neighbour of the one where it does so significantly, nor one as large as the
    number of features.
    """
    pca = np.linspace(0.5, 1, 20)[:, None] + np.array([-0.01, 0.0, 0.01])
    assert [pca_size(pca, target) for target in (0.7, 0.9)] == [9, 17]
    enough = next(size for size in range(1, 21) if level(pca[size - 1], 0.9) == ABOVE)
    assert search_range(pca, [0.7, 0.9]) == (enough + 1, [9, 17])
    assert search_range(pca, [0.7, 0.999]) == (19, [9, 19])
    assert search_range(np.zeros((1, 3)), [0.5]) == (1, [1])


def test_labels_tell_choices_apart() -> None:
    """By the widths, which may go with the code size, and by what varies; an activation only where there is a layer."""
    sizes = [[(64, 8), (64, 20)], [(64, 64, 8), (64, 64, 20)], [(64, 32, 16, 8), (64, 80, 40, 20)]]
    choices = [
        [Configuration(layer_sizes=s, hidden_activation="relu" if len(s) > 2 else "linear", init=init) for s in both]
        for both in sizes
        for init in ("pca", "random")
    ]
    assert choice_labels(choices)[::2] == [
        "no hidden layer, pca start",
        "64, pca start",
        "32 to 80-16 to 40, pca start",
    ]


def _record() -> SmallestCode:
    table, _ = _table(np.random.default_rng(3), 30, noise=1e-3)
    diverged = {4: np.full(N_FOLDS, np.nan)}
    pca = np.stack([table[size] for size in table])
    return smallest_code(
        {"512": {size: table[size] for size in (9, 3, 5)}, "no hidden layer": diverged},
        [0.5, 0.9999],
        pca=pca,
        intrinsic_dimensions={"MOM": 4.26},
    )


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """With sizes as numbers and NaN as NaN; what is damaged or not there is named, with the remedy."""
    with pytest.raises(UserError, match=r"smallest_code\.json: is not a record .* Run the search again"):
        SmallestCode.read(tmp_path)
    record = _record()
    record.write(tmp_path)
    assert repr(SmallestCode.read(tmp_path)) == repr(record)  # a NaN is not equal to itself
    path = tmp_path / "smallest_code.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["choices"][0]["fve"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="'fve'"):
        SmallestCode.read(tmp_path)


def test_what_is_printed() -> None:
    """A line for each target with code size, doubt and PCA, or how near the best comes; then the dimension."""
    lines = smallest_code_lines(_record())
    assert len(lines) == 3
    assert lines[0].startswith("50 % of the variance: code size ")
    assert "; PCA needs " in lines[0]
    assert lines[1].startswith("99.99 % of the variance: not reached up to code size 9, where the best is ")
    assert lines[1].endswith("; PCA never reaches it")
    assert lines[2] == "intrinsic dimension of the data: about 4.3 (MOM)"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (9, 9, ""),
        (9, 10, "9 and 10 cannot be told apart"),
        (8, 10, "8 to 10 cannot be told apart"),
        (8, None, "8 or more: no size is significantly above"),
        (None, None, ""),
    ],
)
def test_the_words_of_an_interval(low: int | None, high: int | None, text: str) -> None:
    """Nothing where there is no doubt, and no end where there is none."""
    assert interval_text(Answer(target=0.9, size=low, low=low, high=high, largest=20, fve=0.9)) == text


@pytest.mark.parametrize("d", [2, 4])
def test_of_a_linear_subspace_the_code_has_the_dimension(d: int) -> None:
    """Real training finds it where the target is slightly below the part that is signal, whatever PCA guesses."""
    chance = np.random.default_rng(d)
    values = chance.normal(size=(200, d)) @ chance.normal(size=(d, 12)) + 0.05 * chance.normal(size=(200, 12))
    folds = make_folds(200, N_FOLDS, seed=0)
    measured: dict[int, np.ndarray] = {}
    while sizes := next_sizes(measured, [0.97], low=1, high=11, guesses=[8]):
        for size in sizes:
            network = Configuration(
                layer_sizes=(12, size), code_activation="linear", output_activation="linear", init="pca"
            )
            records = list(cross_validate(values, network, folds=folds, max_epochs=1, seed=0, scaling="standard"))
            measured[size] = min(records, key=lambda record: record.val_mse.mean()).val_fve
    assert answer(measured, 0.97).size == d


def test_the_intrinsic_dimension_of_a_linear_subspace() -> None:
    """Both estimates are near it; samples that are there twice do not matter. Without the package there are none."""
    pytest.importorskip("skdim")
    chance = np.random.default_rng(0)
    values = chance.normal(size=(300, 3)) @ chance.normal(size=(3, 10)) + 0.01 * chance.normal(size=(300, 10))
    found = intrinsic_dimensions(np.concatenate([values, values]), fit_scaling(values, scaling="standard"))
    assert set(found) == {"FisherS", "MOM"}
    assert all(2.5 < dimension < 3.7 for dimension in found.values()), found
