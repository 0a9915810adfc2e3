"""What joins sound and video, on vectors and sequences made up: masks, gates, dropout, and PyTorch as a witness."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.checkpoints.conversion import load_tensors
from serjax.config.experiment import Experiment
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.config import EncoderConfig
from serjax.models.fusion.cross_attention import CrossAttention, CrossAttentionFusion
from serjax.models.fusion.heads import ConcatFusion, GatedFusion, Present, average, hide
from serjax.models.fusion.model import Fusion
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError

pytestmark = pytest.mark.usefixtures("compile_quickly")
KEY = jax.random.key(0)
SMALL = Fusion(common=8, d_model=12, heads=3, dropout=0.0, attention_dropout=0.0, stochastic_depth=0.0)
BOTH = Present(jnp.array([True, True, False, False]), jnp.array([True, False, True, False]))
AUDIO, VIDEO, INPUTS = 5, 7, 6
N, F = 9, 4


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def vectors(batch=4, seed=0):
    return normal(batch, AUDIO, seed=seed), normal(batch, VIDEO, seed=seed + 1)


def cross(head="concat", path="sequence", **options):
    config = replace(SMALL, kind="xattn", head=head, audio_path=path, **options)
    return CrossAttentionFusion(INPUTS, AUDIO, VIDEO, config, 3, rngs=nnx.Rngs(0))


def gated(**options):
    return GatedFusion(AUDIO, VIDEO, replace(SMALL, kind="gated", **options), 3, rngs=nnx.Rngs(0))


def concat(**options):
    return ConcatFusion(AUDIO, VIDEO, replace(SMALL, kind="concat", **options), 3, rngs=nnx.Rngs(0))


def present(audio, video):
    return Present(jnp.array(audio), jnp.array(video))


def test_late_averages_the_probabilities_of_what_is_there():
    a, v = normal(4, 3), 3 * normal(4, 3, seed=1)
    p, q = jax.nn.softmax(a), jax.nn.softmax(v)
    found = average(a, v, BOTH)
    expected = jnp.log(jnp.stack([(p[0] + q[0]) / 2, p[1], q[2], (p[3] + q[3]) / 2]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_cross_entropy_of_late_is_the_negative_logarithm_of_the_mean():
    a, v = normal(4, 3), 3 * normal(4, 3, seed=1)
    found = average(a, v, present([True] * 4, [True] * 4))
    np.testing.assert_allclose(jax.nn.log_softmax(found), found, atol=1e-6)
    np.testing.assert_allclose(jnp.exp(found).sum(-1), 1, rtol=1e-5)


def test_gradients_of_late_are_finite_and_skip_what_is_missing():
    a, v = normal(4, 3), normal(4, 3, seed=1)
    to_audio, to_video = jax.grad(lambda a, v: average(a, v, BOTH)[:, 0].sum(), (0, 1))(a, v)
    assert jnp.isfinite(to_audio).all()
    assert jnp.isfinite(to_video).all()
    assert not to_video[1].any()
    assert not to_audio[2].any()
    assert to_audio[0].any()
    assert to_video[0].any()


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_modality_dropout_takes_one_or_the_other(rate):
    there = present([True] * 4000, [True] * 4000)
    found = hide(there, rate, KEY)
    assert abs(1 - found.audio.mean() - rate) < 0.03
    assert abs(1 - found.video.mean() - rate) < 0.03
    assert (found.audio | found.video).all()


def test_modality_dropout_leaves_alone_what_has_one_of_them():
    many = present([True, False] * 500, [False, True] * 500)
    for one, other in zip(hide(many, 0.5, KEY), many, strict=True):
        np.testing.assert_array_equal(one, other)
    assert hide(BOTH, 0.2, None) is BOTH


@pytest.mark.parametrize("make", [gated, concat])
def test_what_is_missing_is_not_looked_at(make):
    fusion, (a, v) = make(), vectors()
    yes, no = [True] * 4, [False] * 4
    for there, other in ((present(no, yes), (a + 9, v)), (present(yes, no), (a, v - 9))):
        np.testing.assert_array_equal(fusion(a, v, there).logits, fusion(*other, there).logits)
        assert not np.allclose(fusion(a, v, there).logits, fusion(a, v, present(yes, yes)).logits)


def test_the_gate_gives_all_to_the_only_one():
    fusion, (a, v) = gated(), vectors()
    found = fusion(a, v, BOTH)
    assert 0 < found.audio_share[0] < 1
    assert found.audio_share[1:3].tolist() == [1, 0]
    np.testing.assert_allclose(found.logits[1], fusion.classifier(fusion.audio_proj(a))[1], atol=1e-6)
    np.testing.assert_allclose(found.logits[2], fusion.classifier(fusion.video_proj(v))[2], atol=1e-6)
    assert jnp.isfinite(found.logits).all()


@pytest.mark.parametrize("make", [gated, concat, cross])
def test_modality_dropout_is_for_training_and_follows_its_key(make):
    fusion, plain = make(modality_dropout=0.5), make(modality_dropout=0.0)
    lots = 64
    if make is cross:
        arguments = (normal(lots, N, AUDIO), jnp.full(lots, N), normal(lots, F, VIDEO), jnp.full(lots, F))
    else:
        arguments = (*vectors(lots), present([True] * lots, [True] * lots))
    np.testing.assert_array_equal(fusion(*arguments).logits, plain(*arguments).logits)
    np.testing.assert_array_equal(fusion(*arguments, KEY).logits, fusion(*arguments, KEY).logits)
    # At 0.5 each, every clip loses one.
    differ = np.abs(fusion(*arguments, KEY).logits - plain(*arguments, KEY).logits).max(1) > 1e-4
    assert differ.mean() > 0.9


def test_modality_dropout_is_that_of_the_seed_by_default():
    assert {kind: Fusion(kind=kind).modality_dropout_rate for kind in ("late", "concat", "gated", "xattn")} == {
        "late": 0.0,
        "concat": 0.0,
        "gated": 0.2,
        "xattn": 0.0,
    }
    assert Fusion(kind="xattn", modality_dropout=0.1).modality_dropout_rate == 0.1
    assert [Fusion(kind=kind).handles_missing for kind in ("late", "gated", "concat")] == [True, True, False]
    assert Fusion(kind="concat", modality_dropout=0.1).handles_missing


MODULES = {(head, path): nnx.split(cross(head, path)) for head in ("concat", "gated") for path in ("sequence", "conv")}


@pytest.fixture(scope="module")
def compiled():
    """Cross-attention in its four forms, compiled once for all examples."""
    return {form: jax.jit(nnx.merge(*parts, copy=True).__call__) for form, parts in MODULES.items()}


@settings(max_examples=15)
@given(st.integers(0, N), st.integers(0, F), st.integers(0, 99), st.sampled_from(list(MODULES)))
def test_what_lies_beyond_a_clip_changes_nothing(compiled, sounds, frames, seed, form):
    width = INPUTS if form[1] == "conv" else AUDIO
    audio, video = normal(2, N, width, seed=seed), normal(2, F, VIDEO, seed=seed + 1)
    counts = jnp.array([sounds, N]), jnp.array([frames, F])
    found = compiled[form](audio, counts[0], video, counts[1])
    spoilt = audio.at[0, sounds:].add(50.0), video.at[0, frames:].add(-50.0)
    again = compiled[form](spoilt[0], counts[0], spoilt[1], counts[1])
    assert jnp.isfinite(found.logits).all()
    np.testing.assert_allclose(again.logits, found.logits, atol=1e-5)
    looked = np.asarray(again.attention.video_to_audio)[0], np.asarray(again.attention.audio_to_video)[0]
    assert not looked[0][:, :, sounds:].any()
    assert not looked[1][:, :, frames:].any()
    np.testing.assert_allclose(looked[0].sum(-1), float(sounds > 0), atol=1e-5)
    np.testing.assert_allclose(looked[1].sum(-1), float(frames > 0), atol=1e-5)


@pytest.mark.parametrize("form", list(MODULES))
def test_a_clip_alone_is_answered_as_in_a_padded_batch(compiled, form):
    audio, video = normal(2, N, INPUTS if form[1] == "conv" else AUDIO), normal(2, F, VIDEO, seed=1)
    together = compiled[form](audio, jnp.array([N, 5]), video, jnp.array([F, 2])).logits
    module = nnx.merge(*MODULES[form], copy=True)
    alone = module(audio[1:, :5], jnp.array([5]), video[1:, :2], jnp.array([2])).logits
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


@pytest.mark.parametrize("head", ["concat", "gated"])
def test_the_only_modality_decides_in_cross_attention(head):
    fusion = cross(head)
    audio, video, counts = normal(2, N, AUDIO), normal(2, F, VIDEO, seed=1), (jnp.full(2, N), jnp.full(2, F))
    none = jnp.zeros(2, int)
    deaf, blind = fusion(audio, none, video, counts[1]), fusion(audio, counts[0], video, none)
    np.testing.assert_array_equal(deaf.logits, fusion(audio + 9, none, video, counts[1]).logits)
    np.testing.assert_array_equal(blind.logits, fusion(audio, counts[0], video - 9, none).logits)
    assert not np.allclose(deaf.logits, blind.logits)
    if head == "gated":
        assert deaf.audio_share.tolist() == [0, 0]
        assert blind.audio_share.tolist() == [1, 1]


def test_biases_of_the_cross_attention_gate_start_at_minus_one():
    gate = cross("gated").gate
    assert (gate.dense.bias[...] == -1).all()
    assert (gate.out_proj.bias[...] == -1).all()
    assert not (gated().gate.out_proj.bias[...] == -1).any()


def test_stochastic_depth_leaves_out_whole_branches_and_keeps_the_mean():
    fusion = cross(stochastic_depth=0.75)
    branch = normal(4000, 2, 12)
    ratio = np.asarray(fusion._kept(branch, KEY) / branch).reshape(4000, -1)
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones_like(ratio), rtol=1e-5)
    assert set(np.round(ratio[:, 0], 3).tolist()) == {0, 4}
    assert abs(ratio.mean() - 1) < 0.1
    assert fusion._kept(branch, None) is branch


def test_dropout_of_attention_comes_with_a_key_alone():
    attention = CrossAttention(12, 3, 0.5, rngs=nnx.Rngs(0))
    x, y, counts = normal(2, F, 12), normal(2, N, 12, seed=1), jnp.array([N, 4])
    _, shares = attention(x, y, counts)
    _, dropped = attention(x, y, counts, KEY)
    assert 0.3 < (np.asarray(dropped)[0] == 0).mean() < 0.7
    kept = np.asarray(dropped) > 0
    np.testing.assert_allclose(np.asarray(dropped)[kept], 2 * np.asarray(shares)[kept], rtol=1e-4)


@pytest.mark.parametrize("name", ["gated", "xattn"])
def test_vmap_over_folds_is_a_loop(name):
    graphdef, state = nnx.split(cross("gated", attention_dropout=0.2) if name == "xattn" else gated(dropout=0.2))
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.1]), state)
    keys = jax.random.split(KEY, 2)
    if name == "xattn":
        data = normal(2, 3, N, AUDIO), jnp.array([[N, 4, 2]] * 2), normal(2, 3, F, VIDEO), jnp.array([[F, 1, 0]] * 2)
    else:
        data = normal(2, 4, AUDIO), normal(2, 4, VIDEO), jax.tree.map(lambda x: jnp.stack([x, ~x]), BOTH)

    def loss(state, data, key):
        return jnp.sin(nnx.merge(graphdef, state)(*data, key).logits).sum()

    step = jax.jit(jax.value_and_grad(loss))
    together = jax.jit(jax.vmap(step))(folds, data, keys)
    for fold in range(2):
        alone = step(*jax.tree.map(lambda x, fold=fold: x[fold], (folds, data, keys)))
        for got, want in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-4, atol=1e-5)
            assert jnp.isfinite(want).all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"d_model": 100, "heads": 3}, r"model.d_model is 100; it must be a multiple of model.heads \(3\)"),
        ({"common": 0}, "model.common is 0; it must be 1 or more"),
        ({"stochastic_depth": 1.0}, "model.stochastic_depth is 1.0; it must be below 1"),
        ({"modality_dropout": 0.6}, "model.modality_dropout is 0.6; it must be 0.5 or less"),
        ({"video_blocks": 5}, "model.video_blocks is 5; it must be 4 or less"),
        ({"audio_layers": 2}, "model.audio_layers is 2, but audio_resnet18 is trained as a whole"),
        ({"head_rate": -1.0}, "model.head_rate is -1.0; it must be 0 or more"),
    ],
)
def test_values_that_no_fusion_can_have_are_refused_in_a_sentence(entry, message):
    experiment = Experiment("x", model=Fusion(**entry))
    with pytest.raises(UserError, match=message):
        validate(experiment)


def test_a_fusion_of_wavlm_wants_wavlm():
    config = Fusion(audio=Speech(family="wavlm")).resolved(Resolution(3.0, EncoderLayout(EncoderConfig())))
    with pytest.raises(UserError, match=r"model\.audio\.family is wavlm, but the checkpoint holds hubert"):
        config.check_encoder()


def torch_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


def loaded(module, peer, extra=()):
    """Copy a PyTorch module's weights, the three projections of its attentions taken apart."""
    tensors = {}
    for key, value in peer.state_dict().items():
        if "in_proj" in key:
            for name, part in zip("qkv", value.numpy().reshape(3, -1, *value.shape[1:]), strict=True):
                tensors[key.replace("in_proj_", f"{name}_proj.")] = part
        else:
            tensors[key] = value.numpy()
    nnx.update(module, load_tensors(module, tensors, source="here", allow_extra=extra))
    return module


def mlp(torch, inputs, hidden, outputs):
    """Return Linear, ReLU, Linear."""
    nn = torch.nn
    peer = nn.Module()
    peer.dense, peer.out_proj = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    peer.forward = lambda x: peer.out_proj(peer.dense(x).relu())
    return peer


@pytest.mark.torch
def test_gated_fusion_is_that_of_plain_pytorch():
    torch = torch_module()
    nn, peer, width = torch.nn, torch.nn.Module(), SMALL.common
    peer.audio_proj, peer.video_proj = nn.Linear(AUDIO, width), nn.Linear(VIDEO, width)
    peer.gate, peer.classifier = mlp(torch, 2 * width, width, 1), nn.Linear(width, 3)
    ours, (a, v) = loaded(gated(), peer), vectors()
    with torch.no_grad():
        heard, seen = peer.audio_proj(torch.tensor(np.asarray(a))), peer.video_proj(torch.tensor(np.asarray(v)))
        g = peer.gate.forward(torch.cat([heard, seen], -1)).sigmoid()
        expected = peer.classifier(g * heard + (1 - g) * seen)
    found = ours(a, v, present([True] * 4, [True] * 4))
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    np.testing.assert_allclose(found.audio_share, g[:, 0], atol=1e-5)
    assert found.logits.std() > 0.05


@pytest.mark.torch
@pytest.mark.parametrize("path", ["sequence", "conv"])
@pytest.mark.parametrize("head", ["concat", "gated"])
def test_cross_attention_is_that_of_plain_pytorch(head, path):
    torch = torch_module()
    nn, peer, size, heads = torch.nn, torch.nn.Module(), SMALL.d_model, SMALL.heads
    peer.video_in, peer.audio_in = nn.Linear(VIDEO, size), nn.Linear(size, size)
    peer.audio_conv = nn.Conv1d(INPUTS, size, 3, padding=1)
    if path == "sequence":
        peer.audio_sequence = nn.Linear(AUDIO, size)
    peer.video_to_audio = nn.MultiheadAttention(size, heads, batch_first=True)
    peer.audio_to_video = nn.MultiheadAttention(size, heads, batch_first=True)
    peer.video_norm, peer.audio_norm = nn.LayerNorm(size), nn.LayerNorm(size)
    if head == "concat":
        peer.head = mlp(torch, 2 * size, 256, 3)
    else:
        peer.gate, peer.classifier = mlp(torch, 2 * size, size, 1), nn.Linear(size, 3)
    for parameter in peer.parameters():
        parameter.data.uniform_(-0.5, 0.5)
    ours = loaded(cross(head, path), peer)
    width = INPUTS if path == "conv" else AUDIO
    audio, video, sounds, frames = normal(2, N, width), normal(2, F, VIDEO, seed=1), [N, 5], [F, 2]
    a, v = (torch.tensor(np.asarray(x)) for x in (audio, video))
    no_sound = torch.arange(N) >= torch.tensor(sounds)[:, None]
    no_frame = torch.arange(F) >= torch.tensor(frames)[:, None]
    with torch.no_grad():
        if path == "conv":
            y = peer.audio_in(peer.audio_conv(a.masked_fill(no_sound[..., None], 0).transpose(1, 2)).transpose(1, 2))
        else:
            y = peer.audio_sequence(a)
        x = peer.video_in(v)
        seen, looks = peer.video_to_audio(x, y, y, key_padding_mask=no_sound, average_attn_weights=False)
        heard, hears = peer.audio_to_video(y, x, x, key_padding_mask=no_frame, average_attn_weights=False)
        x, y = peer.video_norm(x + seen), peer.audio_norm(y + heard)
        x = torch.stack([row[:count].mean(0) for row, count in zip(x, frames, strict=True)])
        y = torch.stack([row[:count].mean(0) for row, count in zip(y, sounds, strict=True)])
        both = torch.cat([x, y], -1)
        if head == "concat":
            expected = peer.head.forward(both)
        else:
            g = peer.gate.forward(both).sigmoid()
            expected = peer.classifier(g * x + (1 - g) * y)
    found = ours(audio, jnp.array(sounds), video, jnp.array(frames))
    np.testing.assert_allclose(found.logits, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.attention.video_to_audio, looks, atol=1e-5)
    np.testing.assert_allclose(found.attention.audio_to_video, hears, atol=1e-5)
    if head == "gated":
        np.testing.assert_allclose(found.audio_share, 1 - g[:, 0], atol=1e-5)
