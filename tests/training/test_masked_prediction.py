"""Masked prediction: the loss of section E in plain PyTorch, masks on true frames alone, padding, parts, schedule."""

import warnings
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.models.encoders.masked_prediction import MaskedPredictor
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.functional import flat, merge
from serjax.models.layers.masking import length_mask
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig
from serjax.training.masked_prediction import (
    Counts,
    FrameBatch,
    MaskedPrediction,
    Part,
    draw_masks,
    frame_sums,
    is_frozen,
    weighted_loss,
)
from serjax.training.optimizer import make_optimizer, rate_and_beta1
from serjax.training.update import TrialConstants, init_state, update

CLUSTERS = 11
TINY = Wav2Vec2Config(
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=4,
    intermediate_size=48,
    conv_dim=(16, 24, 16),
    conv_kernel=(10, 8, 8),
    conv_stride=(5, 8, 8),
    num_conv_pos_embeddings=6,
    num_conv_pos_embedding_groups=4,
    layerdrop=0.0,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    feat_proj_dropout=0.0,
)
"""A hop of 320 samples, in three convolutions, and nothing drawn at random."""
SETTINGS = MaskedConfig(projection=8, feature_grad_mult=0.1, unmasked_weight=0.3, updates=20)


def clips(lengths, seed=0):
    rng = np.random.default_rng(seed)
    wave = np.zeros((len(lengths), max(lengths)), np.float32)
    for row, length in zip(wave, lengths, strict=True):
        row[:length] = rng.normal(0.1, 0.3, length)
    label = rng.integers(0, CLUSTERS, (len(lengths), TINY.frames(max(lengths))))
    return FrameBatch(jnp.asarray(wave), jnp.asarray(lengths), jnp.asarray(label))


def network(config=SETTINGS, encoder=TINY, normalize=True):
    graphdef, whole = drawn(encoder, config.projection, normalize)
    model = nnx.merge(graphdef, jax.tree.map(jnp.copy, whole))
    return nnx.split(model, lambda path, _: not is_frozen(path, config), ...)


@cache
def drawn(encoder, projection, normalize):
    def make(key):
        rngs = nnx.Rngs(key)
        return nnx.split(MaskedPredictor(encoder, CLUSTERS, projection=projection, normalize=normalize, rngs=rngs))

    return jax.jit(make)(jax.random.key(0))


@settings(max_examples=25)
@given(st.lists(st.integers(400, 40_000), min_size=1, max_size=4), st.integers(0, 99))
def test_masks_are_spans_of_true_frames(lengths, seed):
    size = TINY.frames(40_000)
    masked = np.asarray(draw_masks(jax.random.key(seed), jnp.asarray(lengths), size, TINY, MaskedConfig()))
    assert masked.shape == (len(lengths), size)
    for row, length in zip(masked, lengths, strict=True):
        count = TINY.frames(length)
        assert not row[count:].any()
        if count >= 12:  # room for two spans
            assert row.sum() >= 11
        edges = np.flatnonzero(np.diff(np.pad(row, 1).astype(int)))
        assert all(end - begin >= 10 for begin, end in edges.reshape(-1, 2))


def test_four_fifths_would_be_masked_without_overlap():
    lengths = jnp.full(64, 160_000)
    drawn = draw_masks(jax.random.key(0), lengths, TINY.frames(160_000), TINY, MaskedConfig())
    # Of spans laid at random, 1 - exp(-0.8) of all frames are covered, a little more as no two begin at one place.
    assert float(drawn.mean()) == pytest.approx(1 - np.exp(-0.8), abs=0.02)
    assert len({tuple(row) for row in np.asarray(drawn).tolist()}) == 64


def test_a_masked_frame_is_not_heard():
    """Its own samples change no prediction, as far as they are heard in no other frame."""
    # Group norm's statistics would carry the change to all frames.
    graphdef, params, rest = network(encoder=replace(TINY, feat_extract_norm="layer"), normalize=False)
    call = jax.jit(lambda *inputs: nnx.merge(graphdef, params, rest)(*inputs, None).logits)
    wave = np.random.default_rng(0).normal(size=(1, 9600)).astype(np.float32)
    other = wave.copy()
    other[0, 320 * 10 + 400 - 320 : 320 * 11] += 1  # heard in frame 10 alone
    length, none = jnp.array([9600]), jnp.zeros((1, TINY.frames(9600)), bool)
    hidden = none.at[0, 10].set(True)
    one, two = (np.asarray(call(x, length, hidden)) for x in (wave, other))
    np.testing.assert_allclose(one, two, atol=1e-5)
    one, two = (np.asarray(call(x, length, none)) for x in (wave, other))
    assert np.abs(one - two)[0, 10].max() > 1e-2


def test_the_loss_is_what_it_says():
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(3, 7, 5)), rng.integers(0, 5, (3, 7))
    masked, within = rng.random((3, 7)) < 0.5, np.arange(7) < np.array([7, 4, 5])[:, None]
    square = rng.random(3)
    share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -np.log(share[np.arange(3)[:, None], np.arange(7), label])
    hidden, seen = masked & within, ~masked & within
    sums = frame_sums(*map(jnp.asarray, (logits, label, masked, within, square)))
    config = MaskedConfig(unmasked_weight=0.5, feature_penalty=10)
    counts = Counts(int(hidden.sum()), int(seen.sum()))
    expected = entropy[hidden].mean() + 0.5 * entropy[seen].mean() + 10 * square.sum() / within.sum()
    assert float(weighted_loss(sums, counts, config)) == pytest.approx(expected, rel=1e-5)
    right = logits.argmax(-1) == label
    assert float(sums.masked_right) == right[hidden].sum()
    assert float(sums.unmasked_right) == right[seen].sum()


def test_padding_changes_nothing():
    graphdef, params, rest = network()
    lengths = [6000, 4321]
    batch = clips(lengths)
    masked = draw_masks(jax.random.key(0), batch.length, batch.label.shape[1], TINY, SETTINGS)
    within = length_mask(TINY.frames(batch.length), masked.shape[1])
    counts = Counts(int((masked & within).sum()), int((~masked & within).sum()))
    objective = MaskedPrediction(SETTINGS, TINY)
    call = jax.jit(lambda *given: objective.loss(merge(graphdef, params, rest, "float32"), *given))
    whole, _ = call(Part(batch, masked), counts, None)
    alone = 0.0
    for row, length in enumerate(lengths):
        n = TINY.frames(length)
        part = FrameBatch(
            batch.wave[row : row + 1, :length], batch.length[row : row + 1], batch.label[row : row + 1, :n]
        )
        alone += float(call(Part(part, masked[row : row + 1, :n]), counts, None)[0])
    assert float(whole) == pytest.approx(alone, rel=1e-5)


def test_the_schedule_is_section_es():
    config, total, peak = MaskedConfig(), jnp.asarray(20_000), jnp.asarray(5e-4)
    rates = {
        step: float(rate_and_beta1(config.optimizer, jnp.asarray(step), total, peak)[0])
        for step in (0, 1999, 3999, 12_000, 19_999)
    }
    assert rates == pytest.approx(
        {0: 5e-4 / 4000, 1999: 2.5e-4, 3999: 5e-4, 12_000: 2.5e-4, 19_999: 5e-4 / 16_000}, rel=1e-3
    )
    assert (config.optimizer.beta1, config.optimizer.beta2, config.optimizer.epsilon) == (0.9, 0.98, 1e-6)
    assert (config.optimizer.weight_decay, config.optimizer.clip_norm) == (0.01, 10.0)


def step_of(config, encoder=TINY):
    graphdef, params, rest = network(config, encoder)
    optimizer = make_optimizer(config.optimizer, params)
    settings = {"objective": MaskedPrediction(config, encoder), "graphdef": graphdef, "optimizer": optimizer}
    one = partial(update, frozen=rest, **settings)

    def step(state, batch, key):
        peak = jnp.asarray(config.optimizer.max_lr, jnp.float32)
        return one(state, batch, TrialConstants(key, jnp.asarray(config.updates), peak))

    return init_state(params, optimizer), jax.jit(step), graphdef, rest


def mean(state):
    return optax.tree.get(state.optimizer, "mu")


def changed(before, after):
    return {name for name, leaf in flat(after).items() if not np.array_equal(leaf, flat(before)[name])}


@pytest.mark.slow
@pytest.mark.parametrize("mult", [0.0, 0.1, 1.0])
def test_convolutions_are_frozen_or_scaled(mult):
    config, batch = replace(SETTINGS, feature_grad_mult=mult, feature_penalty=0.0), clips([6000, 5000])
    state, step, _, rest = step_of(config)
    new, metrics = step(state, batch, jax.random.key(0))
    moved = changed(state.params, new.params)
    trained = {name for name in moved if name.startswith("speech_encoder.feature_extractor.")}
    assert bool(trained) == (mult > 0)
    assert bool(jax.tree.leaves(rest)) == (mult == 0)
    for name in (
        "speech_encoder.masked_spec_embed",
        "final_proj.kernel",
        "label_embeddings",
        "speech_encoder.encoder.layer_norm.scale",
    ):
        assert name in moved
    assert all(np.isfinite(float(value)) for value in metrics.values())
    if mult == 0.1:
        one, full = step_of(replace(config, feature_grad_mult=1.0))[1](state, batch, jax.random.key(0))
        scaled, one = flat(mean(new)), flat(mean(one))
        clip = min(1, 10 / float(full["norm"])), min(1, 10 / float(metrics["norm"]))
        for name in trained:
            np.testing.assert_allclose(scaled[name] / clip[1], 0.1 * one[name] / clip[0], rtol=2e-3, atol=1e-7)


@pytest.mark.slow
def test_parts_add_up_to_the_whole_batch():
    batch = clips([6000, 5000, 4000, 5500, 3000, 4500])
    found = []
    for accumulate in (1, 3):
        state, step, *_ = step_of(replace(SETTINGS, accumulate=accumulate))
        for _ in range(2):
            state, metrics = step(state, batch, jax.random.key(1))
        found.append((list(metrics.values()), flat(mean(state))))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    for name, value in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_bfloat16_is_near_float32():
    batch = clips([6000, 5000, 4000])
    losses = {}
    for dtype in ("float32", "bfloat16"):
        state, step, *_ = step_of(replace(SETTINGS, dtype=dtype))
        new, metrics = step(state, batch, jax.random.key(1))
        assert {leaf.dtype for leaf in jax.tree.leaves(new.params)} == {np.dtype(np.float32)}
        losses[dtype] = float(metrics["loss"])
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=2e-2)
    assert losses["bfloat16"] != losses["float32"]


@pytest.mark.slow
def test_it_learns_to_tell_what_is_hidden():
    """Tones whose pitch says the label, and lasts: a masked frame can be told from its neighbours."""
    rng = np.random.default_rng(0)
    time = np.arange(6400)
    config = replace(
        SETTINGS, updates=150, optimizer=replace(MaskedConfig().optimizer, max_lr=3e-3), feature_penalty=1.0
    )
    state, step, *_ = step_of(config)
    for _ in range(150):
        pitch = rng.integers(0, 4, 8)
        wave = np.sin(time * (0.05 + 0.2 * pitch[:, None])) + rng.normal(0, 0.1, (8, 6400))
        label = np.repeat(pitch[:, None], TINY.frames(6400), axis=1)
        batch = FrameBatch(jnp.asarray(wave, jnp.float32), jnp.full(8, 6400), jnp.asarray(label))
        state, metrics = step(state, batch, jax.random.key(0))
    assert float(metrics["masked_accuracy"]) > 0.9
    assert float(metrics["unmasked_accuracy"]) > 0.9


def test_labels_of_another_count_get_a_sentence():
    state, step, *_ = step_of(SETTINGS)
    batch = clips([6000, 5000])
    with pytest.raises(UserError, match=r"A batch has 17 labels a clip for 18 frames"):
        step(state, batch._replace(label=batch.label[:, 1:]), jax.random.key(0))


# What follows compares with PyTorch.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def torch_network(torch, encoder):
    """Return transformers' encoder, the projection and the codebook, of random weights of no usual scale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.HubertConfig(**encoder.to_dict())
    model = torch.nn.Module()
    model.speech_encoder = transformers.HubertModel(config)
    model.final_proj = torch.nn.Linear(encoder.hidden_size, SETTINGS.projection)
    model.label_embeddings = torch.nn.Parameter(torch.empty(CLUSTERS, SETTINGS.projection))
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape)
            scale = (1 + 0.3 * noise) if name.endswith("original0") or "norm.weight" in name else 0.3 * noise
            value.copy_(scale if value.ndim == 1 or name.endswith("original0") else noise / value[0].numel() ** 0.5)
    return model.train()


def torch_loss(torch, model, wave, label, masked, config):
    """Section E's formulas, written down plainly: clips of equal length, none of them padded."""
    functional = torch.nn.functional
    wave = (wave - wave.mean(1, keepdim=True)) / torch.sqrt(wave.var(1, keepdim=True, unbiased=False) + 1e-7)
    features = model.speech_encoder.feature_extractor(wave)
    if config.feature_grad_mult == 0:
        features = features.detach()
    else:
        features.register_hook(lambda gradient: gradient * config.feature_grad_mult)
        features = features * 1.0
    penalty = features.pow(2).mean()
    hidden = model.speech_encoder.feature_projection(features.transpose(1, 2))
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    hidden = torch.where(masked[:, :, None], model.speech_encoder.masked_spec_embed, hidden)
    x = model.final_proj(model.speech_encoder.encoder(hidden).last_hidden_state)
    codes = model.label_embeddings
    logits = functional.cosine_similarity(x[:, :, None], codes[None, None], dim=-1) / 0.1
    loss = functional.cross_entropy(logits[masked], label[masked])
    unmasked = functional.cross_entropy(logits[~masked], label[~masked])
    return loss + config.unmasked_weight * unmasked + config.feature_penalty * penalty


LAYOUTS = {
    "as base": replace(TINY, num_hidden_layers=2),
    "as small": replace(
        TINY, num_hidden_layers=2, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True
    ),
}


@pytest.mark.torch
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mult", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("unmasked", [0.0, 0.5])
def test_loss_and_gradients_are_those_of_the_formulas(torch, layout, mult, unmasked):
    encoder = LAYOUTS[layout]
    config = replace(SETTINGS, feature_grad_mult=mult, unmasked_weight=unmasked)
    theirs = torch_network(torch, encoder)
    graphdef, params, rest = network(config, encoder)
    model = nnx.merge(graphdef, params, rest)
    tensors = {name: value.detach().numpy() for name, value in theirs.state_dict().items()}
    nnx.update(model, load_tensors(model, tensors, source="theirs", encoder="speech_encoder."))
    graphdef, params, rest = nnx.split(model, lambda path, _: not is_frozen(path, config), ...)
    batch = clips([6000, 6000, 6000])
    masked = draw_masks(jax.random.key(0), batch.length, batch.label.shape[1], encoder, config)
    counts = Counts(masked.sum(), (~masked).sum())
    objective = MaskedPrediction(config, encoder)

    def part_loss(params):
        return objective.loss(merge(graphdef, params, rest, "float32"), Part(batch, masked), counts, None)

    (loss, _), gradient = jax.jit(jax.value_and_grad(part_loss, has_aux=True))(params)
    arrays = [torch.from_numpy(np.array(x)) for x in (batch.wave, batch.label, masked)]
    arrays[1] = arrays[1].long()
    expected = torch_loss(torch, theirs, *arrays, config)
    expected.backward()
    assert float(loss) == pytest.approx(expected.item(), abs=1e-4)
    gradients = to_tensors(nnx.merge(graphdef, gradient, jax.tree.map(jnp.zeros_like, rest)))
    compared = 0
    for name, value in theirs.named_parameters():
        if value.grad is None:
            assert name.startswith("speech_encoder.feature_extractor.")
            assert mult == 0
            continue
        np.testing.assert_allclose(gradients[name], value.grad.numpy(), rtol=0, atol=1e-4, err_msg=name)
        compared += 1
    assert compared == len(flat(params))


@pytest.mark.torch
def test_a_saved_encoder_loads_in_transformers(torch, tmp_path):
    from serjax.checkpoints.huggingface import save_pretrained
    from serjax.checkpoints.preprocessor import Preprocessor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
    state, step, graphdef, rest = step_of(replace(SETTINGS, feature_grad_mult=1.0))
    batch = clips([6000, 6000])
    state, _ = step(state, batch, jax.random.key(0))
    encoder = nnx.merge(graphdef, state.params, rest).speech_encoder
    save_pretrained(encoder, tmp_path, preprocessor=Preprocessor())
    model, told = transformers.HubertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        theirs = model.eval()(torch.from_numpy(np.array(batch.wave))).last_hidden_state.numpy()
    ours = jax.jit(lambda wave, length: encoder(wave, length).hidden_states[-1])(batch.wave, batch.length)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
