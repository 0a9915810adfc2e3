from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.families import FAMILIES, of_layout
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.runtime.errors import UserError


def parameters(config: Wav2Vec2Config) -> int:
    model = nnx.eval_shape(lambda: SpeechEncoder(config, rngs=nnx.Rngs(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model)))


@pytest.mark.parametrize("family", of_layout("wav2vec2"))
@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_what_is_written_is_read_back(family, size):
    config = preset(family, size)
    assert from_dict(config.to_dict() | {"vocab_size": 32, "architectures": ["X"]}, "config.json") == config
    assert config.min_samples == 400
    assert config.frame_hop == 320


@pytest.mark.slow
def test_numbers_of_parameters():
    # base and large: HubertModel and Wav2Vec2Model of transformers; tiny and small: kept from growing unnoticed.
    counts = {size: parameters(preset("hubert", size)) for size in ("tiny", "small", "base", "large")}
    assert counts == {"tiny": 617_184, "small": 5_518_656, "base": 94_371_712, "large": 315_438_720}
    assert [parameters(preset("wavlm", size)) for size in ("base", "large")] == [94_381_936, 315_453_120]
    # unispeech-sat-large has no biases in its convolutions, as its config.json says.
    assert parameters(preset("unispeech-sat", "large")) == 315_438_720 - 7 * 512


@given(samples=st.integers(0, 100_000), layers=st.integers(1, 7))
def test_frames_count_what_valid_convolutions_leave(samples, layers):
    config = preset("hubert", "base")
    expected = samples
    for kernel, stride in list(zip(config.conv_kernel, config.conv_stride, strict=True))[:layers]:
        expected = len(range(0, expected - kernel + 1, stride))
    assert config.frames(samples, layers) == expected
    assert int(config.frames(jnp.array(samples), layers)) == expected


def test_receptive_field_is_the_shortest_clip_with_a_frame():
    config = preset("hubert", "base")
    assert [config.frames(n) for n in (399, 400, 719, 720)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"add_adapter": True}, "add_adapter"),
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm"),
        ({"hidden_act": "quick_gelu"}, "hidden_act"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm"),
        ({"model_type": "bert"}, "model_type"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"conv_dim": [512, "x"]}, "conv_dim"),
        ({"conv_kernel": [10, 3]}, "conv_kernel"),
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"num_conv_pos_embedding_groups": 7}, "num_conv_pos_embedding_groups"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"hidden_dropout": 1.0}, "hidden_dropout"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps"),
        ({"layer_norm_eps": -1e-5}, "layer_norm_eps"),
        ({"num_buckets": 2}, "num_buckets"),
        ({"max_bucket_distance": 80}, "max_bucket_distance"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 0]}, "conv_stride"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_file_and_key(change, key):
    with pytest.raises(UserError, match=rf"^folder/config\.json: {key} ") as raised:
        from_dict(preset("wavlm", "base").to_dict() | change, "folder/config.json")
    assert "\n" not in str(raised.value)


def test_keys_of_another_family_are_ignored():
    without = {"feat_proj_layer_norm": False, "num_buckets": 8}
    assert from_dict({"model_type": "hubert", **without}, "") == Wav2Vec2Config("hubert", feat_proj_layer_norm=False)
    assert from_dict({"model_type": "wav2vec2", **without}, "") == Wav2Vec2Config("wav2vec2")
    assert from_dict({"model_type": "wavlm", **without}, "") == Wav2Vec2Config("wavlm", num_buckets=8)
    # transformers' WavLM makes no adapters either.
    assert from_dict({"model_type": "wavlm", "adapter_attn_dim": 16}, "") == Wav2Vec2Config("wavlm")
    assert from_dict({"model_type": "wav2vec2", "adapter_attn_dim": 16}, "").adapter_attn_dim == 16


def test_hubert_may_lack_the_norm_of_the_projection():
    config = replace(preset("hubert", "tiny"), feat_proj_layer_norm=False)
    bare = nnx.eval_shape(lambda: SpeechEncoder(config, rngs=nnx.Rngs(0)))
    assert bare.feature_projection.layer_norm is None


@pytest.mark.torch
@pytest.mark.parametrize("family", of_layout("wav2vec2"))
def test_defaults_and_sizes_are_those_of_transformers(family):
    import torch
    import transformers

    name = FAMILIES[family].architecture
    theirs = getattr(transformers, f"{name}Config")()
    assert from_dict(theirs.to_dict(), "") == Wav2Vec2Config(model_type=family)
    for size in ("tiny", "small", "base", "large"):
        config = preset(family, size)
        with torch.device("meta"):
            model = getattr(transformers, f"{name}Model")(type(theirs)(**config.to_dict()))
        assert sum(p.numel() for p in model.parameters()) == parameters(config)
