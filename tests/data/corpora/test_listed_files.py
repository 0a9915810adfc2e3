"""Files of a list that are not where it says, and ids that are the same on every machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.corpora.listed_files import look_below, with_relative_ids
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_folder_and_a_suffix_are_put_around_a_path(tmp_path):
    fill(tmp_path, "samples/a/1.wav", "samples/a/2.v2.flac", "samples/b/1.wav", "samples/b/1.txt", "list.tsv")
    found, notes = look_below(tmp_path, ["a/1", "a/2.v2", "b/1.wav", "gone"], tmp_path / "list.tsv")
    assert found == {
        "a/1": tmp_path / "samples/a/1.wav",
        "a/2.v2": tmp_path / "samples/a/2.v2.flac",
        "b/1.wav": tmp_path / "samples/b/1.wav",
    }
    assert notes == ["No file lies where the list says; those in samples/, with .flac, .wav behind them are taken."]
    with pytest.raises(
        UserError, match=r"list\.tsv: 1 may be any of the files samples/a/1.wav, samples/b/1.wav; write"
    ):
        look_below(tmp_path, ["1"], tmp_path / "list.tsv")
    assert look_below(tmp_path, ["other", "/a/1"], tmp_path / "list.tsv") == ({}, [])


names = st.text("abc", min_size=1, max_size=3)
below = st.lists(names, min_size=1, max_size=3).map("/".join)


@given(
    inside=st.sets(below, min_size=1, max_size=6),
    elsewhere=st.sets(below, min_size=1, max_size=6),
    roots=st.lists(names, min_size=2, max_size=2, unique=True),
)
def test_ids_do_not_depend_on_where_recordings_lie(inside, elsewhere, roots):
    found = []
    for root in roots:
        ids = [*sorted(inside), *(f"/{root}/corpus/{name}" for name in sorted(elsewhere))]
        clips = with_relative_ids([Utterance(name, Path(name), "sad") for name in ids])
        found.append([clip.id for clip in clips])
        assert not any(name.startswith("/") for name in found[-1])
        assert len(set(found[-1])) == len(ids)
        assert [str(clip.path) for clip in clips] == ids
        assert found[-1][: len(inside)] == sorted(inside)
    if not any(name.startswith(root) for root in roots for name in found[0]):
        assert found[0] == found[1]
