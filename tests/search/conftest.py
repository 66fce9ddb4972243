"""One small search for all tests that look at what a search leaves, and one Ray for those that search themselves."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from search import SearchResult, SearchSettings, parse_settings, run_search
from search.cli import main
from search.settings import ResourceSettings

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray that `run_search` finds and uses, so that not every test waits for one of its own.

    It has room for one worker, which trains pack after pack: what another costs is the import of torch.
    """
    from search.execution.connection import connected_ray

    with connected_ray(None, ResourceSettings(max_concurrent_trials=1)):
        yield


@pytest.fixture(scope="session")
def p_by_hand() -> Callable[[np.ndarray], float]:
    """Nadeau and Bengio's corrected resampled t-test with n2/n1 = (n/k) / (n - n/k), of the differences in k folds."""

    def p_value(d: np.ndarray) -> float:
        k = len(d)
        if np.all(d == d[0]):
            return float(d[0] == 0)
        ratio = (1 / k) / (1 - 1 / k)
        t = sum(d) / k / ((1 / k + ratio) * sum((d - sum(d) / k) ** 2) / (k - 1)) ** 0.5
        return float(2 * (1 - stats.t(df=k - 1).cdf(abs(t))))

    return p_value


@pytest.fixture(scope="session")
def table_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 90 rows: six measurements in different units that follow from two causes, and a text column."""
    generator = np.random.default_rng(7)
    causes = generator.normal(size=(90, 2))
    values = np.tanh(causes @ generator.normal(size=(2, 6))) + 0.05 * generator.normal(size=(90, 6))
    table = pd.DataFrame(values * [1, 10, 100, 0.1, 5, 2] + [0, 5, -50, 0, 1000, 3], columns=list("abcdef"))
    table.insert(2, "kind", generator.choice(["wren", "finch"], 90))
    path = tmp_path_factory.mktemp("data") / "birds.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def settings(table_csv: Path) -> SearchSettings:
    """Four configurations, three folds, six epochs."""
    return parse_settings(
        {
            "seed": 5,
            "data": {"source": str(table_csv), "label_column": "kind"},
            "bottleneck": {"code_sizes": [2]},
            "space": {
                "hidden": ["", "5"],
                "code_activation": ["relu", "linear"],
                "init": "random",
                "output_activation": "tanh",
                "learning_rate": 0.01,
                "batch_size": 16,
            },
            "search": {"n_splits": 3, "max_epochs": 6},
        }
    )


@pytest.fixture(scope="session")
def searched(settings: SearchSettings, local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """The finished search of `settings`; its directory is only to be read."""
    return run_search(settings, results_dir=tmp_path_factory.mktemp("results"))


@pytest.fixture
def search_copy(searched: SearchResult, tmp_path: Path) -> Path:
    """A copy of the finished search that a test may change: the folder "birds" in the test's own folder."""
    return Path(shutil.copytree(searched.directory, tmp_path / searched.directory.name))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls `ae-search` in this process; returns exit status, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ae-search", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def one_line() -> Callable[..., str]:
    """Checks that standard error is one line of `ae-search` that holds all parts; returns the line."""

    def check(errors: str, *parts: str) -> str:
        (line,) = errors.splitlines()
        assert line.startswith("ae-search: ")
        for part in parts:
            assert part in line
        return line

    return check
