import jax
import pytest
from flax import nnx

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import from_dict, preset
from serjax.models.encoders.data2vec_config import Data2VecConfig
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError

SIZES = ("tiny", "small", "base", "large")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read_back(size):
    config = preset("data2vec-audio", size)
    assert from_dict(config.to_dict() | {"vocab_size": 32}, "config.json") == config
    assert (config.min_samples, config.frame_hop, config.num_conv_pos_embeddings) == (400, 320, 5)


def test_norms_are_those_that_transformers_makes():
    """Its config.json has keys of wav2vec2's, which neither reads."""
    changed = preset("data2vec-audio", "tiny").to_dict() | {"feat_extract_norm": "group", "do_stable_layer_norm": True}
    config = from_dict(changed, "config.json")
    assert (config.feat_extract_norm, config.norm_first) == ("layer", False)
    assert not {"feat_extract_norm", "do_stable_layer_norm"} & config.to_dict().keys()


@pytest.mark.parametrize("key", ["conv_pos_kernel_size", "num_conv_pos_embeddings"])
def test_what_cannot_be_computed_is_refused_by_file_and_key(key):
    with pytest.raises(UserError, match=rf"^folder/config\.json: {key} is 'wide'"):
        from_dict(preset("data2vec-audio", "tiny").to_dict() | {key: "wide"}, "folder/config.json")


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_defaults_and_sizes_are_those_of_transformers(size):
    import torch
    import transformers

    assert from_dict(transformers.Data2VecAudioConfig().to_dict(), "") == Data2VecConfig()
    config = preset("data2vec-audio", size)
    with torch.device("meta"):
        model = transformers.Data2VecAudioModel(transformers.Data2VecAudioConfig(**config.to_dict()))
    ours = abstract(lambda rngs: build_encoder(config, rngs=rngs))
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(ours)))
