"""Put the folds together that jobs have trained: `python -m serjax.gather RUN`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.gather",
    description="Put the folds together that finished jobs have trained (serjax.train --folds.only N --job), and write "
    "to the run folder what one training of all folds would have written. The jobs must be of one experiment, on the "
    "same recordings, labels and folds, and have trained every fold once.",
)
PARSER.add_argument("run", type=Path, help="the run folder, such as checkpoints/hubert_kfold; its jobs are in RUN/jobs")
PARSER.add_argument("--overwrite", action="store_true", help="delete an earlier result in the run folder; jobs stay")


def main(argv: Sequence[str]) -> int:
    """Put the jobs of the run together that the command line names, and print its scores."""
    options = PARSER.parse_args(argv)

    from serjax.evaluation.tables import score_tables
    from serjax.runs.gather import gather
    from serjax.runtime.progress import console

    cli.show_log()
    command = f"python -m serjax.gather {shlex.join(argv)}"
    console.print(score_tables(gather(options.run, overwrite=options.overwrite, command=command)))
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command starts again, and the jobs are as they were.")
