"""Arrays and tables -> pictures. Each function returns the figure as drawn, and writes a PNG where a path is given."""

from search.plots.code_sizes import explained_variance as explained_variance
from search.plots.features import feature_errors as feature_errors
from search.plots.fve import variance_explained as variance_explained
from search.plots.images import reconstructions as reconstructions
from search.plots.losses import training_loss as training_loss
from search.plots.trials import validation_mse as validation_mse
