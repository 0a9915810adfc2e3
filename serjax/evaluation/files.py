"""Files of an evaluation in a run folder."""

import json
from collections.abc import Sequence
from pathlib import Path

from serjax.evaluation.calibration_plot import reliability_figure, run_panels
from serjax.evaluation.history import Row, chosen_histories
from serjax.evaluation.layer_page import save_weights
from serjax.evaluation.model_card import model_card
from serjax.evaluation.out_of_fold import OutOfFold, write_oof_csv
from serjax.evaluation.plots import confusion_figure, curves_figure, save_png
from serjax.evaluation.report import Report
from serjax.runtime.disk import write_text


def write_all(run_dir: Path, report: Report, seeds: Sequence[OutOfFold], history: Sequence[Row]) -> None:
    """Write oof.csv, the pictures, README.md and, last, report.json: where it is, the run is complete.

    Args:
        run_dir: the run folder, which exists.
        report: what `build_report` returned.
        seeds: answers seed by seed, of which the first are those that the report's folds are of.
        history: rows of metrics.jsonl.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    write_oof_csv(run_dir / "oof.csv", *seeds)
    save_png(run_dir / "confusion.png", confusion_figure(report))
    save_png(run_dir / "curves.png", curves_figure(chosen_histories(history)))
    save_png(run_dir / "reliability.png", reliability_figure(run_panels(report["calibration"])))
    save_weights(run_dir, report)
    write_text(run_dir / "README.md", model_card(report))
    write_text(run_dir / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
