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
PARSER.add_argument("--data.corpus", default="auto", metavar="KIND", help="how the root is read, as for serjax.train")
PARSER.add_argument("--data.split", metavar="NAME", help="read this split of a set alone")
PARSER.add_argument("--data.audio-root", metavar="DIR", help="where relative paths of a list start")
PARSER.add_argument("--data.columns", nargs="+", metavar="FIELD=COLUMN", help="columns of a list, as for serjax.train")
PARSER.add_argument("--data.label-map", metavar="FILE", help="JSON file that maps the corpus's labels to others")
PARSER.add_argument("--data.labels", nargs="+", metavar="LABEL", help="use only clips with these labels")
PARSER.add_argument("--data.speakers", default="auto", metavar="auto|unknown", help="unknown: do without speakers")
PARSER.add_argument("--data.speaker-pattern", metavar="REGEX", help="finds the speaker in the clips' paths")
PARSER.add_argument("--data.label-pattern", metavar="REGEX", help="finds the label in the clips' paths")
PARSER.add_argument(
    "--data.max-clips", type=int, metavar="N", help="look at only this many, of every class an even share"
)
PARSER.add_argument("--data.skip-bad", action="store_true", help="leave out files of a list that do not exist")
PARSER.add_argument(
    "--data.cache", metavar="DIR", help="folder of recordings that lie inside a set; by default checkpoints"
)
PARSER.add_argument("--no-decode", action="store_true", help="look at names alone; no file is opened")
PARSER.add_argument("--out", type=Path, metavar="DIR", help="folder of the page and its JSON; by default look-NAME")
PARSER.add_argument("--seed", type=int, default=0, help="decides the order in which clips are measured")


def main(argv: Sequence[str]) -> int:
    """Print the tables of the corpus that the command line names, and write its page."""
    options = vars(PARSER.parse_args(argv))
    cli.show_log()

    from serjax.data.config import DataConfig
    from serjax.evaluation.corpus_tables import corpus_tables
    from serjax.runs.look import look
    from serjax.runtime.progress import console

    data = {name.removeprefix("data."): value for name, value in options.items() if name.startswith("data.")}
    data["labels"] = tuple(data["labels"]) if data["labels"] else None
    data["columns"] = tuple(data["columns"] or ())
    root = options["root"]
    report = look(
        DataConfig(root=root, **{name.replace("-", "_"): value for name, value in data.items()}),
        out=options["out"] or f"look-{Path(root).resolve().stem}",
        decode=not options["no_decode"],
        seed=options["seed"],
    )
    console.print(corpus_tables(report))
    if report["stopped"]:
        return 130
    return 2 if any(one["refused"] for one in report["suspicions"]) else 0


if __name__ == "__main__":
    cli.run(main)
