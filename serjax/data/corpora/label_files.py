"""Corpora with a file of labels: how that file and the recordings of its rows are found."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from serjax.audio.kinds import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from serjax.data.corpora.folders import of_kind, walk
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.text import read_rows

_DEEPEST = 2
"""Folders below the root in which a file of labels is looked for."""


class Recording(NamedTuple):
    """Files of one clip: its sound, and the video that may be its sound too."""

    sound: Path | None = None
    video: Path | None = None


class Row(NamedTuple):
    """One labelled clip, whose files are yet to be found."""

    clip: Utterance
    recording: Recording | None


class Read(NamedTuple):
    """Clips of a corpus in the order of their paths, the order of its classes, and notes."""

    utterances: tuple[Utterance, ...]
    order: tuple[str, ...]
    notes: tuple[str, ...]


def find_label_files(root: Path, names: Iterable[str]) -> list[Path]:
    """Return files of these names in `root` or at most two folders below it, sorted; case does not count."""
    wanted = {name.lower() for name in names}
    depths = ("/".join(["*"] * depth) for depth in range(1, _DEEPEST + 2))
    return sorted(
        path
        for depth in depths
        for path in root.absolute().glob(depth)
        if path.name.lower() in wanted and path.is_file()
    )


def read_table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header.

    Raises:
        UserError: it cannot be read, or has not the columns that are needed.
    """
    # Sentences alone can be anything but ASCII.
    rows = read_rows(path, "the file of labels", "copy it anew", separators=",", lenient=True)
    header = next(rows, (1, []))[1]
    missing = [name for name in needed if name not in header]
    if missing:
        raise UserError(
            f"{path}: it has no column {one_of(missing)}, but {one_of(header or ['none'])}; copy the file anew, as "
            "published."
        )
    return [
        {name: cell.strip() for name, cell in itertools.zip_longest(header, row[: len(header)], fillvalue="") if name}
        for _, row in rows
    ]


def find_recordings(root: Path) -> dict[tuple[str, ...], Recording]:
    """Return all sounds and videos below `root` by their folders and their name without suffix.

    Raises:
        UserError: two sounds, or two videos, differ in their suffix alone.
    """
    root = root.absolute()
    files = sorted(walk(root))
    sounds, videos = (
        {path.relative_to(root).with_suffix("").parts: path for path in of_kind(root, files, suffixes)}
        for suffixes in (AUDIO_SUFFIXES, VIDEO_SUFFIXES)
    )
    return {key: Recording(sounds.get(key), videos.get(key)) for key in (*videos, *sounds)}


def by_name(root: Path, recordings: Mapping[tuple[str, ...], Recording]) -> dict[str, Recording]:
    """Return recordings by their names alone, in lower case; a sound and a video may lie in two folders.

    Raises:
        UserError: two sounds, or two videos, have one name.
    """
    found: dict[str, Recording] = {}
    for key, one in recordings.items():
        other = found.get(key[-1].lower(), Recording())
        for mine, there in zip(one, other, strict=True):
            if mine is not None and there is not None:
                raise UserError(
                    f"--data.root {root}: {there.relative_to(root.absolute())} and "
                    f"{mine.relative_to(root.absolute())} have one name; move one of them away."
                )
        found[key[-1].lower()] = Recording(one.sound or other.sound, one.video or other.video)
    return found


def with_files(
    root: Path, title: str, rows: Sequence[Row], *, videos: bool, skip_missing: bool
) -> tuple[Utterance, ...]:
    """Return the clips with their files, in the order of their paths.

    Args:
        root: the corpus.
        title: its name.
        rows: what is labelled.
        videos: each clip needs a video; else the sound alone, or that of the video.
        skip_missing: leave out rows whose files do not exist; where not one exists it is an error all the same.

    Raises:
        UserError: there is no row, or files do not exist.
    """
    if not rows:
        raise UserError(f"--data.root {root}: no clip of {title} has a label; copy its file of labels anew.")
    clips, missing = [], []
    for clip, found in rows:
        sound, video = found or Recording()
        path = sound or video
        if path is None or (videos and video is None):
            missing.append(clip.id)
            continue
        clips.append(
            Utterance(
                clip.id,
                path,
                clip.label,
                clip.speaker,
                clip.session,
                video=video if videos else None,
                text=clip.text,
                attributes=clip.attributes,
                values=clip.values,
                votes=clip.votes,
            )
        )
    if missing and not (skip_missing and clips):
        what = "video" if videos else "sound file or video"
        raise UserError(
            f"--data.root {root}: {len(missing)} of {len(rows)} labelled clips of {title} have no {what} below it "
            f"({one_of(missing)}); copy them from the corpus, or leave them out with --data.skip-bad."
        )
    return tuple(sorted(clips, key=lambda clip: clip.path))


def skipped_note(rows: Sequence[Row], clips: Sequence[Utterance]) -> list[str]:
    """Return a sentence on labelled clips without files; none where all have theirs."""
    count = len(rows) - len(clips)
    return [f"{count} labelled clips have no file and are left out."] if count else []


def left_out_note(counts: Mapping[str, int], why: str) -> list[str]:
    """Return a sentence on clips that are left out by their label; none where there are none."""
    if not counts:
        return []
    listing = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    return [f"{sum(counts.values())} clips {why} are left out ({listing})."]
