from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio.config import AugmentConfig
from serjax.checkpoints.conversion import to_tensors
from serjax.config.experiment import Experiment
from serjax.config.registry import find
from serjax.models.base import Augmentation, EncoderLayout
from serjax.models.classifiers.speech import Head
from serjax.models.encoders.config import preset
from serjax.models.functional import abstract
from serjax.models.inputs import Inputs
from serjax.models.layers.standardize import unit_variance
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError

KEY = jax.random.key(0)
LENGTHS = jnp.array([640, 300])
WAVE = jnp.where(jnp.arange(640) < LENGTHS[:, None], np.random.default_rng(0).normal(2, 3, (2, 640)), 0).astype(
    jnp.float32
)


INPUTS = Inputs(WAVE, LENGTHS)


def resolved(config, encoder):
    return replace(config, layout=EncoderLayout(encoder, normalize=True))


def build(config, encoder):
    return resolved(config, encoder).build(4, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "stat", "attentive", "tanh_attention"])
@pytest.mark.parametrize("head", ["layernorm_gelu", "layernorm_relu", "relu", "projector", "linear", "frame_relu"])
def test_head_answers_stored_features_and_ignores_padding(weighted, pooling, head):
    config = Speech(pooling=pooling, head=head, weighted_layers=weighted, attention_size=8, head_size=8)
    layers = 3 if weighted else 1
    model = Head(config, layers, 6, 4, rngs=nnx.Rngs(0))
    states = jnp.asarray(np.random.default_rng(0).normal(size=(2, layers, 7, 6)), jnp.float32)
    frames = jnp.array([7, 3])
    logits = model(states, frames)
    assert logits.shape == (2, 4)
    np.testing.assert_allclose(model(states[1:, :, :3], frames[1:]), logits[1:], atol=1e-5)


def test_frame_relu_after_mean_pooling_is_emobox_s_head():
    """Linear, ReLU, the mean over true frames, Linear, of states that are normalised clip by clip."""
    config = Speech(pooling="mean", head="frame_relu", head_size=8, state_norm=True, dropout=0.0)
    model = Head(config, 1, 6, 4, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    states, frames = rng.normal(3, 2, (3, 1, 7, 6)).astype(np.float32), np.array([7, 3, 1])
    states[1, :, 3:] = 99
    found = model(jnp.asarray(states), jnp.asarray(frames), KEY)
    tensors = to_tensors(model)
    for row, count in enumerate(frames):
        x = states[row, 0, :count].astype(float)
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        x = np.maximum(x @ tensors["frame_layer.weight"].T + tensors["frame_layer.bias"], 0).mean(0)
        expected = x @ tensors["classifier.out_proj.weight"].T + tensors["classifier.out_proj.bias"]
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    assert sum(value.size for value in tensors.values()) == 6 * 8 + 8 + 8 * 4 + 4


def test_weighted_sum_starts_as_the_mean_of_layers():
    config = Speech(pooling="mean", head="linear", weighted_layers=True)
    model = Head(config, 3, 6, 4, rngs=nnx.Rngs(0))
    states = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5, 6)), jnp.float32)
    frames = jnp.array([5, 5])
    np.testing.assert_allclose(
        model(states, frames), model(jnp.repeat(states.mean(1, keepdims=True), 3, axis=1), frames), atol=1e-6
    )
    model.layer_weights.set_value(jnp.array([0.0, 50.0, 0.0]))
    np.testing.assert_allclose(model(states, frames), model(jnp.repeat(states[:, 1:2], 3, axis=1), frames), atol=1e-6)


def test_final_dropout_falls_on_frames_before_they_are_pooled():
    config = Speech(pooling="mean", head="linear", dropout=0.0, final_dropout=0.5)
    model, states, frames = Head(config, 1, 6, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 1, 4000, 6)), jnp.array([4000, 1])
    plain, dropped = model(states, frames), model(states, frames, KEY)
    assert (dropped != plain).any(1).all()
    # Of 4000 frames the mean hardly changes; values that are dropped after pooling would be missing altogether.
    np.testing.assert_allclose(dropped[0], plain[0], atol=0.1)
    assert not np.allclose(dropped[1], plain[1], atol=0.1)
    assert (dropped == model(states, frames, KEY)).all()


def test_the_head_of_hubert_align_is_one_vector_and_one_linear_layer():
    tensors = to_tensors(Head(find("hubert_align", Experiment).model, 1, 768, 4, rngs=nnx.Rngs(0)))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "classifier.out_proj.bias": (4,),
        "classifier.out_proj.weight": (4, 768),
        "pooling.score.weight": (1, 768),
    }


@pytest.mark.parametrize("weighted", [False, True])
def test_call_is_features_then_head(layer_config, weighted):
    model = build(Speech(weighted_layers=weighted), layer_config)
    states, frames = model.features(WAVE, LENGTHS)
    assert states.shape == (2, 3 if weighted else 1, 31, 16)
    assert frames.tolist() == [31, 14]
    np.testing.assert_allclose(model(INPUTS), model.head(states, frames), atol=1e-6)
    stored = Inputs(hidden_states=states, hidden_lengths=frames)
    np.testing.assert_array_equal(model(stored, KEY), model.head(states, frames, KEY))


@pytest.mark.parametrize(("layer", "place"), [(0, 0), (1, 1), (-1, 2), (-2, 1)])
def test_the_head_takes_the_chosen_layer(layer_config, layer, place):
    every, _ = build(Speech(weighted_layers=True), layer_config).features(WAVE, LENGTHS)
    states, _ = build(Speech(layer=layer), layer_config).features(WAVE, LENGTHS)
    np.testing.assert_array_equal(states[:, 0], every[:, place])


def test_level_and_offset_do_not_matter_where_clips_are_normalised(config):
    model = build(Speech(), config)
    np.testing.assert_allclose(model(INPUTS), model(Inputs(0.1 * WAVE + 0.2, LENGTHS)), atol=1e-3)


def test_unit_variance_is_over_true_samples():
    got = np.asarray(unit_variance(WAVE, LENGTHS))
    for row, length in enumerate(LENGTHS.tolist()):
        clip = np.asarray(WAVE[row, :length], np.float64)
        np.testing.assert_allclose(got[row, :length], (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7), atol=1e-5)
        assert not got[row, length:].any()
    assert jnp.isfinite(unit_variance(jnp.zeros((2, 5)), jnp.array([0, 5]))).all()
    assert unit_variance(WAVE.astype(jnp.bfloat16), LENGTHS).dtype == jnp.bfloat16


def is_fixed(config, path):
    """Return whether a parameter of a classifier is one of its encoder that is never trained."""
    return path[0] == "speech_encoder" and config.is_fixed(path[1:])


@pytest.mark.parametrize("freeze", ["nothing", "cnn", "layers", "encoder"])
def test_frozen_parameters_and_only_they_can_be_left_out(config, freeze):
    model = resolved(Speech(freeze=freeze, frozen_layers=1), config)
    flat = nnx.to_flat_state(nnx.state(build(model, config)))
    frozen = {".".join(map(str, path)) for path, _ in flat if not model.trainable(path)}
    fixed = {".".join(map(str, path)) for path, _ in flat if is_fixed(config, path)}
    every = {".".join(map(str, path)) for path, _ in flat}
    stem = tuple(
        f"speech_encoder.{name}"
        for name in ("masked_spec_embed", "feature_", "encoder.pos_conv_embed", "encoder.layers.0.")
    )
    first_norm = () if config.norm_first else ("speech_encoder.encoder.layer_norm",)
    expected = {
        "nothing": (),
        "cnn": ("speech_encoder.feature_extractor.",),
        "layers": stem + first_norm,
        "encoder": ("speech_encoder.",),
    }[freeze]
    assert frozen == fixed | {name for name in every if name.startswith(expected)}
    assert all(any(name.startswith(prefix) for name in every) for prefix in expected)


def test_the_frozen_part_of_a_stack_gives_the_same_states_in_training(layer_config):
    plain = replace(layer_config, mask_time_prob=0.0, feat_proj_dropout=0.3)
    for freeze, same in (("encoder", 3), ("layers", 2), ("nothing", 0)):
        model = build(Speech(freeze=freeze, frozen_layers=1, weighted_layers=True), plain)
        training, frames = model.features(WAVE, LENGTHS, KEY)
        evaluation, _ = model.features(WAVE, LENGTHS)
        equal = [np.allclose(training[0, i, : frames[0]], evaluation[0, i, : frames[0]]) for i in range(3)]
        assert equal == [True] * same + [False] * (3 - same)


def test_more_frozen_layers_than_there_are_is_an_error(config):
    with pytest.raises(
        UserError, match=rf"--model\.frozen-layers 3: the encoder has {config.num_hidden_layers} layers"
    ):
        build(Speech(freeze="layers", frozen_layers=3), config)


def test_overrides_reach_the_encoder(config):
    assert build(Speech(), config).speech_encoder.config == config
    changed = build(Speech(mask_time_prob=0.0, mask_feature_prob=0.2, layerdrop=0.4), config).speech_encoder.config
    assert changed == replace(config, mask_time_prob=0.0, mask_feature_prob=0.2, layerdrop=0.4)


def test_asking_for_masks_switches_on_what_the_checkpoint_switched_off(config):
    off = replace(config, apply_spec_augment=False)
    assert off.for_training(None, None, None).mask_time_prob == 0
    asked = off.for_training(None, 0.2, None)
    assert (asked.apply_spec_augment, asked.mask_time_prob, asked.mask_feature_prob) == (True, 0, 0.2)


def test_gradients_reach_every_parameter(config):
    model = build(Speech(weighted_layers=True, freeze="nothing"), config)
    graphdef, state = nnx.split(model)

    def loss(state):
        return nnx.merge(graphdef, state)(INPUTS, KEY)[:, 0].sum()

    gradients = nnx.to_flat_state(jax.jit(jax.grad(loss))(state))
    # A key's bias adds the same to a query's scores, which softmax ignores; so with the attention's score.
    idle = {path for path, leaf in gradients if float(jnp.abs(leaf[...]).max()) < 1e-7}
    same = {("k_proj", "bias"), ("linear_k", "bias"), ("score", "bias")}
    assert {path[-2:] for path in idle if not is_fixed(config, path)} <= same


@pytest.mark.parametrize(
    ("freeze", "layers", "trainable"),
    [("encoder", 0, 596_744), ("layers", 10, 14_773_552), ("layers", 8, 28_950_360), ("nothing", 0, 94_978_680)],
)
def test_numbers_of_trained_parameters_of_the_wavlm_network_for_ravdess(freeze, layers, trainable):
    model = replace(find("wavlm_ravdess", Experiment).model, freeze=freeze, frozen_layers=layers)
    model = resolved(model, preset("wavlm", "base"))
    whole = abstract(lambda rngs: model.build(8, rngs=rngs))
    _, trained, rest = nnx.split(whole, lambda path, _: model.trainable(path), ...)
    counts = [sum(leaf.size for leaf in jax.tree.leaves(part)) for part in (trained, rest)]
    assert counts == [trainable, 94_978_680 - trainable]


def test_waves_are_augmented_in_training_alone(tiny_encoder):
    config = resolved(
        Speech(pooling="mean", head="linear", dropout=0.0, mask_time_prob=0.0, layerdrop=0.0), tiny_encoder
    )
    noise = Augmentation(AugmentConfig(noise="x", noise_p=1.0, noise_snr=(0.0, 0.0)), {"noise": (1, 50)})
    plain, noisy = (config.build(4, augmentation=one, rngs=nnx.Rngs(0)) for one in (None, noise))
    noisy.banks["noise"].wave.set_value(jnp.asarray(np.random.default_rng(1).normal(size=(1, 50)), jnp.float32))
    noisy.banks["noise"].length.set_value(jnp.array([50]))
    np.testing.assert_array_equal(noisy(INPUTS), plain(INPUTS))
    assert not np.allclose(noisy(INPUTS, KEY), plain(INPUTS, KEY), atol=1e-3)
    np.testing.assert_array_equal(noisy(INPUTS, KEY), noisy(INPUTS, KEY))
    assert not np.allclose(noisy(INPUTS, KEY), noisy(INPUTS, jax.random.key(1)), atol=1e-4)
    # Recordings are no weights: they are not saved.
    assert set(to_tensors(noisy)) == set(to_tensors(plain))
    states, frames = plain.features(*INPUTS.sound)
    stored = Inputs(hidden_states=states, hidden_lengths=frames)
    np.testing.assert_array_equal(noisy(stored, KEY), plain(stored, KEY))
