"""A corpus before any training, as tables and a page of what is suspicious: `python -m serjax.look DIR`."""

from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.look",
    description="Shows a corpus as training would read it, before any training: classes, speakers, lengths, levels, "
    "silence, clipping, copies and agreement of annotators, and everything suspicious with its remedy. What training "
    "would refuse is told first, and does not stop the look.",
    epilog="The status is 2 where training would refuse the corpus, 130 after Ctrl-C, which shows what was measured "
    "so far, and else 0.",
)
PARSER.add_argument("root", metavar="DIR", help="folder of recordings, or a list of them, or the URL of one")
arguments.add_data_options(PARSER, cache="folder of recordings that lie inside a set; by default checkpoints")
PARSER.add_argument("--no-decode", action="store_true", help="look at names alone; no file is opened")
PARSER.add_argument("--out", type=Path, metavar="DIR", help="folder of the page and its JSON; by default look-NAME")
PARSER.add_argument("--seed", type=int, default=0, help="decides the order in which clips are measured")


def main(argv: Sequence[str]) -> int:
    """Print the tables of the corpus that the command line names, and write its page."""
    options = PARSER.parse_args(argv)
    cli.show_log()

    from serjax.data.config import DataConfig
    from serjax.evaluation.corpus_tables import corpus_tables
    from serjax.runs.look import look
    from serjax.runtime.progress import console

    report = look(
        DataConfig(root=options.root, **arguments.data_options(options)),
        out=options.out or f"look-{Path(options.root).resolve().stem}",
        decode=not options.no_decode,
        seed=options.seed,
    )
    console.print(corpus_tables(report))
    if report["stopped"]:
        return 130
    return 2 if any(one["refused"] for one in report["suspicions"]) else 0


if __name__ == "__main__":
    cli.run(main)
