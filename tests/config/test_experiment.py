"""Values that no experiment can have are named before anything is read; what is stored comes back."""

from dataclasses import replace
from math import inf, nan

import pytest

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment, cache_folder
from serjax.config.registry import find, names
from serjax.data.config import FoldsConfig
from serjax.data.corpora.label_names import read_label_map
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runtime.constraints import from_json, to_json, validate
from serjax.runtime.errors import UserError


def with_value(field, value):
    experiment = Experiment("x")
    if "." not in field:
        return replace(experiment, **{field: value})
    part, key = field.split(".")
    return replace(experiment, **{part: replace(getattr(experiment, part), **{key: value})})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("name", "../elsewhere"),
        ("name", ""),
        ("data.max_seconds", inf),
        ("data.max_seconds", 0.0),
        ("model.head_size", 0),
        ("model.attention_size", -1),
        ("model.layerdrop", 2.0),
        ("model.mask_time_prob", 5.0),
        ("model.dropout", 1.0),
        ("model.final_dropout", 1.0),
        ("optimizer.max_lr", 0.0),
        ("optimizer.max_lr", nan),
        ("optimizer.clip_norm", 0.0),
        ("optimizer.beta1", 1.0),
        ("optimizer.beta2", 2.0),
        ("optimizer.weight_decay", nan),
        ("optimizer.warmup", 1.1),
        ("optimizer.groups", (("head", inf),)),
        ("train.accumulate", 3),
        ("train.epochs", 0),
        ("train.head_epochs", -1),
        ("train.learning_rates", (1e-3, 0.0)),
        ("train.learning_rates", (1e-3, 1e-3)),
        ("folds.path", "folds.json"),
    ],
)
def test_values_that_cannot_be_are_named(field, value):
    with pytest.raises(UserError, match=rf"^{field} is ") as raised:
        validate(with_value(field, value))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", [Speech(freeze="encoder"), Speech(size="tiny")])
def test_two_stages_want_a_pretrained_encoder_that_is_trained(model):
    with pytest.raises(UserError, match=r"^train\.head_epochs is 2; it must be 0"):
        validate(replace(with_value("train.head_epochs", 2), model=model))


@pytest.mark.parametrize("augment", [AugmentConfig(codec=("mp3",)), AugmentConfig(babble_p=0.5)])
def test_codecs_and_babble_are_for_models_that_read_clips_while_they_train(augment):
    for model in (Speech(), Spectrogram(), Functionals(), Fusion()):
        validate(Experiment("x", model=model, augment=augment))
    for model, named in ((Speech(freeze="encoder"), "hubert with a frozen encoder"), (Video(), "video")):
        with pytest.raises(
            UserError, match=rf"^augment: codecs or babble \(.*\) is given, but model.family {named} does without"
        ):
            validate(Experiment("x", model=model, augment=augment))


def test_two_ways_to_give_the_rate_are_one_too_many():
    experiment = with_value("train.learning_rates", (1e-3,))
    with pytest.raises(UserError, match="leave out one"):
        validate(replace(experiment, optimizer=replace(experiment.optimizer, max_lr=1e-3)))


def test_jobs_have_folders_of_their_own_below_the_run_and_its_cache(tmp_path):
    one = Experiment("run", out=str(tmp_path), job=True, folds=FoldsConfig(only=(3, 1, 3)))
    assert one.run_dir == tmp_path / "run" / "jobs" / "folds_1_3"
    assert one.whole_dir == replace(one, job=False).run_dir == tmp_path / "run"
    assert cache_folder(one) == cache_folder(replace(one, job=False)) == tmp_path
    validate(one)
    with pytest.raises(UserError, match=r"job is given without folds\.only"):
        validate(replace(one, folds=FoldsConfig()))


@pytest.mark.parametrize("name", names(Experiment))
def test_what_comes_with_serjax_is_sound_and_survives_json(name):
    experiment = find(name, Experiment)
    validate(experiment)
    assert experiment.name == name
    assert from_json(Experiment, to_json(experiment), "experiment.json") == experiment


def test_a_file_that_returns_no_experiment_is_named(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def experiment():\n    return 3\n")
    with pytest.raises(UserError, match=r"mine\.py: experiment\(\) returns a int"):
        find(str(path), Experiment)


def test_a_label_map_has_a_name_for_every_label(tmp_path):
    path = tmp_path / "map.json"
    path.write_text('{"exc": ""}')
    with pytest.raises(UserError, match="none empty"):
        read_label_map(str(path))
