"""Features of frames: those of the clip alone, in their places, resumed after a stop."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio.mfcc import frame_mfcc
from serjax.data.batching.frame_batches import labelled_batches, plan
from serjax.data.store.frame_labels import FrameGrid, split_labels, write_labels
from serjax.features.config import ClusterConfig
from serjax.features.encoder_layers import frame_features, layer_features, mfcc_features
from serjax.features.kmeans import assign, fit_minibatch
from serjax.models.encoders.wav2vec2 import FeatureExtractor, SpeechEncoder
from serjax.runtime.errors import UserError

GRID, ONE = FrameGrid(), np.float32(1)


class Clips:
    def __init__(self, lengths):
        self.waves = [np.random.default_rng(n).normal(size=n).astype(np.float32) for n in lengths]
        self.lengths = np.array(lengths)

    def __len__(self):
        return len(self.waves)

    def clip(self, i):
        return self.waves[i]

    @property
    def names(self):
        return [f"clip{i}.wav" for i in range(len(self))]


def squares(weights, wave, length):
    """Two values of each frame, from its samples alone."""
    starts = 320 * jnp.arange((wave.shape[1] - 400) // 320 + 1)
    windows = wave[:, starts[:, None] + jnp.arange(400)]
    return weights * jnp.stack([jnp.mean(windows**2, -1), windows[..., 0]], -1), jnp.maximum(
        (length - 400) // 320 + 1, 0
    )


def expected(wave):
    windows = [wave[i : i + 400] for i in range(0, len(wave) - 399, 320)]
    return np.array([[np.mean(w**2), w[0]] for w in windows], np.float32).reshape(-1, 2)


LENGTHS = [9000, 25_000, 399, 40_000, 12_000, 33_000, 25_000, 400]


def compute(clips, folder, key="k", extract=squares, weights=ONE, **settings):
    settings = {"seconds": 2.0, **settings}
    return frame_features(extract, weights, clips, clips.names, folder / key, grid=GRID, **settings)


@pytest.mark.parametrize("longest", [30.0, 0.5])
def test_every_frame_is_in_its_place(tmp_path, longest):
    clips = Clips(LENGTHS)
    table = compute(clips, tmp_path, longest=longest)
    assert table.lengths.tolist() == [GRID.frames(length) for length in LENGTHS]
    assert table.rows.shape == (table.lengths.sum(), 2)
    for clip, wave in enumerate(clips.waves):
        np.testing.assert_allclose(table[clip], expected(wave), atol=1e-5)


def test_some_clips_alone_can_be_computed(tmp_path):
    clips = Clips(LENGTHS)
    table = compute(clips, tmp_path, only=[4, 1])
    assert np.flatnonzero(table.lengths).tolist() == [1, 4]
    np.testing.assert_allclose(table[4], expected(clips.waves[4]), atol=1e-5)


def test_rows_of_some_clips_are_read_as_they_are_needed(tmp_path):
    clips = Clips(LENGTHS)
    table = compute(clips, tmp_path)
    rows = table.select([4, 0, 2])
    assert rows.shape == (GRID.frames(12_000) + GRID.frames(9000), 2)
    np.testing.assert_array_equal(rows[np.arange(3)], table[4][:3])
    np.testing.assert_array_equal(rows[:], np.concatenate([table[4], table[0]]))
    labels = assign(rows, np.array([table[0][1], table[4][2]]))
    assert (labels[2], labels[len(table[4]) + 1]) == (1, 0)
    assert table.select([]).shape == (0, 2)


@cache
def drawn(config):
    graphdef, state = jax.jit(lambda key: nnx.split(SpeechEncoder(config, rngs=nnx.Rngs(key))))(jax.random.key(0))
    return nnx.merge(graphdef, state)


def test_a_layers_features_are_those_of_the_clip_alone(tmp_path, tiny_encoder):
    encoder, clips = drawn(tiny_encoder), Clips([9000, 17_000])
    whole = jax.jit(lambda wave, length: encoder(wave, length).hidden_states)
    alone = [whole(wave[None], np.array([len(wave)])) for wave in clips.waves]
    for layer in (0, 2):
        extract, weights = layer_features(encoder, layer, normalize=False)
        table = compute(clips, tmp_path, key=f"layer {layer}", extract=extract, weights=weights)
        for clip, states in enumerate(alone):
            np.testing.assert_allclose(table[clip], states[layer][0], atol=2e-5)


def test_there_is_no_layer_beyond_the_last(tiny_encoder):
    encoder = drawn(tiny_encoder)
    for layer in (-1, 3):
        with pytest.raises(UserError, match=f"layer {layer} are asked for; the encoder has layers 0 to 2"):
            layer_features(encoder, layer, normalize=False)


def test_mfcc_are_those_of_the_clip_alone(tmp_path):
    clips = Clips([9000, 12_345])
    extract, weights = mfcc_features()
    table = compute(clips, tmp_path, extract=extract, weights=weights)
    for clip, wave in enumerate(clips.waves):
        alone, _ = jax.jit(frame_mfcc)(wave[None], np.array([len(wave)]))
        np.testing.assert_allclose(table[clip], alone[0], atol=1e-3)


def test_a_call_that_was_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    clips, seen = Clips([500 + 10 * n for n in range(80)]), []

    class Killed(Exception):
        pass

    read = Clips.clip

    def clip(self, i):
        seen.append(i)
        if len(seen) == 70:
            raise Killed
        return read(self, i)

    monkeypatch.setattr(Clips, "clip", clip)
    with pytest.raises(Killed):
        compute(clips, tmp_path)
    assert len(seen) == 70
    table = compute(clips, tmp_path)
    # What was computed but not yet written is computed again: a batch of two clips, and one that was being made.
    assert len(seen) - 70 <= 80 - 70 + 1 + 2 * 2
    for clip, wave in enumerate(clips.waves):
        np.testing.assert_allclose(table[clip], expected(wave), atol=1e-5)
    monkeypatch.setattr(Clips, "clip", None)
    again = compute(clips, tmp_path)
    np.testing.assert_array_equal(again.rows, table.rows)
    assert not list(tmp_path.glob("*.part"))


def test_what_cannot_be_computed_gets_a_sentence(tmp_path):
    clips = Clips([9000, 12_000, 10_000])
    clips.waves[1][5000] = np.nan
    with pytest.raises(UserError, match=r"clip1\.wav: its features hold NaN"):
        compute(clips, tmp_path)
    with pytest.raises(UserError, match="None of 2 clips is as long as one frame of 400 samples"):
        compute(Clips([399, 100]), tmp_path, key="short")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        compute(Clips([9000]), tmp_path / "file")


def test_frame_i_is_about_samples_320_i_to_320_i_and_400(tmp_path, tiny_encoder):
    """Clicks in silence, through the convolutions, k-means, the file of labels and the crops of a batch."""
    rng = np.random.default_rng(0)
    clips = Clips([16_000 + 1111 * i for i in range(6)])
    for i, wave in enumerate(clips.waves):
        wave[:] = 0
        # At the edges of what frames see, and elsewhere.
        for frame in range(3 + i % 3, GRID.frames(len(wave)) - 4, 9):
            wave[320 * frame + rng.choice([0, 79, 80, 200, 319, 399])] = rng.choice([-1, 1])
    extractor = FeatureExtractor(tiny_encoder, rngs=nnx.Rngs(0))
    extractor.conv_layers[0].layer_norm = None  # group norm would spread each click over all frames
    graphdef, state = nnx.split(extractor)

    def loudness(state, wave, length):
        features = nnx.merge(graphdef, state)(wave, length)
        return jnp.log(jnp.mean(features**2, axis=-1, keepdims=True) + 1e-12), length

    table = compute(clips, tmp_path, extract=loudness, weights=state)
    found = fit_minibatch(table.rows, ClusterConfig(clusters=2, batch_size=300, starts=4, patience=10))
    loud = int(found.centroids[:, 0].argmax())
    labels = assign(table.rows, found.centroids)
    written = write_labels(tmp_path / "labels", split_labels(labels, clips.names, table.lengths), 2, GRID)
    written.check(dict(zip(clips.names, clips.lengths.tolist(), strict=True)), GRID)
    shapes = plan(clips.lengths, GRID, seconds=4, shortest=0.5, longest=0.9, shapes=2)
    of = [written.of(name) for name in clips.names]
    checked = 0
    for batch in labelled_batches(clips, of, shapes, GRID, seed=(0,), updates=20):
        starts = 320 * np.arange(batch.label.shape[1])
        heard = np.abs(batch.wave[:, starts[:, None] + np.arange(400)]).max(-1) > 0
        np.testing.assert_array_equal(batch.label == loud, heard)
        checked += heard.sum()
    assert checked > 50
