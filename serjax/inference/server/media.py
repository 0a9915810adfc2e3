"""Formats of recordings, told by their first bytes: names and types that a client gives are not trusted."""

_MAGIC = (
    (4, b"ftyp", ".mp4"),
    (4, b"moov", ".mp4"),
    (4, b"mdat", ".mp4"),
    (4, b"wide", ".mp4"),
    (0, b"\x1aE\xdf\xa3", ".mkv"),
    (0, b"FLV\x01", ".flv"),
    (8, b"AVI ", ".avi"),
    (8, b"WAVE", ".wav"),
    (0, b"\x00\x00\x01\xba", ".mpg"),
    (0, b"0&\xb2u\x8ef\xcf\x11", ".wma"),
    (0, b"#!AMR", ".amr"),
    (0, b"\xff\xf1", ".aac"),
    (0, b"\xff\xf9", ".aac"),
    (0, b"wvpk", ".wv"),
    (0, b"MAC ", ".ape"),
)
"""Place, bytes and suffix of the formats that PyAV reads, and of WAV, of which missing ends are told."""

DEMUXERS = (
    "wav,w64,aiff,au,caf,flac,ogg,mp3,voc,nistsphere,"
    "aac,amr,amrnb,amrwb,ape,asf,avi,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,wv"
)
"""FFmpeg's readers that a recording may choose: none of them opens other files, as those of playlists do."""


def suffix_of(content: bytes) -> str:
    """Return the suffix by which `serjax.audio.decode` finds the reader of a recording.

    It is .sound for all else that libsndfile is to read, which tells formats by their content.
    """
    return next((suffix for place, magic, suffix in _MAGIC if content[place : place + len(magic)] == magic), ".sound")
