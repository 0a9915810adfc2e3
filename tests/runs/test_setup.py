"""Setup of a training: plans of models, default rates, and clips and encoders that do not fit."""

import numpy as np
import pytest
import soundfile
from flax import nnx
from noise import noisy
from saved_runs import ENCODER

from serjax.audio.config import AugmentConfig
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.data.folds.fold import Fold
from serjax.data.utterance import Utterance
from serjax.models.encoders.build import build_encoder
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runs import setup
from serjax.runs.setup import check_lengths, experiment_trials, make_plan
from serjax.runs.starts import Encoders, find_encoder
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig
from serjax.video.config import VideoConfig


@pytest.fixture
def checkpoint(tmp_path):
    """A published encoder."""
    encoder = noisy(lambda rngs: build_encoder(ENCODER, rngs=rngs))
    save_pretrained(encoder, tmp_path / "published", preprocessor=Preprocessor())
    return str(tmp_path / "published")


def experiment(model, **changes):
    return Experiment("x", data=DataConfig(max_seconds=0.5), model=model, **changes)


def test_plan_of_random_weights_says_so():
    plan = make_plan(experiment(Functionals()))
    assert plan.notes == ("bilstm starts from random weights.",)
    assert (plan.given, plan.encoder, plan.starts, plan.warnings) == ({}, None, (), ())


def test_plan_of_a_checkpoint_holds_its_weights_and_layout(checkpoint):
    plan = make_plan(experiment(Speech(checkpoint=checkpoint)))
    assert plan.model.encoder.config == ENCODER
    assert plan.model.encoder.normalize
    expected = nnx.state(noisy(lambda rngs: build_encoder(ENCODER, rngs=rngs)), nnx.Param)
    assert len(plan.given) == len(nnx.to_flat_state(expected))
    assert all(name.startswith("speech_encoder.") for name in plan.given)
    assert "starts from" in plan.notes[0]


def test_plan_of_a_second_stage_reads_the_encoder_once(checkpoint, monkeypatch):
    whole = experiment(Speech(checkpoint=checkpoint))
    first = make_plan(whole)
    monkeypatch.setattr("serjax.runs.setup.find_encoder", lambda *_: pytest.fail("read again"))
    assert make_plan(whole, first).encoder is first.encoder


def test_length_of_face_features_is_read_from_their_archive(tmp_path):
    np.savez(tmp_path / "features.npz", ids=np.array(["a"]), au=np.zeros((1, 7)))
    plan = make_plan(experiment(Video(video=VideoConfig(face_features=str(tmp_path / "features.npz")))))
    assert plan.model.video.num_face_features == 7


def test_recordings_of_noise_are_part_of_the_plan_unless_the_model_takes_no_sound(tmp_path):
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 800), 16_000)
    augment = AugmentConfig(noise=str(tmp_path), noise_p=0.5)
    plan = make_plan(experiment(Spectrogram(family="audio_cnn"), augment=augment))
    assert plan.augmentation.recordings == {"noise": (1, 800)}
    assert set(plan.given) == {"banks.noise.wave", "banks.noise.length"}
    assert make_plan(experiment(Video(), augment=augment)).augmentation.recordings == {}


FOLDS = (Fold(1, (0,), (1,), (2,)), Fold(2, (2,), (0,), (1,)))


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        (Speech(checkpoint="x"), 5e-5),
        (Speech(size="tiny"), 1e-3),
        (Speech(checkpoint="x", freeze="encoder"), 1e-3),
        (Functionals(), 1e-3),
    ],
)
def test_default_rate_is_low_for_pretrained_encoders_that_are_trained(model, rate):
    assert {trial.peak for trial in experiment_trials(experiment(model), FOLDS)} == {rate}
    chosen = experiment(model, train=TrainConfig(learning_rates=(0.1, 0.2)))
    assert [(trial.peak, trial.fold) for trial in experiment_trials(chosen, FOLDS)] == [
        (0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]  # fmt: skip


def test_crops_and_clips_shorter_than_a_frame_are_refused():
    clips = [Utterance(f"clip{i}", None, "sad") for i in range(2)]
    store = type("Store", (), {"utterances": clips, "lengths": np.array([300, 9_000])})()
    data = type("Data", (), {"store": store})()
    with pytest.raises(UserError, match=r"1 clips are shorter than this model's first frame of 400 .*\(clip0\)"):
        check_lengths(experiment(Functionals()), data, 400)
    with pytest.raises(UserError, match=r"--data\.max-seconds 0\.5: the model's first frame takes 1 s; give more"):
        check_lengths(experiment(Functionals()), data, 16_000)
    check_lengths(experiment(Functionals()), data, 300)


def test_run_with_an_encoder_a_fold_is_refused_where_one_must_serve_all(checkpoint, monkeypatch):
    start = find_encoder("wav2vec2", None, checkpoint)._replace(encoders=Encoders("run", {1: "run/1", 2: "run/2"}, {}))
    monkeypatch.setattr(setup, "find_encoder", lambda *_: start)
    with pytest.raises(UserError, match="each fold has an encoder of its own there, but a frozen encoder"):
        make_plan(experiment(Speech(checkpoint="run", freeze="encoder")))
    with pytest.raises(UserError, match="it is a run; give one encoder, or --warm-start"):
        make_plan(experiment(Fusion(audio=Speech(family="wavlm", checkpoint="run"))))
