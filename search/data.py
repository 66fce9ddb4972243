"""Settings -> data set."""

from ae_model.data import Dataset, load_dataset
from search.settings import SearchSettings


def load_data(settings: SearchSettings, given: object = None) -> Dataset:
    """The data set that is given, or that the settings name."""
    assert given is None
    data = settings.data
    return load_dataset(
        data.source,
        data_dir=data.data_dir,
        download=data.download,
        test_fraction=data.test_fraction,
        max_samples=data.max_samples,
        label_column=data.label_column,
        seed=settings.seed,
    )
