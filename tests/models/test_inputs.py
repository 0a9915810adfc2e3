"""Inputs of models: absent modalities, and batches as pytrees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serjax.models.inputs import Inputs

SOUND = Inputs(wave=np.zeros((2, 5), np.float32), lengths=np.array([5, 3]))
VIDEO = Inputs(video=np.zeros((2, 3, 4, 4, 3), np.uint8), video_lengths=np.array([3, 1]))


def test_sound_and_frames_are_pairs_of_values_and_lengths():
    assert [part is whole for part, whole in zip(SOUND.sound, (SOUND.wave, SOUND.lengths), strict=True)] == [True, True]
    assert VIDEO.frames[0].shape == (2, 3, 4, 4, 3)
    assert VIDEO.frames[1].tolist() == [3, 1]


def test_missing_modality_is_said_by_name():
    with pytest.raises(AssertionError, match="this model takes sound"):
        _ = VIDEO.sound
    with pytest.raises(AssertionError, match="this model takes video"):
        _ = SOUND.frames


def test_absent_parts_are_no_leaves_under_jit_and_vmap():
    assert len(jax.tree.leaves(SOUND)) == 2
    doubled = jax.jit(lambda inputs: jax.tree.map(lambda leaf: 2 * leaf, inputs))(VIDEO)
    assert isinstance(doubled, Inputs)
    assert doubled.wave is None
    assert doubled.video_lengths.tolist() == [6, 2]
    lengths = jax.vmap(lambda inputs: inputs.wave.sum() + inputs.lengths)(SOUND)
    np.testing.assert_array_equal(lengths, jnp.array([5, 3]))
