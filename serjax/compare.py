"""Differences of finished runs on the same clips, with intervals: `python -m serjax.compare RUN --to RUN`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from serjax.evaluation.comparison import Pair
    from serjax.evaluation.out_of_fold import OutOfFold
    from serjax.evaluation.task_answers import TaskAnswers

PARSER = arguments.Parser(
    prog="python -m serjax.compare",
    description="Out-of-fold scores of finished runs on the same clips, two by two, and a paired bootstrap of their "
    "difference that draws speakers: how far another training would move the scores is not in it. Of a run with "
    "several seeds the mean of their probabilities is scored, as its models answer together. Each run is compared with "
    "--to, or without it with every other. Runs that share no clip are joined to one: each may have trained some of "
    "the folds.",
)
PARSER.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, or their oof.csv")
PARSER.add_argument("--to", nargs="+", type=Path, help="the run that they are compared with, or its parts")
PARSER.add_argument("--seed", type=int, default=0, help="decides the draws of the intervals")
PARSER.add_argument("--out", type=Path, metavar="DIR", help="write comparison.json, .csv, .tex and .png to this folder")
PARSER.add_argument("--overwrite", action="store_true", help="replace an earlier comparison in that folder")


def main(argv: Sequence[str]) -> int:
    """Print the runs' out-of-fold scores on the clips that both of a pair have tested, and their differences."""
    options = PARSER.parse_args(argv)
    if options.seed < 0:
        raise UserError(f"--seed: got {options.seed}; give a whole number from 0.")
    if options.to is None and len(options.runs) < 2:
        raise UserError("there is one run and no --to; name two runs or more, or what it is compared with by --to.")

    from serjax.evaluation.comparison import compare_pairs, read_each, read_runs

    named = [*options.runs, *(options.to or ())]
    tasks = [_tasks(path) for path in named]
    if any(tasks):
        return _compare_tasks(named, tasks, options)
    runs = read_each(options.runs)
    base = None if options.to is None else read_runs(options.to)
    if base is None and len(runs) == 1:
        raise UserError(f"{runs[0][0]} have tested no clip in common; give runs on the same --data.root, or --to.")
    parts = [options.runs] if len(runs) == 1 else [[run] for run in options.runs]
    hashes = {name: _hashes(own) for (name, _), own in zip(runs, parts, strict=True)}
    if base is not None:
        hashes[base[0]] = _hashes(options.to)
    pairs = compare_pairs(runs, base, options.seed, hashes)
    answers = dict(runs if base is None else [*runs, base])
    for pair in pairs:
        _print(pair, answers)
    if len(pairs) > 1:
        print(f"{len(pairs)} pairs: each interval is for its own difference, and among many some exclude 0 by chance.")
    if options.out is not None:
        from serjax.evaluation.comparison_files import FILES, write_comparisons

        write_comparisons(options.out, pairs, seed=options.seed, overwrite=options.overwrite)
        print(f"Written to {options.out}: {', '.join(FILES)}.")
    return 0


def _tasks(run: Path) -> "Mapping[str, TaskAnswers] | None":
    """Return the answers of a run with targets other than one class; None for others, and for what is no run."""
    from serjax.evaluation.task_comparison import read_tasks

    try:
        folder = run.expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError):
        return None  # said where the runs are read
    return read_tasks(folder) if is_folder else None


def _compare_tasks(named: Sequence[Path], tasks: "Sequence[Mapping[str, TaskAnswers] | None]", options: Any) -> int:
    """Print the scores of two runs with targets other than one class, and their differences."""
    from serjax.evaluation.task_comparison import compare_tasks
    from serjax.evaluation.task_tables import comparison_table
    from serjax.runtime.progress import console

    if len(named) != 2 or None in tasks or options.out is not None:
        raise UserError(
            "runs with targets other than one class are compared two by two, both such runs, without --out."
        )
    ours, theirs = tasks
    assert ours is not None
    assert theirs is not None
    for name, clips, *scored, difference in compare_tasks(ours, theirs, options.seed):
        first, second = (dict(section) for section in scored)
        console.print(comparison_table(name, clips, [named[0].name, named[1].name], first, second, difference))
    return 0


def _hashes(runs: Sequence[Path]) -> dict[str, str]:
    """Return the hash of each clip's samples by its id, from the folds.json of runs that have them."""
    from serjax.data.folds.fold import read_hashes

    folders = [path if path.is_dir() else path.parent for path in (run.expanduser() for run in runs)]
    return {clip: digest for folder in folders for clip, digest in read_hashes(folder / "folds.json").items()}


def _print(pair: "Pair", answers: "dict[str, OutOfFold]") -> None:
    """Print a pair's scores and difference, and what is to be said of them."""
    from serjax.evaluation.report import FEW_SPEAKERS
    from serjax.evaluation.tables import comparison_table
    from serjax.runtime.progress import console

    found = pair.found
    console.print(comparison_table(found, pair.ours, pair.theirs))
    if pair.renamed:
        print(f"{pair.renamed} clips have other names in {pair.theirs}, and are matched by their samples.")
    for name in (pair.ours, pair.theirs):
        if left := len(answers[name].ids) - found.clips:
            print(f"{left} clips that {name} has tested are left out, as the other has not.")
    if found.speakers is None:
        print(
            "Intervals draw single clips, since not all speakers are known or there is but one; they are too narrow "
            "for new speakers."
        )
    else:
        (higher, equal, lower), count = found.speakers, sum(found.speakers)
        print(f"Of {count} speakers {higher} have a higher UA, {equal} the same, {lower} a lower one.")
        if count < FEW_SPEAKERS:
            print(f"With {count} speakers the intervals are rough, and rather too narrow.")


if __name__ == "__main__":
    cli.run(main)
