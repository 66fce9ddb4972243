"""Settings -> data set."""

from ae_model.data import Dataset, load_dataset
from search.settings import SearchSettings


def load_data(settings: SearchSettings) -> Dataset:
    """The data set that the settings name."""
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
