"""Options of the command line: choice of a family of models, and names of before."""

from dataclasses import replace

import pytest

from serjax.config.experiment import Experiment
from serjax.config.options import (
    choose_families,
    families_with,
    option_names,
    refuse_old_names,
    refuse_unknown,
    with_fields,
)
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
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


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--optimizer.max-lrr", r"there is no such option; did you mean --optimizer\.max-lr\?"),
        ("--epochs=3", r"did you mean --train\.epochs\?"),
        ("--data.speaker_patern", r"did you mean --data\.speaker-pattern\?"),
        ("--zzzz", r"there is no such option; --help all shows all"),
        ("--model.pooling", r"model\.family is bilstm, which does not have it; those that do are data2vec-audio, "),
        ("--model.audio.size", r"model\.family is bilstm, which does not have it; those that do are fusion\."),
        ("--model.popling", r"there is no such option"),
    ],
)
def test_an_unknown_option_is_refused_with_what_may_have_been_meant(option, answer):
    with pytest.raises(UserError, match=answer):
        refuse_unknown(replace(Experiment("x"), model=Functionals()), ["--train.epochs", "3", option, "1"])


def test_options_that_exist_are_not_refused():
    argv = ["--model.no-remat", "--data.root=--odd", "--optimizer.max_lr", "1", "--hosts.count", "2", "-1", "x"]
    refuse_unknown(Experiment("x"), argv, {"hosts.count"})
    refuse_unknown(Experiment("x"), ["--", "--nonsense"])


def test_names_of_options_are_those_of_the_family_that_is_chosen():
    names = option_names(replace(Experiment("x"), model=Fusion(audio=Speech(family="wavlm"))))
    assert {"model.kind", "model.audio.pooling", "model.video.augment.noise", "overwrite", "no_overwrite"} <= names
    assert "model.window" not in names


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("model.window", ("model", ["bilstm"])),
        ("model.audio.head_size", ("model", ["fusion"])),
        ("train.epochs", ("", [])),
        ("nowhere.at.all", ("", [])),
        ("model.nowhere", ("model", [])),
    ],
)
def test_families_that_have_a_field(path, found):
    assert families_with(Experiment, path.split(".")) == found


def test_a_field_of_other_families_is_refused_with_those_that_have_it():
    with pytest.raises(UserError, match=r"model\.dropout: model\.family is video, .* do are .*hubert, .*bilstm"):
        with_fields(replace(Experiment("x"), model=Video()), {"model.dropout": 0.1})


def test_dropout_of_a_network_that_has_none_is_refused():
    with pytest.raises(UserError, match=r"model\.dropout is 0\.3, but audio_cnn has no such setting: .*efficientnet"):
        with_fields(replace(Experiment("x"), model=Spectrogram(family="audio_cnn")), {"model.dropout": 0.3})
