"""Encoders and branches to start from: presets, checkpoints, finished runs, and runs that have heard what is tested."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import CUT, ENCODER, FROZEN, LABELS, write_run

from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import WarmStart
from serjax.data.dataset import Data
from serjax.data.utterance import Utterance
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.functional import abstract
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.video import Video
from serjax.runs.starts import PRETRAINED, Encoders, encoder_start, find_encoder, find_encoders, read_starts, stacked
from serjax.runtime.errors import UserError
from serjax.training.trials import Trial
from serjax.video.config import VideoConfig

FACES = VideoConfig(face_features="features.npz", num_face_features=4)
CLIPS = ("a", "b", "c", "d")
PARTS = {"a": "test train", "b": "train test", "c": "validation train", "d": "train validation"}


def write_encoder(folder, seed=0, config=ENCODER):
    encoder = noisy(lambda rngs: build_encoder(config, rngs=rngs), seed)
    save_pretrained(encoder, folder, preprocessor=Preprocessor())
    return encoder


def write_folds(folder):
    folder.mkdir(parents=True, exist_ok=True)
    folds = {"kind": "files", "seed": 0, "validation": "train", "folds": [{"number": 1}, {"number": 2}], "clips": PARTS}
    (folder / "folds.json").write_text(json.dumps(folds))


@pytest.fixture
def pretraining(tmp_path):
    """A finished pretraining with an encoder a fold."""
    folder = tmp_path / "pretraining"
    write_folds(folder)
    (folder / "experiment.json").write_text("{}")
    for fold in (1, 2):
        write_encoder(folder / f"fold_{fold}" / "encoder", fold)
    (folder / PRETRAINED).write_text(json.dumps({"corpus": "train", "folds": [1, 2]}))
    return folder


def test_size_is_a_preset_of_random_weights():
    found = find_encoder("wavlm", "tiny", "ignored")
    assert found.config == preset("wavlm", "tiny")
    assert (found.pretrained, found.encoders) == (None, None)
    assert found.notes == ("wavlm of size tiny starts from random weights.",)


def test_checkpoint_serves_all_folds_and_another_family_is_said(tmp_path):
    encoder = write_encoder(tmp_path / "published")
    found = find_encoder("hubert", None, str(tmp_path / "published"))
    assert found.encoders.shared
    assert found.config == encoder.config
    assert found.notes[0].startswith("wav2vec2 starts from")
    assert found.notes[0].endswith("; its own family counts, not model.family hubert.")
    assert found.layout.normalize
    for (_, one), (_, other) in zip(
        nnx.to_flat_state(nnx.state(found.pretrained, nnx.Param)),
        nnx.to_flat_state(nnx.state(encoder, nnx.Param)),
        strict=True,
    ):
        assert one.shape == other.shape


def test_neither_size_nor_checkpoint_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"--model\.checkpoint and --model.size are both missing"):
        find_encoder("hubert", None, None)
    with pytest.raises(UserError, match="missing"):
        find_encoder("hubert", None, str(tmp_path / "missing"))


def test_pretraining_has_an_encoder_a_fold(pretraining):
    found = find_encoders(str(pretraining))
    assert not found.shared
    assert found.folders == {fold: str(pretraining / f"fold_{fold}" / "encoder") for fold in (1, 2)}
    assert found.parts["c"] == {1: "validation", 2: "train"}
    assert found.warning is None
    start = find_encoder("hubert", None, str(pretraining))
    assert start.pretrained is None
    assert start.notes[0].endswith(", each fold from its own encoder; its own family counts, not model.family hubert.")


def test_encoder_that_heard_all_clips_has_a_warning(pretraining):
    (pretraining / PRETRAINED).write_text(json.dumps({"corpus": "all", "folds": []}))
    write_encoder(pretraining / "encoder")
    found = find_encoders(str(pretraining))
    assert found.shared
    assert found.warning == (
        f"The encoder of {pretraining} was pretrained on all clips, tested ones too, without their labels."
    )


def test_alignment_names_the_step_whose_encoders_count(pretraining, tmp_path):
    align = tmp_path / "align"
    align.mkdir()
    (align / "experiment.json").write_text("{}")
    (align / PRETRAINED).write_text(json.dumps({"step": "3_cpt"}))
    pretraining.rename(align / "3_cpt")
    found = find_encoders(str(align))
    assert found.source == str(align)
    assert found.folders[2] == str(align / "3_cpt" / "fold_2" / "encoder")


@pytest.mark.parametrize(("model", "shared"), [(CUT, False), (FROZEN, True)])
def test_run_has_an_encoder_a_fold_or_one_that_was_frozen(tmp_path, model, shared):
    write_run(tmp_path, model)
    write_folds(tmp_path)
    note = "The encoder of x was pretrained on all clips, tested ones too, without their labels."
    (tmp_path / "report.json").write_text(json.dumps({"facts": {"leakage_notes": ["other", note]}}))
    found = find_encoders(str(tmp_path))
    assert found.shared == shared
    assert found.warning == note
    assert found.of(2).encoder.config.hidden_size == ENCODER.hidden_size


def test_unfinished_run_is_refused(tmp_path):
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(UserError, match="the run is not finished; run its command again"):
        find_encoders(str(tmp_path))


@pytest.mark.parametrize(
    ("fold", "tested", "message"),
    [
        (3, ["a"], "it has no fold 3; train it with the same folds"),
        (1, ["new"], "it does not know the clips new"),
        (1, ["a", "b"], "its fold 1 has learned from b, which fold 1 tests here"),
        (2, ["b", "d"], "its fold 2 has learned from d"),
    ],
)
def test_encoder_that_has_learned_from_tested_clips_is_refused(pretraining, fold, tested, message):
    with pytest.raises(UserError, match=message):
        find_encoders(str(pretraining)).check(fold, tested)


def test_encoder_that_has_not_learned_from_tested_clips_passes(pretraining):
    find_encoders(str(pretraining)).check(1, ["a"])
    Encoders("x", {0: "x"}, {}).check(5, ["whatever"])


def data(labels=LABELS):
    clips = [Utterance(name, None, labels[0]) for name in CLIPS]
    store = type("Store", (), {"utterances": clips})()
    return Data("x", store, tuple(labels), np.zeros(4, int), (), (), ())


def trials(*tested):
    return [Trial(fold, 0, 1e-3, (2, 3), (), test) for fold, test in enumerate(tested, 1)]


def test_encoders_of_folds_are_stacked_in_the_order_of_trials(pretraining):
    start = encoder_start(find_encoders(str(pretraining)))
    model = abstract(lambda rngs: nnx.Dict(speech_encoder=build_encoder(ENCODER, rngs=rngs)))
    swapped = [trials((0,), (1,))[number] for number in (1, 0, 1)]
    leaves = dict(nnx.to_flat_state(stacked((start,), data(), swapped, model)))
    for path, leaf in leaves.items():
        rows = start.leaves[path][...]
        np.testing.assert_array_equal(leaf[...], rows[np.array([1, 0, 1])])
    assert stacked((), data(), swapped, model) is None


def test_encoder_of_another_size_is_refused(pretraining):
    start = encoder_start(find_encoders(str(pretraining)))
    other = replace(ENCODER, intermediate_size=24)
    model = abstract(lambda rngs: nnx.Dict(speech_encoder=build_encoder(other, rngs=rngs)))
    with pytest.raises(UserError, match="does not fit; give a run of this size"):
        stacked((start,), data(), trials((0,), (1,)), model)
    with pytest.raises(UserError, match="its fold 1 has learned from b"):
        stacked((start,), data(), trials((1,), (1,)), model)


CNN = Spectrogram(family="audio_cnn")
FUSION = Fusion(audio=CNN, video=FACES)


def test_branches_of_a_fusion_are_stacked_by_fold(tmp_path):
    sound, _ = write_run(tmp_path / "sound", CNN)
    write_folds(tmp_path / "sound")
    (start,) = read_starts(WarmStart(audio=str(tmp_path / "sound")), FUSION)
    assert (start.branch, start.labels, start.folds) == ("audio", LABELS, (1, 2))
    assert start.name == f"--warm-start.audio {tmp_path / 'sound'}"
    for row, member in enumerate(sound.values()):
        for path, leaf in nnx.to_flat_state(nnx.state(member, (nnx.Param, nnx.BatchStat))):
            np.testing.assert_array_equal(start.leaves["audio", *path][...][row], leaf[...], err_msg=str(path))


def test_run_of_another_network_or_other_labels_is_refused(tmp_path):
    write_run(tmp_path / "bilstm", Functionals())
    write_folds(tmp_path / "bilstm")
    with pytest.raises(UserError, match="it is a run of bilstm, but this fusion has audio_cnn; give such a run"):
        read_starts(WarmStart(audio=str(tmp_path / "bilstm")), FUSION)
    write_run(tmp_path / "video", Video(video=FACES))
    write_folds(tmp_path / "video")
    (start,) = read_starts(WarmStart(video=str(tmp_path / "video")), FUSION)
    with pytest.raises(UserError, match="its labels are angry, happy, sad, here they are x, y"):
        stacked((start,), data(("x", "y")), trials((0,), (1,)), nnx.Dict())


def test_one_fold_of_a_run_is_told_from_a_checkpoint(tmp_path, pretraining):
    run = tmp_path / "run"
    write_encoder(run / "seed_1" / "fold_1")
    assert find_encoders(str(run / "seed_1" / "fold_1")).warning is None
    (run / "experiment.json").write_text("{}")
    found = find_encoders(str(run / "seed_1" / "fold_1"))
    assert found.shared
    assert found.warning.endswith(
        "was trained on clips with their labels, which may be tested here: such scores are too high."
    )
    assert "was pretrained on clips" in find_encoders(str(pretraining / "fold_1" / "encoder")).warning


@pytest.mark.parametrize(("model", "told"), [(CUT, True), (FROZEN, False)])
def test_a_fold_is_known_behind_a_link_deep_below_its_run_and_as_a_copy(tmp_path, model, told):
    write_run(tmp_path / "run", model)
    (tmp_path / "run" / "report.json").write_text('{"facts": {"leakage_notes": []}}')
    fold, link = tmp_path / "run" / "fold_1", tmp_path / "link"
    deep, copy = tmp_path / "run" / "a" / "b" / "c" / "d", tmp_path / "copy"
    shutil.copytree(fold, deep)
    shutil.copytree(fold, copy)
    link.symlink_to(fold)
    for folder in (fold, deep, copy, link):
        assert (find_encoders(str(folder)).warning is not None) == told, folder
