"""One version for the package, its build and its reports."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import serjax
from serjax.runtime import version

ROOT = Path(__file__).parents[2]


def test_the_build_reads_the_version_that_the_package_shows():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"]
    assert ROOT / build == Path(version.__file__)
    assert serjax.__version__ == version.__version__


def test_the_latest_release_of_the_changelog_is_this_version():
    releases = re.findall(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2})\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0][0] == version.__version__
    assert [date for _, date in releases] == sorted((date for _, date in releases), reverse=True)


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
    assert not re.search(r"^version:", (ROOT / "CITATION.cff").read_text(), re.M)


def test_the_citation_has_what_the_format_asks_for():
    citation = (ROOT / "CITATION.cff").read_text()
    for key in ("cff-version", "message", "title", "authors", "license"):
        assert re.search(rf"^{key}:", citation, re.M), key
    license = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert f"license: {license}\n" in citation


def test_the_script_of_the_build_exists():
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "serjax"
    ].partition(":")
    assert callable(getattr(import_module(module), function))
