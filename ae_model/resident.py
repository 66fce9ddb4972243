"""Samples that stay on the device, gathered batch by batch and scaled on the way."""

import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from ae_model.scaling import Scaling


class ResidentData:
    """Samples that stay on the device in their own dtype; each batch is gathered by index and scaled on the way.

    Args:
        values: All samples `(n_samples, n_features)`; read, never written.
        scalings: The scalings, one for each member of the stack that will read the data.
        device: Where the data is kept.
        dtype: The type of the gathered batches.
    """

    def __init__(
        self,
        values: Num[np.ndarray, "samples features"],
        scalings: Sequence[Scaling],
        *,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.n_features = values.shape[1]
        self._values = _on_device(values, self.device)
        self._scalings = list(scalings)
        # Members with one and the same scaling share one row of it.
        distinct = self._scalings[:1] if all(s is self._scalings[0] for s in self._scalings) else self._scalings
        self._scale = self._rows([s.scale for s in distinct])
        self._shift = self._rows([s.shift for s in distinct])

    def scaled_for(self, members: Sequence[int]) -> "ResidentData":
        """The same resident samples for other members: the i-th takes the scaling of this data's `members[i]`."""
        other = copy(self)
        other._scalings = [self._scalings[j] for j in members]
        if len(self._scale) > 1:
            other._scale, other._shift = self._scale[list(members)], self._shift[list(members)]
        return other

    def _rows(self, rows: list[np.ndarray]) -> Float[Tensor, "members 1 features"]:
        return torch.from_numpy(np.stack(rows)).to(self.device, self.dtype)[:, None, :]

    def gather(self, index: Int[Tensor, "members batch"]) -> Float[Tensor, "members batch features"]:
        """The scaled samples at `index`."""
        rows = self._values.index_select(0, index.reshape(-1)).to(self.dtype)
        x = rows.view(*index.shape, self.n_features)
        return torch.addcmul(self._shift, x, self._scale, out=x)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One batch of every member of a stack."""

    index: Int[Tensor, "members batch"]
    """Row numbers of the samples."""
    rows: Tensor | int
    """How many of the rows count: one number, or one for each member, `(members, 1, 1)`, where 0 counts as 1."""
    mask: Float[Tensor, "members batch 1"] | None
    """1 for rows that count, 0 for padding; None if all count."""


def batches(data: ResidentData, rows: Sequence[Int[np.ndarray, " _"]], batch_size: int) -> Iterator[Batch]:
    """Every batch of an epoch, for members that each take their own rows in their order.

    Members differ by a few rows, so batches near the end may be shorter for some. Those are padded with
    one of the member's own rows, because another could hold a value that is infinite in the member's scale.
    """
    lengths = np.array([len(r) for r in rows])
    n_batches = -(-lengths.max() // batch_size)
    padded = np.empty((len(rows), n_batches * batch_size), np.int64)
    for j, member_rows in enumerate(rows):
        padded[j, : len(member_rows)] = member_rows
        padded[j, len(member_rows) :] = member_rows[0]
    by_batch = padded.reshape(len(rows), n_batches, batch_size).swapaxes(0, 1)
    index = torch.from_numpy(np.ascontiguousarray(by_batch)).to(data.device)
    n_rows = np.clip(lengths - batch_size * np.arange(n_batches)[:, None], 0, batch_size)
    extremes = zip(n_rows.min(axis=1).tolist(), n_rows.max(axis=1).tolist(), strict=True)
    for batch, counts, (shortest, longest) in zip(index, n_rows, extremes, strict=True):
        if shortest == longest:
            yield Batch(batch[:, :longest], longest, None)
        else:
            mask = torch.from_numpy(np.arange(longest) < counts[:, None]).to(data.device, data.dtype)[:, :, None]
            divisors = torch.from_numpy(counts).clamp(min=1).to(data.device, data.dtype)[:, None, None]
            yield Batch(batch[:, :longest], divisors, mask)


_latest: tuple[np.ndarray, Tensor] | None = None
"""The array that was last copied to a GPU, and its copy: trials of one process share it."""


def _on_device(values: np.ndarray, device: torch.device) -> Tensor:
    """The samples on the device: shared with the array on a CPU, copied once per process to a GPU."""
    global _latest  # the process is what owns a GPU's memory
    tensor = _as_tensor(values)
    if device.type == "cpu":
        return tensor
    # The kept array holds its memory, so that an equal address means equal content.
    if _latest is None or _identity(_latest[0]) != _identity(values) or _latest[1].device != device:
        _latest = values, tensor.to(device)
    return _latest[1]


def _identity(values: np.ndarray) -> tuple[object, ...]:
    return values.__array_interface__["data"], values.shape, values.strides, values.dtype


def _as_tensor(values: np.ndarray) -> Tensor:
    """`values` as a tensor that shares its memory."""
    with warnings.catch_warnings():
        # Arrays from Ray's object store are read-only, which torch cannot express; nothing here writes to them.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(values)
