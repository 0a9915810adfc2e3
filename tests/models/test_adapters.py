"""Adapters in encoders: at first they change nothing, they alone are trained, and stored states serve as clips do."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_laws import EMOTION2VEC
from flax import nnx
from noise import noisy

from serjax.models.adapter_config import AdapterConfig
from serjax.models.adapters import adapt, adapted_layers, first_adapted
from serjax.models.base import EncoderLayout
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.functional import logits_of
from serjax.models.inputs import Inputs
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError

KINDS = {
    "lora": AdapterConfig(kind="lora", rank=2, dropout=0.5),
    "ia3": AdapterConfig(kind="ia3"),
    "bottleneck": AdapterConfig(kind="bottleneck", rank=2, dropout=0.5),
}
LENGTHS = np.array([640, 300])
WAVE = np.where(np.arange(640) < LENGTHS[:, None], np.random.default_rng(0).normal(size=(2, 640)), 0).astype(np.float32)
INPUTS = Inputs(WAVE, LENGTHS)
WHISPER = WhisperConfig(
    d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24, num_mel_bins=8, max_source_positions=20
)


def model_of(encoder, **settings):
    return replace(Speech(**settings), layout=EncoderLayout(encoder, normalize=True))


def parts_of(settings, seed=0):
    """The settings' classifier with weights of noise, split into trained and frozen ones."""
    return nnx.split(
        noisy(lambda rngs: settings.build(3, rngs=rngs), seed), lambda path, _: settings.trainable(path), ...
    )


def encoder_of(config):
    return noisy(lambda rngs: build_encoder(config, rngs=rngs))


def last(encoder):
    graphdef, state = nnx.split(encoder)
    return jax.jit(lambda state: nnx.merge(graphdef, state)(WAVE, LENGTHS).hidden_states[-1])(state)


@pytest.mark.parametrize("kind", KINDS)
def test_new_adapters_change_nothing_and_alone_are_trained(wavlm_config, kind):
    settings, encoder = model_of(wavlm_config, adapter=KINDS[kind]), encoder_of(wavlm_config)
    before, names = last(encoder), [path for path, _ in nnx.to_flat_state(nnx.state(encoder))]
    adapt(encoder, KINDS[kind], rngs=nnx.Rngs(1))
    np.testing.assert_allclose(last(encoder), before, atol=1e-6)
    new = {path for path, _ in nnx.to_flat_state(nnx.state(encoder))} - set(names)
    assert new
    assert all(settings.trainable(("speech_encoder", *path)) for path in new)
    assert not any(settings.trainable(("speech_encoder", *path)) for path in names)
    assert settings.trainable(("head", "classifier", "kernel"))


@pytest.mark.parametrize("kind", KINDS)
def test_all_adapters_and_they_alone_get_gradients(wavlm_config, kind):
    settings = model_of(wavlm_config, adapter=KINDS[kind])
    graphdef, params, frozen = parts_of(settings)

    def loss(params):
        return (logits_of(graphdef, params, frozen, INPUTS, jax.random.key(0), "float32") ** 2).sum()

    gradient = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_an_adapted_gate_of_wavlm_counts(wavlm_config):
    encoder = encoder_of(wavlm_config)
    before = last(encoder)
    adapt(encoder, AdapterConfig(kind="ia3", targets="gru_rel_pos_linear"), rngs=nnx.Rngs(1))
    np.testing.assert_allclose(last(encoder), before, atol=1e-5)
    for layer in adapted_layers(encoder).values():
        layer.ia3_l.set_value(-3 * layer.ia3_l[...])
    assert np.abs(last(encoder) - before).max() > 1e-3


def test_last_layers_are_adapted_and_those_below_are_not(layer_config):
    encoder = encoder_of(layer_config)
    adapt(encoder, AdapterConfig(kind="lora", targets="q_proj|projection", last_layers=1), rngs=nnx.Rngs(1))
    assert list(adapted_layers(encoder)) == ["encoder.layers.1.attention.q_proj"]
    assert first_adapted(encoder) == 1
    everywhere = encoder_of(layer_config)
    adapt(everywhere, AdapterConfig(kind="lora", targets="q_proj|projection"), rngs=nnx.Rngs(1))
    assert first_adapted(everywhere) is None


REFUSED = {
    "query_proj": r"'query_proj': it matches no module of the encoder; the nearest Linear layers are q_proj",
    "attention": r"'attention': it matches encoder\.layers\.0\.attention, a Attention, but only Linear layers",
    "layer_norm": r"it matches encoder\.layer_norm, a LayerNorm, but only Linear layers are adapted; give an",
}


@pytest.mark.parametrize("targets", REFUSED)
def test_targets_that_are_no_linear_layers_are_refused(layer_config, targets):
    settings = model_of(layer_config, adapter=AdapterConfig(kind="lora", targets=targets))
    with pytest.raises(UserError, match=REFUSED[targets]) as caught:
        parts_of(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("last_layers", "layer", "message"),
    [
        (3, None, r"last_layers is 3, but the encoder has 2 layers; give at most that many\."),
        (2, 1, r"last_layers is 2, but model\.layer leaves 1 layers; give at most that many\."),
        (None, 0, r"layer is 0, and model\.adapter\.targets '.*' matches nothing below it, only encoder\.layers\.0\."),
    ],
)
def test_layers_that_there_are_not_are_refused(layer_config, last_layers, layer, message):
    settings = model_of(layer_config, layer=layer, adapter=AdapterConfig(kind="lora", last_layers=last_layers))
    with pytest.raises(UserError, match=message):
        parts_of(settings)


STORED = {
    "WavLM, last layer": ("wavlm_config", 1, False),
    "pre-LN, all states": ("layer_config", 1, True),
    "pre-LN, all layers": ("layer_config", None, True),
    "SEW": ("sew_config", 1, False),
    "Whisper": (WHISPER, 1, False),
    "Whisper, a layer": (replace(WHISPER, encoder_layers=3), 1, 2),
    "emotion2vec, blocks": (EMOTION2VEC, 1, False),
    "emotion2vec, all states": (EMOTION2VEC, None, True),
}


@pytest.mark.parametrize("name", STORED)
def test_stored_states_are_answered_as_the_clips_are(request, name):
    """In training too, with the same key: dropout falls on the layers from the first adapted one on alone."""
    layout, last_layers, chosen = STORED[name]
    weighted = chosen is True
    encoder = request.getfixturevalue(layout) if isinstance(layout, str) else layout
    if not isinstance(encoder, WhisperConfig):
        encoder = replace(encoder, hidden_dropout=0.3, mask_time_prob=0.0)
    adapter = replace(KINDS["lora"], encode_once=True, last_layers=last_layers)
    settings = model_of(
        encoder, adapter=adapter, weighted_layers=weighted, layer=None if chosen in (True, False) else chosen
    )
    graphdef, *state = parts_of(settings)
    states, frames = jax.jit(lambda state: nnx.merge(graphdef, *state).shared_states(*INPUTS.sound))(state)
    assert (np.diff(frames) < 0).all()
    assert states.shape[1] == (2 if weighted and last_layers else 1)
    stored = Inputs(hidden_states=states, hidden_lengths=frames)
    key = jax.random.key(1)

    def calls(state, key):
        return [logits_of(graphdef, *state, inputs, key, "float32") for inputs in (stored, INPUTS)]

    trained, plain = jax.jit(calls)(state, key), jax.jit(calls)(state, None)
    np.testing.assert_allclose(*trained, atol=1e-5)
    np.testing.assert_allclose(*plain, atol=1e-5)
    assert np.abs(trained[0] - plain[0]).max() > 1e-3


def test_layers_above_the_one_that_is_taken_are_not_adapted(layer_config):
    deep = replace(layer_config, num_hidden_layers=3)
    for last_layers, layers in ((None, [0, 1]), (1, [1])):
        encoder = encoder_of(deep)
        lora = AdapterConfig(kind="lora", targets="q_proj", last_layers=last_layers)
        adapt(encoder, lora, top=2, rngs=nnx.Rngs(1))
        assert list(adapted_layers(encoder)) == [f"encoder.layers.{layer}.attention.q_proj" for layer in layers]


@pytest.mark.parametrize(
    ("kind", "names"),
    {"lora": ["attn.qkv"], "ia3": ["attn.qkv", "mlp.fc2"], "bottleneck": ["attn.proj", "mlp.fc2"]}.items(),
)
def test_layers_of_emotion2vec_are_counted_without_its_positional_convolutions(kind, names):
    encoder = encoder_of(EMOTION2VEC)
    adapt(encoder, replace(KINDS[kind], last_layers=1), rngs=nnx.Rngs(1))
    assert list(adapted_layers(encoder)) == [f"encoder.layers.1.{name}" for name in names]


def test_folds_side_by_side_are_the_folds_one_by_one(layer_config):
    settings = model_of(layer_config, adapter=replace(KINDS["lora"], dropout=0.0))
    graphdef, first, frozen = parts_of(settings)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, parts_of(settings, 1)[1])
    call = partial(logits_of, graphdef, frozen=frozen, inputs=INPUTS, key=None, dtype="float32")
    together = jax.jit(jax.vmap(call))(both)
    np.testing.assert_allclose(together[0], jax.jit(call)(first), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
