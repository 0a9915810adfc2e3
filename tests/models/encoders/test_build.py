"""Encoders by family: the class of its file, with the configuration's layout."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
from flax import nnx

from serjax.models.encoders import families, wav2vec2
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.encoders.families import Family
from serjax.models.functional import abstract


def test_family_with_a_file_of_its_own_is_built_from_it(monkeypatch):
    class SpeechEncoder(wav2vec2.SpeechEncoder):
        pass

    module = ModuleType("serjax.models.encoders.other")
    module.SpeechEncoder = SpeechEncoder
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(families.FAMILIES, "hubert", Family("Other", "other.", module="other"))
    assert type(build_encoder(preset("hubert", "tiny"), rngs=nnx.Rngs(0))) is SpeechEncoder


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_is_built_with_its_layout(family):
    config = preset(family, "tiny")
    encoder = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    assert encoder.config == config
    layers = {path[2] for path, _ in nnx.to_flat_state(nnx.state(encoder)) if path[:2] == ("encoder", "layers")}
    assert layers == set(range(config.num_hidden_layers))


def test_unknown_family_is_an_error():
    with pytest.raises(KeyError, match="none"):
        build_encoder(replace(preset("hubert", "tiny"), model_type="none"), rngs=nnx.Rngs(0))
