"""Settings of augmentation: what changes waves, and combinations that are refused."""

from dataclasses import replace

import pytest

from serjax.audio.config import AugmentConfig
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError


def test_default_changes_nothing_and_is_valid():
    validate(AugmentConfig())
    assert not AugmentConfig().changes_waves


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"speed_factors": (1.0, 0.9)}, True),
        ({"gain_p": 0.5}, True),
        ({"noise_p": 0.1}, True),
        ({"noise_levels": ((0.5, 10.0),)}, True),
        ({"rir_p": 1.0}, True),
        ({"gain": 6.0}, False),
        ({"mixup": 0.2}, False),
        ({"mel_masks": 2, "time_masks": 1}, False),
    ],
)
def test_changes_waves_is_true_for_augmentation_of_waves_alone(changes, expected):
    assert AugmentConfig(**changes).changes_waves == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"codec": ("opus",)}, True),
        ({"babble_p": 0.5}, True),
        ({"codec": ("opus",), "codec_p": 0.0}, False),
        ({"codec_p": 1.0}, False),
        ({"noise_p": 0.5}, False),
    ],
)
def test_changes_channel_is_true_for_codecs_and_babble_alone(changes, expected):
    assert AugmentConfig(**changes).changes_channel == expected
    assert AugmentConfig(**changes).changes_waves == ("noise_p" in changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": "folder"}, "augment names the folder folder, but its probability is 0; give --augment.noise-p"),
        ({"rir": "rooms"}, "augment names the folder rooms, but its probability is 0"),
        ({"rir": "rooms", "noise_p": 0.5}, "augment names the folder rooms"),
        ({"noise_snr": (20.0, 10.0)}, r"augment\.noise_snr must rise"),
        (
            {"noise_levels": ((0.7, 5.0), (0.4, 1.0))},
            r"augment\.noise_snr must rise, and .* add up to 1 or less",
        ),
        ({"gain_p": 1.5}, r"gain_p is 1\.5; it must be 1 or less"),
        ({"speed_factors": (0.05,)}, r"speed_factors is \(0\.05,\); it must be 0\.1 or more"),
        ({"noise_levels": ((-0.1, 5.0),)}, "noise_levels is .*; it must be 0 or more"),
        ({"mel_width": 0}, "mel_width is 0; it must be 1 or more"),
        ({"codec": ("amr",)}, r"codec is \('amr',\); it must be "),
        (
            {"codec": ("mp3", "opus", "mp3")},
            r"augment\.codec is \('mp3', 'opus', 'mp3'\); it must name each codec once",
        ),
        ({"babble_voices": (5, 3)}, r"augment\.babble_voices is \(5, 3\); it must rise"),
        ({"babble_snr": (20.0, 10.0)}, r"augment\.babble_snr is \(20\.0, 10\.0\); it must rise"),
        ({"mixup": -1.0}, r"mixup is -1\.0; it must be 0 or more"),
    ],
)
def test_impossible_augmentation_is_refused(changes, message):
    with pytest.raises(UserError, match=rf"^{message}"):
        validate(AugmentConfig(**changes))


@pytest.mark.parametrize("levels", [((0.5, 5.0), (0.5, 10.0)), ((1.0, 0.0),)])
def test_probabilities_of_noise_levels_may_reach_one(levels):
    validate(replace(AugmentConfig(noise="folder"), noise_levels=levels))
