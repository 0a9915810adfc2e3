"""Scores of a run or of a published model on labelled clips: `python -m serjax.evaluate RUN --data.root DIR`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.evaluate",
    description="Scores of the ensemble of a run's folds, or of a published classifier, on labelled clips. All folds "
    "answer for every clip, so give clips that the run was not trained on. The table is printed, and written with "
    "every clip's answer and the confusion matrix to a folder.",
)
PARSER.add_argument("model", help=arguments.MODEL_HELP)
PARSER.add_argument("--data.root", required=True, metavar="PATH", help="folder of recordings, or a list of them")
arguments.add_data_options(PARSER, cache="folder of decoded clips; by default beside the run folder")
PARSER.add_argument(
    "--data.no-keep-decoded",
    dest="data.keep-decoded",
    action="store_false",
    help="keep only an index of decoded clips, and decode each again when it is read",
)
PARSER.add_argument(
    "--ranges", nargs="+", metavar="NAME=LOW:HIGH", help="scale of the corpus's values, for a published model of values"
)
PARSER.add_argument("--out", type=Path, metavar="DIR", help="folder of the results; by default RUN/evaluation")
PARSER.add_argument("--overwrite", action="store_true", help="delete an earlier evaluation in that folder")
PARSER.add_argument("--seed", type=int, default=0, help="decides the draws of the intervals")
arguments.add_ensemble_options(PARSER)
arguments.add_host_options(PARSER)


def main(argv: Sequence[str]) -> int:
    """Print the scores of a model on the clips that the command line names."""
    options = PARSER.parse_args(argv)

    from serjax.data.config import DataConfig
    from serjax.evaluation.tables import evaluation_tables
    from serjax.evaluation.task_tables import value_tables
    from serjax.runs.evaluate import evaluate
    from serjax.runtime.distributed import first
    from serjax.runtime.hosts import Hosts
    from serjax.runtime.progress import console

    hosts = ("coordinator", "count", "index", "patience")
    cli.join(Hosts(**{name: getattr(options, f"hosts.{name}") for name in hosts}))
    report = evaluate(
        options.model,
        DataConfig(**arguments.data_options(options)),
        out=options.out,
        **arguments.ensemble_options(options),
        ranges=options.ranges or (),
        seed=options.seed,
        overwrite=options.overwrite,
        command=f"python -m serjax.evaluate {shlex.join(argv)}",
    )
    if first():
        console.print(value_tables(report) if "tasks" in report else evaluation_tables(report))
    return 0


if __name__ == "__main__":
    cli.run(main)
