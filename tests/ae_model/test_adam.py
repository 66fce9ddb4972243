"""ae_model.adam: how a step's tensors are handed to a GPU."""

from itertools import chain

import pytest
import torch

from ae_model.adam import AdamCall, AdamRule

RULE = AdamRule(learning_rate=0.01, weight_decay=0.0, schedule="constant", schedule_epochs=None, n_batches=1)


def make_tensors(sizes: list[int], device: str) -> list[list[torch.Tensor]]:
    """Parameters, gradients and both moments, in float64: in float32, powers of beta differ from device to device."""
    generator = torch.Generator().manual_seed(0)
    return [[torch.rand(n, generator=generator, dtype=torch.float64).to(device) for n in sizes] for _ in range(4)]


@pytest.mark.parametrize("sizes", [[1], [4], [200_000], [2_300_000], [70, 200_001, 1_000], [5] * 35, [5] * 40, [10**7]])
def test_small_tensors_become_pieces_for_a_gpu(sizes: list[int]) -> None:
    """As many as one launch takes, and none of a tensor that fills a GPU anyhow; every element is in one of them."""
    call = AdamCall(RULE, 1, 0.0, *make_tensors(sizes, "meta"))
    for pieces in call._tensors:
        assert sum(piece.numel() for piece in pieces) == sum(sizes)
        assert len(pieces) <= max(36, len(sizes))
    if sizes == [200_000]:
        assert len(call._tensors[0]) > 30
    if sizes == [10**7]:
        assert len(call._tensors[0]) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("sizes", [[1], [4], [200_000], [70, 200_001, 1_000]])
def test_a_gpu_takes_the_same_steps(sizes: list[int]) -> None:
    """In pieces or not."""
    states = {device: make_tensors(sizes, device) for device in ("cpu", "cuda")}
    for state in states.values():
        call = AdamCall(RULE, 1, 0.0, *state)
        for _ in range(3):
            call.step()
    for mine, theirs in zip(*(chain(*state) for state in states.values()), strict=True):
        torch.testing.assert_close(mine, theirs.cpu(), rtol=1e-9, atol=1e-12)
