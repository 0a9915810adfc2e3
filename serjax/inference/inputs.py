"""Inputs of inference: a clip given as a path, as samples, or as sound and video, read into arrays."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import decode_what_is_there, resample
from serjax.audio.faults import ABSURD, fault
from serjax.audio.kinds import VIDEO_SUFFIXES
from serjax.audio.reading import HIGHEST_RATE, LOWEST_RATE, sample_rate
from serjax.checkpoints.bundle import Models
from serjax.models.base import Modality
from serjax.runtime.errors import MissingPackage, UserError
from serjax.runtime.remote import is_remote
from serjax.video.config import VideoConfig

Clip = str | Path | tuple[np.ndarray, int] | Mapping[str, Any]
"""A path or URL, or samples [t] or [t c] with their rate in Hz: as a pair, or as {"array", "sampling_rate"}.

For models that take video also {"audio", "video"}: a clip as above, and a video's path or its frames [f h w 3],
uint8 RGB; either may be absent."""


class Sample(NamedTuple):
    """A clip as models take it.

    Attributes:
        wave: samples, mono at 16 kHz; none where there is no sound.
        frames: of its video, or face features; None where there are none, or the model takes no video.
        notes: sentences about what was read.
        offset: DC offset of the recording as a share of its RMS.
    """

    wave: Float[np.ndarray, "t"]
    frames: Shaped[np.ndarray, "f ..."] | None = None
    notes: tuple[str, ...] = ()
    offset: float = 0.0

    @property
    def modalities(self) -> set[Modality]:
        """Modalities that the clip has."""
        found: tuple[tuple[Modality, Any], ...] = (("sound", len(self.wave)), ("video", self.frames is not None))
        return {name for name, there in found if there}


def read(clip: Clip, video: VideoConfig | None = None, *, sound: bool = True) -> Sample:
    """Return a clip's arrays.

    Args:
        clip: what was given.
        video: how a model takes video; None: it does not.
        sound: whether it takes sound, or none is decoded.

    Raises:
        UserError: it cannot be decoded, or is shorter than one frame.
    """
    if video is None:
        wave, said = read_sound(clip)
        return Sample(wave, notes=said)
    if isinstance(clip, Mapping) and clip.keys() <= {"audio", "video"} and clip:
        audio, film = clip.get("audio"), clip.get("video")
    elif isinstance(clip, (str, Path)) and Path(clip).suffix.lower() in VIDEO_SUFFIXES:
        audio, film = None, clip
    else:
        audio, film = clip, None
    frames, notes = (None, ()) if film is None else _read_video(film, video)
    if not sound:
        return Sample(np.zeros(0, np.float32), frames, notes)
    if audio is None and isinstance(film, (str, Path)):
        from serjax.video.decode import has_sound

        audio = film if has_sound(film) else None
    wave, said = (np.zeros(0, np.float32), ()) if audio is None else read_sound(audio)
    return Sample(wave, frames, (*notes, *said))


def read_for(models: Models, clip: Clip) -> Sample:
    """Return a clip's arrays, of which some models can answer.

    Raises:
        UserError: it cannot be decoded, is too short for these models, or lacks the sound or the video that they
            cannot do without.
    """
    sample, least = read(clip, models.video, sound="sound" in models.modalities), models.min_samples
    name = f"{clip}" if isinstance(clip, (str, Path)) else "the clip"
    for part in sorted(models.required - sample.modalities):
        give = "both" if len(models.required) > 1 else f"a clip with {part}"
        raise UserError(f"{name}: it has no {part}, which these models were not trained to do without; give {give}.")
    if not sample.modalities:
        raise UserError(f"{name}: it has neither sound nor video; give a clip that has one of them.")
    if "sound" in sample.modalities and len(sample.wave) < least:
        raise UserError(
            f"{name}: it has {len(sample.wave)} samples at 16 kHz, but the model's first frame takes {least}."
        )
    return sample


def read_sound(clip: Clip) -> tuple[Float[np.ndarray, "t"], tuple[str, ...]]:
    """Return a clip's samples, mono at 16 kHz, and sentences on what is missing of them or makes them no speech.

    Raises:
        UserError: it cannot be decoded, or is shorter than one frame.
    """
    if isinstance(clip, Mapping) and {"array", "sampling_rate"} <= clip.keys():
        clip = clip["array"], clip["sampling_rate"]
    match clip:
        case str() | Path():
            return decode_path(clip)
        case (samples, rate) if isinstance(clip, tuple) and not isinstance(rate, (str, Path)):
            return read_array(samples, rate, "the array")
    raise UserError(
        f"a clip is given as {type(clip).__name__}; give a path, (samples, rate in Hz), "
        '{"array": samples, "sampling_rate": rate in Hz}, or a list of those.'
    )


def read_array(samples: Any, rate: Any, source: str) -> tuple[Float[np.ndarray, "t"], tuple[str, ...]]:
    """Return samples [t] or [t c] of a rate as mono at 16 kHz, and what is wrong with their level.

    Raises:
        UserError: they are no array of numbers, or too large for any model; or the rate is none of a recording.
    """
    known = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
    if not known or not LOWEST_RATE <= float(rate) <= HIGHEST_RATE:
        raise UserError(
            f"{source}: its rate is given as {rate!r}; give a number of Hz from {LOWEST_RATE:,} to {HIGHEST_RATE:,}."
        )
    try:
        found = np.asarray(samples)
    except ValueError:
        raise UserError(f"{source}: its samples are lists of several lengths; give samples [t] or [t c].") from None
    return _judged(resample(found, float(rate), SAMPLE_RATE, source=source), source)


def decode_path(path: str | Path) -> tuple[Float[np.ndarray, "t"], tuple[str, ...]]:
    """Return the samples of a sound file on the disk or behind a URL, mono at 16 kHz, and sentences as `read_sound`.

    Of a file that breaks off, or is damaged in part, they are what decodes.

    Raises:
        UserError: it cannot be decoded; or no installed package reads such URLs, of which other clips know nothing.
    """
    if "\0" in str(path):
        raise UserError(f"{str(path)!r}: a path cannot hold a NUL character; correct it.")
    try:
        wave, loss = decode_what_is_there(path)
    except MissingPackage as error:
        if not is_remote(path):
            raise
        raise UserError(f"{path}: {error}") from None
    wave, notes = _judged(wave, str(path))
    said = loss.sentence(path, "the rest is answered.")
    return wave, notes if said is None else (said, *notes)


def _judged(wave: Float[np.ndarray, "t"], source: str) -> tuple[Float[np.ndarray, "t"], tuple[str, ...]]:
    """Return samples with what is wrong with their level.

    Raises:
        UserError: they are so large that no model can answer.
    """
    said = fault(wave)
    if said is not None and np.abs(wave).max() > ABSURD:
        raise UserError(f"{source}: {said}")
    return wave, () if said is None else (f"{source}: {said}",)


def rate_of(clip: Clip) -> float:
    """Return the rate of a clip's sound in Hz.

    It is that of serjax where there is none: a silent video, a container that does not say it, or a clip of which
    `read` will say what is wrong.
    """
    if isinstance(clip, Mapping) and "audio" in clip:
        return rate_of(clip["audio"])
    match clip:
        case str() | Path():
            try:
                return sample_rate(clip) or SAMPLE_RATE
            except (OSError, RuntimeError, UserError, ValueError):
                return SAMPLE_RATE
        case {"array": _, "sampling_rate": rate} | (_, int() | float() | np.number() as rate):
            known = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
            return float(rate) if known and math.isfinite(rate) and rate > 0 else SAMPLE_RATE
    return SAMPLE_RATE


def _read_video(film: Any, video: VideoConfig) -> tuple[Shaped[np.ndarray, "f ..."], tuple[str, ...]]:
    # FFmpeg and the detector take a while to load, and few need them.
    from serjax.video.decode import read as read_video
    from serjax.video.faces import find_face

    if is_remote(film):
        raise UserError(f"{film}: videos are read from a disk; copy it there.")
    if isinstance(film, (str, Path)) and video.num_face_features is not None:
        raise UserError(
            f"{film}: these models take {video.num_face_features} face features of a clip and no video; give those."
        )
    if isinstance(film, (str, Path)):
        found = read_video(film, video.frames, size=video.size, find=find_face if video.faces else None)
        notes = [] if found.note is None else [found.note]
        if video.faces and found.box is None:
            notes.append(f"{film}: no face is found; the whole picture is looked at.")
        return found.frames, tuple(notes)
    frames, shape = np.asarray(film), video.shape
    dtype = np.uint8 if len(shape) == 4 else np.float32
    if frames.dtype != dtype or frames.shape[1:] != shape[1:] or not 1 <= len(frames) <= shape[0]:
        raise UserError(
            f"the video is {frames.dtype} {list(frames.shape)}; give {dtype.__name__} {list(shape)} or less."
        )
    return frames, ()
