"""Hidden states of a frozen encoder: those of the model clip by clip, pooled where heads allow, computed once."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from noise import noisy
from saved_runs import ENCODER, FROZEN

from serjax.features import frozen
from serjax.features.frozen import encode, joined
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.inputs import Features

LENGTHS = (900, 2_500, 4_000)
SAMPLES = 2_500


class Clips:
    """A store of noise."""

    lengths = np.array(LENGTHS)
    hashes = ("a", "b", "c")
    utterances = tuple(type("Clip", (), {"id": f"clip{n}"}) for n in range(3))

    def __len__(self):
        return 3

    def clip(self, i):
        return np.random.default_rng(i).normal(0, 0.1, LENGTHS[i]).astype(np.float32)


def build(seed=0, **changes):
    settings = replace(FROZEN, **changes).resolved(Resolution(1.0, EncoderLayout(ENCODER, normalize=True)))
    return noisy(lambda rngs: settings.build(3, rngs=rngs), seed)


def run(model, folder, crop="head"):
    return encode(model, Clips(), np.array([0, 1, 2]), samples=SAMPLES, crop=crop, folder=folder)


def expected(model, crop="head"):
    """Return each clip's states [l n d] by itself."""
    call = jax.jit(model.features)
    for i, length in enumerate(LENGTHS):
        start = max(0, length - SAMPLES) // 2 if crop == "centre" else 0
        wave = Clips().clip(i)[start : start + SAMPLES]
        states, frames = call(jnp.asarray(wave)[None], jnp.array([len(wave)]))
        assert int(frames[0]) == states.shape[2]
        yield np.asarray(states[0])


@pytest.mark.parametrize("changes", [{"final_dropout": 0.1}, {"pooling": "attentive", "weighted_layers": True}])
def test_states_are_those_of_the_model_clip_by_clip(tmp_path, changes):
    model = build(**changes)
    found = run(model, tmp_path)
    layers = 2 if changes.get("weighted_layers") else 1
    for states, frames, own in zip(found.states, found.frames, expected(model), strict=True):
        assert own.shape == (layers, frames, 16)
        np.testing.assert_allclose(states[:, :frames], own, atol=1e-4)
        assert not states[:, frames:].any()
    assert found.label.tolist() == [0, 1, 2]


@pytest.mark.parametrize("crop", ["head", "centre"])
def test_states_are_pooled_where_the_head_takes_their_mean(tmp_path, crop):
    model = build(weighted_layers=True)
    found = run(model, tmp_path, crop)
    assert found.states.shape == (3, 2, 1, 16)
    assert found.frames.tolist() == [1, 1, 1]
    for states, own in zip(found.states, expected(model, crop), strict=True):
        np.testing.assert_allclose(states[:, 0], own.mean(1), atol=1e-4)


def test_states_are_found_again_for_the_same_weights_alone(tmp_path, monkeypatch):
    first = run(build(), tmp_path)
    assert len(list(tmp_path.glob("[0-9a-f]*"))) == 1
    other = run(build(seed=1), tmp_path)
    assert not np.allclose(first.states, other.states)
    assert len(list(tmp_path.glob("[0-9a-f]*"))) == 2
    monkeypatch.setattr(Clips, "clip", lambda self, i: pytest.fail("read again"))
    np.testing.assert_array_equal(run(build(), tmp_path).states, first.states)


def test_another_input_is_computed_anew(tmp_path, monkeypatch):
    run(build(), tmp_path)
    asked = []
    monkeypatch.setattr(
        frozen, "encode_clips", lambda *given, **_: asked.append(given[4]) or (np.zeros(1), np.zeros(1))
    )
    run(build(dtype="bfloat16"), tmp_path)
    run(build(final_dropout=0.1), tmp_path)
    run(build(), tmp_path, crop="centre")
    run(build(), tmp_path)
    assert len(set(asked)) == 4
    assert [folder.is_dir() for folder in asked] == [False, False, False, True]


def test_two_corpora_stand_one_behind_the_other_and_the_second_has_no_labels():
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(count, 2, frames, 4)).astype(np.float32) for count, frames in ((3, 5), (2, 7))]
    one, other = (
        Features(each, np.full(len(each), each.shape[2], np.int32), np.arange(len(each), dtype=np.int32) + 1)
        for each in states
    )
    for first, second in ((one, other), (other, one)):
        both, count = joined(first, second), len(first.states)
        assert both.states.shape == (5, 2, 7, 4)
        assert both.label.tolist() == [*first.label.tolist(), *[-1] * len(second.states)]
        assert both.frames.tolist() == [*first.frames.tolist(), *second.frames.tolist()]
        for part, source in ((both.states[:count], first), (both.states[count:], second)):
            frames = source.states.shape[2]
            np.testing.assert_array_equal(part[:, :, :frames], source.states)
            assert not part[:, :, frames:].any()


def test_other_heads_find_the_same_features(tmp_path, monkeypatch):
    first = build()
    run(first, tmp_path)
    second = build(head="projector", head_size=4)
    nnx.update(second.speech_encoder, nnx.state(first.speech_encoder))
    monkeypatch.setattr(frozen, "clip_batches", lambda *_: [])  # nothing is left to encode
    np.testing.assert_array_equal(run(second, tmp_path).states, run(first, tmp_path).states)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize("changes", [{"head": "frame_relu"}, {"state_norm": True}])
def test_heads_that_take_frames_get_frames(tmp_path, changes):
    model = build(**changes)
    assert run(model, tmp_path).states.shape[2] > 1
