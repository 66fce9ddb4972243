"""ae_model.random_fields: the hash against NumPy's unsigned integers, and statistics of what it gives."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ae_model.random_fields import field_keys, keyed_words, random_bits, standard_normal, threshold


def keys(seed: int = 0, fold: int = 0, epoch: int = 1, field: int = 0) -> Tensor:
    """The keys of one field for one member."""
    return torch.from_numpy(field_keys(seed=seed, fold=fold, epoch=epoch, n_fields=5)[None, field])


def field(keys: Tensor, rows: Tensor, n_units: int) -> Tensor:
    """A field `(members, rows, units)` for each member's own rows."""
    row_words, unit_words = keyed_words(rows, keys[:, :1]), keyed_words(torch.arange(n_units), keys[:, 1:])
    words = torch.empty(*rows.shape, n_units, dtype=torch.int32)
    return random_bits(row_words, unit_words, words, torch.empty_like(words))


def bits(n_rows: int, n_units: int, **of: int) -> np.ndarray:
    """A field `(rows, units)` for the rows 0, 1, ..."""
    return field(keys(**of), torch.arange(n_rows)[None], n_units)[0].numpy()


def uniform(field: np.ndarray) -> np.ndarray:
    """Random integers as numbers in [0, 1)."""
    return (field.astype(np.float64) + 2**31) / 2**32


def lowbias32(x: np.ndarray) -> np.ndarray:
    """As it was published, in C."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def test_the_bits_are_those_of_the_published_hash() -> None:
    """By NumPy's unsigned integers, which need neither masks nor signs; on rows in any order."""
    rows = torch.tensor([[5, 0, 99_999], [7, 2**31 - 1, 3]])
    members = torch.cat([keys(fold=0), keys(fold=1)])
    row_key, unit_key = (members.numpy().view(np.uint32)[:, i : i + 1] for i in (0, 1))
    row_words = lowbias32(rows.numpy().astype(np.uint32) ^ row_key)
    unit_words = lowbias32(np.arange(50, dtype=np.uint32) ^ unit_key)
    expected = lowbias32(row_words[:, :, None] + unit_words[:, None, :])
    np.testing.assert_array_equal(field(members, rows, 50).numpy().view(np.uint32), expected)


def test_a_number_follows_from_row_and_unit_alone() -> None:
    """Not from the order of rows, the size of the batch, the other members, or how many units there are."""
    whole = bits(1000, 60)
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(field(keys(), torch.from_numpy(order)[None], 60)[0].numpy(), whole[order])
    for chunk in np.array_split(order, 7):
        others = torch.from_numpy(np.stack([chunk[::-1].copy(), chunk]))
        found = field(torch.cat([keys(fold=3), keys()]), others, 23)[1].numpy()
        np.testing.assert_array_equal(found, whole[chunk, :23])
    np.testing.assert_array_equal(
        field_keys(seed=1, fold=2, epoch=3, n_fields=9)[:4], field_keys(seed=1, fold=2, epoch=3, n_fields=4)
    )


@pytest.mark.parametrize("field", range(5))
def test_the_numbers_are_uniform(field: int) -> None:
    """As a whole, in every column, in every row, and in every bit: p-values over many fields are uniform themselves."""
    values = uniform(bits(400, 300, field=field))
    assert stats.kstest(values.ravel(), "uniform").pvalue > 1e-4
    for axis in (0, 1):
        p_values = stats.kstest(values, "uniform", axis=axis).pvalue
        assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    words = bits(400, 300, field=field).view(np.uint32)
    ones = [(words >> np.uint32(bit) & np.uint32(1)).mean() for bit in range(32)]
    np.testing.assert_allclose(ones, 0.5, atol=5 * 0.5 / words.size**0.5)


def test_rows_columns_epochs_folds_seeds_and_fields_are_independent() -> None:
    """No correlation is larger than chance allows, between neighbours or between any two columns or rows."""
    n_rows, n_units = 500, 200
    values = uniform(bits(n_rows, n_units)) - 0.5
    largest = stats.norm.isf(1e-4 / (n_rows * n_rows))  # of so many pairs, in standard errors
    for matrix in (values, values.T):
        correlations = np.corrcoef(matrix) - np.eye(len(matrix))
        assert np.abs(correlations).max() * matrix.shape[1] ** 0.5 < largest + 1.0  # not quite normal at 200 values
    others = [
        bits(n_rows, n_units, **of)
        for of in ({"epoch": 2}, {"fold": 1}, {"seed": 1}, {"field": 1}, {"seed": 1, "epoch": 2}, {"field": 4})
    ]
    for other in (*(uniform(o) - 0.5 for o in others), np.roll(values, 1, 0), np.roll(values, 1, 1)):
        assert abs(np.corrcoef(values.ravel(), other.ravel())[0, 1]) * values.size**0.5 < 4.5
    # Four numbers at the corners of a rectangle, of which a sum of words of rows and units could know too much.
    corners = values[:-1, :-1] * values[1:, :-1] * values[:-1, 1:] * values[1:, 1:]
    assert abs(corners.mean()) / (corners.std() / corners.size**0.5) < 4.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_numbers(dtype: torch.dtype) -> None:
    """By SciPy's inverse of the distribution function; the extreme integers are finite and of equal size."""
    words = torch.cat([field(keys(), torch.arange(300)[None], 100).flatten(), torch.tensor([-(2**31), 2**31 - 1])])
    words = words.to(torch.int32)
    found = standard_normal(words.clone(), torch.empty(words.shape, dtype=dtype)).double().numpy()
    expected = stats.norm.ppf((np.floor(uniform(words.numpy()) * 2**24) + 0.5) / 2**24)
    np.testing.assert_allclose(found, expected, rtol=2e-6 if dtype == torch.float32 else 1e-9, atol=1e-7)
    assert found[-1] == -found[-2] == pytest.approx(5.41998, rel=1e-4)
    assert stats.kstest(found, "norm").pvalue > 1e-4


@pytest.mark.parametrize("probability", [0.0, 1e-3, 0.2, 0.5, 0.999, 1 - 1e-12])
def test_a_threshold_cuts_off_its_part(probability: float) -> None:
    """None at all for 0; some rounding for the rest."""
    part = (bits(1000, 300) < threshold(probability)).mean()
    error = (probability * (1 - probability) / 300_000) ** 0.5
    assert abs(part - probability) <= 4.5 * error + 1e-9
    assert -(2**31) <= threshold(probability) < 2**31
