"""A search and what can be done with its results, as in a notebook: `python examples/notebook.py`."""

from pathlib import Path
from tempfile import mkdtemp

from ae_model import load_dataset, load_model
from search import load_settings, load_trials, retrain, run_search, select


def main(results_dir: Path) -> None:
    """Search small, look at the tables, choose by another rule, use the model."""
    settings = load_settings(overrides=['space.hidden=["", "64", "128"]', "search.max_epochs=30"])
    result = run_search(settings, results_dir=results_dir, verbose=True)

    trials = load_trials(result.directory)
    print(trials.groupby("init")[["val_mse_mean", "best_epoch"]].mean())

    smallest = select(result.directory, rule="one-se")
    print(f"{smallest.label}: {smallest.val_mse_mean:.4f} ± {smallest.val_mse_se:.4f}")

    model = load_model(retrain(result.directory, rule="one-se"))
    digits = load_dataset("digits")
    code = model.encode(digits.development[:5])
    print(f"{digits.development[:5].shape} -> {code.shape} -> {model.decode(code).shape}")


if __name__ == "__main__":
    main(Path(mkdtemp()))
