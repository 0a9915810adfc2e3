"""Every option of the other families: its run is written and loaded again, as that of a speech model is."""

import contextlib
from dataclasses import fields, replace
from typing import get_type_hints

import jax
import numpy as np
import pytest
from flax import nnx
from option_values import FROM_THE_RUN, OPTIONS, values
from saved_runs import LAYOUT, SPEECH, layout_with, write_run

from serjax.checkpoints.run_models import load_run, read_run
from serjax.models.base import EncoderLayout
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runtime.errors import UserError
from serjax.video.config import VideoConfig

FACES = VideoConfig(face_features="features.npz", num_face_features=4)
CNN = Fusion(audio=Spectrogram(family="audio_cnn"), video=FACES, common=8, d_model=8, heads=2)
WAVLM = replace(CNN, audio=Speech(family="wavlm"))
WHISPER = EncoderLayout(
    WhisperConfig(d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16, max_source_positions=50)
)
LAYOUTS = {"whisper": WHISPER, "wavlm": layout_with(model_type="wavlm", num_buckets=8)}
MODELS = {
    "audio_cnn": Spectrogram(family="audio_cnn"),
    "bilstm": Functionals(),
    "video": Video(video=FACES),
    "gated": CNN,
    "cross-attention of wavlm": replace(WAVLM, kind="xattn"),
    "whisper": replace(SPEECH, family="whisper"),
}
LARGE = {"efficientnet": Spectrogram(), "audio_resnet18": Spectrogram(family="audio_resnet18"), "ResNet18": Video()}
SOME = {
    "window": [0.2],
    "d_model": [6],
    "heads": [4],
    "target_dbfs": [-20.0],
    "audio_layers": [0],
    "video_blocks": [0],
}
"""Values that fit the others, or those of options that tell no two."""


def options():
    """Yield models, each with one option changed that it has."""
    for name, model, change in _changes():
        if change.get("frozen_layers"):
            change = {"freeze": "layers", "frozen_layers": 1}
        changed = replace(model, **change)
        with contextlib.suppress(UserError):
            getattr(changed, "check", lambda: None)()
            yield name, changed


def _changes():
    for name, model in {**MODELS, "concat": replace(WAVLM, kind="concat"), "late": replace(CNN, kind="late")}.items():
        if isinstance(model, Speech):
            yield from ((f"{name}, {option} {value}", model, {option: value}) for option, value in OPTIONS)
            continue
        hints = get_type_hints(type(model), include_extras=True)
        for field in fields(model):
            if field.name in {*FROM_THE_RUN, "audio", "video", "seconds"}:
                continue
            for value in SOME.get(field.name) or values(field.name, hints[field.name], getattr(model, field.name)):
                yield f"{name}, {field.name} {value}", model, {field.name: value}
    for name, model in LARGE.items():
        yield name, model, {}


def check(folder, model):
    members, model = write_run(folder, model, folds=(1,), layout=LAYOUTS.get(_encoder(model), LAYOUT))
    assert read_run(folder).model == model
    found = load_run(folder)
    own = dict(nnx.to_flat_state(nnx.merge_state(jax.tree.map(lambda leaf: leaf[0], found.params), found.shared)))
    expected = dict(nnx.to_flat_state(nnx.state(members[1], (nnx.Param, nnx.BatchStat))))
    assert own.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_array_equal(own[path][...], leaf[...], err_msg=str(path))


def _encoder(model):
    return model.audio.family if isinstance(model, Fusion) else model.family


@pytest.mark.parametrize("name", MODELS)
def test_a_run_of_any_family_is_saved_and_loaded(tmp_path, name):
    check(tmp_path, MODELS[name])


@pytest.mark.slow
@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in options()])
def test_a_run_of_any_family_with_any_option_is_saved_and_loaded(tmp_path, model):
    check(tmp_path, model)
