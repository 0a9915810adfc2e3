"""Cells of spreadsheets: what is written comes back, and what is damaged is told."""

import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.corpora.spreadsheet import read_cells
from serjax.runtime.errors import UserError

SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def write_xlsx(path, rows, shared=True):
    """Write the cells of a sheet; empty ones are left out, as spreadsheets do."""
    strings, lines = [], []
    for number, row in enumerate(rows, 1):
        cells = ""
        for place, cell in enumerate(row):
            if not cell:
                continue
            name = f"{chr(ord('A') + place)}{number}"
            if cell.isdecimal():
                cells += f'<c r="{name}"><v>{cell}</v></c>'
            elif shared:
                strings.append(cell)
                cells += f'<c r="{name}" t="s"><v>{len(strings) - 1}</v></c>'
            else:
                cells += f'<c r="{name}" t="inlineStr"><is><t>{cell}</t></is></c>'
        lines.append(f'<row r="{number}">{cells}</row>')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {SPACE}><sheetData>{''.join(lines)}</sheetData></worksheet>"
        )
        if shared:
            items = "".join(f"<si><t>{text[:1]}</t><t>{text[1:]}</t></si>" for text in strings)
            archive.writestr("xl/sharedStrings.xml", f"<sst {SPACE}>{items}</sst>")
    return path


cells = st.text("abcdefgh 0123456789", max_size=6).map(str.strip)


@given(rows=st.lists(st.lists(cells, min_size=1, max_size=5), min_size=1, max_size=5), shared=st.booleans())
def test_cells_come_back(tmp_path_factory, rows, shared):
    found = read_cells(write_xlsx(tmp_path_factory.mktemp("x") / "a.xlsx", rows, shared))
    widest = max(map(len, rows))
    assert [row + [""] * (widest - len(row)) for row in found] == [row + [""] * (widest - len(row)) for row in rows]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_text_of_any_separator(tmp_path, separator):
    (tmp_path / "a.csv").write_text(f"\ufeffa{separator}b\n1{separator}2\n")
    assert read_cells(tmp_path / "a.csv") == [["a", "b"], ["1", "2"]]


def test_damaged_ones_are_told(tmp_path):
    path = tmp_path / "a.xlsx"
    for spoil in (b"no zip", b""):
        path.write_bytes(spoil)
        with pytest.raises(UserError, match=r"a.xlsx: the table cannot be read .* save it as a CSV file"):
            read_cells(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", '<!DOCTYPE x [<!ENTITY a "b">]><worksheet/>')
    with pytest.raises(UserError, match="declares entities"):
        read_cells(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(UserError, match="it has no sheet"):
        read_cells(path)
