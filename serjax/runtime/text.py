"""Text files that people and other programs wrote: lists, tables, maps and folds, whatever their encoding."""

import codecs
import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from serjax.runtime.errors import UserError, reason
from serjax.runtime.remote import is_remote

LARGEST = 1 << 30
"""Bytes of a file that is read whole; no text that people or programs write comes near."""
LONGEST = 1 << 24
"""Characters of a line."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks that tell an encoding."""

_OTHERS = (
    (b"PK\3\4", "a zip archive, as Excel's .xlsx files are"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\xd0\xcf\x11\xe0", "an old document of Excel or Word"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "a database"),
    (b"\x89HDF", "an HDF5 file"),
)
"""First bytes of files that are no text, and what they are."""


def read_lines(
    path: Path, what: str = "the list", remedy: str = "correct its path", *, lenient: bool = False
) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of every line of a text file, without its end.

    The encoding is UTF-8, or what a byte order mark says: UTF-8, UTF-16 or UTF-32. Lines end as files' lines do, with
    a line feed, a carriage return or both; other characters that Unicode counts as ends of lines (U+2028, U+0085) are
    part of a text. Memory holds a line.

    Args:
        path: on a disk or in a store.
        what: the file is to the user, for messages.
        remedy: for a file that cannot be opened.
        lenient: put U+FFFD in place of bytes that are no UTF-8, for tables of which only ASCII counts.

    Raises:
        UserError: the file cannot be read, is no regular file, is of another encoding, or is no text.
    """
    number = 0
    try:
        _require_file(path)
        with path.open("rb") as file:
            mark = file.read(16)
        other = next((name for begin, name in _OTHERS if mark.startswith(begin)), None)
        if other is not None and not lenient:
            raise UserError(f"{path}: {what} is {other}, and no text; save it as text in UTF-8.")
        encoding = next((name for begin, name in _MARKS if mark.startswith(begin)), "utf-8")
        with path.open("r", encoding=encoding, errors="replace" if lenient else "strict") as file:
            while line := file.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise UserError(
                        f"{path}:{number}: the line has more than {LONGEST:,} characters, as no text has; correct the "
                        "path, or copy the file anew."
                    )
                if "\0" in line and not lenient:
                    raise UserError(
                        f"{path}:{number}: {what} holds bytes of zero, as no text does, though one in UTF-16 without a "
                        "byte order mark; save it as UTF-8."
                    )
                # Files that were joined have marks within.
                yield number, line.rstrip("\r\n").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise _strange(path, what, error) from None
    except OSError as error:
        raise UserError(f"{path}: {what} cannot be read ({reason(error)}); {remedy}.") from None


def read_text(path: Path, what: str = "the file", remedy: str = "correct its path", *, lenient: bool = False) -> str:
    """Return the text of a file, whose lines end with a line feed; see `read_lines`.

    Raises:
        UserError: as of `read_lines`, or the file is larger than `LARGEST`.
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # a path may hold a zero
        raise UserError(f"{path}: {what} cannot be read ({reason(error)}); {remedy}.") from None
    if size is not None and size > LARGEST:
        raise UserError(f"{path}: {what} has {size:,} bytes, more than any does; correct its path.")
    return "\n".join(line for _, line in read_lines(path, what, remedy, lenient=lenient))


def read_rows(
    path: Path, what: str = "the list", remedy: str = "correct its path", *, separators: str, lenient: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file, each with the number of its first line, as an editor counts; not blank ones.

    Args:
        path: as of `read_lines`, and so are the others.
        what: as there.
        remedy: as there.
        separators: characters that may separate cells; the one that stands most often in the first row does.
        lenient: as there.

    Raises:
        UserError: as of `read_lines`, or the file is not CSV.
    """
    read: list[int] = []

    def lines() -> Iterator[str]:
        for number, line in read_lines(path, what, remedy, lenient=lenient):
            if line.strip():
                read.append(number)
                yield f"{line}\n"

    head = next((line for _, line in read_lines(path, what, remedy, lenient=lenient) if line.strip()), "")
    rows = csv.reader(lines(), delimiter=max(separators, key=head.count))
    while True:
        del read[:-1]
        last = read[-1:]
        try:
            row = next(rows, None)
        except csv.Error as error:
            number = next(iter(read[len(last) :] or last), 1)
            raise UserError(f"{path}:{number}: {what} is not CSV there ({error}); correct the line.") from None
        if row is None:
            return
        yield read[len(last)], row


def _require_file(path: Path) -> None:
    """Refuse pipes, devices and sockets, from which reading may never end."""
    if not is_remote(path):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(None, "it is a folder" if stat.S_ISDIR(mode) else "it is no file, but a pipe or a device")


def _strange(path: Path, what: str, error: UnicodeDecodeError) -> UserError:
    """Return the error for a file of another encoding, with the line in which that shows."""
    if not error.encoding.startswith("utf-8"):
        return UserError(
            f"{path}: {what} begins as {error.encoding.upper()} and breaks off or is damaged; save it anew."
        )
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST)
        content.decode("utf-8")
    except UnicodeDecodeError as first:
        line = content.count(b"\n", 0, first.start) + 1
        byte = content[first.start]
    except OSError:
        return UserError(f"{path}: {what} is not UTF-8 text; save it as UTF-8.")
    else:  # it changed meanwhile
        return UserError(f"{path}: {what} was not UTF-8 text a moment ago; try again.")
    wide = content.count(b"\0", 0, 1000) > 10
    perhaps = "UTF-16 without a byte order mark" if wide else "Windows-1252, Latin-1 or GB18030"
    return UserError(
        f"{path}:{line}: {what} is not UTF-8 text (byte 0x{byte:02x}), but perhaps {perhaps}; save it as UTF-8."
    )
