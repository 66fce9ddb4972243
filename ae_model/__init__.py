"""Symmetric autoencoders: model, data, training, cross-validation, PCA baseline, persistence. No Ray, no pandas."""

from ae_model.autoencoder import SymmetricAutoencoder, count_parameters
from ae_model.bottleneck import code_size_for, explained_variance_ratio
from ae_model.cross_validation import (
    EpochRecord,
    Fold,
    cross_validate,
    make_folds,
    pca_baseline,
)
from ae_model.data import Dataset, load_dataset
from ae_model.loaders import evaluate_autoencoder, k_fold_cross_validation, train_autoencoder
from ae_model.persistence import TrainedAutoencoder, load_model, save_model
from ae_model.scaling import Scaling, fit_scaling
from ae_model.training import (
    Configuration,
    fit_autoencoder,
)

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
