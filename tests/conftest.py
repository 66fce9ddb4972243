"""What all tests share."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shapes and dtypes in ae_model's annotations are checked at every call while tests run.
install_import_hook("ae_model", "beartype.beartype")


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST files; the test is skipped where there is none."""
    for candidate in (os.environ.get("AE_SEARCH_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if candidate and (Path(candidate) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
            return Path(candidate)
    pytest.skip("no MNIST: neither $AE_SEARCH_DATA nor ../shared/data holds MNIST/raw")
