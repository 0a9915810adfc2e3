"""Settings of networks on spectrograms and hand-made features."""

import pytest

from serjax.models.base import Checkpoint, Resolution
from serjax.models.spectrogram import SHORTEST_WINDOW, Functionals, Spectrogram
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError


def test_a_checkpoint_is_efficientnets_alone():
    assert Spectrogram(checkpoint="x").checkpoints == (Checkpoint("efficientnet", "x", "network."),)
    with pytest.raises(UserError, match="audio_cnn has no published weights"):
        validate(Spectrogram(family="audio_cnn", checkpoint="x"))


@pytest.mark.parametrize("window", [SHORTEST_WINDOW / 2, 3.5])
def test_windows_must_fit_the_input(window):
    Functionals(window=SHORTEST_WINDOW).check_length(3.0)
    with pytest.raises(UserError, match=r"it must be from 0.128 s to data.max_seconds \(3 s\)"):
        Functionals(window=window).check_length(3.0)


@pytest.mark.parametrize(
    ("config", "features"),
    [(Spectrogram(family="efficientnet"), 128), (Spectrogram(family="audio_cnn"), 64), (Functionals(), 312)],
    ids=["efficientnet", "audio_cnn", "bilstm"],
)
def test_the_front_end_is_standardised(config, features):
    (standardized,) = config.resolved(Resolution(1.0)).standardized
    assert standardized.path == ("standardize",)
    assert standardized.features.features == features
    assert standardized.features.samples == 16_000
