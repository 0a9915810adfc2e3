"""Ensembles: how clips are put into batches, what is heard of them, and what is said of them."""

import warnings

import jax
import numpy as np
import pytest
from saved_runs import FROZEN, SPEECH, write_run

from serjax.audio.highpass import highpass
from serjax.inference.load import load
from serjax.models.spectrogram import Functionals
from serjax.runtime.errors import UserError


def noise(samples=12_000):
    return np.random.default_rng(0).normal(0, 0.05, samples).astype(np.float32)


def test_a_run_hears_the_first_seconds_that_it_was_trained_on(tmp_path):
    write_run(tmp_path, max_seconds=0.5)
    ensemble, wave = load(tmp_path), noise()
    np.testing.assert_array_equal(ensemble.heard(ensemble.read((wave, 16_000))), wave[:8_000])
    assert len(ensemble.heard(ensemble.read((wave[:5_000], 16_000)))) == 5_000


def test_clips_are_filtered_as_in_training_or_as_asked_for(tmp_path):
    write_run(tmp_path / "plain")
    write_run(tmp_path / "filtered", highpass=20.0)
    wave = noise() + np.float32(0.1)
    for ensemble in (load(tmp_path / "filtered"), load(tmp_path / "plain", highpass=20.0)):
        np.testing.assert_array_equal(ensemble.read((wave, 16_000)).wave, highpass(wave, 20.0))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shifted, plain = ensemble([(wave, 16_000), (wave - np.float32(0.1), 16_000)])
        assert [one["score"] for one in shifted] == pytest.approx([one["score"] for one in plain], abs=1e-4)
    with pytest.warns(UserWarning, match="1 of the clips have a DC offset above 20% of their RMS.*highpass=20"):
        load(tmp_path / "plain")([(wave, 16_000), (noise(), 16_000)])
    assert load(tmp_path / "plain").fingerprint() != load(tmp_path / "plain", highpass=20.0).fingerprint()


@pytest.mark.parametrize("cutoff", [0, -20, 8_000, float("nan")])
def test_a_cutoff_that_cannot_be_is_refused(tmp_path, cutoff):
    with pytest.raises(UserError, match=r"highpass: got .* Hz; give more than 0 and less than 8000"):
        load(tmp_path, highpass=cutoff)


MODELS = {"speech": SPEECH, "frozen": FROZEN, "functionals": Functionals()}


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_of_a_run_are_the_inputs_of_its_classifiers(tmp_path, name):
    members, _ = write_run(tmp_path, MODELS[name], max_seconds=0.6)
    ensemble, clips = load(tmp_path), [(noise(length), 16_000) for length in (9_600, 3_000, 9_000)]
    found = ensemble.embeddings(clips)
    assert found.shape[:2] == (3, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(ensemble.embeddings(clips[1]), found[1], rtol=1e-4, atol=1e-4)
    weights = {fold: [float(fold == other) for other in members] for fold in members}
    for place, (fold, member) in enumerate(members.items()):
        classifier = member.network.fc2 if name == "functionals" else member.head.classifier
        scores = jax.nn.softmax(classifier(found[:, place]))
        for row, answer in zip(scores, load(tmp_path, weights[fold])(clips), strict=True):
            given = {entry["label"]: entry["score"] for entry in answer}
            np.testing.assert_allclose(row, [given[label] for label in ensemble.labels], atol=1e-4)
    with pytest.raises(UserError, match="there are no clips"):
        ensemble.embeddings([])


def test_scores_of_a_long_clip_are_the_mean_over_windows_that_cover_it(tmp_path):
    write_run(tmp_path, max_seconds=0.5)
    ensemble, wave = load(tmp_path), noise(19_000)
    sample = ensemble.read((wave, 16_000))
    windows = ensemble.windows(sample)
    assert [len(one) for one in windows] == [8_000] * 3
    np.testing.assert_array_equal(windows[0], wave[:8_000])
    np.testing.assert_array_equal(windows[1], wave[5_500:13_500])
    np.testing.assert_array_equal(windows[2], wave[11_000:])
    each, doubts = ensemble.answers([ensemble.read((one, 16_000)) for one in windows])
    scores, doubt = ensemble.answers([ensemble.read((noise(7_000), 16_000)), sample])
    np.testing.assert_allclose(scores[1], each.mean(0), atol=1e-6)
    np.testing.assert_allclose(doubt[1], doubts.mean(), atol=1e-6)
    head = load(tmp_path, long_clips="head")
    np.testing.assert_allclose(head.probabilities([sample]), each[:1], atol=1e-6)
    assert head.fingerprint() != ensemble.fingerprint()
    mean = np.mean([ensemble.embeddings((one, 16_000)) for one in windows], 0)
    np.testing.assert_allclose(ensemble.embeddings((wave, 16_000)), mean, atol=1e-5)
    with pytest.raises(UserError, match="long_clips: got 'all'; give windows, head, whole"):
        load(tmp_path, long_clips="all")
