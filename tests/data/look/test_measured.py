"""Measurements of a corpus: of each clip those of its file, faults beside them, and what Ctrl-C leaves."""

import shutil

import pytest

from serjax.audio.levels import measure
from serjax.data.look import measured as module
from serjax.data.look.files import as_clips, look_at_files
from serjax.data.look.measured import measure_clips
from serjax.data.utterance import Utterance
from serjax.runtime.preemption import Terminated


def clips(root):
    return as_clips(look_at_files(root), root)


def test_each_clip_is_measured_as_its_file_is(small):
    found = measure_clips(clips(small))
    assert not found.stopped
    assert (found.done, found.errors) == (8, {})
    for i, clip in enumerate(clips(small)):
        assert found.levels[i] == measure(clip.path)
    assert len(set(found.files.values())) == 8  # all files are as long, and none equals another


def test_equal_files_have_equal_hashes_and_faults_are_told(small, tmp_path):
    root = shutil.copytree(small, tmp_path / "corpus")
    shutil.copy(root / "calm" / "ann1.wav", root / "sad" / "copy.wav")
    (root / "sad" / "bad.wav").write_text("nothing")
    own = clips(root)
    place = {clip.id: i for i, clip in enumerate(own)}
    found = measure_clips([*own, Utterance("gone", root / "gone.wav", "sad")])
    assert found.files[place["sad/copy.wav"]] == found.files[place["calm/ann1.wav"]]
    assert found.levels[place["sad/copy.wav"]].digest == found.levels[place["calm/ann1.wav"]].digest
    assert found.errors[place["sad/bad.wav"]].startswith("it is not a sound file or is damaged")
    assert found.errors[len(own)].startswith("it cannot be opened")
    assert found.done == len(own) + 1


def test_stretches_of_one_file_are_measured_apart(small):
    path = small / "calm" / "ann1.wav"
    cut = [Utterance(f"{n}", path, "calm", start=0.2 * n, end=0.2 * (n + 1)) for n in range(3)]
    found = measure_clips(cut)
    assert [found.levels[i].seconds for i in range(3)] == pytest.approx([0.2] * 3)
    assert found.files == {}


class Stopping:
    """A bar that ends the third step as Ctrl-C or a signal would."""

    def __init__(self, error):
        self.error, self.steps = error, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def add_task(self, *_, **__):
        return 0

    def advance(self, _):
        self.steps += 1
        if self.steps == 3:
            raise self.error


def test_ctrl_c_leaves_what_was_measured_and_a_signal_ends_all(small, monkeypatch):
    monkeypatch.setattr(module, "_AHEAD", 1)
    monkeypatch.setattr(module, "progress_bar", lambda _: Stopping(KeyboardInterrupt))
    own = clips(small)
    found = measure_clips(own, seed=1)
    assert found.stopped
    assert found.done == 3
    assert found.levels == {i: measure(own[i].path) for i in found.levels}
    monkeypatch.setattr(module, "progress_bar", lambda _: Stopping(Terminated))
    with pytest.raises(Terminated):
        measure_clips(own)
