"""Encoders by the names that releases have for them."""

import json

import pytest
from releases import WAVLM

from serjax.checkpoints.releases.encoders import _NAMED, named_encoder
from serjax.runtime.errors import UserError


def test_every_name_has_a_layout(tmp_path):
    found = {name: named_encoder(name, tmp_path, "here") for name in _NAMED}
    large, normalize = found["microsoft/wavlm-large"]
    assert (large.hidden_size, large.num_hidden_layers, large.conv_bias, normalize) == (1024, 24, False, True)
    assert found["openai/whisper-large-v3"][0].mel_bins == 128
    assert not found["microsoft/wavlm-base-plus"][1]


def test_a_file_beside_the_release_counts_before_the_table(tmp_path):
    (tmp_path / "encoder_config.json").write_text(json.dumps(WAVLM.to_dict()))
    assert named_encoder("microsoft/wavlm-large", tmp_path, "here") == (WAVLM, True)
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert named_encoder(None, tmp_path, "here") == (WAVLM, False)
    (tmp_path / "encoder_config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"encoder_config\.json: model_type is 'bert'"):
        named_encoder("microsoft/wavlm-large", tmp_path, "here")


@pytest.mark.parametrize("name", ["me/mine", None, ["microsoft/wavlm-large"]])
def test_an_unknown_name_says_what_to_do(tmp_path, name):
    with pytest.raises(UserError, match=r"(?s)here is .*put its config\.json beside it as encoder_config\.json"):
        named_encoder(name, tmp_path, "here")
