"""What people use instead of `cross_validate`: the same folds, epochs, batch size and optimiser, by other means.

Each recipe takes the development samples, the layer sizes of one configuration and the folds, and returns the mean
validation MSE over the folds after the last epoch. Initial weights and batch order are those of our engine, so that all
come to the same MSE but for rounding (vmap where the folds are equally long): over seeds, the MSE of one recipe varies
more than its standard error over the folds.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.utils.data import DataLoader, Dataset, Sampler

from ae_model import Fold, SymmetricAutoencoder
from ae_model.training import batch_order, initial_generator

LEARNING_RATE = 1e-3
SEED = 0
Recipe = Callable[[np.ndarray, tuple[float, float], Sequence[int], Sequence[Fold], int, int, str], float]


class ImageRows(Dataset[Tensor]):
    """Rows of an array as images with per-item transforms: what torchvision's MNIST and its tutorials do."""

    def __init__(self, values: np.ndarray, rows: np.ndarray, value_range: tuple[float, float]) -> None:
        from PIL import Image  # slow to import, and only this recipe needs them
        from torchvision import transforms

        side = int(values.shape[1] ** 0.5)
        low, high = (limit / 255 for limit in value_range)
        self.images, self.rows = values.reshape(-1, side, side), rows
        self.transform = transforms.Compose(
            [
                Image.fromarray,
                transforms.ToTensor(),
                transforms.Normalize((low + high) / 2, (high - low) / 2),
                transforms.Lambda(torch.flatten),
            ]
        )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        """One row, scaled to [-1, 1]."""
        scaled: Tensor = self.transform(self.images[self.rows[index]])
        return scaled


class SeededOrder(Sampler[int]):
    """Row numbers in another order each epoch, as our engine draws it for a fold."""

    def __init__(self, n_rows: int, number: int) -> None:
        self.rows, self.number, self.epoch = np.arange(n_rows), number, 0

    def __iter__(self) -> Iterator[int]:
        """The next epoch's order."""
        self.epoch += 1
        return iter(batch_order(self.rows, seed=SEED, fold=self.number, epoch=self.epoch).tolist())

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)


def dataloader_fold(
    values: np.ndarray,
    value_range: tuple[float, float],
    layer_sizes: Sequence[int],
    fold: Fold,
    number: int,
    epochs: int,
    batch_size: int,
    *,
    workers: int = 2,
    learning_rate: float = LEARNING_RATE,
    code_activation: str = "relu",
    device: str = "cpu",
) -> float:
    """One fold by DataLoader, per-item transforms, `.item()` per batch and default Adam: the validation MSE."""
    train = ImageRows(values, fold.train, value_range)
    validation = ImageRows(values, fold.validation, value_range)
    order = SeededOrder(len(train), number)
    train_loader = DataLoader(
        train, batch_size=batch_size, sampler=order, num_workers=workers, persistent_workers=workers > 0
    )
    val_loader = DataLoader(validation, batch_size=256, num_workers=workers, persistent_workers=workers > 0)
    model = SymmetricAutoencoder(
        layer_sizes, code_activation=code_activation, generator=initial_generator(SEED, number)
    ).to(device)
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=learning_rate), nn.MSELoss()
    val_mse = float("nan")
    for _ in range(epochs):
        losses = []
        model.train()
        for batch in train_loader:
            x = batch.to(device)
            optimizer.zero_grad()
            loss = criterion(model(x)[0], x)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            on_device = (batch.to(device) for batch in val_loader)
            val_mse = sum(criterion(model(x)[0], x).item() * len(x) for x in on_device) / len(validation)
    return val_mse


def dataloader(
    values: np.ndarray,
    value_range: tuple[float, float],
    layer_sizes: Sequence[int],
    folds: Sequence[Fold],
    epochs: int,
    batch_size: int,
    device: str = "cpu",
) -> float:
    """Recipe 1: the one everyone starts from, fold after fold."""
    return float(
        np.mean(
            [
                dataloader_fold(values, value_range, layer_sizes, fold, number, epochs, batch_size, device=device)
                for number, fold in enumerate(folds)
            ]
        )
    )


def in_memory_fold(
    scaled: Tensor,
    layer_sizes: Sequence[int],
    fold: Fold,
    number: int,
    epochs: int,
    batch_size: int,
    *,
    fused: bool,
    learning_rate: float = LEARNING_RATE,
    code_activation: str = "relu",
) -> float:
    """One fold over scaled tensors in memory, on their device: the validation MSE."""
    train, validation = scaled[fold.train], scaled[fold.validation]
    model = SymmetricAutoencoder(
        layer_sizes, code_activation=code_activation, generator=initial_generator(SEED, number)
    ).to(scaled.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=fused or None)
    criterion = nn.MSELoss()
    val_mse = float("nan")
    for epoch in range(1, epochs + 1):
        order = torch.from_numpy(batch_order(np.arange(len(train)), seed=SEED, fold=number, epoch=epoch)).to(
            scaled.device
        )
        for start in range(0, len(train), batch_size):
            x = train[order[start : start + batch_size]]
            optimizer.zero_grad()
            loss = criterion(model(x)[0], x)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_mse = criterion(model(validation)[0], validation).item()
    return val_mse


def in_memory(
    values: np.ndarray,
    value_range: tuple[float, float],
    layer_sizes: Sequence[int],
    folds: Sequence[Fold],
    epochs: int,
    batch_size: int,
    device: str = "cpu",
    *,
    fused: bool = False,
) -> float:
    """Recipe 2: tensors in memory and default Adam, fold after fold."""
    scaled = scale(values, value_range).to(device)
    return float(
        np.mean(
            [
                in_memory_fold(scaled, layer_sizes, fold, number, epochs, batch_size, fused=fused)
                for number, fold in enumerate(folds)
            ]
        )
    )


def in_memory_fused(
    values: np.ndarray,
    value_range: tuple[float, float],
    layer_sizes: Sequence[int],
    folds: Sequence[Fold],
    epochs: int,
    batch_size: int,
    device: str = "cpu",
) -> float:
    """Recipe 3: the same with fused Adam."""
    return in_memory(values, value_range, layer_sizes, folds, epochs, batch_size, device, fused=True)


def vmap(
    values: np.ndarray,
    value_range: tuple[float, float],
    layer_sizes: Sequence[int],
    folds: Sequence[Fold],
    epochs: int,
    batch_size: int,
    device: str = "cpu",
) -> float:
    """Recipe 4: `torch.func.vmap` over the folds, cut to the rows of the shortest, in training and in validation."""
    scaled = scale(values, value_range).to(device)
    models = [
        SymmetricAutoencoder(layer_sizes, generator=initial_generator(SEED, k)).to(device) for k in range(len(folds))
    ]
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]
    skeleton = SymmetricAutoencoder(layer_sizes).to("meta")

    def loss_of(own: dict[str, Tensor], own_buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return nn.functional.mse_loss(functional_call(skeleton, (own, own_buffers), (x,))[0], x)

    gradients = torch.vmap(torch.func.grad(loss_of))
    losses = torch.vmap(loss_of)
    optimizer = torch.optim.Adam(parameters.values(), lr=LEARNING_RATE, fused=True)
    shortest = min(len(fold.train) for fold in folds)
    n_validation = min(len(fold.validation) for fold in folds)
    validation = torch.stack([scaled[fold.validation[:n_validation]] for fold in folds])
    val_mse = torch.tensor(float("nan"))
    for epoch in range(1, epochs + 1):
        orders = [batch_order(f.train, seed=SEED, fold=k, epoch=epoch)[:shortest] for k, f in enumerate(folds)]
        order = torch.from_numpy(np.stack(orders)).to(device)
        for start in range(0, shortest, batch_size):
            found = gradients(parameters, buffers, scaled[order[:, start : start + batch_size]])
            for name, parameter in parameters.items():
                parameter.grad = found[name]
            optimizer.step()
        with torch.no_grad():
            val_mse = losses(parameters, buffers, validation)
    return float(val_mse.mean())


def scale(values: np.ndarray, value_range: tuple[float, float]) -> Tensor:
    """All samples as float32 in [-1, 1]."""
    low, high = value_range
    return torch.from_numpy(values.astype(np.float32)).sub_(low).mul_(2 / (high - low)).sub_(1)
