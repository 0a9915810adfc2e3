"""Attention between sound and video; tests/end_to_end/test_audio_visual.py has models that give it."""

import numpy as np
import pytest
from saved_runs import write_run

from serjax.inference.inputs import Sample
from serjax.inference.load import load
from serjax.runtime.errors import UserError


def test_models_without_cross_attention_are_refused(tmp_path):
    write_run(tmp_path)
    with pytest.raises(UserError, match="these models have no cross-attention; ask a run of av_xattn"):
        load(tmp_path).attention(Sample(np.zeros(16_000, np.float32)))
