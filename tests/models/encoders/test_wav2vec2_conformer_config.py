import jax
import pytest
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.wav2vec2_conformer_config import Wav2Vec2ConformerConfig
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

SIZES = ("tiny", "small", "base", "large")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_back(size):
    config = preset("wav2vec2-conformer", size)
    written = config.to_dict()
    assert from_dict(written | {"max_source_positions": 5000, "add_adapter": False}, "config.json") == config
    assert "num_buckets" not in written
    assert config.norm_first == config.sums_by_version == config.batch_padding_counts == True  # noqa: E712
    assert (config.hidden_act, config.frame_hop) == ("silu", 320)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"position_embeddings_type": "relative_key"}, "position_embeddings_type"),
        ({"position_embeddings_type": "rotary", "hidden_size": 12}, "position_embeddings_type"),
        ({"conv_depthwise_kernel_size": 4}, "conv_depthwise_kernel_size"),
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"conv_kernel": [10]}, "conv_kernel"),
        ({"add_adapter": True}, "add_adapter"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_file_and_key(change, key):
    with pytest.raises(UserError, match=rf"^folder/config\.json: {key} ") as raised:
        from_dict(preset("wav2vec2-conformer", "tiny").to_dict() | change, "folder/config.json")
    assert "\n" not in str(raised.value)


def test_running_statistics_and_positions_are_never_trained():
    config = Wav2Vec2ConformerConfig()
    norm = ("encoder", "layers", 0, "conv_module", "batch_norm")
    fixed = [(*norm, "mean"), (*norm, "var"), ("encoder", "embed_positions", "inv_freq")]
    fixed += [("encoder", "pos_conv_embed", "conv", "bias")]
    assert all(config.is_fixed(path) for path in fixed)
    assert not any(config.is_fixed(path) for path in [(*norm, "scale"), (*norm, "bias"), ("encoder", "layers", 0)])


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_defaults_and_sizes_are_those_of_transformers(size):
    import torch
    import transformers

    assert from_dict(transformers.Wav2Vec2ConformerConfig().to_dict(), "") == Wav2Vec2ConformerConfig()
    config = preset("wav2vec2-conformer", size)
    with torch.device("meta"):
        model = transformers.Wav2Vec2ConformerModel(transformers.Wav2Vec2ConformerConfig(**config.to_dict()))
    ours = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    weights = jax.tree.leaves(nnx.state(ours, nnx.Param))
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in weights)
