"""The captured step computes what the plain one does."""

from typing import Any

import numpy as np
import pytest
import torch

from ae_model import Configuration, cross_validate, make_folds
from ae_model.capture import WARM_UP_STEPS
from ae_model.resident import Batch, ResidentData
from ae_model.scaling import fit_scaling
from ae_model.stack import AutoencoderStack
from ae_model.training import initial_generator, training_step

OPTIONS = {
    "weight_decay": 0.1,
    "learning_rate_schedule": "one-cycle",
    "schedule_epochs": 3,
    "dropout": 0.3,
    "noise_std": 0.1,
    "mask_fraction": 0.2,
}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def make_stack(device: str, n_batches: list[int], **options: float) -> AutoencoderStack:
    """Two members of different widths and learning rates, in float64."""
    return AutoencoderStack(
        [
            Configuration(
                layer_sizes=sizes,
                hidden_activation="tanh",
                code_activation="linear",
                learning_rate=learning_rate,
                **options,  # type: ignore[arg-type]  # of the right kinds
            )
            for sizes, learning_rate in (((6, 5, 2), 1e-3), ((6, 4, 3), 1e-2))
        ],
        n_batches=n_batches,
        generators=[initial_generator(0, fold) for fold in range(2)],
        device=device,
        dtype=torch.float64,
    )


def make_data(device: str) -> ResidentData:
    """Forty samples of six features."""
    values = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    return ResidentData(values, [fit_scaling(values)] * 2, device=device, dtype=torch.float64)


def test_the_step_gathers_and_trains() -> None:
    """On a CPU it is the stack's own step on the gathered rows."""
    index = torch.arange(16).view(2, 8)
    one, other, data = make_stack("cpu", [2, 2]), make_stack("cpu", [2, 2]), make_data("cpu")
    for batch in range(2):
        squared_errors = training_step(one, data, 8)(Batch(index, 8, None), batch)
        torch.testing.assert_close(squared_errors, other.train_step(data.gather(index), 8), rtol=0, atol=0)
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@needs_gpu
@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "noise_std": 0.1, "mask_fraction": 0.2, "weight_decay": 0.1}])
def test_captured_steps_equal_plain_ones(options: dict[str, float]) -> None:
    """Through warm-up, capture and replay, with batches that one member lacks, and the random numbers of each epoch."""
    one, other = (make_stack("cuda", [7, 8], **options) for _ in range(2))
    data = make_data("cuda")
    step = training_step(one, data, 8)
    generator = torch.Generator().manual_seed(0)
    for number in range(3 * WARM_UP_STEPS + 8):
        index = torch.randint(40, (2, 8), generator=generator).cuda()
        batch = number % 8
        if batch == 0:
            for stack in (one, other):
                stack.begin_epoch(seed=0, folds=[0, 1], epoch=1 + number // 8)
        squared_errors = step(Batch(index, 8, None), batch)
        expected = other.train_step(data.gather(index), 8, None, batch, index)
        torch.testing.assert_close(squared_errors, expected, rtol=1e-10, atol=0)
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-15)


@needs_gpu
@pytest.mark.parametrize("n_samples", [160, 161])
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "with options"])
def test_a_gpu_gives_what_a_cpu_gives(n_samples: int, options: dict[str, Any]) -> None:
    """Cross-validation in float64 on both devices, with folds that are even and that are not."""
    values = np.random.default_rng(0).normal(size=(n_samples, 6)).astype(np.float32)
    folds = make_folds(n_samples, 5, seed=0)
    configuration = Configuration(layer_sizes=(6, 5, 2), code_activation="linear", batch_size=16, **options)
    on_cpu, on_gpu = (
        [
            record.val_mse
            for record in cross_validate(
                values, configuration, folds=folds, max_epochs=3, seed=0, device=device, dtype=torch.float64
            )
        ]
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-9)
