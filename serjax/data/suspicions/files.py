"""Suspicions about what lies in a folder: files that are hidden or foreign, empty, or of formats that are not read."""

from collections.abc import Iterator

from serjax.data.look.files import Files
from serjax.data.suspicions.record import Suspicion, plural
from serjax.runtime.errors import one_of


def of_files(files: Files) -> Iterator[Suspicion]:
    """Yield what is suspicious about the files below a folder."""
    if files.unread:
        kinds = one_of([f"{count} {suffix}" for suffix, count in sorted(files.unread.items())])
        yield Suspicion(
            "formats_not_read",
            f"Recordings of formats that libsndfile does not read lie below the folder ({kinds}), and are left out.",
            "Models of video read videos; for sound alone convert them to FLAC or WAV, or name them in a list (PyAV).",
        )
    if files.archives:
        yield Suspicion(
            "archives",
            f"{plural(len(files.archives), 'archive')} ({one_of(list(files.archives), 3)}) "
            f"{'is' if len(files.archives) == 1 else 'are'} not looked into.",
            "Unpack them where they hold recordings.",
            files.archives,
        )
    if files.empty:
        yield Suspicion(
            "empty_files",
            f"{plural(len(files.empty), 'sound file')} ({one_of(list(files.empty), 3)}) "
            f"{'has' if len(files.empty) == 1 else 'have'} 0 bytes.",
            "Get them again, or delete them.",
            files.empty,
            refused=True,
        )
    if files.hidden:
        yield Suspicion(
            "hidden_files",
            f"{plural(len(files.hidden), 'file')} ({one_of(list(files.hidden), 3)}) "
            f"{'is' if len(files.hidden) == 1 else 'are'} hidden or left by an operating system, and not read.",
            "Nothing need be done; delete them to be rid of them.",
            files.hidden,
        )
