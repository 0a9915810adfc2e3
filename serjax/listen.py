"""Emotions while someone speaks, from the microphone: `python -m serjax.listen MODEL`."""

import json
import logging
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from serjax import cli
from serjax.config import arguments
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from rich.console import Group

    from serjax.audio.capture import Sound
    from serjax.inference.ensemble import Ensemble
    from serjax.inference.live import LiveAnswer, LiveStream

log = logging.getLogger("serjax.listen")

SILENT = -70.0
"""dB below full scale under which sound is told to be silence: a microphone that is muted, or not the right one."""
_WIDTH = 40
"""Characters of a bar."""

PARSER = arguments.Parser(
    prog="python -m serjax.listen",
    description="Emotions while someone speaks, from the microphone, until Ctrl-C.",
    epilog="On a terminal bars that move; piped, or with --json, one JSON object an answer: "
    '{"start": S, "end": S, "scores": [{"label": ..., "score": ...}, ...], "uncertainty": U, "delay_s": S, '
    '"skipped": N, "level_db": L}, delay_s from the window\'s last sample to the answer, skipped the windows that were '
    "left out because the model was not done with the one before. Until the first window is full, answers are for what "
    "there is.",
)
PARSER.add_argument("model", nargs="?", help=arguments.MODEL_HELP)
PARSER.add_argument("--file", help="play this recording at its own speed in place of the microphone")
PARSER.add_argument("--device", help="number of a microphone, or a part of its name; default: the system's")
PARSER.add_argument("--list-devices", action="store_true", help="list the microphones, and end")
PARSER.add_argument(
    "--window", type=float, metavar="S", help="seconds that are heard at once; default: the model's, or 3"
)
PARSER.add_argument("--hop", type=float, metavar="S", help="seconds from one answer to the next; default: 1")
PARSER.add_argument("--weights", type=float, nargs="+", help="how much each fold counts")
PARSER.add_argument("--dtype", choices=("float32", "bfloat16"), help="precision; bfloat16 is faster, errs by 1 %%")
PARSER.add_argument("--highpass", type=float, metavar="HZ", help="high-pass filter; default: the run's own")
PARSER.add_argument("--json", action="store_true", help="print JSON lines, on a terminal too")


def main(argv: Sequence[str]) -> int:
    """Print a model's answers for what is heard."""
    options = PARSER.parse_args(argv)
    if options.list_devices:
        return _list_devices()
    if options.model is None:
        raise UserError("no model is named; give the folder of a run, or a Hugging Face directory or hub id.")
    if options.file is not None and options.device is not None:
        raise UserError("--file plays a recording in place of a microphone; leave --device out.")

    from serjax.audio.capture import microphone, playback
    from serjax.inference.load import load

    bars = sys.stdout.isatty() and not options.json
    cli.show_log(stdout=bars)
    ensemble = load(options.model, options.weights, options.dtype, options.highpass)
    for note in ensemble.notes:
        log.warning(note)
    with playback(options.file) if options.file is not None else microphone(options.device) as sound:
        stream = ensemble.stream(sound.rate, options.window, options.hop)
        # It is open before the model is compiled, which takes a while: what is wrong with it is told at once.
        stream.warm_up()
        log.info(f"{sound.name}: windows of {stream.window:g} s every {stream.hop:g} s; Ctrl-C ends it.")
        return _listen(ensemble, stream, sound, bars=bars)


def _listen(ensemble: "Ensemble", stream: "LiveStream", sound: "Sound", *, bars: bool) -> int:
    """Show answers until the sound ends, or Ctrl-C."""
    from rich.live import Live

    from serjax.inference.live import follow
    from serjax.runtime.progress import console

    answers: list[LiveAnswer] = []
    try:
        with Live(console=console, auto_refresh=False) if bars else nullcontext() as live:
            for one in follow(stream, sound.pieces):
                answers.append(one)
                if live is None:
                    print(json.dumps(_object(ensemble, one)), flush=True)
                else:
                    live.update(_picture(ensemble, one, answers), refresh=True)
    except KeyboardInterrupt as stop:
        if type(stop) is not KeyboardInterrupt:  # a signal that ends the program
            raise
    for note in _notes(answers, stream):
        log.warning(note)
    return 0


def _object(ensemble: "Ensemble", one: "LiveAnswer") -> dict[str, Any]:
    """Return an answer as one line of JSON has it."""
    row = one.answer
    return {
        "start": round(row.start, 3),
        "end": round(row.end, 3),
        "scores": ensemble.ranked(row.score),
        "uncertainty": None if row.uncertainty is None else round(row.uncertainty, 4),
        "delay_s": round(one.delay, 3),
        "skipped": one.skipped,
        "level_db": None if math.isinf(one.level) else round(one.level, 1),
    }


def _picture(ensemble: "Ensemble", one: "LiveAnswer", answers: "Sequence[LiveAnswer]") -> "Group":
    """Return the scores as bars, in the order of the labels, and a line on the state of things."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    best = int(one.answer.score.argmax())
    table = Table.grid(padding=(0, 2))
    for index, (label, score) in enumerate(zip(ensemble.labels, one.answer.score.tolist(), strict=True)):
        style = "bold" if index == best and ensemble.outputs != "identity" else ""
        bar = Text("█" * round(_WIDTH * min(1.0, max(0.0, score))), "green" if style else "blue")
        shown = f"{score:.3f}" if ensemble.outputs == "identity" else f"{score:.1%}"
        table.add_row(Text(label, style), Text(shown, style), bar)
    state = f"{one.answer.start:.1f} to {one.answer.end:.1f} s, answered {one.delay:.2f} s later"
    if one.answer.uncertainty is not None:
        state += f", uncertainty {one.answer.uncertainty:.2f} bit"
    state += f", level {one.level:.0f} dB" + (" (silence)" if one.level < SILENT else "")
    skipped = sum(each.skipped for each in answers)
    behind = f"{skipped} windows skipped: the model takes longer than a hop" if skipped else ""
    return Group(table, Text(state, "dim"), Text(behind, "yellow"))


def _notes(answers: "Sequence[LiveAnswer]", stream: "LiveStream") -> list[str]:
    """Return sentences on what was left out, and on sound that was none."""
    if not answers:
        return ["Nothing was answered: the sound ended before the first hop."]
    notes = []
    skipped, lost = sum(one.skipped for one in answers), sum(one.lost for one in answers)
    if skipped:
        notes.append(
            f"{skipped} of {skipped + len(answers)} windows were skipped: an answer took longer than the hop of "
            f"{stream.hop:g} s; give a longer --hop, or --dtype bfloat16."
        )
    if lost:
        notes.append(f"The microphone dropped samples {lost} times; times after that are early by as much.")
    if all(one.level < SILENT for one in answers):
        notes.append("All of it was silence: the microphone may be muted, or another one; see --list-devices.")
    return notes


def _list_devices() -> int:
    from rich.table import Table
    from rich.text import Text

    from serjax.audio.capture import devices
    from serjax.runtime.progress import console

    found = devices()
    if not found:
        raise UserError("this machine has no microphone that PortAudio knows; connect one, or give --file.")
    table = Table("--device", "name", "channels", "rate", "")
    for one in found:
        table.add_row(
            f"{one.number}", Text(one.name), f"{one.channels}", f"{one.rate:g} Hz", "default" if one.default else ""
        )
    console.print(table)
    return 0


if __name__ == "__main__":
    cli.run(main)
