"""A search with Optuna: `python configs/sweeps/optuna_search.py --config configs/release.yaml --trials 20`.

Each trial is a run of `dsfunet fit` with other arguments, in a folder of its own, and its score is validation/mse of
its last validation. The study is kept in one SQLite file: the same command continues it, and several processes, one for
each GPU (CUDA_VISIBLE_DEVICES), share it. It needs the extra `sweeps`. Change `choose` for other settings.
"""

import argparse
from pathlib import Path

import optuna

from dsfunet.cli.lightning_cli import run_training
from dsfunet.errors import DivergedError


def choose(trial: optuna.Trial) -> list[str]:
    """Return the arguments of one trial."""
    rate = trial.suggest_float("learning_rate", 4e-4, 6e-3, log=True)
    squared = trial.suggest_categorical("squared_weight", [0.0, 1.0, 3.0, 6.0])
    return [f"--model.generator_optimizer.init_args.lr={rate:g}", f"--model.squared_weight={squared:g}"]


def main(arguments: list[str] | None = None) -> optuna.Study:
    """Run trials, and print the best one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="configuration of all runs")
    parser.add_argument("--out", default="runs/search", help="folder of the study and of its runs")
    parser.add_argument("--trials", type=int, default=20, help="number of trials of this process")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the choices; another one for each process"
    )
    options, others = parser.parse_known_args(arguments)  # others are arguments of every run
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="dsfunet",
        storage=f"sqlite:///{out / 'study.db'}",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=options.seed),
    )

    def run(trial: optuna.Trial) -> float:
        folder = ["--run_folder", str(out / f"trial-{trial.number}")]
        cli = run_training(["fit", "--config", options.config, *folder, *choose(trial), *others])
        return float(cli.trainer.callback_metrics["validation/mse"])

    study.optimize(run, n_trials=options.trials, catch=(DivergedError,))
    print(
        f"best: trial {study.best_trial.number}, validation/mse {study.best_value:.5f}, {study.best_params}"
    )
    return study


if __name__ == "__main__":
    main()
