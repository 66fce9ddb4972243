"""Batches that are gathered and scaled on the device."""

import warnings

import numpy as np
import pytest
import torch

from ae_model import Scaling, fit_scaling
from ae_model.resident import ResidentData, batches


def resident(values: np.ndarray, scalings: list[Scaling]) -> ResidentData:
    """On the CPU, in float64."""
    return ResidentData(values, scalings, device="cpu", dtype=torch.float64)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_gather_scales_each_member_by_its_own_scaling(dtype: type) -> None:
    """Rows of any dtype come out as `Scaling.transform` gives them, and the data is not written."""
    values = np.random.default_rng(0).integers(0, 255, (20, 4)).astype(dtype)
    before = values.tobytes()
    scalings = [fit_scaling(values[:10]), fit_scaling(values[10:])]
    index = torch.tensor([[3, 1, 3], [19, 0, 7]])
    gathered = resident(values, scalings).gather(index)
    for member, scaling in enumerate(scalings):
        np.testing.assert_allclose(gathered[member].numpy(), scaling.transform(values[index[member]]), rtol=1e-12)
    gathered.zero_()
    assert values.tobytes() == before


@pytest.mark.parametrize("shared", [True, False])
def test_scaled_for_chooses_the_scalings_of_members(shared: bool) -> None:
    """In any order and repeated, whether members share one scaling or not."""
    values = np.random.default_rng(0).normal(size=(20, 4))
    scalings = [fit_scaling(values)] * 3 if shared else [fit_scaling(values[k:]) for k in range(3)]
    members = [2, 0, 2, 1]
    gathered = resident(values, scalings).scaled_for(members).gather(torch.arange(20).expand(4, 20))
    for j, member in enumerate(members):
        np.testing.assert_allclose(gathered[j].numpy(), scalings[member].transform(values), rtol=1e-12, atol=1e-15)


def test_read_only_data_is_no_reason_to_warn() -> None:
    """Arrays from Ray's object store are read-only."""
    values = np.ones((3, 2))
    values.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resident(values, [fit_scaling(values)]).gather(torch.tensor([[0]]))


@pytest.mark.parametrize("lengths", [[8, 8], [9, 8], [10, 9, 8], [3, 2], [4, 5, 12], [1, 1]])
def test_batches_hold_every_row_once_and_in_order(lengths: list[int]) -> None:
    """What a member's mask lets through are its own rows; the counts say how many, or 1 where there is none."""
    rows = [np.random.default_rng(n).permutation(50)[:n] for n in lengths]
    data = resident(np.zeros((50, 2)), [fit_scaling(np.zeros((1, 2)))])
    seen: list[list[int]] = [[] for _ in rows]
    for batch in batches(data, rows, 4):
        index, n_rows, mask = batch.index, batch.rows, batch.mask
        counts = [index.shape[1]] * len(rows) if mask is None else mask[:, :, 0].sum(1).int().tolist()
        expected = [max(count, 1) for count in counts]
        assert (n_rows if mask is None else n_rows[:, 0, 0].tolist()) == (index.shape[1] if mask is None else expected)
        for member, count in enumerate(counts):
            seen[member] += index[member, :count].tolist()
    assert seen == [r.tolist() for r in rows]
    assert len(list(batches(data, rows, 4))) == -(-max(lengths) // 4)
