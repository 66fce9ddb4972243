"""Optuna: recipe 1 as the objective, over the same grid."""

import optuna
import space
import torch


def main() -> None:
    """Run the study by two jobs, Optuna's threads."""
    task = space.task()
    points = task.points
    losses: dict[int, list[float]] = {}

    def objective(trial: optuna.Trial) -> float:
        number = trial.suggest_categorical("point", list(range(len(points))))
        losses[number] = space.by_dataloader(points[number], task.epochs)
        return sum(losses[number]) / len(losses[number])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"point": list(range(len(points)))}))
    study.optimize(objective, n_trials=len(points), n_jobs=2)
    space.write_table(task.table, [(points[number], values) for number, values in sorted(losses.items())])


if __name__ == "__main__":
    torch.set_num_threads(1)  # one for each of the two jobs
    main()
