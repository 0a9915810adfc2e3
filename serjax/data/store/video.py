"""Frames of videos decoded once: uint8 [clips, frames, 112, 112, 3], see `serjax.data.store.decoded`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64, UInt8

from serjax.data.corpora.pairs import length_note
from serjax.data.corpora.synthetic import corpus as synthetic
from serjax.data.store.decoded import Decoded, DecodedClips, decode_once, unusable, usable
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.video.config import FRAMES, SIZE, Box, Picture

_VERSION = 2
"""Part of every key: raised where sampling or cropping change, so that stores of before are not found and made anew."""

_COLUMNS: dict[str, Any] = {"shows": "uncut", "boxes": None, "damage": None, "length": None}
"""Columns of the index with their defaults. A clip shows a face, the whole picture where no face was found, the uncut
picture where none was looked for, or a drawn face; `damage` and `length` are notes on its video."""


class FrameStore(DecodedClips):
    """The frames of a folder that `open_frames` or `open_drawn` wrote.

    Attributes:
        frames: of each clip, RGB, in the order of `utterances`: a read-only view of the file.
        boxes: the part of its video that each clip shows; None for all of it.
        summary: sentences for log and report: in how many clips a face was found, or that faces are drawn.
        notes: the same, and what is wrong with single videos.
    """

    array = "frames"
    what = "frames"

    frames: UInt8[np.ndarray, "clips n h w 3"]
    boxes: tuple[Box | None, ...]
    summary: tuple[str, ...]
    notes: tuple[str, ...]

    def __init__(self, folder: Path, utterances: Sequence[Utterance]) -> None:
        super().__init__(folder, utterances)
        self.frames = self._ragged.rows
        self.boxes = tuple(None if box is None else (box[0], box[1], box[2], box[3]) for box in self._column("boxes"))
        self.summary = tuple(self._counts())
        self.notes = (*self.summary, *self._remarks())

    @staticmethod
    def source(clip: Utterance) -> Path:
        """Return the file that is decoded."""
        return clip.video or clip.path

    def of(self, utterances: Sequence[Utterance]) -> "ClipFrames":
        """Return the frames of some of the utterances, such as those whose sound can be decoded too."""
        places = {clip.id: i for i, clip in enumerate(self.utterances)}
        rows = [places[clip.id] for clip in utterances]
        return ClipFrames(self.frames, np.array(rows, np.int64), tuple(self.hashes[row] for row in rows))

    def _counts(self) -> list[str]:
        """Say how many faces were found or drawn, and how many videos are not whole."""
        shows = self._column("shows")
        whole = [clip.id for clip, shown in zip(self.utterances, shows, strict=True) if shown == "whole"]
        looked = len(whole) + shows.count("face")
        counts = []
        if looked:
            rest = f"; {len(whole)} show the whole picture: {one_of(whole)}." if whole else "."
            counts.append(f"A face was found in {looked - len(whole)} of {looked} videos{rest}")
        if "drawn" in shows:
            counts.append(
                f"Faces are drawn, not filmed: each of {len(shows)} clips shows a made-up face with its label."
            )
        broken = sum(damage is not None for damage in self._column("damage"))
        if broken:
            counts.append(f"{broken} videos break off or are damaged in part; the frames that decode are used.")
        return counts

    def _remarks(self) -> list[str]:
        """Return what is to be said of single videos."""
        both = zip(self.utterances, self._column("damage"), self._column("length"), strict=True)
        return [f"{self.source(clip)}: {remark}" for clip, *remarks in both for remark in remarks if remark]


class ClipFrames(NamedTuple):
    """Frames of some clips of a `FrameStore`, in an order of their own.

    Attributes:
        frames: RGB, of the whole store.
        places: of each clip in `frames`.
        hashes: of each clip's frames.
    """

    frames: UInt8[np.ndarray, "videos n h w 3"]
    places: Int64[np.ndarray, "clips"]
    hashes: tuple[str, ...]

    def rows(self, clips: Int[np.ndarray, "*k b"]) -> tuple[UInt8[np.ndarray, "*k b n h w 3"], Int[np.ndarray, "*k b"]]:
        """Return some clips' frames, and how many of them each clip has."""
        return self.frames[self.places[clips]], np.full(clips.shape, self.frames.shape[1], np.int32)


def open_frames(
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    skip_bad: bool,
    faces: bool = True,
    count: int = FRAMES,
    size: int = SIZE,
) -> FrameStore:
    """Decode the utterances' videos into `folder`, or find their frames there from an earlier time.

    See `decode_once`. A video that breaks off gives the frames that decode; the store's notes name it.

    Args:
        utterances: in the order of the store; each with a video.
        folder: of all stores; made where it is missing.
        skip_bad: leave out clips whose videos cannot be used instead of raising.
        faces: cut out the face that the first frame shows; where there is none the whole picture is taken.
        count: of frames, evenly spaced in time.
        size: their width and height.

    Raises:
        UserError: clips that cannot be used, all of them in one message, a line each; or `folder` cannot be written,
            or the disk is full.
    """

    from serjax.video.decode import read

    find: Callable[[Picture], Box | None] | None = None
    if faces:
        from serjax.video.faces import find_face

        find = find_face

    def decoded(clip: Utterance) -> Decoded:
        source = FrameStore.source(clip)
        try:
            if clip.video is None:
                raise UserError(f"{source}: no video goes with it; pair it with one, or leave it out.")
            seen = read(source, count, start=clip.start, end=clip.end, size=size, find=find)
        except UserError as error:
            return unusable(error, source, np.zeros((0, count, size, size, 3), np.uint8), **_COLUMNS)
        facts = {
            "shows": "face" if seen.box else "whole" if faces else "uncut",
            "boxes": seen.box,
            "damage": _below(seen.note, source),
            "length": _below(length_note(clip, seen.seconds), source),
        }
        return usable(seen.frames[None], **facts)

    settings = ["frames", _VERSION, count, size, faces]
    return _open(utterances, folder, decoded, settings, (count, size), skip_bad)


def open_drawn(
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    seed: int,
    count: int = FRAMES,
    size: int = SIZE,
) -> FrameStore:
    """Draw a face for every utterance, with the expression of its label; speakers have faces of their own.

    See `synthetic_frames` and `decode_once`. The store's notes say that the faces are drawn.

    Args:
        utterances: in the order of the store; they need no video.
        folder: of all stores; made where it is missing.
        seed: decides who looks like what, and all that varies from clip to clip.
        count: of frames.
        size: their width and height.

    Raises:
        UserError: a label that no face is drawn for; or `folder` cannot be written, or the disk is full.
    """

    def decoded(clip: Utterance) -> Decoded:
        frames = synthetic.synthetic_frames(
            clip.label, seed, speaker=clip.speaker, clip=clip.id, count=count, size=size
        )
        return usable(frames[None], **_COLUMNS | {"shows": "drawn"})

    clips = [(clip.id, clip.label, clip.speaker) for clip in utterances]
    settings = ["drawn", _VERSION, synthetic.FACES_VERSION, count, size, seed, clips]
    return _open(utterances, folder, decoded, settings, (count, size), False)


def _open(
    utterances: Sequence[Utterance],
    folder: Path,
    decode: Any,
    settings: list[Any],
    pictures: tuple[int, int],
    skip_bad: bool,
) -> FrameStore:
    count, size = pictures
    return decode_once(
        FrameStore,
        utterances,
        folder,
        decode,
        settings=settings,
        dtype="|u1",
        shape=(count, size, size, 3),
        skip_bad=skip_bad,
    )


def _below(note: str | None, source: Path) -> str | None:
    """Return a note without the path it begins with: a file may move, and its frames are found all the same."""
    return note and note.removeprefix(f"{source}: ")
