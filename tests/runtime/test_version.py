"""One version for the package, its build and its reports."""

import tomllib
from pathlib import Path

import serjax
from serjax.runtime import version

ROOT = Path(__file__).parents[2]


def test_the_build_reads_the_version_that_the_package_shows():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"]
    assert ROOT / build == Path(version.__file__)
    assert serjax.__version__ == version.__version__
