"""Compare encoders over corpora: `python -m serjax.study --encoders A B --corpora X Y --protocol speaker`."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError

PARSER = arguments.Parser(
    prog="python -m serjax.study",
    description="Every encoder on every corpus: encoders stay frozen, each clip is encoded once, and heads of all "
    "folds, seeds and learning rates are trained side by side. A page has the scores with their intervals, heat maps "
    "and the encoders' ranks. A study that was stopped goes on with the same command; a cell that fails does not stop "
    "the others.",
)
PARSER.add_argument(
    "--encoders",
    nargs="+",
    default=(),
    metavar="[NAME=]SOURCE",
    help="Hugging Face directories or hub ids, serjax-tiny, finished runs with one encoder for all folds, or "
    "random:FAMILY:SIZE",
)
PARSER.add_argument(
    "--corpora",
    nargs="+",
    default=(),
    metavar="[NAME=]ROOT",
    help="folders of recordings or lists, as --data.root of serjax.train; a folder of EmoBox's data; or synthetic",
)
PARSER.add_argument(
    "--protocol",
    metavar="PROTOCOL",
    help="emobox: EmoBox's head, folds and label maps. speaker: folds of whole speakers. cross: trained on each corpus "
    "and tested on each",
)
for _option, _field, _help in (
    ("--label-map", "label_map", "JSON files that map the labels of a corpus to those in common"),
    ("--speaker-pattern", "speaker_pattern", "regular expressions that find the speaker in the clips' paths"),
    ("--audio-root", "audio_root", "where relative paths of a list start"),
    ("--corpus-kind", "kind", "how a root is read, as --data.corpus of serjax.train"),
    (
        "--folds-of",
        "folds",
        "folder with EmoBox's fold_1 and so on, for emobox with recordings that are read otherwise",
    ),
):
    PARSER.add_argument(_option, dest=f"of.{_field}", nargs="+", default=(), metavar="CORPUS=VALUE", help=_help)
PARSER.add_argument("--labels", nargs="+", metavar="LABEL", help="use only clips with these labels")
PARSER.add_argument("--folds", type=int, default=5, metavar="N", help="folds by speaker; default: 5")
PARSER.add_argument("--seeds", type=int, default=1, metavar="N", help="train every fold so many times; default: 1")
PARSER.add_argument(
    "--learning-rates",
    type=float,
    nargs="+",
    default=(),
    metavar="RATE",
    help="validation chooses, fold by fold; default: 1e-4 1e-3 1e-2, for emobox its own 1e-4",
)
PARSER.add_argument("--epochs", type=int, default=20, metavar="N", help="at most; default: 20")
PARSER.add_argument("--batch-size", type=int, default=32, metavar="N", help="clips a step and fold; default: 32")
PARSER.add_argument("--max-seconds", type=float, default=30.0, metavar="S", help="of a clip, at most; default: 30")
PARSER.add_argument("--max-clips", type=int, metavar="N", help="of a corpus, of every class an even share")
PARSER.add_argument(
    "--metric", choices=("ua", "wa", "macro_f1"), default="ua", help="of pictures and ranks; default: ua"
)
PARSER.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="precision; default: float32")
PARSER.add_argument("--skip-bad", action="store_true", help="leave out clips that cannot be used")
PARSER.add_argument("--cache", metavar="DIR", help="folder of decoded clips and features; default: in the study's")
PARSER.add_argument("--seed", type=int, default=0, help="decides folds, first weights, order and intervals; default: 0")
PARSER.add_argument("--name", default="study", help="of the study's folder; default: study")
PARSER.add_argument(
    "--out", default="checkpoints", metavar="DIR", help="folder in which it is made; default: checkpoints"
)
PARSER.add_argument("--overwrite", action="store_true", help="delete the results of another study in that folder")
PARSER.add_argument(
    "--on",
    choices=("here", "slurm", "ray"),
    default="here",
    help="cells one after the other here, or as jobs of SLURM (extra slurm) or Ray (extra ray); default: here",
)
PARSER.add_argument(
    "--job",
    nargs="+",
    default=(),
    metavar="KEY=VALUE",
    help="resources of a job: of submitit, as in timeout_min=60 gpus_per_node=1 slurm_partition=gpu; of a task of Ray, "
    "as in num_cpus=2 num_gpus=1",
)
PARSER.add_argument("--cell", nargs=4, metavar=("DIR", "STAGE", "ENCODER", "CORPUS"), help="of jobs: do one cell")


def main(argv: Sequence[str]) -> int:
    """Do a study, and print its tables; the status is 1 where a cell has failed."""
    options = vars(PARSER.parse_args(argv))
    cell, resources = options.pop("cell"), _resources(options.pop("job"))
    where = {name: options.pop(name) for name in ("on", "overwrite")}
    if cell is not None:
        from serjax.runs.study.cells import Cell
        from serjax.runs.study.run import run_one

        cli.show_log()
        return 0 if run_one(Path(cell[0]), Cell(*cell[1:])) else 1

    from serjax.runs.study import settings

    for name in ("encoders", "corpora", "protocol"):
        if not options[name]:
            raise UserError(f"--{name} is missing; see --help.")
    protocol = settings.parse_protocol(options.pop("protocol"))
    of_corpus = {field: options.pop(f"of.{field}") for field in settings.OF_CORPUS}
    encoders = tuple(map(settings.parse_encoder, options.pop("encoders")))
    corpora = settings.parse_corpora(options.pop("corpora"), of_corpus, protocol)
    options["labels"] = tuple(options["labels"]) if options["labels"] else None
    options["learning_rates"] = tuple(options["learning_rates"])
    cli.show_log()

    from serjax.evaluation.study_tables import study_tables
    from serjax.runs.study.run import run_study
    from serjax.runtime.progress import console

    study = settings.Study(encoders, corpora, protocol, **options)
    report = run_study(
        study,
        f"python -m serjax.study {shlex.join(argv)}",
        engine=where["on"],
        resources=resources,
        overwrite=where["overwrite"],
    )
    console.print(study_tables(report))
    return 1 if any(one["scores"] is None for one in report["cells"]) else 0


def _resources(words: Sequence[str]) -> dict[str, Any]:
    """Return resources by name; values are numbers or JSON where they can be, else text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--job {word}: give KEY=VALUE, as in timeout_min=60.")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


if __name__ == "__main__":
    cli.run(main, "stopped; the same command goes on from the last state that was saved.")
