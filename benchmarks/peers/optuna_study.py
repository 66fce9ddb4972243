"""Optuna: recipe 1 as the objective, over the same grid."""

import optuna
import recipes
import space
import torch


def main() -> None:
    """Run the study in two processes' worth of threads: PyTorch's default."""
    values, folds = space.samples()
    points = space.points()
    losses: dict[int, list[float]] = {}

    def objective(trial: optuna.Trial) -> float:
        number = trial.suggest_categorical("point", list(range(len(points))))
        hidden, activation, rate = points[number]
        losses[number] = [
            recipes.dataloader_fold(
                values,
                space.VALUE_RANGE,
                space.layer_sizes(hidden),
                fold,
                k,
                space.EPOCHS,
                space.BATCH_SIZE,
                workers=0,
                learning_rate=rate,
                code_activation=activation,
            )
            for k, fold in enumerate(folds)
        ]
        return sum(losses[number]) / len(folds)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"point": list(range(len(points)))}))
    study.optimize(objective, n_trials=len(points), n_jobs=2)
    space.write_table([(points[number], values_) for number, values_ in sorted(losses.items())])


if __name__ == "__main__":
    torch.set_num_threads(1)  # one for each of the two jobs
    main()
