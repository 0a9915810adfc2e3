"""Clips of pretraining: parts that hear nothing of what their fold tests, further recordings, and copies."""

import shutil

import numpy as np
import pytest
import soundfile
from tiny_pretraining import SAMPLES, small

from serjax.config.pretraining import TaptConfig
from serjax.data.config import FoldsConfig
from serjax.runs.pretraining.corpus import Clips, as_training, read_material
from serjax.runtime.errors import UserError


def read(corpus, out, *, by_fold=False, **changes):
    return read_material(small(corpus, out, **changes), by_fold=by_fold)


def test_each_part_hears_all_but_what_its_fold_tests(corpus, tmp_path):
    material = read(corpus, tmp_path)
    assert [part.fold for part in material.parts] == [1, 2]
    speakers = [clip.speaker for clip in material.data.store.utterances]
    for part in material.parts:
        assert sorted(part.train + part.test) == list(range(24))
        assert not {speakers[i] for i in part.train} & {speakers[i] for i in part.test}


def test_one_part_hears_everything_where_asked(corpus, tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    (part,) = read(corpus, tmp_path, tapt=TaptConfig(corpus="all")).parts
    assert (part.fold, part.train, part.test) == (0, tuple(range(24)), ())
    assert "Pretraining uses every clip, tested ones too" in caplog.text
    parts = read(corpus, tmp_path, tapt=TaptConfig(corpus="all"), by_fold=True).parts
    assert [len(part.train) for part in parts] == [24, 24]
    assert all(part.test for part in parts)


def test_only_chosen_folds_are_parts(corpus, tmp_path):
    folds = FoldsConfig(kind="speaker", count=4, only=(3,))
    assert [part.fold for part in read(corpus, tmp_path, folds=folds).parts] == [3]


def test_unlabelled_recordings_need_no_labels(corpus, tmp_path):
    material = read(corpus / "high", tmp_path, tapt=TaptConfig(corpus="unlabelled"))
    assert material.data is None
    assert material.clips.names[0] == "high/spk0_0"
    assert material.parts == ((0, tuple(range(12)), ()),)


def test_further_recordings_are_heard_by_every_part_and_copies_left_out(corpus, tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    more = shutil.copytree(corpus / "high", tmp_path / "more")
    soundfile.write(more / "another.wav", np.random.default_rng(0).normal(0, 0.1, SAMPLES), 16_000)
    material = read(corpus, tmp_path, tapt=TaptConfig(more=(str(more),)))
    assert len(material.clips) == 24 + 13
    new = material.clips.names.index("more/another")
    for part in material.parts:
        assert {i for i in part.train if i >= 24} == {new}
    assert "12 clips of --tapt.more are clips of --data.root too; they are left out." in caplog.text


def test_validation_clips_are_used_unless_they_are_tested(corpus, tmp_path):
    folds = FoldsConfig(kind="speaker", count=2, validation="test")
    for part in read(corpus, tmp_path, folds=folds).parts:
        assert not set(part.train) & set(part.test)


def test_folders_of_one_name_and_missing_ones_are_refused(corpus, tmp_path):
    with pytest.raises(UserError, match=r"--tapt\.more .*none: there is no such folder"):
        read(corpus, tmp_path, tapt=TaptConfig(more=(str(tmp_path / "none"),)))
    with pytest.raises(UserError, match=r"--data\.root .*none: there is no such folder"):
        read(tmp_path / "none", tmp_path, tapt=TaptConfig(corpus="unlabelled"))
    twice = (str(corpus / "high"), str(shutil.copytree(corpus / "high", tmp_path / "other" / "high")))
    with pytest.raises(UserError, match=r"--tapt\.more: high/spk0_0 is the name of two clips"):
        read(corpus, tmp_path, tapt=TaptConfig(more=twice))


def test_stores_in_a_row_keep_samples_and_names(corpus, tmp_path):
    store = read(corpus, tmp_path).data.store
    clips = Clips([store, store])
    assert len(clips) == len(clips.names) == len(clips.hashes) == 48
    np.testing.assert_array_equal(clips.lengths, np.tile(store.lengths, 2))
    for i in (0, 23):
        np.testing.assert_array_equal(clips.clip(24 + i), store.clip(i))


def test_training_reads_the_same_clips_and_folds(corpus, tmp_path):
    experiment = small(corpus, tmp_path, seed=7)
    same = as_training(experiment)
    assert (same.data, same.folds, same.seed) == (experiment.data, experiment.folds, 7)
    assert same.run_dir == experiment.run_dir
