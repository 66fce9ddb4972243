"""ae_model.arithmetic: threads and precision are set, and restored whatever happens."""

import pytest
import torch

from ae_model.arithmetic import arithmetic


def _now() -> tuple[int, str]:
    return torch.get_num_threads(), torch.backends.cuda.matmul.fp32_precision


@pytest.mark.parametrize("fp32_precision", ["tf32", "ieee"])
def test_the_block_computes_as_it_is_told(fp32_precision: str) -> None:
    """Both are set inside, and are after it what they were before."""
    before = _now()
    with arithmetic(n_threads=before[0] + 1, fp32_precision=fp32_precision):
        assert _now() == (before[0] + 1, fp32_precision)
        with arithmetic(n_threads=1, fp32_precision="ieee"):
            assert _now() == (1, "ieee")
        assert _now() == (before[0] + 1, fp32_precision)
    assert _now() == before


def test_an_error_inside_changes_nothing() -> None:
    """What raises in the block leaves everything as it was."""
    before = _now()
    with pytest.raises(RuntimeError, match="no memory"), arithmetic(n_threads=7, fp32_precision="tf32"):
        raise RuntimeError("no memory")
    assert _now() == before
