"""Clips that cannot be speech are told from loud, quiet and offset ones."""

import numpy as np
import pytest

from serjax.audio.faults import fault

TONE = (0.1 * np.sin(np.arange(4_000) / 7)).astype(np.float32)


@pytest.mark.parametrize("wave", [TONE, 70 * TONE, 1e-3 * TONE, TONE + 5])
def test_what_may_be_speech(wave):
    assert fault(wave.astype(np.float32)) is None


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (np.zeros(4_000), "it is silent"),
        (np.full(4_000, 0.3), "it is silent"),
        (1e20 * TONE, r"its samples reach 1e\+19, where full scale is 1"),
        (32_768 * TONE, r"its samples reach 3\.28e\+03"),
        (1e-3 * TONE + 0.5, "its DC offset is 70[0-9][0-9] times its signal"),
    ],
)
def test_what_is_none(wave, said):
    import re

    assert re.match(said, fault(wave.astype(np.float32)))
