"""Sound and video through their encoders: padding, neighbours, missing modalities, frozen parts, and names."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from serjax.audio.config import AugmentConfig
from serjax.models.base import Augmentation, EncoderLayout, Resolution
from serjax.models.classifiers.video import VideoNet
from serjax.models.fusion.config import Fusion
from serjax.models.inputs import Inputs
from serjax.models.layers.batch_norm import BatchNorm
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.training.classification import Classification, LabelledInputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.update import TrialConstants, init_state, update
from serjax.video.config import VideoAugment, VideoConfig

KEY = jax.random.key(0)
CNN, WAVLM = Spectrogram(family="audio_cnn"), Speech(family="wavlm")
SIZE, WIDTH, FRAMES = 8, 8000, 3
PLAIN = {"dropout": 0.0, "attention_dropout": 0.0, "stochastic_depth": 0.0, "modality_dropout": 0.0, "d_model": 12}
FORMS = {
    "late": Fusion(kind="late", audio=CNN),
    "gated": Fusion(kind="gated", audio=CNN),
    "xattn": Fusion(kind="xattn", audio=CNN, head="gated"),
    "xattn conv": Fusion(kind="xattn", audio=CNN, audio_path="conv"),
    "late wavlm": Fusion(kind="late", audio=WAVLM),
    "concat wavlm": Fusion(kind="concat", audio=WAVLM),
    "xattn wavlm": Fusion(kind="xattn", audio=WAVLM),
    "xattn conv wavlm": Fusion(kind="xattn", audio=WAVLM, audio_path="conv", head="gated"),
}
FORMS = {name: replace(config, **PLAIN) for name, config in FORMS.items()}
PARTS = 4
"""Arrays of `Inputs` that clips are given by here: waves, lengths, frames, and numbers of frames."""


class Pictures(nnx.Module):
    """Stands for the ResNet, which compiles slowly: a stem and one stage, each with a norm."""

    def __init__(self, rngs):
        self.conv1, self.bn1 = nnx.Conv(3, 4, 1, rngs=rngs), BatchNorm(4, rngs=rngs)
        self.layer4 = nnx.List([nnx.Linear(4, 512, rngs=rngs), BatchNorm(512, rngs=rngs)])

    def __call__(self, image, real=None, trained=None):
        mask = None if real is None else real[:, None, None]
        x = jnp.tanh(self.bn1(self.conv1(image), mask if trained is None else None))
        x = x if trained is None else lax.stop_gradient(x)
        linear, norm = self.layer4
        x = jnp.mean(norm(linear(x * jnp.arange(SIZE)[:, None] / SIZE), None if trained == 0 else mask), axis=(1, 2))
        return lax.stop_gradient(x) if trained == 0 else x


@pytest.fixture(scope="module")
def forms(wavlm_config):
    """Settings of small models, by name."""
    still = replace(wavlm_config, mask_time_prob=0.0, hidden_dropout=0.0, activation_dropout=0.0)
    layout = EncoderLayout(replace(still, attention_dropout=0.0, feat_proj_dropout=0.0))
    return {name: config.resolved(Resolution(0.5, layout)) for name, config in FORMS.items()}


@pytest.fixture(scope="module")
def build():
    """Makes small models."""

    @cache
    def make(config, augmentation=None):
        given = None if augmentation is None else Augmentation(augmentation)
        model = config.build(3, augmentation=given, rngs=nnx.Rngs(0))
        model.video.resnet = Pictures(nnx.Rngs(1))
        return nnx.split(model, nnx.Param, nnx.BatchStat, ...)

    return make


def clips(batch, seed=0):
    noise = np.random.default_rng(seed)
    wave = jnp.asarray(noise.normal(0, 0.1, (batch, WIDTH)), jnp.float32)
    return wave, jnp.asarray(noise.integers(0, 256, (batch, FRAMES, SIZE, SIZE, 3)), jnp.uint8)


def cut(wave, lengths):
    return jnp.where(jnp.arange(wave.shape[1]) < lengths[:, None], wave, 0)


@partial(jax.jit, static_argnums=0)
def answer(graphdef, state, *given, **names):
    return nnx.merge(graphdef, *state, copy=True).fuse(Inputs(*given[:PARTS]), *given[PARTS:], **names)


LENGTHS, COUNTS = [8000, 4100, 8000, 0], [3, 2, 0, 3]


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=pytest.mark.slow) if "wavlm" in form else form for form in FORMS]
)
def test_padding_and_neighbours_change_nothing(build, forms, form):
    graphdef, *state = build(forms[form])
    (wave, video), lengths, counts = clips(4), jnp.array(LENGTHS), jnp.array(COUNTS)
    wave = cut(wave, lengths)
    together = answer(graphdef, state, wave, lengths, video, counts)
    assert jnp.isfinite(together.logits).all()
    assert jnp.abs(together.logits[0] - together.logits[1]).max() > 1e-4
    # Twice as wide, other frames behind the clip's own, other neighbours.
    spoilt = video.at[1, 2:].set(7).at[2].set(77)
    other = answer(graphdef, state, wave[::-1], lengths[::-1], spoilt[::-1], counts[::-1])
    np.testing.assert_allclose(other.logits[::-1], together.logits, rtol=0, atol=3e-5)
    wide, long = jnp.pad(wave[1:2], ((0, 0), (0, 900))), jnp.pad(video[1:2], ((0, 0), (0, 1), *[(0, 0)] * 3))
    alone = answer(graphdef, state, wide, lengths[1:2], long, counts[1:2])
    np.testing.assert_allclose(alone.logits[0], together.logits[1], rtol=0, atol=3e-5)
    short = answer(graphdef, state, wave[1:2, :4100], lengths[1:2], video[1:2, :2], counts[1:2])
    np.testing.assert_allclose(short.logits[0], together.logits[1], rtol=0, atol=3e-5)


@pytest.mark.slow
def test_the_real_resnet_in_one_piece(forms):
    model = forms["xattn"].build(3, rngs=nnx.Rngs(0))
    wave, lengths, _, counts = batch()
    video = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, FRAMES, 112, 112, 3)), jnp.uint8)
    together = jax.jit(model)(Inputs(wave, lengths, video, counts))
    spoilt = video.at[1, 2:].set(9)
    np.testing.assert_allclose(jax.jit(model)(Inputs(wave, lengths, spoilt, counts)), together, rtol=0, atol=1e-4)
    alone = jax.jit(model)(Inputs(wave[1:2, :4100], lengths[1:2], video[1:2, :2], counts[1:2]))
    np.testing.assert_allclose(alone[0], together[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_modality_is_as_if_it_had_never_been(build, forms, form):
    graphdef, *state = build(forms[form])
    (wave, video), lengths, counts = clips(2), jnp.full(2, 8000), jnp.full(2, 3)
    both = answer(graphdef, state, wave, lengths, video, counts).logits
    no, yes = jnp.zeros(2, bool), jnp.ones(2, bool)
    deaf = answer(graphdef, state, wave, lengths, video, counts, has_audio=no, has_video=yes).logits
    blind = answer(graphdef, state, wave, lengths, video, counts, has_audio=yes, has_video=no).logits
    empty = answer(graphdef, state, 0 * wave, 0 * lengths, video, counts).logits
    dark = answer(graphdef, state, wave, lengths, 0 * video, 0 * counts).logits
    np.testing.assert_allclose(deaf, empty, rtol=0, atol=1e-6)
    np.testing.assert_allclose(blind, dark, rtol=0, atol=1e-6)
    for one, two in ((deaf, blind), (deaf, both), (blind, both)):
        assert np.abs(one - two).max() > 1e-4


@pytest.mark.slow
def test_late_answers_with_the_branch_that_is_there(build, forms):
    for form in ("late", "late wavlm"):
        model = nnx.merge(*build(forms[form]), copy=True)
        (wave, video), lengths, counts = clips(2), jnp.array([8000, 4100]), jnp.array([3, 2])
        wave = cut(wave, lengths)
        no = jnp.zeros(2, bool)
        heard = jax.nn.log_softmax(model.audio(Inputs(wave, lengths)))
        seen = jax.nn.log_softmax(model.video(video, counts))
        np.testing.assert_allclose(
            model.fuse(Inputs(wave, lengths, video, counts), has_video=no).logits, heard, atol=1e-5
        )
        np.testing.assert_allclose(
            model.fuse(Inputs(wave, lengths, video, counts), has_audio=no).logits, seen, atol=1e-5
        )
        both = model(Inputs(wave, lengths, video, counts))
        np.testing.assert_allclose(jnp.exp(both), (jnp.exp(heard) + jnp.exp(seen)) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "stretches", "step"),
    [
        ("xattn", 12, 0.04),
        ("xattn conv", 51, 0.01),
        ("xattn wavlm", 399, 20 / 16000),
        ("xattn conv wavlm", 399, 20 / 16000),
    ],
)
def test_attention_covers_the_sound(build, forms, form, stretches, step):
    graphdef, *state = build(forms[form])
    wave, video = clips(1)
    found = answer(graphdef, state, wave, jnp.array([8000]), video, jnp.array([3])).attention
    assert found.video_to_audio.shape == (1, 4, 3, stretches)
    assert found.audio_to_video.shape == (1, 4, stretches, 3)
    model = nnx.merge(graphdef, *state, copy=True)
    assert model.seconds_per_frame == pytest.approx(step)
    # The last stretch lies within the clip, and one more would not.
    assert found.audio_frames[0] * step == pytest.approx(0.5, abs=1.5 * step)


@partial(jax.jit, static_argnums=0)
def train(graphdef, state, *given):
    """Return gradients, and logits with the new statistics."""

    def loss(params):
        model = nnx.merge(graphdef, params, *state[1:], copy=True)
        y = model(Inputs(*given[:PARTS]), *given[PARTS:])
        return jnp.sum(jnp.sin(y) * (given[-1] > 0)[:, None]), (y, nnx.state(model, nnx.BatchStat))

    return jax.grad(loss, has_aux=True)(state[0])


def batch():
    (wave, video), lengths, counts = clips(3), jnp.array([8000, 4100, 8000]), jnp.array([3, 2, 3])
    return cut(wave, lengths), lengths, video, counts


@pytest.mark.parametrize("form", ["late", "gated", "xattn", pytest.param("xattn conv wavlm", marks=pytest.mark.slow)])
def test_gradients_reach_all_that_is_used_and_rows_without_weight_count_for_nothing(build, forms, is_unused, form):
    config, (graphdef, *state) = forms[form], build(forms[form])
    wave, lengths, video, counts = batch()
    weight = jnp.array([1.0, 1.0, 0.0])
    gradient, (_, stats) = train(graphdef, state, wave, lengths, video, counts, KEY, weight)
    for path, leaf in nnx.to_flat_state(gradient):
        assert jnp.isfinite(leaf[...]).all(), path
        # A key's bias adds the same to all scores of a row; WavLM's masks are off.
        known = "k_proj" in path or "masked_spec_embed" in path
        assert np.any(leaf[...]) != is_unused(path, config) or known, path
    spoilt = wave.at[2].multiply(-2.0), lengths, video.at[2].set(9), counts
    again, (_, after) = train(graphdef, state, *spoilt, KEY, weight)
    for got, want in zip(jax.tree.leaves((again, after)), jax.tree.leaves((gradient, stats)), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("form", ["late", "gated", "xattn"])
def test_what_is_frozen_gets_no_gradient_and_its_statistics_do_not_move(build, forms, form):
    config = forms[form].heads_only()
    graphdef, *state = build(config)
    gradient, (_, stats) = train(graphdef, state, *batch(), KEY, jnp.ones(3))
    for path, leaf in nnx.to_flat_state(gradient):
        assert not (np.any(leaf[...]) and not config.trainable(path)), path
    for got, want in zip(jax.tree.leaves(stats), jax.tree.leaves(state[1]), strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_is_not_frozen_moves(build, forms):
    config = replace(forms["gated"], video_blocks=1)
    graphdef, *state = build(config)
    _, (_, stats) = train(graphdef, state, *batch(), KEY, jnp.ones(3))
    for (path, new), (_, old) in zip(nnx.to_flat_state(stats), nnx.to_flat_state(state[1]), strict=True):
        moves = (path[0] == "video" and path[2] == "layer4") or path[:2] == ("audio", "network")
        assert np.array_equal(new[...], old[...]) != moves, path


def test_frozen_wavlm_answers_in_training_as_in_evaluation(build, forms):
    config = forms["concat wavlm"].heads_only()
    graphdef, *state = build(config)
    _, (training, _) = train(graphdef, state, *batch(), KEY, jnp.ones(3))
    np.testing.assert_allclose(training, answer(graphdef, state, *batch()).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "augment", "brightness_p"),
    [
        ("late wavlm", AugmentConfig(noise_levels=((1.0, 5.0),)), 0.0),
        ("late", AugmentConfig(noise_levels=((1.0, 5.0),)), 0.0),
        ("late", AugmentConfig(mel_masks=2, mask_p=1.0), 0.0),
        ("late", AugmentConfig(), 1.0),
    ],
    ids=["noise, WavLM", "noise", "masks", "video"],
)
def test_augmentation_reaches_frozen_encoders_in_training_alone(build, forms, form, augment, brightness_p):
    film = VideoConfig(augment=VideoAugment(blur_p=0.0, noise_p=0.0, brightness_p=brightness_p))
    config, ones = replace(forms[form].heads_only(), video=film), jnp.ones(3)
    (plain, *state), (changed, *other) = build(config), build(config, augment)
    same = answer(plain, state, *batch()).logits
    np.testing.assert_array_equal(answer(changed, other, *batch()).logits, same)
    answers = [answer(changed, other, *batch(), jax.random.key(seed), ones).logits for seed in (0, 0, 1)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.abs(answers[0] - same).max() > 1e-4
    assert np.abs(answers[0] - answers[2]).max() > 1e-5


@pytest.mark.slow
def test_recordings_of_noise_are_mixed_in_and_not_trained(forms):
    augment = AugmentConfig(noise="folder", noise_snr=(0.0, 0.0), noise_p=1.0)
    config = forms["late"].heads_only()
    model = config.build(3, augmentation=Augmentation(augment, {"noise": (1, 4000)}), rngs=nnx.Rngs(0))
    model.video.resnet = Pictures(nnx.Rngs(1))
    quiet = nnx.clone(model)(Inputs(*batch()), KEY, jnp.ones(3))
    model.banks["noise"].wave.set_value(clips(1)[0][:, :4000])
    model.banks["noise"].length.set_value(jnp.array([4000]))
    assert not np.allclose(nnx.clone(model)(Inputs(*batch()), KEY, jnp.ones(3)), quiet, atol=1e-4)
    assert not any(config.trainable(path) for path, _ in nnx.to_flat_state(nnx.state(model)) if path[0] == "banks")


def shapes(module):
    return {path: leaf.shape for path, leaf in nnx.to_flat_state(nnx.state(module))}


def test_branches_are_named_and_shaped_as_the_models_that_train_alone(build, forms):
    cnn = forms["gated"].build(3, rngs=nnx.Rngs(0))
    assert shapes(cnn.audio) == shapes(forms["gated"].audio.build(3, rngs=nnx.Rngs(1)))
    assert shapes(cnn.video) == shapes(VideoNet(3, rngs=nnx.Rngs(1)))
    config = forms["xattn wavlm"]
    own = replace(config.audio, pooling="mean", head="relu", head_size=16, freeze="encoder")
    audio = nnx.merge(*build(config), copy=True).audio
    assert shapes(audio) == shapes(own.build(3, rngs=nnx.Rngs(1)))
    assert replace(config, audio=replace(config.audio, remat=True)).branch.remat


@pytest.mark.slow
def test_bfloat16_computes_what_float32_does(build, forms):
    for form in ("gated", "xattn wavlm"):
        graphdef, params, *rest = build(forms[form])
        half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
        wave, *others = batch()
        full = answer(graphdef, [params, *rest], wave, *others).logits
        found = answer(graphdef, [half, *rest], wave.astype(jnp.bfloat16), *others).logits
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(jnp.float32), full, atol=0.15)


@pytest.mark.slow
def test_folds_side_by_side_train_as_one_after_the_other(build, forms):
    graphdef, *state = build(replace(forms["xattn"], video_blocks=0))
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.05]), state)
    given = (*(jnp.stack([x, x[::-1]]) for x in batch()), jax.random.split(KEY, 2), jnp.ones((2, 3)))
    together = jax.jit(jax.vmap(partial(train, graphdef)))(folds, *given)
    for fold in range(2):
        alone = train(graphdef, *jax.tree.map(lambda x, fold=fold: x[fold], (folds, *given)))
        np.testing.assert_allclose(together[1][0][fold], alone[1][0], rtol=1e-3, atol=1e-3)
        for got, want in zip(jax.tree.leaves(together[1][1]), jax.tree.leaves(alone[1][1]), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", ["late", "gated"])
def test_a_training_step_learns_the_heads_of_the_first_stage(forms, is_unused, form):
    config = forms[form].heads_only()
    model = config.build(3, rngs=nnx.Rngs(0))
    model.video.resnet = Pictures(nnx.Rngs(1))
    graphdef, frozen, params = nnx.split(model, lambda path, _: not config.trainable(path), ...)
    objective = Classification(TrainConfig(), AugmentConfig(), "float32")
    inputs = LabelledInputs(Inputs(*batch()), jnp.array([0, 1, 2]), jnp.ones(3))
    run = TrialConstants(KEY, jnp.array(10), jnp.array(2e-3), jnp.ones(3))
    optimizer = make_optimizer(OptimizerConfig(schedule="constant", weight_decay=0.0), params)
    given = {"objective": objective, "graphdef": graphdef, "optimizer": optimizer}
    step = jax.jit(lambda state: update(state, inputs, run, frozen, **given))
    state, losses = init_state(params, optimizer), []
    for _ in range(5):
        state, metrics = step(state)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0]
    for (path, new), (_, old) in zip(nnx.to_flat_state(state.params), nnx.to_flat_state(params), strict=True):
        idle = is_unused(path, config) or isinstance(new, nnx.BatchStat)
        assert np.array_equal(new[...], old[...]) == idle, path
