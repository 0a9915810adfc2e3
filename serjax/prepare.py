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
arguments.add_data_options(PARSER, cache="folder of decoded clips; by default checkpoints")


def main(argv: Sequence[str]) -> int:
    """Write the set that the command line asks for, and print its folder."""
    options = PARSER.parse_args(argv)
    cli.show_log(stdout=False)

    from serjax.data.config import DataConfig
    from serjax.runs.prepare import prepare

    config = DataConfig(options.root, **arguments.data_options(options))
    print(prepare(config, options.out, name=options.name, version=options.version, form=options.format))
    return 0


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on with the clips that are yet to be decoded.")
