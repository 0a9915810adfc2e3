import jax
import pytest
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

SIZES = ("tiny", "small", "base", "medium", "large")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_back(size):
    config = preset("whisper", size)
    assert from_dict(config.to_dict() | {"decoder_layers": 9, "vocab_size": 51865}, "config.json") == config
    assert (config.min_samples, config.frame_hop, config.max_samples) == (320, 320, 480_000)
    assert config.hidden_size == 64 * config.num_attention_heads == config.encoder_ffn_dim // 4


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"encoder_attention_heads": 5}, "encoder_attention_heads"),
        ({"activation_function": "quick_gelu"}, "activation_function"),
        ({"num_mel_bins": 0}, "num_mel_bins"),
        ({"d_model": "wide"}, "d_model"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_source_positions": None}, "max_source_positions"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_file_and_key(change, key):
    with pytest.raises(UserError, match=rf"^folder/config\.json: {key} ") as raised:
        from_dict(preset("whisper", "tiny").to_dict() | change, "folder/config.json")
    assert "\n" not in str(raised.value)


def test_parts_that_are_frozen_are_told_by_their_path():
    config = WhisperConfig()
    paths = [("encoder", "conv1", "kernel"), ("encoder", "embed_positions", "embedding"), ("encoder", "layers", 0)]
    assert [config.is_stem(path) for path in paths] == [True, False, False]
    assert [config.is_fixed(path) for path in paths] == [False, True, False]


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_defaults_and_sizes_are_those_of_transformers(size):
    import torch
    import transformers

    assert from_dict(transformers.WhisperConfig().to_dict(), "") == WhisperConfig()
    config = preset("whisper", size)
    with torch.device("meta"):
        model = transformers.WhisperModel(transformers.WhisperConfig(**config.to_dict())).encoder
    ours = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(ours)))
