"""Timelines of recordings written as they are computed: lines of windows, segments, a table, a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from serjax.audio.stream import open_stream
from serjax.audio.vad import Activity
from serjax.inference import timeline_formats as formats
from serjax.inference.channels import Channels
from serjax.inference.ensemble import Ensemble
from serjax.inference.segments import Smoothed
from serjax.inference.timeline import check_window
from serjax.inference.timeline_report import Recording, follow
from serjax.runtime.errors import MissingPackage, UserError
from serjax.runtime.progress import recording_bar

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Asked:
    """Timelines that are asked for.

    Attributes:
        window: length in s; None for the model's own.
        hop: in s; None for 1 s.
        channels: mix, or separate.
        vad: how speech is found.
        form: of what is printed, see `serjax.inference.timeline_formats`; None: a table of segments.
        picture: path of a picture; None for none.
    """

    window: float | None = None
    hop: float | None = None
    channels: Channels = "mix"
    vad: Activity = "none"
    form: str | None = None
    picture: Path | None = None

    def check(self, recordings: int) -> None:
        """Refuse what one recording alone can have, and a picture that cannot be written.

        Raises:
            UserError: says what.
        """
        if recordings != 1 and self.form in formats.ONE_RECORDING:
            raise UserError(
                f"--format {self.form} holds one recording, but {recordings} are given; give one, or --format rttm, "
                "whose lines have the file's name."
            )
        if self.picture is not None:
            if recordings != 1:
                raise UserError(f"--picture draws one recording, but {recordings} are given; give one.")
            from serjax.evaluation.timeline_plot import check_picture

            check_picture(self.picture)

    def check_model(self, ensemble: Ensemble) -> None:
        """Refuse what a model does not give.

        Raises:
            UserError: it takes video, other windows, or has no classes for segments.
        """
        check_window(ensemble, self.window, self.hop)
        if self.form in formats.SEGMENT_FORMATS and ensemble.outputs == "identity":
            raise UserError(
                f"--format {self.form} has segments of classes, but this model gives values "
                f"({', '.join(ensemble.labels)}); give --format csv or json."
            )


def write_timelines(
    ensemble: Ensemble,
    recordings: Sequence[tuple[str, str]],
    asked: Asked,
    out: TextIO,
    say: Callable[[str], None],
    console: "Console",
) -> bool:
    """Write the timelines of recordings; return True where all of them could be read.

    Args:
        ensemble: the model.
        recordings: name and path or URL of each.
        asked: for what.
        out: gets the lines.
        say: called with sentences on the recordings.
        console: gets the tables.

    Raises:
        UserError: see `Asked.check_model`; or a package is missing.
    """
    asked.check_model(ensemble)
    separate = asked.channels == "separate"
    if asked.form == "csv":
        out.write(formats.csv_line(formats.window_columns(ensemble.labels)))
    if asked.form == "audformat":
        out.write(formats.AUDFORMAT_HEADER + (",channel\n" if separate else "\n"))
    out.flush()
    whole = True
    for name, path in recordings:
        try:
            _write(ensemble, name, path, asked, out, say, console)
        except MissingPackage:
            raise
        except UserError as error:
            say(str(error))
            whole = False
    return whole


def _write(
    ensemble: Ensemble,
    name: str,
    path: str,
    asked: Asked,
    out: TextIO,
    say: Callable[[str], None],
    console: "Console",
) -> None:
    """Write the timeline of one recording, as far as it can be read."""
    labels, outputs = ensemble.labels, ensemble.outputs
    # A table of windows is for models of values, which have no segments.
    windows: list[Smoothed] = []
    recording = Recording()

    def take(one: Smoothed) -> None:
        if asked.form in formats.WINDOW_FORMATS:
            out.write(formats.window_line(asked.form or "", name, one, labels, outputs))
            out.flush()
        elif asked.form is None and outputs == "identity":
            windows.append(one)

    notes: list[str] = []
    try:
        # Where lines of windows run over the terminal, a bar below them would be torn.
        with recording_bar(asked.form is None or not out.isatty()) as tell, open_stream(path) as stream:
            notes = stream.notes
            follow(
                ensemble,
                stream,
                recording,
                take,
                lambda done: tell(name, done, stream.seconds),
                window=asked.window,
                hop=asked.hop,
                channels=asked.channels,
                vad=asked.vad,
                curves=asked.picture is not None,
            )
    except KeyboardInterrupt:
        say(f"{name}: answered up to {recording.seconds:.1f} s.")
        raise
    finally:
        for note in notes:
            say(note)
        if recording.seconds:
            _finish(ensemble, name, recording, windows, asked, out, console)
            if asked.picture is not None:
                _draw(ensemble, name, recording, asked.picture)
                say(f"Written: {asked.picture}")


def _finish(
    ensemble: Ensemble,
    name: str,
    recording: Recording,
    windows: Sequence[Smoothed],
    asked: Asked,
    out: TextIO,
    console: "Console",
) -> None:
    """Write what comes at the end of a recording: its segments, or a table."""
    found = recording.segments
    match asked.form:
        case "rttm":
            out.write(formats.rttm(name, found))
        case "textgrid":
            out.write(formats.textgrid(found, recording.seconds))
        case "audacity":
            out.write(formats.audacity(found))
        case "audformat":
            out.write(formats.audformat(name, found, separate=asked.channels == "separate"))
        case None:
            _print_table(ensemble, name, recording, windows, console)
    out.flush()


def _print_table(
    ensemble: Ensemble, name: str, recording: Recording, windows: Sequence[Smoothed], console: "Console"
) -> None:
    from rich.table import Table
    from rich.text import Text

    channels = any(one.channel for one in recording.segments) or any(one.row.channel for one in windows)
    beside = ["channel"] if channels else []
    if ensemble.outputs == "identity":
        table = Table("start, s", "end, s", *beside, *ensemble.labels, title=Text(name))
        for one in windows:
            own = [one.row.channel or ""] if channels else []
            table.add_row(*_span(one.row.start, one.row.end), *own, *(f"{value:.3f}" for value in one.row.score))
    else:
        table = Table("start, s", "end, s", *beside, "emotion", "score", title=Text(name))
        for segment in recording.segments:
            own = [segment.channel or ""] if channels else []
            span = _span(segment.start, segment.end)
            table.add_row(*span, *own, Text(segment.label, "bold"), f"{segment.score:.1%}")
    console.print(table)


def _span(start: float, end: float) -> tuple[str, str]:
    return f"{start:.1f}", f"{end:.1f}"


def _draw(ensemble: Ensemble, name: str, recording: Recording, path: Path) -> None:
    from serjax.evaluation.timeline_plot import draw_timeline

    title = Path(name).name
    draw_timeline(path, recording.panels, ensemble.labels, ensemble.outputs, recording.seconds, title)
