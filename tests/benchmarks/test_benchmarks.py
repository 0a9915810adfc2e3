"""Every benchmark runs with its smallest settings and writes a table; what peers lack is a sentence in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "front_ends": "--rounds 1",
    "functionals": "--rounds 1 --seconds 1 --batch 2",
    "kmeans": "--rounds 1 --count 2000 --width 16 --clusters 5 --batch-size 200 --starts 2",
}


def run(name, folder):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{name}.py", *SMALLEST[name].split(), "--out", folder / "tables"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    (table,) = (folder / "tables").iterdir()
    return table


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_benchmark_writes_a_table(name, tmp_path):
    table = run(name, tmp_path)
    text = table.read_text()
    assert re.fullmatch(rf"{name}-\d+\.md", table.name)
    assert "GFLOP/s" in text
    assert re.search(r"^\|.*\|\n\| --- \|( ---: \|)+\n\|.*\d.*\|$", text, re.M)
