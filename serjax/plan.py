"""Plan an experiment for a machine: `python -m serjax.plan --exp NAME --on v5e-16`.

Prints what its training step would take on each device and how long a run would last, before anything is trained:
memory, operations, bytes over the links, the mesh that does best. No weights are read, and no sound. Where libtpu is
installed (extra `tpu`), steps for a TPU are compiled ahead of time and their true figures are printed; with --on local
they are compiled for the devices at hand and timed; else all is counted.
"""

from collections.abc import Sequence

from serjax import cli
from serjax.config import arguments

PARSER = arguments.Parser(
    prog="python -m serjax.plan",
    add_help=False,
    description="Memory, work and time of an experiment's training step on a machine, without weights or sound. "
    "Other options are those of serjax.train.",
)
PARSER.add_argument(
    "--on",
    required=True,
    metavar="TOPOLOGY",
    help="TPU slice (v5e-16, v5p-8), GPUs (h100x8; h100x8x4 is four nodes of eight), or local: the devices at hand",
)
PARSER.add_argument("--mesh", metavar="FOLDxDATA", help="devices along the folds x devices that share a batch")
PARSER.add_argument("--sweep", action="store_true", help="look at all meshes, and mark the best")
PARSER.add_argument("--count-only", action="store_true", help="compile nothing: count, which takes seconds")
PARSER.add_argument("--clips", type=int, metavar="N", help="clips of the corpus, where --data.root is not given")
PARSER.add_argument("--utilization", type=float, metavar="SHARE", help="share of the peak that is reached; default 0.4")
PARSER.add_argument("--exp", metavar="NAME", help="experiment, as for serjax.train")


def main(argv: Sequence[str]) -> int:
    """Print the plan that the command line asks for."""
    if {"-h", "--help"} & set(argv):
        PARSER.print_help()
        return 0
    options, rest = PARSER.parse_known_args(list(argv))

    from serjax.config.experiment import Experiment

    if options.exp is not None:
        rest = ["--exp", options.exp, *rest]
    experiment = cli.parse("serjax.plan", rest, Experiment, "hubert_kfold", PARSER.option_names)

    from serjax.runs.planning.run import plan
    from serjax.runtime.progress import console

    tables = plan(
        experiment,
        options.on,
        mesh=options.mesh,
        every_mesh=options.sweep,
        compile=not options.count_only,
        clips=options.clips,
        utilization=options.utilization,
    )
    console.print(tables)
    return 0


if __name__ == "__main__":
    cli.run(main)
