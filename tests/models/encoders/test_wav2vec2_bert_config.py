import jax
import pytest
from flax import nnx

from serjax.audio import filter_bank
from serjax.models.encoders import wav2vec2_bert_config
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

SIZES = ("tiny", "small", "base", "large")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_back(size):
    config = preset("wav2vec2-bert", size)
    others = {"vocab_size": None, "max_source_positions": 5000, "num_adapter_layers": 1, "output_hidden_size": 1024}
    assert from_dict(config.to_dict() | others | {"add_adapter": False}, "config.json") == config
    assert (config.min_samples, config.frame_hop, config.max_samples, config.mel_bins) == (560, 320, None, 80)


def test_frames_are_those_of_the_filter_bank():
    assert (wav2vec2_bert_config.WIDTH, wav2vec2_bert_config.HOP) == (filter_bank.WIDTH, filter_bank.HOP)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"feature_projection_input_dim": 81}, "feature_projection_input_dim"),
        ({"position_embeddings_type": "alibi"}, "position_embeddings_type"),
        ({"position_embeddings_type": "rotary", "hidden_size": 12}, "position_embeddings_type"),
        ({"left_max_position_embeddings": -1}, "left_max_position_embeddings"),
        ({"conv_depthwise_kernel_size": 30}, "conv_depthwise_kernel_size"),
        ({"hidden_act": "mish"}, "hidden_act"),
        ({"add_adapter": True}, "add_adapter"),
        ({"use_intermediate_ffn_before_adapter": True}, "use_intermediate_ffn_before_adapter"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_file_and_key(change, key):
    with pytest.raises(UserError, match=rf"^folder/config\.json: {key} ") as raised:
        from_dict(preset("wav2vec2-bert", "tiny").to_dict() | change, "folder/config.json")
    assert "\n" not in str(raised.value)


def test_nothing_of_it_is_a_stem_or_fixed():
    config = Wav2Vec2BertConfig()
    paths = [("feature_projection", "projection", "kernel"), ("encoder", "layers", 0), ("masked_spec_embed",)]
    assert not any(config.is_stem(path) or config.is_fixed(path) for path in paths)


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_defaults_and_sizes_are_those_of_transformers(size):
    import torch
    import transformers

    assert from_dict(transformers.Wav2Vec2BertConfig().to_dict(), "") == Wav2Vec2BertConfig()
    config = preset("wav2vec2-bert", size)
    with torch.device("meta"):
        model = transformers.Wav2Vec2BertModel(transformers.Wav2Vec2BertConfig(**config.to_dict()))
    ours = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(ours)))
