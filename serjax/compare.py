"""`python -m serjax.compare RUN --to RUN`: is one run better than another, beyond what speakers differ by?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Column, Table
from rich.text import Text

from serjax import cli
from serjax.evaluation.comparison import Comparison, compare, join
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.out_of_fold import OutOfFold, read_oof_csv
from serjax.evaluation.report import FEW_SPEAKERS, LEVEL
from serjax.evaluation.tables import SCORES
from serjax.runtime.errors import UserError
from serjax.runtime.progress import console


def main(argv: Sequence[str]) -> int:
    """Print both runs' out-of-fold scores on the clips that both have tested, and their difference."""
    parser = argparse.ArgumentParser(
        prog="python -m serjax.compare",
        description="Out-of-fold scores (of the first seed) of two finished runs on the same clips, and a paired "
        "bootstrap of their difference that draws speakers: how far another training would move the scores is not in "
        "it. Several runs on a side are joined: each may have trained some of the folds.",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, or their oof.csv")
    parser.add_argument("--to", nargs="+", type=Path, required=True, help="what they are compared with")
    parser.add_argument("--seed", type=int, default=0, help="decides the draws of the intervals")
    options = parser.parse_args(argv)
    if options.seed < 0:
        raise UserError(f"--seed: got {options.seed}; give a whole number from 0.")
    ours, theirs = _read(options.runs), _read(options.to)
    found = compare(ours, theirs, options.seed)
    console.print(_table(found, ours[0], theirs[0]))
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


def _read(runs: Sequence[Path]) -> tuple[str, OutOfFold]:
    """Return a name for the runs together, and their answers."""
    parts = []
    for run in runs:
        try:
            path, is_folder = run.expanduser(), run.expanduser().is_dir()
        except (OSError, RuntimeError) as error:
            raise UserError(f"{run}: cannot be read ({error}); give the folder of a finished run.") from None
        if is_folder and not (path / "oof.csv").is_file():
            raise UserError(f"{run}: there is no oof.csv in this folder; give the folder of a finished run.")
        parts.append((str(run), read_oof_csv(path / "oof.csv" if is_folder else path)))
        if not parts[-1][1].ids:
            raise UserError(f"{run}: its oof.csv has no clip; give a run that tested some.")
    return " + ".join(name for name, _ in parts), join(parts)


def _table(found: Comparison, ours: str, theirs: str) -> Table:
    table = Table(Column("scores in %", overflow="fold"), box=box.SIMPLE_HEAD, pad_edge=False)
    for name in SCORES.values():
        table.add_column(name, justify="right", no_wrap=True)
    for name, scored in ((ours, found.ours), (theirs, found.theirs), ("difference", found.difference)):
        values = [[100 * value for value in scored[metric]] for metric in METRICS]
        table.add_row(Text(name), *(f"{score:.1f}" for score, _, _ in values), style="bold")
        table.add_row(f"{100 * LEVEL:g} % interval", *(f"{low:.1f} to {high:.1f}" for _, low, high in values))
    return table


if __name__ == "__main__":
    cli.run(main)
