"""Plain Ray Tune: recipe 1 in a trainable, one trial for each configuration, Ray's own table."""

import os
import sys
from typing import Any

import ray
import space
import torch
from ray import tune


def trainable(config: dict[str, Any]) -> None:
    """Cross-validate one configuration, fold after fold."""
    torch.set_num_threads(1)
    losses = space.by_dataloader(config["point"], config["epochs"])
    tune.report({"losses": losses, "val_mse": sum(losses) / len(losses)})


if __name__ == "__main__":
    task = space.task()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # the workers import these files too
    ray.init("local")
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"point": tune.grid_search(task.points), "epochs": task.epochs},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(task.table.parent.resolve())),
    )
    results = tuner.fit()
    space.write_table(task.table, [(result.config["point"], result.metrics["losses"]) for result in results])
