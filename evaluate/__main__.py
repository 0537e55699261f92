"""`python -m evaluate --checkpoint runs/last.ckpt --shards data/validation.zarr --out report/`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]
from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.errors import InputError
from dsfunet.shards import open_store
from evaluate.report import check_destination, content, write
from evaluate.scoring import AnyFactorizer, evaluate
from evaluate.tables import score_table


def build_parser() -> ArgumentParser:
    """The command line: which weights, which planes, where to write."""
    parser = ArgumentParser(
        prog="python -m evaluate", description="Score a factorizer on simulated planes whose truth is known."
    )
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file with any of these options")
    parser.add_argument(
        "--checkpoint", type=str | None, help="a training checkpoint or a folder of safetensors"
    )
    parser.add_argument(
        "--weights",
        type=Literal["release"] | None,
        help="the weights in the package (without --checkpoint)",
    )
    parser.add_argument(
        "--shards", type=str, required=True, help="a store of planes, such as data/validation.zarr"
    )
    parser.add_argument(
        "--out", type=str, required=True, help="folder for the report: new, empty, or a report"
    )
    parser.add_argument(
        "--samples", type=PositiveInt | None, help="score the first so many planes (default: all)"
    )
    parser.add_argument(
        "--batch-size", type=PositiveInt, default=8, help="planes that are factorised at once"
    )
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="seed of the noise baselines")
    parser.add_argument(
        "--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any"
    )
    parser.add_argument("--progress", type=bool, default=True, help="show a progress bar")
    return parser


def load_factorizer(
    checkpoint: str | None, weights: str | None, device: str, batch_size: int
) -> AnyFactorizer:
    """The factorizer that the command line names; torch is imported here, so that wrong paths fail fast.

    Raises:
        InputError: a checkpoint and weights are both named, the checkpoint is not one, or there is no such device.
    """
    if checkpoint is not None and weights is not None:
        raise InputError(f"--checkpoint {checkpoint} and --weights {weights}: expected one of the two")
    if checkpoint is not None and not Path(checkpoint).exists():
        raise InputError(f"{checkpoint}: no such checkpoint or weights folder")
    from dsfunet.commands import load_factorizer as load

    return load(checkpoint or "release", None if device == "auto" else device, batch_size)


def main(args: Sequence[str] | None = None) -> int:
    """Run the evaluator; returns 0, or 2 with one sentence on standard error when the input is at fault."""
    options = build_parser().parse_args(args)
    out = Path(options.out)
    try:
        check_destination(out)
        store = open_store(options.shards)
        factorizer = load_factorizer(options.checkpoint, options.weights, options.device, options.batch_size)
        report = evaluate(
            factorizer, store, options.samples, options.batch_size, options.seed, options.progress
        )
        write(report, out)
    except InputError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    for warning in report.warnings:
        print(f"Warning: {warning}")
    print("\n".join(score_table(content(report))))
    print(f"{report.planes} planes of {store.path}; the report is in {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
