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
    with pytest.raises(UserError, match=r"highpass: got .* Hz; give 0.1 or more and less than 8000"):
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


CALIBRATION = [(2.0, tuple(np.linspace(0.05, 0.95, 19))), (0.5, (0.1,) * 5 + (0.9,) * 14)]


def test_scores_are_calibrated_unless_raw_ones_are_asked_for(tmp_path):
    write_run(tmp_path / "old")
    write_run(tmp_path / "new", calibration=CALIBRATION)
    old, new, raw = load(tmp_path / "old"), load(tmp_path / "new"), load(tmp_path / "new", raw=True)
    samples = [old.read((noise(length), 16_000)) for length in (8_000, 5_000)]
    np.testing.assert_array_equal(raw.probabilities(samples), old.probabilities(samples))
    logits = old.logits([sample.wave for sample in samples])
    np.testing.assert_array_equal(new.logits([sample.wave for sample in samples]), logits)
    expected = (jax.nn.softmax(logits[:, 0] / 2) + jax.nn.softmax(logits[:, 1] / 0.5)) / 2
    np.testing.assert_allclose(new.probabilities(samples), expected, atol=1e-6)
    only = load(tmp_path / "new", only=["sad", "angry"])
    assert only.labels == ("angry", "sad")
    two = logits[..., [0, 2]]
    expected = (jax.nn.softmax(two[:, 0] / 2) + jax.nn.softmax(two[:, 1] / 0.5)) / 2
    np.testing.assert_allclose(only.probabilities(samples), expected, atol=1e-6)
    assert only.probabilities([]).shape == (0, 2)
    prints = {one.fingerprint() for one in (old, new, only, load(tmp_path / "old", only=["sad", "angry"]))}
    assert len(prints) == 4
    assert raw.fingerprint() == old.fingerprint()
    rows = only.timeline((noise(20_000), 16_000)).rows
    assert all(row.score.shape == (2,) for row in rows)


def test_sets_are_of_the_mean_p_value_of_the_members(tmp_path):
    write_run(tmp_path, calibration=CALIBRATION)
    ensemble = load(tmp_path, weights=[0.7, 0.3])
    samples = [ensemble.read((noise(length), 16_000)) for length in (19_000, 5_000)]
    scores, doubts, sets = ensemble.answers_with_sets(samples, 0.5)
    np.testing.assert_array_equal(scores, ensemble.answers(samples)[0])
    np.testing.assert_array_equal(doubts, ensemble.answers(samples)[1])
    for sample, score, held in zip(samples, scores, sets, strict=True):
        logits = ensemble.logits(ensemble.windows(sample))
        members = np.stack([jax.nn.softmax(logits[:, k] / own[0]).mean(0) for k, own in enumerate(CALIBRATION)])
        value = sum(
            share * np.array([(1 + sum(s >= 1 - p for s in conform)) / 20 for p in row])
            for share, row, (_, conform) in zip([0.7, 0.3], members, CALIBRATION, strict=True)
        )
        expected = value > 0.5
        expected[score.argmax()] = True
        np.testing.assert_array_equal(held, expected)
    with pytest.raises(UserError, match=r"coverage: got 0\.99, but the validation clips are too few"):
        ensemble.answers_with_sets(samples, 0.99)
    assert ensemble.answers_with_sets([], 0.5)[2].shape == (0, 3)
