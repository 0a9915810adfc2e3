"""One line of the table is all that a family with wav2vec2's layers needs."""

from typing import get_args

import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.preprocessor import default_preprocessor
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.encoders.families import FAMILIES, EncoderFamily, foreign_keys


def test_a_family_of_a_config_is_one_of_the_table():
    assert get_args(EncoderFamily) == tuple(FAMILIES)


def test_prefixes_tell_families_apart():
    prefixes = [family.own for family in FAMILIES.values()]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and b.startswith(a)]
    assert all(prefix.endswith(".") for prefix in prefixes)


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_of_a_family_are_fields_of_the_configuration(family):
    fields = set(preset(family, "base").__dataclass_fields__)
    assert FAMILIES[family].keys <= fields
    assert set(FAMILIES[family].large) <= fields
    assert not FAMILIES[family].keys & foreign_keys(family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefixed", [False, True])
def test_an_encoder_of_every_family_is_built_saved_and_loaded(tmp_path, family, prefixed):
    config = preset(family, "tiny")
    encoder = build_encoder(config, rngs=nnx.Rngs(0))
    prefix = FAMILIES[family].prefix if prefixed else ""
    save_pretrained(encoder, tmp_path, preprocessor=default_preprocessor(config), prefix=prefix)
    loaded = load_encoder(str(tmp_path)).encoder
    assert loaded.config == encoder.config
    expected = to_tensors(encoder)
    assert all(np.array_equal(value, expected[key]) for key, value in to_tensors(loaded).items())
