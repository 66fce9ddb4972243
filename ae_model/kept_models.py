"""The models of all folds as they were at an epoch of each configuration, such as its best, while training goes on."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from ae_model.autoencoder import SymmetricAutoencoder
from ae_model.configuration import Configuration
from ae_model.groups import Group


class KeptModels:
    """Keeps a copy of each configuration's weights, those of the epoch that was last noted.

    Args:
        configurations: The configurations.
        n_splits: The number of folds.
    """

    def __init__(self, configurations: Sequence[Configuration], n_splits: int) -> None:
        self._configurations, self._n_splits = configurations, n_splits
        self._kept: dict[tuple[int, int], list[Tensor]] = {}

    def note(self, configurations: Iterable[int], groups: Sequence[Group]) -> None:
        """Take the weights of these configurations as they are."""
        chosen = set(configurations)
        for group in groups:
            for j, member in enumerate(group.members):
                if member[0] in chosen:
                    self._kept[member] = group.stack.parameters_of(j)

    def of(self, configuration: int) -> list[SymmetricAutoencoder] | None:
        """The models of all folds, on the CPU; None if they were never noted."""
        members = [(configuration, k) for k in range(self._n_splits)]
        if any(member not in self._kept for member in members):
            return None
        c = self._configurations[configuration]
        return [
            SymmetricAutoencoder.from_parameters(
                c.layer_sizes,
                self._kept[member],
                hidden_activation=c.hidden_activation,
                code_activation=c.code_activation,
                output_activation=c.output_activation,
            ).eval()
            for member in members
        ]

    def state(self) -> dict[str, Tensor]:
        """What `load` goes on from, contiguous and on the CPU."""
        return {
            f"kept_model.{c}.{k}.{number}": tensor.cpu().contiguous()
            for (c, k), tensors in self._kept.items()
            for number, tensor in enumerate(tensors)
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        found: dict[tuple[int, int], dict[int, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith("kept_model."):
                c, k, number = map(int, name.split(".")[1:])
                found.setdefault((c, k), {})[number] = tensor
        self._kept = {member: [tensors[n] for n in sorted(tensors)] for member, tensors in found.items()}
