"""Emotions of clips, from a run's folds or a published model: `python -m serjax.predict RUN_OR_CHECKPOINT CLIP...`."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serjax import cli
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from serjax.checkpoints.bundle import Outputs
    from serjax.inference.ensemble import Ensemble, Scores
    from serjax.inference.inputs import Clip

PARSER = cli.Parser(
    prog="python -m serjax.predict",
    description="Emotions of clips, from the ensemble of a run's folds or from a published classifier.",
    epilog="On a terminal a table; piped, or with --json, one JSON list a clip in the order given: "
    '[{"label": ..., "score": ...}, ...], highest first, empty for a clip that cannot be read.',
)
PARSER.add_argument("model", help=cli.MODEL_HELP)
PARSER.add_argument("clips", nargs="*", help="sound files or their URLs, or videos for models that look at them")
PARSER.add_argument("--audio", help="the sound of one clip, whose video --video may name")
PARSER.add_argument("--video", help="the video of one clip, whose sound --audio may name")
PARSER.add_argument("--attention", type=Path, help="draw, of one clip, which frames looked at which sound")
cli.add_ensemble_options(PARSER)
PARSER.add_argument("--json", action="store_true", help="JSON lines on a terminal too")


def main(argv: Sequence[str]) -> int:
    """Print the emotions of the clips that the command line names."""
    options = PARSER.parse_args(argv)
    clips: list[Clip] = list(options.clips)
    apart = {name: path for name, path in (("audio", options.audio), ("video", options.video)) if path is not None}
    if bool(clips) == bool(apart):
        raise UserError("no clip is named, or clips beside --audio and --video; give clips, or one by its parts.")
    names = options.clips or [" + ".join(apart.values())]

    from serjax.audio import SAMPLE_RATE
    from serjax.inference.ensemble import load
    from serjax.inference.files import answer
    from serjax.runtime.progress import console

    cli.show_log(stdout=False)
    ensemble = load(options.model, options.weights, options.dtype, options.highpass)
    for note in ensemble.notes:
        print(note, file=sys.stderr)
    terminal = sys.stdout.isatty() and not options.json
    clips = clips or [apart]
    scores: list[Scores] = []
    rates: Counter[int] = Counter()
    for found in answer(ensemble, clips):
        for note in found.notes:
            print(note, file=sys.stderr)
        if found.rate not in (None, SAMPLE_RATE):
            rates[found.rate] += 1
        scores.append(found.scores)
        if not terminal:
            print(json.dumps(found.scores), flush=True)
    if terminal:
        console.print(_table(names, scores, ensemble.outputs))
    for rate, count in sorted(rates.items()):
        which = "1 clip was" if count == 1 else f"{count} clips were"
        print(f"{which} resampled from {rate} Hz to {SAMPLE_RATE} Hz.", file=sys.stderr)
    if options.attention is not None:
        _draw(ensemble, clips, names, scores, options.attention)
    return 0 if all(scores) else 2


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
    print(f"Written: {path}", file=sys.stderr)


def _table(clips: Sequence[str], answers: "Sequence[Scores]", outputs: "Outputs") -> "Table":
    from rich.table import Table
    from rich.text import Text

    shown = "{:.3f}" if outputs == "identity" else "{:.1%}"
    table = Table("clip", "emotion", "others")
    for clip, answer in zip(clips, answers, strict=True):
        if answer:
            first, *others = [f"{entry['label']} {shown.format(entry['score'])}" for entry in answer]
            table.add_row(Text(clip), Text(first, "bold"), Text(", ".join(others)))
        else:
            table.add_row(Text(clip), Text("unreadable", "red"), "")
    return table


if __name__ == "__main__":
    cli.run(main)
