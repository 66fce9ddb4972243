"""What all tests share."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shapes and dtypes in ae_model's annotations are checked at every call while tests run.
install_import_hook("ae_model", "beartype.beartype")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """All tests are run by two processes where pytest-xdist is there: a test that waits for Ray leaves a core idle.

    Each starts a Ray of its own for the searches within it, so tests of a file stay together; the slow ones share
    nothing and are dealt out one by one. Some files alone are done sooner by one process. `-n` overrides all that.
    """
    options = config.option
    is_left_alone = getattr(options, "numprocesses", 0) is not None or options.usepdb or hasattr(config, "workerinput")
    if is_left_alone or not all(Path(argument).is_dir() for argument in config.args):
        return
    options.numprocesses = 2
    options.dist = "loadfile" if "not slow" in options.markexpr else "worksteal"
    options.loadscopereorder = False  # by the number of tests, the files that take longest would come last


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST files; the test is skipped where there is none."""
    for candidate in (os.environ.get("AE_SEARCH_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if candidate and (Path(candidate) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
            return Path(candidate)
    pytest.skip("no MNIST: neither $AE_SEARCH_DATA nor ../shared/data holds MNIST/raw")
