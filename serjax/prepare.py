"""A corpus as a set of TensorFlow Datasets: `python -m serjax.prepare DIR --out SETS`."""

from collections.abc import Sequence

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.prepare",
    description="Write a corpus as a set of TensorFlow Datasets: few large files, for jobs on TPUs that read from a "
    "bucket. Sound is kept at 16 kHz in 16 bits. `--data.corpus tfds --data.root FOLDER` reads it again.",
)
PARSER.add_argument("root", metavar="DIR", help="folder of recordings, or a list of them, or a set")
PARSER.add_argument("--out", required=True, metavar="DIR", help="folder of sets; the new one is NAME/VERSION in it")
PARSER.add_argument("--name", help="of the set; by default the corpus's")
PARSER.add_argument("--version", default="1.0.0", help="of the set; default 1.0.0")
PARSER.add_argument(
    "--format",
    choices=("array_record", "tfrecord"),
    default="array_record",
    help="array_record (default) has random access, and is read from a disk or a mounted bucket; tfrecord is read "
    "from gs:// too",
)
PARSER.add_argument("--data.corpus", default="auto", metavar="KIND", help="how DIR is read, as for serjax.train")
PARSER.add_argument("--data.split", metavar="NAME", help="read this split of a set alone")
PARSER.add_argument("--data.audio-root", metavar="DIR", help="where relative paths of a list start")
PARSER.add_argument("--data.columns", nargs="+", metavar="FIELD=COLUMN", help="columns of a list, as for serjax.train")
PARSER.add_argument("--data.label-map", metavar="FILE", help="JSON file that maps the corpus's labels to others")
PARSER.add_argument("--data.labels", nargs="+", metavar="LABEL", help="write only clips with these labels")
PARSER.add_argument("--data.speakers", default="auto", metavar="auto|unknown", help="unknown: do without speakers")
PARSER.add_argument("--data.speaker-pattern", metavar="REGEX", help="finds the speaker in the clips' paths")
PARSER.add_argument("--data.label-pattern", metavar="REGEX", help="finds the label in the clips' paths")
PARSER.add_argument(
    "--data.max-clips", type=int, metavar="N", help="write only this many, of every class an even share"
)
PARSER.add_argument("--data.skip-bad", action="store_true", help="leave out clips that cannot be used")
PARSER.add_argument("--data.cache", metavar="DIR", help="folder of decoded clips; by default checkpoints")


def main(argv: Sequence[str]) -> int:
    """Write the set that the command line asks for, and print its folder."""
    options = vars(PARSER.parse_args(argv))
    cli.show_log(stdout=False)

    from serjax.data.config import DataConfig
    from serjax.runs.prepare import prepare

    data = {name.removeprefix("data."): value for name, value in options.items() if name.startswith("data.")}
    data["labels"] = tuple(data["labels"]) if data["labels"] else None
    data["columns"] = tuple(data["columns"] or ())
    config = DataConfig(options["root"], **{name.replace("-", "_"): value for name, value in data.items()})
    print(prepare(config, options["out"], name=options["name"], version=options["version"], form=options["format"]))
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on with the clips that are yet to be decoded.")
