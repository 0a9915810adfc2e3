"""Cross-attention of sound and video: masks, heads, stochastic depth, vmap, and PyTorch as a witness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from fusion_modules import AUDIO, INPUTS, SMALL, VIDEO, cross, gated, loaded, mlp, normal, torch_module
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.fusion.cross_attention import CrossAttention

KEY = jax.random.key(0)
N, F = 9, 4
MODULES = {(head, path): nnx.split(cross(head, path)) for head in ("concat", "gated") for path in ("sequence", "conv")}


@pytest.fixture(scope="module")
def compiled():
    """Cross-attention in its four forms, compiled once for all examples."""
    return {form: jax.jit(nnx.merge(*parts, copy=True).__call__) for form, parts in MODULES.items()}


@settings(max_examples=15)
@given(st.integers(0, N), st.integers(0, F), st.integers(0, 99), st.sampled_from(list(MODULES)))
def test_padding_of_sound_and_frames_changes_nothing(compiled, sounds, frames, seed, form):
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
def test_single_clip_equals_clip_in_padded_batch(compiled, form):
    audio, video = normal(2, N, INPUTS if form[1] == "conv" else AUDIO), normal(2, F, VIDEO, seed=1)
    together = compiled[form](audio, jnp.array([N, 5]), video, jnp.array([F, 2])).logits
    module = nnx.merge(*MODULES[form], copy=True)
    alone = module(audio[1:, :5], jnp.array([5]), video[1:, :2], jnp.array([2])).logits
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


@pytest.mark.parametrize("head", ["concat", "gated"])
def test_missing_modality_is_ignored(head):
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


def test_attention_dropout_needs_a_key():
    attention = CrossAttention(12, 3, 0.5, rngs=nnx.Rngs(0))
    x, y, counts = normal(2, F, 12), normal(2, N, 12, seed=1), jnp.array([N, 4])
    _, shares = attention(x, y, counts)
    _, dropped = attention(x, y, counts, KEY)
    assert 0.3 < (np.asarray(dropped)[0] == 0).mean() < 0.7
    kept = np.asarray(dropped) > 0
    np.testing.assert_allclose(np.asarray(dropped)[kept], 2 * np.asarray(shares)[kept], rtol=1e-4)


@pytest.mark.torch
@pytest.mark.parametrize("path", ["sequence", "conv"])
@pytest.mark.parametrize("head", ["concat", "gated"])
def test_cross_attention_equals_pytorch(head, path):
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
