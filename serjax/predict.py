"""Emotions of clips, from a run's folds or a published model: `python -m serjax.predict RUN_OR_CHECKPOINT CLIP...`."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.table import Table
from rich.text import Text

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.bundle import Outputs
from serjax.inference.ensemble import BATCH, Ensemble, Scores, load
from serjax.inference.inputs import Clip
from serjax.models.functional import DType
from serjax.runtime.errors import UserError
from serjax.runtime.progress import console

CHUNK = 32 * BATCH
"""Files that the command line decodes before it answers for them; memory holds no more."""


def main(argv: Sequence[str]) -> int:
    """Print the emotions of the clips that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m serjax.predict",
        description="Emotions of clips, from the ensemble of a run's folds or from a published classifier.",
        epilog="On a terminal a table; piped, or with --json, one JSON list a clip in the order given: "
        '[{"label": ..., "score": ...}, ...], highest first, empty for a clip that cannot be read.',
    )
    parser.add_argument(
        "model",
        help="folder of a finished run, such as checkpoints/quickstart; or a Hugging Face directory or hub id",
    )
    parser.add_argument("clips", nargs="*", help="sound files, or videos for models that look at them")
    parser.add_argument("--audio", help="the sound of one clip, whose video --video may name")
    parser.add_argument("--video", help="the video of one clip, whose sound --audio may name")
    parser.add_argument("--attention", type=Path, help="draw, of one clip, which frames looked at which sound")
    parser.add_argument("--weights", type=float, nargs="+", help="how much each fold counts, after the clips")
    parser.add_argument("--dtype", choices=get_args(DType), help="what to compute in; bfloat16 is faster, errs by 1 %%")
    parser.add_argument("--json", action="store_true", help="JSON lines on a terminal too")
    options = parser.parse_args(argv)
    clips: list[Clip] = list(options.clips)
    apart = {name: path for name, path in (("audio", options.audio), ("video", options.video)) if path is not None}
    if bool(clips) == bool(apart):
        raise UserError("no clip is named, or clips beside --audio and --video; give clips, or one by its parts.")
    names = options.clips or [" + ".join(apart.values())]
    cli.show_log(stdout=False)
    ensemble = load(options.model, options.weights, options.dtype)
    for note in ensemble.notes:
        print(note, file=sys.stderr)
    terminal = sys.stdout.isatty() and not options.json
    answers: list[Scores] = []
    rates: Counter[int] = Counter()
    clips = clips or [apart]
    for start in range(0, len(clips), CHUNK):
        some = _answers(ensemble, clips[start : start + CHUNK], rates)
        answers += some
        if not terminal:
            for answer in some:
                print(json.dumps(answer), flush=True)
    if terminal:
        console.print(_table(names, answers, ensemble.outputs))
    for rate, count in sorted(rates.items()):
        if rate != SAMPLE_RATE:
            which = "1 clip was" if count == 1 else f"{count} clips were"
            print(f"{which} resampled from {rate} Hz to {SAMPLE_RATE} Hz.", file=sys.stderr)
    if options.attention is not None:
        _draw(ensemble, clips, names, answers, options.attention)
    return 0 if all(answers) else 2


def _draw(
    ensemble: Ensemble, clips: Sequence[Clip], names: Sequence[str], answers: Sequence[Scores], path: Path
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
    top = f"{Path(names[0]).name}: {answers[0][0]['label']} {answers[0][0]['score']:.1%}"
    draw_attention(path, shares, step, sample.wave, sample.frames, top)
    print(f"Written: {path}", file=sys.stderr)


def _answers(ensemble: Ensemble, clips: Sequence[Clip], rates: Counter[int]) -> list[Scores]:
    """Return each file's scores, none for one that cannot be read, which is said on stderr; count the files' rates."""
    samples = {}
    for number, clip in enumerate(clips):
        try:
            samples[number] = ensemble.read(clip)
            rates[int(ensemble.rate(clip))] += 1
            for note in samples[number].notes:
                print(note, file=sys.stderr)
        except UserError as error:
            print(error, file=sys.stderr)
    found = dict(zip(samples, ensemble.probabilities(list(samples.values())), strict=True)) if samples else {}
    return [ensemble.ranked(found[n]) if n in found else [] for n in range(len(clips))]


def _shown(score: float, outputs: Outputs) -> str:
    return f"{score:.3f}" if outputs == "identity" else f"{score:.1%}"


def _table(clips: Sequence[str], answers: Sequence[Scores], outputs: Outputs) -> Table:
    table = Table("clip", "emotion", "others")
    for clip, answer in zip(clips, answers, strict=True):
        if answer:
            first, *others = [f"{entry['label']} {_shown(entry['score'], outputs)}" for entry in answer]
            table.add_row(Text(clip), Text(first, "bold"), Text(", ".join(others)))
        else:
            table.add_row(Text(clip), Text("unreadable", "red"), "")
    return table


if __name__ == "__main__":
    cli.run(main)
