"""A run's models for other programs: `python -m serjax.export RUN --to onnx|stablehlo|hf --out DIR`."""

from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.export",
    description="Write the ensemble of a run's folds, or a published classifier, for programs that do without serjax. "
    "onnx: one file for ONNX Runtime, browsers and audonnx (extra 'onnx'). stablehlo: programs for cpu, cuda and tpu "
    "that JAX calls. hf: one fold as transformers reads it. A file export.json tells labels, rate and how to call it.",
)
PARSER.add_argument("model", help=arguments.MODEL_HELP)
PARSER.add_argument("--to", required=True, choices=("onnx", "stablehlo", "hf"), help="kind of export")
PARSER.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that is empty or not there yet")
PARSER.add_argument("--fold", type=int, metavar="N", help="export this fold alone; by default the ensemble of all")
PARSER.add_argument("--weights", type=float, nargs="+", help="how much each fold counts")
PARSER.add_argument("--int8", action="store_true", help="onnx: write a model with weights of 8 bits too")
PARSER.add_argument("--adapter", action="store_true", help="hf: write the adapters of the fold for PEFT too")


def main(argv: Sequence[str]) -> int:
    """Write the export that the command line asks for, and print its files."""
    options = PARSER.parse_args(argv)

    from serjax.inference.export.write import Options, export

    cli.show_log(stdout=False)
    weights = None if options.weights is None else tuple(options.weights)
    files = export(
        options.model, options.to, options.out, Options(options.fold, weights, options.int8, options.adapter)
    )
    for name, text in files.items():
        path = options.out / name
        size = sum(one.stat().st_size for one in (path.iterdir() if path.is_dir() else (path,)))
        print(f"{path}  {size / 1e6:.2f} MB  {text}")
    return 0


if __name__ == "__main__":
    cli.run(main)
