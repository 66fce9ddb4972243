"""Plain Ray Tune: recipe 1 in a trainable, one trial for each configuration, Ray's own table."""

import sys

import recipes
import space
from ray import tune


def trainable(config: dict[str, object]) -> None:
    """Cross-validate one configuration, fold after fold."""
    import torch

    torch.set_num_threads(1)
    hidden, activation, rate = config["point"]  # type: ignore[misc]
    values, folds = space.samples()
    losses = [
        recipes.dataloader_fold(
            values,
            space.VALUE_RANGE,
            space.layer_sizes(hidden),
            fold,
            number,
            space.EPOCHS,
            space.BATCH_SIZE,
            workers=0,
            learning_rate=rate,
            code_activation=activation,
        )
        for number, fold in enumerate(folds)
    ]
    tune.report({"losses": losses, "val_mse": sum(losses) / len(losses)})


if __name__ == "__main__":
    import os

    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # the workers import these files too
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"point": tune.grid_search(space.points())},
        tune_config=tune.TuneConfig(reuse_actors=True),
    )
    results = tuner.fit()
    space.write_table([(result.config["point"], result.metrics["losses"]) for result in results])
