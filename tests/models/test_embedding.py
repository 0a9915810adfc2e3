"""Embeddings of every family are what its classifier takes: from them it makes the model's logits."""

from dataclasses import replace

import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import ENCODER, SPEECH

from serjax.models.base import EncoderLayout, Resolution
from serjax.models.embedding import embed
from serjax.models.fusion.heads import Present, average
from serjax.models.fusion.model import Fusion
from serjax.models.inputs import Inputs
from serjax.models.published import HeadLayout, PublishedClassifier
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.video import Video
from serjax.video.config import VideoConfig

FACES = VideoConfig(face_features="features.npz")
CNN = Spectrogram(family="audio_cnn")
CASES = {
    "speech": (SPEECH, 16, lambda model: model.head.classifier),
    "statistics": (replace(SPEECH, pooling="stat", weighted_layers=True), 32, lambda model: model.head.classifier),
    "audio_cnn": (CNN, 128, lambda model: model.network.fc2),
    "bilstm": (Functionals(), 256, lambda model: model.network.fc2),
    "video": (Video(video=FACES), 512, lambda model: model.video.fc),
    "concat": (Fusion(audio=CNN, video=FACES, common=4, kind="concat"), 8, lambda model: model.fusion.head),
    "gated": (Fusion(audio=CNN, video=FACES, common=4, kind="gated"), 4, lambda model: model.fusion.classifier),
}


def built(settings):
    settings = settings.resolved(Resolution(0.5, EncoderLayout(ENCODER, normalize=True), 4))
    return noisy(lambda rngs: settings.build(3, rngs=rngs))


def batch():
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, (2, 8_000)).astype(np.float32)
    wave[1, 5_000:] = 0
    return Inputs(
        wave, np.array([8_000, 5_000]), rng.normal(size=(2, 1, 4)).astype(np.float32), np.array([1, 1], np.int32)
    )


@pytest.mark.parametrize("name", CASES)
def test_the_classifier_makes_the_logits_of_it(name):
    settings, width, classifier = CASES[name]
    model = built(settings)
    logits = model(batch())
    embedded = embed(nnx.clone(model), batch())
    assert embedded.shape == (2, width)
    np.testing.assert_allclose(classifier(model)(embedded), logits, atol=1e-5)
    assert np.abs(embedded[0] - embedded[1]).max() > 1e-4


def test_late_fusion_has_both_classifiers_inputs():
    model = built(Fusion(audio=CNN, video=FACES, common=4, kind="late"))
    embedded = embed(model, batch())
    assert embedded.shape == (2, 128 + 512)
    sound, seen = model.audio.classify(embedded[:, :128], None), model.video.fc(embedded[:, 128:])
    both = np.array([True, True])
    np.testing.assert_allclose(average(sound, seen, Present(both, both)), model(batch()), atol=1e-5)


@pytest.mark.parametrize("kind", ["projector", "dense"])
def test_published_classifiers(kind):
    layout = HeadLayout(kind, 3, 12)
    model = noisy(lambda rngs: PublishedClassifier(ENCODER, layout, normalize=True, rngs=rngs))
    embedded = embed(nnx.clone(model), batch())
    np.testing.assert_allclose(model.classifier(embedded), model(batch()), atol=1e-5)


def test_what_is_no_classifier_is_refused():
    with pytest.raises(TypeError, match="Linear is no classifier of serjax"):
        embed(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), batch())
