"""Emotions of clips, from a run's folds or a published model: `python -m serjax.predict RUN_OR_CHECKPOINT CLIP...`."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError, one_of, printable, readable

if TYPE_CHECKING:
    from rich.table import Table

    from serjax.checkpoints.bundle import Outputs
    from serjax.inference.channels import Channels
    from serjax.inference.ensemble import Ensemble, Scores
    from serjax.inference.files import Answer
    from serjax.inference.inputs import Clip
    from serjax.inference.timeline_output import Asked

PARSER = arguments.Parser(
    prog="python -m serjax.predict",
    description="Emotions of clips, from the ensemble of a run's folds or from a published classifier.",
    epilog='On a terminal a table; piped, or with --format json, one JSON object a clip in the order given: {"clip": '
    'NAME, "scores": [{"label": ..., "score": ...}, ...], "heard_s": S, "uncertainty": U}, scores with the highest '
    "first and empty for a clip that cannot be read, heard_s the seconds that the model heard, uncertainty how much "
    "the folds disagree: mutual information in bits. --format csv: clip, label, heard_s, uncertainty, a score a class. "
    "With --timeline a line a window, or an entry a segment with --format rttm, textgrid, audacity or audformat; on a "
    "terminal a table of segments (docs/how-to/timelines.md).",
)
PARSER.add_argument("model", help=arguments.MODEL_HELP)
PARSER.add_argument(
    "clips",
    nargs="*",
    help="sound files or their URLs, or videos for models that look at them; folders, for all recordings below them; "
    "lists of paths (.txt, .tsv, .csv, or any file as @FILE)",
)
PARSER.add_argument("--audio", help="the sound of one clip, whose video --video may name")
PARSER.add_argument("--video", help="the video of one clip, whose sound --audio may name")
PARSER.add_argument("--attention", type=Path, help="draw, of one clip, which frames looked at which sound")
arguments.add_ensemble_options(PARSER)
PARSER.add_argument(
    "--coverage",
    type=float,
    metavar="SHARE",
    help="print sets of labels too, which hold the true one for this share of clips, such as 0.9",
)
arguments.add_timeline_options(PARSER)
PARSER.add_argument(
    "--format",
    choices=("json", "jsonl", "csv", "rttm", "textgrid", "audacity", "audformat"),
    help="print JSON lines (json or jsonl), CSV, or segments, on a terminal too",
)
PARSER.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def main(argv: Sequence[str]) -> int:
    """Print the emotions of the clips that the command line names."""
    options = PARSER.parse_args(argv)
    apart = {name: path for name, path in (("audio", options.audio), ("video", options.video)) if path is not None}
    if bool(options.clips) == bool(apart):
        raise UserError("give clips, or one clip by --audio and --video, and not both.")

    from serjax.data.known_clips import read_known
    from serjax.inference.clips import find_clips
    from serjax.inference.files import answer
    from serjax.inference.load import load
    from serjax.runtime.progress import console, recording_bar

    cli.show_log(stdout=False)
    found, notes = find_clips(options.clips)
    asked = _asked(options)
    if asked is not None:
        asked.check(len(found))
    names = [readable(clip.name) for clip in found] or [" + ".join(apart.values())]
    clips: list[Clip] = [clip.path for clip in found] or [apart]
    ensemble = load(options.model, **arguments.ensemble_options(options))
    if options.coverage is not None:
        ensemble.check_coverage(options.coverage)
    known = read_known(Path(options.model).expanduser(), ensemble.folds)
    for note in (*notes, *ensemble.notes):
        cli.say(note)
    if asked is not None:
        from serjax.inference.timeline_output import write_timelines

        recordings = [(name, clip.path) for name, clip in zip(names, found, strict=True)]
        return 0 if write_timelines(ensemble, recordings, asked, sys.stdout, _say, console) else 2
    form = _form(options)
    table = csv.writer(sys.stdout, lineterminator="\n")
    held = [] if options.coverage is None else ["set"]
    if form == "csv":
        table.writerow(["clip", "label", "heard_s", "uncertainty", *held, *ensemble.labels])
    answers: list[Answer] = []
    with recording_bar(form is None or not sys.stdout.isatty()) as tell:
        for name, one in zip(names, answer(ensemble, clips, options.coverage, options.vad, tell), strict=True):
            for note in one.notes:
                cli.say(note)
            if form == "json":
                print(json.dumps(_object(name, one) | ({"set": one.set or []} if held else {})), flush=True)
            elif form == "csv":
                table.writerow(_row(printable(name), one, ensemble.labels, bool(held)))
                sys.stdout.flush()
            answers.append(one)
    scores = [one.scores for one in answers]
    if form is None:
        console.print(_table(list(map(printable, names)), answers, ensemble.outputs, bool(held)))
    for note in _notes(ensemble, names, answers, options.vad):
        cli.say(note)
    heard = [(name, known[one.digest or ""]) for name, one in zip(names, answers, strict=True) if one.digest in known]
    if heard:
        own = one_of([f"{name} is {clip.id}" for name, clip in heard])
        folds = sorted({fold for _, clip in heard for fold in clip.folds})
        cli.say(
            f"{len(heard)} of the clips {'holds' if len(heard) == 1 else 'hold'} samples that this run has trained on "
            f"({own}; folds {', '.join(map(str, folds))}), so that these answers tell nothing of new ones. See "
            "oof.csv in the run folder for the answer of the fold that tested such a clip."
        )
    if options.attention is not None:
        _draw(ensemble, clips, names, scores, options.attention)
    return 0 if all(scores) else 2


def _say(sentence: str) -> None:
    cli.say(sentence)


def _form(options: Any) -> str | None:
    """Return the format of what is printed; None for a table."""
    form = options.format or (None if sys.stdout.isatty() else "json")
    return "json" if form == "jsonl" else form


def _asked(options: Any) -> "Asked | None":
    """Return the timelines that options ask for, None where they ask for an answer a clip.

    Raises:
        UserError: options that a timeline cannot have.
    """
    given = (options.window, options.hop, options.channels, options.picture)
    one_a_clip = options.format in (None, "json", "jsonl", "csv") and all(value is None for value in given)
    if one_a_clip and not options.timeline:
        return None
    from serjax.inference.timeline_output import Asked

    if not options.clips:
        raise UserError("a timeline is of sound alone; give the recording as a clip, not by --audio or --video.")
    if options.attention is not None:
        raise UserError("--attention draws one answer for a clip; leave it out, or the options of timelines.")
    if options.coverage is not None:
        raise UserError("--coverage gives a set for each clip; leave it out, or the options of timelines.")
    if options.long_clips != "windows":
        raise UserError(
            f"--{options.long_clips} is for one answer a clip, but a timeline has one for every window; leave it out."
        )
    channels: Channels = options.channels or "mix"
    return Asked(options.window, options.hop, channels, options.vad, _form(options), options.picture)


def _object(name: str, answer: "Answer") -> dict[str, Any]:
    """Return a clip's answer as one line of JSON has it."""
    return {"clip": name, "scores": answer.scores, "heard_s": _seconds(answer), "uncertainty": _doubt(answer)}


def _row(name: str, answer: "Answer", labels: Sequence[str], sets: bool = False) -> list[Any]:
    """Return a clip's answer as one line of CSV has it; cells are empty where the clip cannot be read."""
    scores = {entry["label"]: entry["score"] for entry in answer.scores}
    label = answer.scores[0]["label"] if answer.scores else None
    held = ["|".join(answer.set or ())] if sets else []
    return [name, label, _seconds(answer), _doubt(answer), *held, *(scores.get(one) for one in labels)]


def _seconds(answer: "Answer") -> float | None:
    return None if answer.heard is None else round(answer.heard, 3)


def _doubt(answer: "Answer") -> float | None:
    return None if answer.uncertainty is None else round(answer.uncertainty, 4)


def _count(clips: int) -> str:
    return "1 clip was" if clips == 1 else f"{clips} clips were"


def _notes(ensemble: "Ensemble", names: Sequence[str], answers: "Sequence[Answer]", vad: str = "none") -> list[str]:
    """Return sentences on all clips together: what was cut, resampled, or has a DC offset."""
    from serjax.audio import SAMPLE_RATE
    from serjax.audio.highpass import LARGE_OFFSET
    from serjax.inference.windows import LONGEST

    notes = []
    several = sum(one.windows > 1 for one in answers)
    if several:
        seconds, instead = ensemble.max_seconds or LONGEST, "--whole hears them at once"
        if ensemble.max_seconds is not None:
            instead = "--head hears the stretch alone that it was trained on"
        weighted = "" if vad == "none" else ", weighted by their speech"
        notes.append(
            f"{_count(several)} longer than the {seconds:g} s that this model hears at once, and answered by the mean "
            f"over windows{weighted}; {instead}."
        )
    cut = sum(one.heard is not None and one.heard < one.length for one in answers)
    if cut:
        part = {"head": "first", "centre": "middle"}[ensemble.crop]
        notes.append(f"{_count(cut)} cut: this model hears the {part} {ensemble.max_seconds:g} s of a clip (heard_s).")
    rates = Counter(one.rate for one in answers if one.rate not in (None, SAMPLE_RATE))
    notes += [f"{_count(rates[rate])} resampled from {rate} Hz to {SAMPLE_RATE} Hz." for rate in sorted(rates)]
    large = [name for name, one in zip(names, answers, strict=True) if one.offset > LARGE_OFFSET]
    if large and ensemble.highpass is None:
        notes.append(
            f"{len(large)} of the clips have a DC offset above {LARGE_OFFSET:.0%} of their RMS ({one_of(large)}), "
            "which the model hears; --highpass 20 removes it."
        )
    return notes


def _draw(
    ensemble: "Ensemble", clips: "Sequence[Clip]", names: Sequence[str], scores: "Sequence[Scores]", path: Path
) -> None:
    """Draw the one clip's attention.

    Raises:
        UserError: there are more clips, or models without cross-attention.
    """
    if len(clips) != 1:
        raise UserError(f"--attention draws one clip, but {len(clips)} are given; give one.")
    from serjax.evaluation.attention_plot import draw_attention

    sample = ensemble.read(clips[0])
    shares, step = ensemble.attention(sample)
    assert sample.frames is not None
    top = f"{Path(names[0]).name}: {scores[0][0]['label']} {scores[0][0]['score']:.1%}"
    draw_attention(path, shares, step, sample.wave, sample.frames, top)
    cli.say(f"Written: {path}")


def _table(clips: Sequence[str], answers: "Sequence[Answer]", outputs: "Outputs", sets: bool) -> "Table":
    from rich.table import Column, Table
    from rich.text import Text

    shown = "{:.3f}" if outputs == "identity" else "{:.1%}"
    several = any(one.uncertainty is not None for one in answers)
    more = ["set"] * sets + [Column("uncertainty", justify="right")] * several
    # Folded, not cut: names of one folder differ at their ends.
    table = Table(Column("clip", overflow="fold"), "emotion", "others", *more, Column("heard s", justify="right"))
    for clip, one in zip(clips, answers, strict=True):
        held = [Text(", ".join(one.set or ()))] * sets
        if one.scores:
            first, *others = [f"{entry['label']} {shown.format(entry['score'])}" for entry in one.scores]
            doubt = [f"{one.uncertainty:.3f}" if one.uncertainty is not None else ""] * several
            heard = "" if one.heard is None else f"{one.heard:.1f}"
            table.add_row(Text(clip), Text(first, "bold"), Text(", ".join(others)), *held, *doubt, heard)
        else:
            table.add_row(Text(clip), Text("unreadable", "red"))
    return table


if __name__ == "__main__":
    cli.run(main)
