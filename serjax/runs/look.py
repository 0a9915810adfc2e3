"""A look at a corpus before any training: clips are found and measured, and told as tables and a page."""

import json
import logging
from pathlib import Path

from serjax.data.config import DataConfig
from serjax.data.look.measured import measure_clips
from serjax.data.look.reading import read_for_a_look
from serjax.data.look.report import Report, build_report
from serjax.evaluation.corpus_page import corpus_page
from serjax.evaluation.corpus_plots import figures
from serjax.runtime.constraints import validate
from serjax.runtime.disk import disk_errors, write_text
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json

log = logging.getLogger(__name__)

PAGE, NUMBERS = "look.html", "look.json"
"""Files that a look writes."""


def look(data: DataConfig, *, out: str | Path | None = None, decode: bool = True, seed: int = 0) -> Report:
    """Look at a corpus, write the page and its numbers, and return these.

    Nothing is kept of the sound. Ctrl-C ends the measurements, and what was measured is told.

    Args:
        data: where and what to read; of its other settings none counts.
        out: folder of the page, in which an earlier one of the same root is replaced; None: no page is written.
        decode: open the files; else names alone are looked at.
        seed: decides the order of measurements, and the clips that `data.max_clips` chooses.

    Returns:
        See `serjax.data.look.report.build_report`.

    Raises:
        UserError: settings that cannot be, nothing to look at, or a folder that cannot be written to or holds a look at
            something else.
    """
    validate(data)
    folder = None if out is None else Path(out)
    if folder is not None:
        _check_free(folder, data.root)
    reading = read_for_a_look(data, seed=seed)
    if folder is not None:
        with disk_errors(folder, "--out"):  # what cannot be written is told before all is read
            folder.mkdir(parents=True, exist_ok=True)
    measured = measure_clips(reading.utterances, seed=seed) if decode else None
    report = build_report(reading, measured, data.root)
    if folder is not None:
        write_text(folder / PAGE, corpus_page(report, figures(report)))
        write_text(folder / NUMBERS, json.dumps(report, indent=1, allow_nan=False) + "\n")
        log.info(f"Written to {folder}: {PAGE}, {NUMBERS}.")
    return report


def _check_free(folder: Path, root: str) -> None:
    """Refuse a folder that holds a look at something else."""
    try:
        earlier = read_json(folder / NUMBERS)["root"]
    except (UserError, KeyError):
        earlier = None
        if (folder / NUMBERS).exists() or (folder / PAGE).exists():
            raise UserError(
                f"{folder}: it holds {PAGE} or {NUMBERS} of something else; choose another --out."
            ) from None
    if earlier is not None and earlier != root:
        raise UserError(f"{folder}: it holds a look at {earlier}; choose another --out, or delete that.")
