"""Differences of finished runs on the same clips, with intervals: `python -m serjax.compare RUN --to RUN`."""

from collections.abc import Sequence
from pathlib import Path

from serjax import cli
from serjax.runtime.errors import UserError

PARSER = cli.Parser(
    prog="python -m serjax.compare",
    description="Out-of-fold scores (of the first seed) of two finished runs on the same clips, and a paired "
    "bootstrap of their difference that draws speakers: how far another training would move the scores is not in "
    "it. Several runs on a side are joined: each may have trained some of the folds.",
)
PARSER.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, or their oof.csv")
PARSER.add_argument("--to", nargs="+", type=Path, required=True, help="what they are compared with")
PARSER.add_argument("--seed", type=int, default=0, help="decides the draws of the intervals")


def main(argv: Sequence[str]) -> int:
    """Print both runs' out-of-fold scores on the clips that both have tested, and their difference."""
    options = PARSER.parse_args(argv)
    if options.seed < 0:
        raise UserError(f"--seed: got {options.seed}; give a whole number from 0.")

    from serjax.evaluation.comparison import compare, match_by_content, read_hashes, read_runs
    from serjax.evaluation.report import FEW_SPEAKERS
    from serjax.evaluation.tables import comparison_table
    from serjax.runtime.progress import console

    ours, theirs = read_runs(options.runs), read_runs(options.to)
    answers, renamed = match_by_content(ours[1], theirs[1], read_hashes(options.runs), read_hashes(options.to))
    theirs = theirs[0], answers
    found = compare(ours, theirs, options.seed)
    console.print(comparison_table(found, ours[0], theirs[0]))
    if renamed:
        print(f"{renamed} clips are called otherwise in {theirs[0]}, and known by their samples.")
    for side in (ours, theirs):
        if left := len(side[1].ids) - found.clips:
            print(f"{left} clips that {side[0]} has tested are left out, as the other has not.")
    if found.speakers is None:
        print(
            "Intervals draw single clips, as speakers are not all known, or one; they are too narrow for new speakers."
        )
    else:
        (higher, equal, lower), count = found.speakers, sum(found.speakers)
        print(f"Of {count} speakers {higher} have a higher UA, {equal} the same, {lower} a lower one.")
        if count < FEW_SPEAKERS:
            print(f"With {count} speakers the intervals are rough, and rather too narrow.")
    return 0


if __name__ == "__main__":
    cli.run(main)
