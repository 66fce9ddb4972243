"""The threads and the precision that a training runs with; both are restored when it has ended."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def arithmetic(*, n_threads: int, fp32_precision: str) -> Iterator[None]:
    """Set torch's number of threads and the precision of its matrix products for a block; both are restored.

    Search, retraining and evaluation compute in such a block, so that a model's numbers do not depend on who asks.

    Args:
        n_threads: How many threads one operation uses on the CPU, >= 1. More than one slows small models down.
        fp32_precision: The precision of float32 matrix products on a GPU: "tf32", or "ieee" for float32 throughout.
    """
    matmul = torch.backends.cuda.matmul
    before = torch.get_num_threads(), matmul.fp32_precision
    torch.set_num_threads(n_threads)
    matmul.fp32_precision = fp32_precision
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        matmul.fp32_precision = before[1]
