"""Attention between sound and video; what a trained run draws is in tests/end_to_end/test_audio_visual.py."""

import numpy as np
import pytest
from saved_runs import write_run

from serjax.checkpoints.run_models import load_run
from serjax.inference.attention import cross_attention
from serjax.inference.inputs import Sample
from serjax.inference.load import load
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Spectrogram
from serjax.runtime.errors import UserError
from serjax.video.config import VideoConfig

WAVE = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
FACE = np.random.default_rng(1).normal(0, 1, (1, 4)).astype(np.float32)


@pytest.mark.slow
def test_shares_are_the_weighted_mean_of_the_members(tmp_path):
    video = VideoConfig(face_features="values.npz")
    write_run(tmp_path, Fusion(kind="xattn", audio=Spectrogram(family="audio_cnn"), video=video, d_model=8, heads=2))
    models, sample = load_run(tmp_path), Sample(WAVE, frames=FACE)
    each = [cross_attention(models, np.eye(2, dtype=np.float32)[k], sample, WAVE)[0] for k in range(2)]
    shares, seconds = cross_attention(models, np.array([0.25, 0.75], np.float32), sample, WAVE)
    assert len(shares) == 1
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(shares, 0.25 * each[0] + 0.75 * each[1], atol=1e-6)
    assert seconds > 0
    np.testing.assert_allclose(load(tmp_path, [0.25, 0.75]).attention(sample)[0], shares, atol=1e-6)
    with pytest.raises(UserError, match="give a clip that has both"):
        load(tmp_path).attention(Sample(WAVE))


def test_models_without_it_are_refused(tmp_path):
    write_run(tmp_path)
    with pytest.raises(UserError, match="these models have no cross-attention; ask a run of av_xattn"):
        load(tmp_path).attention(Sample(WAVE))
