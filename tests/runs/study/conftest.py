"""Two little corpora of tones, and studies on them."""

import json

import pytest
from little_study import make_study, write_corpus


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """Folders of two corpora: `one` says low, high and odd, `two` deep and high; and a map of its labels."""
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder / "one", ("low", "high", "odd"))
    write_corpus(folder / "two", ("deep", "high"), seed=1)
    (folder / "map.json").write_text(json.dumps({"deep": "low", "high": "high"}))
    return folder


@pytest.fixture
def study(tones, tmp_path):
    return make_study(tones, tmp_path)


@pytest.fixture(scope="session")
def crossed(tones, tmp_path_factory):
    """A finished study across both corpora, and its report."""
    from serjax.runs.study.corpora import with_classes
    from serjax.runs.study.run import run_study

    study = make_study(tones, tmp_path_factory.mktemp("crossed"))
    return with_classes(study), run_study(study, "the command")
