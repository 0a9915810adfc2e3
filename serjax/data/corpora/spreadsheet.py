"""Cells of a spreadsheet: the first sheet of an .xlsx file, or a CSV file of any separator."""

import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from serjax.runtime.errors import UserError, reason
from serjax.runtime.text import read_rows

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LARGEST = 64 << 20
"""Bytes that a part of an .xlsx may have when it is unpacked."""
_COLUMNS = 16_384
"""Columns that a sheet can have."""
_CELLS = 10_000_000
"""Cells of a sheet, those that are empty too."""
_DAMAGED = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, NotImplementedError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error, ElementTree.ParseError),
)
"""Errors of archives that are encrypted, packed in an unusual way or damaged, and of XML."""


def read_cells(path: Path) -> list[list[str]]:
    """Return the cells of each row as text; those that are not there are empty.

    Raises:
        UserError: the file cannot be read.
    """
    if path.suffix.lower() != ".xlsx":
        return [row for _, row in read_rows(path, "the table", "copy it anew", separators=",;\t", lenient=True)]
    try:
        return _read_xlsx(path)
    except (*_DAMAGED, OSError) as error:
        raise UserError(
            f"{path}: the table cannot be read ({reason(error)}); copy it anew, or save it as a CSV file of that name."
        ) from None


def _read_xlsx(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        strings = []
        if "xl/sharedStrings.xml" in archive.namelist():
            strings = [_text(one) for one in _part(archive, "xl/sharedStrings.xml").iter(f"{_SPACE}si")]
        sheets = sorted(name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name))
        if not sheets:
            raise ValueError("it has no sheet")
        rows: list[list[str]] = []
        count = 0
        for row in _part(archive, sheets[0]).iter(f"{_SPACE}row"):
            cells: list[str] = []
            for cell in row.iter(f"{_SPACE}c"):
                place = _column(cell.get("r", ""))
                if place is not None and place >= _COLUMNS:
                    raise ValueError(f"a cell is called {cell.get('r')}")
                cells += [""] * ((len(cells) if place is None else place) - len(cells))
                value = cell.find(f"{_SPACE}v")
                if cell.get("t") == "inlineStr":
                    cells.append(_text(cell))
                elif value is None or value.text is None:
                    cells.append("")
                else:
                    cells.append(strings[abs(int(value.text))] if cell.get("t") == "s" else value.text)
            count += len(cells)
            if count > _CELLS:
                raise ValueError(f"it has more than {_CELLS:,} cells")
            rows.append(cells)
        return rows


def _part(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST >> 20} MiB")
    text = archive.read(name)
    if b"<!DOCTYPE" in text:
        raise ValueError(f"{name} declares entities")
    return ElementTree.fromstring(text)


def _text(element: ElementTree.Element) -> str:
    return "".join(one.text or "" for one in element.iter(f"{_SPACE}t"))


def _column(reference: str) -> int | None:
    """Return the place of a cell called such as B3, counted from 0."""
    letters = re.match("[A-Z]{1,3}", reference)
    if letters is None:
        return None
    place = 0
    for letter in letters[0]:
        place = 26 * place + ord(letter) - ord("A") + 1
    return place - 1
