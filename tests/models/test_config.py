"""Settings of all families as one union, told apart by `family`."""

from dataclasses import dataclass, field

import pytest

from serjax.models.config import ModelConfig
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runtime.constraints import from_json, to_json, validate
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class Holder:
    model: ModelConfig = field(default_factory=Speech)


MODELS = [
    Speech(family="wavlm", size="tiny"),
    Spectrogram(family="audio_cnn"),
    Spectrogram(family="efficientnet", head_size=3),
    Functionals(target_dbfs=-20.0),
    Video(),
    Fusion(kind="xattn", audio=Speech(family="wavlm")),
    Fusion(kind="late", audio=Spectrogram(family="audio_cnn")),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{type(model).__name__} {model.family}")
def test_json_round_trip_keeps_class_and_values(model):
    validate(Holder(model))
    found = from_json(Holder, to_json(Holder(model)), "model.json")
    assert found.model == model
    assert type(found.model) is type(model)


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ('{"family": "nothing"}', "model"),
        ('{"family": "audio_cnn", "pooling": "mean"}', r"model\.pooling"),
        ('{"family": "hubert", "head_size": 0}', r"model\.head_size"),
        ('{"family": "fusion", "audio": {"family": "bilstm"}}', r"model\.audio"),
    ],
)
def test_fields_of_another_family_are_refused(model, key):
    with pytest.raises(UserError, match=rf"^model\.json: {key} does not fit"):
        from_json(Holder, f'{{"model": {model}}}', "model.json")
