"""Options of the command line: choice of a family of models, and names of before."""

from dataclasses import replace

import pytest

from serjax.config.experiment import Experiment
from serjax.config.options import choose_families, refuse_old_names
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--model.family", "bilstm"], Functionals()),
        (["--model.family=audio_cnn"], Spectrogram(family="audio_cnn")),
        ([], Speech()),
        (["--model.family", "fusion", "--model.audio.family", "wavlm"], Fusion(audio=Speech(family="wavlm"))),
    ],
)
def test_another_family_brings_its_own_defaults(argv, expected):
    assert choose_families(Experiment("x"), argv).model == expected


@pytest.mark.parametrize("family", ["wav2vec2", "no_such_family", "--data.root"])
def test_a_family_of_the_same_settings_and_unknown_names_are_left_to_the_parser(family):
    experiment = replace(Experiment("x"), model=Speech(pooling="mean"))
    assert choose_families(experiment, ["--model.family", family]) == experiment


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("--data.seconds", "--data.max-seconds"),
        ("--fusion.kind=late", "--model.kind"),
        ("--fusion.audio", "--model.audio.family"),
        ("--video.units", "--model.video.face-features"),
        ("--video.augment.noise-p", "--model.video.augment.noise-p"),
        ("--augment.rooms-p", "--augment.rir-p"),
        ("--search.d-model", "--search model.d_model"),
        ("--search.seed", "--search seed"),
        ("--align.labels.centres", "--align.labels.centroids"),
    ],
)
def test_an_option_of_before_is_refused_with_its_new_name(argument, name):
    with pytest.raises(UserError, match=rf"is called {name} now"):
        refuse_old_names(["--data.root", "x", argument, "1"])


def test_options_of_today_and_values_pass():
    refuse_old_names(["--data.max-seconds", "3", "video.mp4", "--model.video.frames", "2"])
