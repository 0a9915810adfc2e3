"""Kinds of recordings, told by their first bytes: names say little, and libsndfile and FFmpeg read different ones."""

from pathlib import Path
from typing import Literal

from serjax.runtime.errors import UserError
from serjax.runtime.pointers import refuse_pointer

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64")
) | {".sph", ".nist", ".voc", ".avr", ".paf", ".sf", ".wave", ".bwf", ".mp2", ".mpga"}
"""Suffixes, in lower case, of the formats with a header that libsndfile reads."""

UNREADABLE_SUFFIXES = frozenset((".m4a", ".aac", ".wma", ".amr", ".webm", ".mp4", ".mka", ".ape", ".wv", ".flv"))
"""Suffixes, in lower case, of recordings that libsndfile does not read, but PyAV."""

RAW_SUFFIXES = frozenset((".raw", ".pcm", ".g711", ".g722", ".g726", ".gsm", ".ulaw", ".alaw", ".spx", ".sd2"))
"""Suffixes, in lower case, of sound that nothing here reads: without a header, or in formats of another time."""

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".flv", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp"))
"""Suffixes, in lower case, of the videos whose sound is read."""

TRACK_SUFFIXES = VIDEO_SUFFIXES | UNREADABLE_SUFFIXES
"""Suffixes, in lower case, of what PyAV reads the sound of."""

Kind = Literal["sound", "track", "mp3", "unknown"]
"""Of libsndfile, of FFmpeg alone, MPEG audio (which both read), and files whose bytes do not tell."""

_SOUND = (
    (8, b"WAVE"),
    (0, b"riff\x2e\x91\xcf\x11"),
    (0, b"fLaC"),
    (0, b"OggS"),
    (8, b"AIFF"),
    (8, b"AIFC"),
    (0, b".snd"),
    (0, b"dns."),
    (0, b"caff"),
    (0, b"NIST_1A"),
    (0, b"Creative Voice File"),
    (0, b"2BIT"),
    (0, b" paf"),
    (0, b"fap "),
)
"""Place and bytes of the formats that libsndfile is asked for first."""

_TRACK = (
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"FLV\x01"),
    (8, b"AVI "),
    (0, b"\x00\x00\x01\xba"),
    (0, b"0&\xb2u\x8ef\xcf\x11"),
    (0, b"#!AMR"),
    (0, b"\xff\xf1"),
    (0, b"\xff\xf9"),
    (0, b"wvpk"),
    (0, b"MAC "),
    (0, b"TTA1"),
    (0, b"\x0bw"),
)
"""Place and bytes of the formats that FFmpeg alone reads."""

_PACKET = 188
"""Bytes of a packet of an MPEG transport stream, each of which begins with a G."""

_APPLE_DOUBLE = b"\0\x05\x16\x07"


def kind_of(path: Path) -> Kind:
    """Return the kind of a file on the disk.

    Raises:
        UserError: it cannot be read, or is a pointer that Git LFS has left in a recording's place.
    """
    try:
        refuse_pointer(path, "the recording")
        with path.open("rb") as file:
            head = file.read(_PACKET + 1)
    except OSError as error:
        raise UserError(f"{path}: it cannot be opened ({error.strerror}); see to its permissions.") from None
    if head.startswith(_APPLE_DOUBLE):
        raise UserError(f"{path}: it is no recording, but what macOS keeps beside one (AppleDouble); delete it.")
    if any(head.startswith(magic, place) for place, magic in _SOUND):
        return "sound"
    stream = head.startswith(b"G") and head.startswith(b"G", _PACKET)
    if stream or any(head.startswith(magic, place) for place, magic in _TRACK):
        return "track"
    # Layers I to III of MPEG; behind an ID3 tag, AAC, Monkey's Audio and others may stand too.
    mpeg = head[:1] == b"\xff" and len(head) > 1 and head[1] >= 0xE0
    return "mp3" if mpeg or head.startswith(b"ID3") else "unknown"
