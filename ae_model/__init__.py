"""Symmetric autoencoders: model, data, training, cross-validation, PCA baseline, persistence. No Ray, no pandas."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ae_model.autoencoder import SymmetricAutoencoder
    from ae_model.bottleneck import code_size_for, explained_variance_ratio, pca_baseline
    from ae_model.configuration import Configuration, EpochRecord, count_parameters
    from ae_model.cross_validation import cross_validate
    from ae_model.data import Dataset, load_dataset
    from ae_model.folds import Fold, make_folds
    from ae_model.loaders import evaluate_autoencoder, k_fold_cross_validation, train_autoencoder
    from ae_model.persistence import TrainedAutoencoder, load_model, save_model
    from ae_model.scaling import Scaling, fit_scaling
    from ae_model.training import fit_autoencoder

# Imported on first use: torch and scikit-learn take seconds, which nobody need wait for who does not use them.
_HOMES = {
    "Configuration": "configuration",
    "Dataset": "data",
    "EpochRecord": "configuration",
    "Fold": "folds",
    "Scaling": "scaling",
    "SymmetricAutoencoder": "autoencoder",
    "TrainedAutoencoder": "persistence",
    "code_size_for": "bottleneck",
    "count_parameters": "configuration",
    "cross_validate": "cross_validation",
    "evaluate_autoencoder": "loaders",
    "explained_variance_ratio": "bottleneck",
    "fit_autoencoder": "training",
    "fit_scaling": "scaling",
    "k_fold_cross_validation": "loaders",
    "load_dataset": "data",
    "load_model": "persistence",
    "make_folds": "folds",
    "pca_baseline": "bottleneck",
    "save_model": "persistence",
    "train_autoencoder": "loaders",
}

__all__ = [
    "Configuration",
    "Dataset",
    "EpochRecord",
    "Fold",
    "Scaling",
    "SymmetricAutoencoder",
    "TrainedAutoencoder",
    "code_size_for",
    "count_parameters",
    "cross_validate",
    "evaluate_autoencoder",
    "explained_variance_ratio",
    "fit_autoencoder",
    "fit_scaling",
    "k_fold_cross_validation",
    "load_dataset",
    "load_model",
    "make_folds",
    "pca_baseline",
    "save_model",
    "train_autoencoder",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ae_model' has no attribute {name!r}")
    return getattr(import_module(f"ae_model.{_HOMES[name]}"), name)
