"""Search for the best symmetric autoencoder on Ray Tune; the functions behind the command line."""

import lazy_loader

# Imported on first use: torch and pandas take seconds, which `ae-search --help` must not.
# The public names stand in __init__.pyi alone, where type checkers look for them too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
