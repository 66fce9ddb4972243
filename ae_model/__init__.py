"""Symmetric autoencoders: model, data, training, cross-validation, PCA baseline, persistence. No Ray, no pandas."""

import lazy_loader

# Imported on first use: torch and scikit-learn take seconds, which nobody need wait for who does not use them.
# The public names stand in __init__.pyi alone, where type checkers look for them too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
