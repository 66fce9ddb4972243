"""One training step as a CUDA graph: launching the kernels of a small model takes a GPU longer than running them."""

import torch
from jaxtyping import Float
from torch import Tensor

from ae_model.resident import Batch, ResidentData
from ae_model.stack import AutoencoderStack

WARM_UP_STEPS = 3
"""Steps that run uncaptured first, so that every library has its workspace (as PyTorch's notes on CUDA graphs say)."""


class CapturedStep:
    """Gathers a batch and trains on it; full batches are replayed as a CUDA graph.

    Args:
        stack: The members; after `stack.keep` a new step must be made.
        data: Their samples, on a GPU.
        batch_size: How many rows a full batch has.
    """

    def __init__(self, stack: AutoencoderStack, data: ResidentData, batch_size: int) -> None:
        self._stack, self._data, self._batch_size = stack, data, batch_size
        self._index = torch.zeros(len(stack.members), batch_size, dtype=torch.int64, device=data.device)
        # A capture must not run on the default stream.
        self._stream = torch.cuda.Stream(data.device)  # type: ignore[no-untyped-call]  # torch's
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps_taken = 0

    def __call__(self, batch: Batch, number: int) -> Float[Tensor, " members"]:
        """Each member's sum of squared errors in the batch of this number of the epoch, before the step."""
        index, rows, mask = batch.index, batch.rows, batch.mask
        # The last batch of an epoch may be short, padded, or missing for some members: it is rare, and runs as it is.
        if index.shape[1] != self._batch_size or mask is not None or number >= self._stack.n_common_batches:
            return self._stack.train_step(self._data.gather(index), rows, mask, number, index)
        self._steps_taken += 1
        if self._steps_taken <= WARM_UP_STEPS:
            return self._warm_up(index)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._result = self._train(self._index)
        self._index.copy_(index)
        self._graph.replay()
        return self._result.clone()

    def _warm_up(self, index: Tensor) -> Tensor:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = self._train(index)
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def _train(self, index: Tensor) -> Tensor:
        return self._stack.train_step(self._data.gather(index), self._batch_size, index=index)
