"""Probe every layer of an encoder on a corpus: `python -m serjax.layers ID --data.root DIR`."""

import shlex
from collections.abc import Sequence

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.layers",
    description="Tells which layer of a frozen encoder knows most of the emotions of a corpus: a linear probe on the "
    "mean frame of each. Every clip is encoded once, and the probes of all layers, folds, seeds and learning rates are "
    "trained in one step. Prints a table, and writes it with a curve and intervals.",
    epilog="Take the layer that validation chose: python -m serjax.train --exp hubert_kfold --data.root DIR "
    "--model.checkpoint ID --model.layer N",
)
PARSER.add_argument(
    "encoder",
    metavar="ID",
    help="Hugging Face directory or hub id, serjax-tiny, a finished run with one encoder for all folds, or "
    "random:FAMILY:SIZE",
)
PARSER.add_argument("--data.root", default="", metavar="DIR", help="folder of recordings, or a list of them")
arguments.add_data_options(PARSER, cache="folder of decoded clips and features; default: --out")
PARSER.add_argument("--data.max-seconds", type=float, default=30.0, metavar="S", help="of a clip, at most; default: 30")
PARSER.add_argument("--folds", type=int, default=5, metavar="N", help="by speaker where known; default: 5")
PARSER.add_argument("--seeds", type=int, default=1, metavar="N", help="train every fold so many times; default: 1")
PARSER.add_argument(
    "--learning-rates",
    type=float,
    nargs="+",
    metavar="RATE",
    help="validation chooses, layer by layer and fold by fold; default: 1e-4 1e-3 1e-2",
)
PARSER.add_argument("--epochs", type=int, default=20, metavar="N", help="at most; default: 20")
PARSER.add_argument("--batch-size", type=int, default=32, metavar="N", help="clips a step and fold; default: 32")
PARSER.add_argument(
    "--padding",
    choices=("exact", "transformers"),
    default="exact",
    help="as --model.padding of serjax.train; default: exact",
)
PARSER.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="precision; default: float32")
PARSER.add_argument("--seed", type=int, default=0, help="decides folds, first weights, order and intervals; default: 0")
PARSER.add_argument("--name", metavar="NAME", help="of the folder that is written; default: layers_ and the encoder's")
PARSER.add_argument(
    "--out", default="checkpoints", metavar="DIR", help="folder in which it is made; default: checkpoints"
)
PARSER.add_argument("--overwrite", action="store_true", help="delete what is in that folder")


def main(argv: Sequence[str]) -> int:
    """Probe the layers of the encoder that the command line names, and print their scores."""
    options = PARSER.parse_args(argv)
    cli.show_log()

    from serjax.data.config import DataConfig
    from serjax.evaluation.layer_page import layer_tables
    from serjax.runs.layers import probe_experiment, probe_layers
    from serjax.runs.study.settings import parse_encoder
    from serjax.runtime.progress import console

    names = ("name", "out", "folds", "seeds", "epochs", "batch_size", "padding", "dtype", "seed", "overwrite")
    given = {name: getattr(options, name) for name in names}
    if options.learning_rates is not None:
        given["learning_rates"] = tuple(options.learning_rates)
    experiment = probe_experiment(
        parse_encoder(options.encoder, ""), DataConfig(**arguments.data_options(options)), **given
    )
    report = probe_layers(experiment, f"python -m serjax.layers {shlex.join(argv)}")
    console.print(layer_tables(report))
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last state that was saved.")
