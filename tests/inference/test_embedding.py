"""Embeddings are what `load_encoder` and `Ensemble.embeddings` give by hand, whatever clips stand side by side."""

import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from saved_runs import FROZEN, SPEECH, write_run

from serjax.checkpoints.huggingface import Pretrained, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.inference.embedding import ClassifierInputs, EncoderLayers, digest, load_embedder
from serjax.inference.encoder import PretrainedEncoder, load_encoder
from serjax.inference.inputs import Sample
from serjax.inference.load import load
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.sew_config import SEWConfig
from serjax.models.video import Video
from serjax.runtime.errors import UserError

LENGTHS = (9_000, 5_123, 400, 20_000)
BY_HAND = {
    "mean": lambda x: x.mean(0),
    "std": lambda x: x.std(0),
    "stat": lambda x: np.concatenate([x.mean(0), x.std(0)]),
    "max": lambda x: x.max(0),
    "none": lambda x: x,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory, tiny_encoder):
    folder = tmp_path_factory.mktemp("encoder")
    save_pretrained(build_encoder(tiny_encoder, rngs=nnx.Rngs(0)), folder, preprocessor=Preprocessor())
    return str(folder)


def samples(lengths=LENGTHS):
    rng = np.random.default_rng(0)
    return [Sample(rng.normal(0.01, 0.1, length).astype(np.float32)) for length in lengths]


def embed(embedder, clips):
    found = dict(embedder.embed(clips))
    return [found[place] for place in range(len(clips))]


@pytest.fixture(scope="module")
def encoder(source):
    return load_encoder(source)


@pytest.mark.parametrize(
    ("pool", "layers"), [("mean", (0,)), ("std", (1,)), ("stat", (2, -2)), ("max", (-1,)), ("none", (0, 1))]
)
def test_a_layer_is_that_of_the_encoder_by_hand(encoder, pool, layers):
    embedder, clips = EncoderLayers(encoder, "x", layers, pool), samples()
    for values, clip in zip(embed(embedder, clips), clips, strict=True):
        states = encoder(clip.wave).hidden_states
        expected = np.concatenate([BY_HAND[pool](np.asarray(states[layer][0])) for layer in layers], -1)
        # The deviation of a single frame is 1e-5 and not 0.
        np.testing.assert_allclose(values, expected, rtol=0, atol=2e-5 if pool in ("std", "stat") else 1e-5)
        assert values.dtype == np.float32
        assert len(embedder.columns(values.shape[-1])) == values.shape[-1]
    assert embedder.settings.layer == tuple(layer % 3 for layer in layers)


@pytest.fixture(scope="module")
def of_a_layer(encoder):
    return EncoderLayers(encoder, "x", (1,), "stat")


@given(st.permutations(range(len(LENGTHS))).flatmap(lambda order: st.integers(1, 4).map(lambda n: order[:n])))
def test_clips_side_by_side_give_what_each_gives_alone(of_a_layer, order):
    clips = samples()
    together = embed(of_a_layer, [clips[place] for place in order])
    alone = [embed(of_a_layer, [clips[place]])[0] for place in order]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_a_long_clip_has_the_mean_of_its_windows(encoder):
    (clip,) = samples([70 * 16_000])
    embedder = EncoderLayers(encoder, "x", (2,), "max")
    waves = embedder.pieces(clip.wave)
    assert [len(wave) for wave in waves] == [480_000] * 3
    np.testing.assert_array_equal(waves[-1], clip.wave[-480_000:])
    own = embed(embedder, [Sample(wave) for wave in waves])
    np.testing.assert_allclose(embed(embedder, [clip])[0], np.mean(own, 0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [480_000, 480_001, 480_100, 480_400, 2 * 479_680 + 80, 70 * 16_000 + 7])
def test_parts_of_a_long_clip_repeat_and_miss_no_frame(encoder, length):
    embedder = EncoderLayers(encoder, "x", (0,), "none")
    grid = embedder._grid
    wave = np.arange(length, dtype=np.float32)
    first = 0
    for part in embedder.pieces(wave):
        assert len(part) <= 480_000 + grid.hop_length
        assert part[0] == grid.hop_length * first
        first += grid.frames(len(part))
    assert first == grid.frames(length)
    assert part[-1] == wave[-1]


def test_parts_of_a_clip_leave_no_frame_over_where_frames_are_squeezed(tiny_encoder):
    fields = {key: value for key, value in vars(tiny_encoder).items() if key != "model_type"}
    squeezed = build_encoder(SEWConfig(**fields, squeeze_factor=2), rngs=nnx.Rngs(0))
    embedder = EncoderLayers(PretrainedEncoder(Pretrained(squeezed, Preprocessor(), ())), "x", (1,), "none")
    parts = [squeezed.config.frames(len(part)) for part in embedder.pieces(np.zeros(70 * 16_000, np.float32))]
    # 30 s have 1,499 frames.
    assert parts == [1_498, 1_498, 503]
    assert sum(parts) == squeezed.config.frames(70 * 16_000)


def test_frames_of_a_long_clip_are_those_of_its_parts(encoder):
    clips = samples([31 * 16_000, 8_000])
    embedder = EncoderLayers(encoder, "x", (1,), "none")
    long, short = embed(embedder, clips)
    by_hand = [np.asarray(encoder(part).hidden_states[1][0]) for part in embedder.pieces(clips[0].wave)]
    assert len(by_hand) == 2
    np.testing.assert_allclose(long, np.concatenate(by_hand), rtol=0, atol=1e-5)
    assert short.shape == (embedder._grid.frames(8_000), 16)


@pytest.mark.parametrize("layer", [3, -4, 99])
def test_a_layer_that_is_not_there_is_answered_with_those_that_are(encoder, layer):
    with pytest.raises(UserError, match=rf"--layer {layer}: .* has layers 0 .* to 2 .*; give one of them, or -3 to -1"):
        EncoderLayers(encoder, "x", (layer,))


def test_another_pooling_is_refused(encoder):
    with pytest.raises(UserError, match="--pool: got 'median'; give mean, std"):
        EncoderLayers(encoder, "x", (0,), "median")


def test_defaults_are_the_last_layer_and_the_mean(source):
    assert load_embedder(source).settings[2:] == ((2,), "mean")


@pytest.mark.parametrize("model", [SPEECH, Video()], ids=lambda model: type(model).__name__)
def test_a_run_gives_what_its_classifiers_take(tmp_path, model):
    write_run(tmp_path, model)
    embedder, ensemble = load_embedder(str(tmp_path)), load(tmp_path)
    assert isinstance(embedder, ClassifierInputs)
    assert embedder.settings[2:] == ("head", None)
    if isinstance(model, Video):
        clips = [Sample(np.zeros(0, np.float32), np.zeros(ensemble._models.video.shape, np.uint8))]
    else:
        clips = samples([9_000, 20_000])
        np.testing.assert_allclose(
            embed(embedder, clips),
            [ensemble.embeddings((clip.wave, 16_000)).reshape(-1) for clip in clips],
            rtol=0,
            atol=1e-5,
        )
    (values, *_) = embed(embedder, clips)
    names = embedder.columns(len(values))
    assert len(set(names)) == len(values)
    assert (names[0], names[-1]) == ("fold1_f0", f"fold2_f{len(values) // 2 - 1}")


def test_layers_of_a_run_are_those_of_its_frozen_encoder(tmp_path):
    write_run(tmp_path, FROZEN)
    clips = samples([9_000])
    by_hand = np.asarray(load_encoder(tmp_path)(clips[0].wave).hidden_states[1][0]).mean(0)
    np.testing.assert_allclose(embed(load_embedder(str(tmp_path), (1,)), clips)[0], by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (SPEECH, ((0,),), "it has an encoder a fold; name one, such as .*fold_1"),
        (Video(), ((0,),), r"its model, .*, is no speech encoder whose layers could be named; leave --layer out"),
        (SPEECH, (None, "mean"), "--pool mean: vectors that a classifier takes are pooled already"),
    ],
)
def test_what_a_run_cannot_give_is_refused(tmp_path, model, options, message):
    write_run(tmp_path, model)
    with pytest.raises(UserError, match=message):
        load_embedder(str(tmp_path), *options)


def test_weights_that_are_damaged_are_told(source):
    encoder = load_encoder(source)
    kernel = encoder.module.feature_projection.projection.kernel
    kernel.set_value(kernel[...] * np.nan)
    with pytest.raises(UserError, match="an embedding holds NaN or infinity: the weights are damaged"):
        embed(EncoderLayers(encoder, source, (1,)), samples([9_000]))


def test_settings_know_encoder_layer_and_pooling(source):
    keys = {load_embedder(source, *given).settings.key for given in [((1,),), ((2,),), ((1, 2),), ((1,), "max")]}
    assert len(keys) == 4
    assert load_embedder(source, (-2,)).settings.key in keys
    encoder = load_encoder(source)
    bias = encoder.module.feature_projection.projection.bias
    bias.set_value(bias[...] + 1)
    assert EncoderLayers(encoder, source, (1,)).settings.key not in keys


def test_a_digest_is_of_the_samples_and_of_the_video():
    (one, other) = samples([9_000, 9_000])
    filmed = [one._replace(frames=np.full((2, 4, 4, 3), value, np.uint8)) for value in (0, 1)]
    assert len({digest(clip) for clip in (one, other, *filmed)}) == 4
    assert digest(one) == digest(Sample(one.wave.copy()))
